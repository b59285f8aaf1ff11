"""Find, in one pass without numbers, the target layer, the layout of its map, and the cost."""

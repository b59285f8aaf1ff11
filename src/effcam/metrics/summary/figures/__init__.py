"""The figures of a summary, one module a group: their names and units, and how to measure them."""

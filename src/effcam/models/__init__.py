"""From a name to a model: weights, transform, classes, and the layer to look at."""

r"""
A first comparison
==================

Two photos, two models, one picture: which part of each photo speaks for the class that each model
chose, and how to read the answer.

This page was run without a network, so its models are **untrained**: their weights are random,
their predictions are guesses, and *their heat means nothing*. What the pictures consist of and
how to work with them is the same as with trained models. For those, give names in place of the
specs below: ``effcam.compare("photos/", ["resnet50", "efficientnet_b0"])``.
"""

# %%
# Compare
# -------
# Images may be paths, folders, globs, PIL images, arrays or tensors. The two photos here come with
# scikit-learn, which is installed with effcam: a Chinese temple by danielbuechele and a dahlia by
# vultilion, both CC BY 2.0.
#
# Models are names or :class:`effcam.ModelSpec`\ s; a mapping gives each column its label.
# ``pretrained=False`` asks for random weights.

from pathlib import Path

import sklearn.datasets

import effcam

photos = Path(sklearn.datasets.__file__).parent / "images"
comparison = effcam.compare(
    [photos / "china.jpg", photos / "flower.jpg"],
    {
        "ResNet-18": effcam.ModelSpec("resnet18", pretrained=False),
        "EfficientNet-B0": effcam.ModelSpec("efficientnet_b0", pretrained=False),
    },
    progress=False,
)
picture = comparison.grid()

# %%
# How to read the picture
# -----------------------
# A row is an image, a column is a model; the photo itself comes first.
#
# **Heat** covers what spoke for the class named below the cell. Where there is little evidence, the
# heat is transparent and the photo stays visible. Each map is scaled to its own range, as the
# colour bar says: equally bright spots in two cells are *not* equally strong evidence.
#
# **The caption** is the class that was explained and the probability that the model gives it.
# By default this is the model's own first choice, right or wrong, so the cells of a row may
# explain different classes. ``target=`` explains one class in all of them.
#
# **The shaded margin** is what the model did not see: the transform published with its weights cuts
# it off. See :doc:`/explanation/region`.
#
# **A cell marked as flat** has no heat: nothing in the layer spoke for the class. That is common
# with random weights, and an answer with trained ones.
#
# The layer that was looked at differs in name and in resolution from model to model, but not in
# kind: see :doc:`/explanation/layer`.
#
# The look can be changed at any time without running a model again, since what was kept is the
# heat and not the picture:

picture = comparison.grid(alpha=0.7, colormap="viridis", width=160)

# %%
# One cell
# --------
# A comparison is indexed by image and by column, each by position or by name. A cell is an
# :class:`effcam.Explanation`.

cell = comparison[1, "EfficientNet-B0"]
print(f"{cell.label}, with a probability of {cell.probability:.4f}")
print(f"{cell.model} at {cell.target_layer}: {cell.state}")

# %%
# The heat is kept as the layer gave it, small and not scaled. The region is the part of the
# photo that the model saw, in pixels of the photo.

print(cell.heatmap.shape, cell.heatmap.dtype)
print(cell.region)

# %%
# ``upsampled()`` brings the heat to the size of the photo and scales it to [0, 1]; outside the
# region it is 0. ``overlay()`` draws it on the photo.

heat = cell.upsampled()
print(heat.shape, heat.min(), heat.max())
picture = cell.overlay()

# %%
# The table
# ---------
# ``table()`` has one row for each cell, ready for ``pandas.DataFrame(comparison.table())``. It
# holds what the picture shows and what it has no room for. The first row:

for name, value in comparison.table()[0].items():
    print(f"{name:24} {value}")

# %%
# Columns that start with ``predicted`` are the model's first choice; the ones without are about
# the class that was explained. They differ only where you ask for a ``target``.
#
# Save
# ----
# The ending of the name says what is written: the grid as a picture, an animation with one image a
# frame, the numbers, or the maps themselves.

import tempfile

folder = Path(tempfile.mkdtemp())
for name in ("grid.png", "frames.gif", "table.csv", "maps.npz"):
    print(comparison.save(folder / name).name)

# %%
# In a notebook a comparison shows itself:

comparison

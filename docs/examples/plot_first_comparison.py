r"""
A first comparison
==================

Four pictures, five models, one look: which part of each picture speaks for the class that each
model chose, and how to read the answer.

Everything on this page works without a network. The pictures are *scenes*, drawn when they are
asked for, and the models are the small ones that come with effcam: they know ten things and nothing
else. With photos and models of ImageNet it is the same call:
``effcam.compare("photos/", ["resnet50", "efficientnet_b0"])``.
"""

# %%
# Compare
# -------
# A scene is a picture of which everything is known: the thing in it that has a class, the box
# around it, and its mask. The other things are distractors.

import effcam

scenes = effcam.demo.scenes(4, seed=3)
print([scene.label for scene in scenes])

# %%
# Images may be paths, folders, globs, PIL images, arrays, tensors or such scenes. Models are names,
# :class:`effcam.ModelSpec`\ s, modules of your own; a mapping gives each column its label, as
# ``effcam.demo.MODELS`` does.

comparison = effcam.compare(scenes, effcam.demo.MODELS, progress=False)
picture = comparison.grid()

# %%
# How to read the picture
# -----------------------
# A row is an image, a column is a model; the image itself comes first.
#
# **Heat** covers what spoke for the class named below the cell. Where there is little evidence, the
# heat is transparent and the image stays visible. Each map is scaled to its own range, as the
# colour bar says: equally bright spots in two cells are *not* equally strong evidence.
#
# **The caption** is the class that was explained and the probability that the model gives it.
# By default this is the model's own first choice, right or wrong, so the cells of a row may
# explain different classes. ``target=`` explains one class in all of them:
# :doc:`plot_mistakes` shows what that is good for.
#
# **The hatched margin** is what the model did not see: the transform that belongs to its weights
# cuts it off. See :doc:`/explanation/region`.
#
# **What stands above a column** is the layer that was looked at, and the resolution of its map. It
# differs from model to model, but not in kind: see :doc:`/explanation/layer`.
#
# One cell
# --------
# A comparison is indexed by image and by column, each by position or by name. A cell is an
# :class:`effcam.Explanation`.

cell = comparison[0, "resnet"]
print(f"{cell.label}, with a probability of {cell.probability:.2f}; truly: {scenes[0].label}")
print(f"{cell.model} at {cell.target_layer}: {cell.state}")

# %%
# The heat is kept as the layer gave it, small and not scaled. The region is the part of the
# image that the model saw, in pixels of the image.

print(cell.heatmap.shape, cell.heatmap.dtype)
print(cell.region)

# %%
# ``upsampled()`` brings the heat to the size of the image and scales it to [0, 1]; outside the
# region it is 0. ``overlay()`` draws it on the image.

heat = cell.upsampled()
print(heat.shape, heat.min(), heat.max())
picture = cell.overlay()

# %%
# Since a scene's truth is known, so is whether the heat means it. Does its strongest point lie in
# the object's box, and how much of the heat lies on the object itself?

print("a hit" if scenes[0].is_hit(heat) else "a miss")
print(f"{heat[scenes[0].mask].sum() / heat.sum():.0%} of the heat", end=" ")
print(f"on {scenes[0].mask.mean():.0%} of the picture")

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
from pathlib import Path

folder = Path(tempfile.mkdtemp())
for name in ("grid.png", "frames.gif", "table.csv", "maps.npz"):
    print(comparison.save(folder / name).name)

# %%
# In a notebook a comparison shows itself:

comparison

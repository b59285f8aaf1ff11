r"""
A first comparison
==================

Compare five models on four images: see which part of each image is evidence for the class that
each model predicts, and learn to read the result.

Everything on this page works without a network. The images are *scenes*, drawn on demand, and the
models are the small ones that come with effcam, which know ten classes only. The call for photos
and ImageNet models is the same: ``effcam.compare("photos/", ["resnet50", "efficientnet_b0"])``.
"""

# %%
# Compare
# -------
# A scene is an image whose content is fully known: the one object that has a class, the box around
# it, and its mask. The other objects are distractors.

import effcam

scenes = effcam.demo.scenes(4, seed=3)
print([scene.label for scene in scenes])

# %%
# Images may be paths, folders, globs, PIL images, arrays, tensors or such scenes. Models may be
# names, :class:`effcam.ModelSpec`\ s or your own modules; a mapping gives each column its label, as
# ``effcam.demo.MODELS`` does.

comparison = effcam.compare(scenes, effcam.demo.MODELS, progress=False)
picture = comparison.grid()

# %%
# How to read the picture
# -----------------------
# Each row is an image, each column a model; the image itself comes first.
#
# **Heat** covers the evidence for the class named below the cell. Where there is little evidence,
# the heat is transparent and the image stays visible. Each map is scaled to its own range, as the
# colour bar states: equally bright spots in two cells are *not* equally strong evidence.
#
# **The caption** is the explained class and the probability that the model gives it. By default
# this is the model's own top class, right or wrong, so the cells of a row may explain different
# classes. ``target=`` explains one class in all of them; :doc:`plot_mistakes` shows when to use it.
#
# **The hatched margin** is what the model did not see: the transform of its weights cuts it off.
# See :doc:`/explanation/region`.
#
# **Above each column** are the target layer and the resolution of its map. They differ from model
# to model, but the layer is always of the same kind: see :doc:`/explanation/layer`.
#
# One cell
# --------
# A comparison is indexed by image and by column, each by position or by name. A cell is an
# :class:`effcam.Explanation`.

cell = comparison[0, "resnet"]
print(f"{cell.label}, with a probability of {cell.probability:.2f}; truly: {scenes[0].label}")
print(f"{cell.model} at {cell.target_layer}: {cell.state}")

# %%
# The map has the resolution of the layer and is not scaled. The region is the part of the image
# that the model saw, in pixels of the image.

print(cell.heatmap.shape, cell.heatmap.dtype)
print(cell.region)

# %%
# ``upsampled()`` enlarges the map to the size of the image and scales it to [0, 1]; outside the
# region it is 0. ``overlay()`` draws it on the image.

heat = cell.upsampled()
print(heat.shape, heat.min(), heat.max())
picture = cell.overlay()

# %%
# The object of a scene is known, so the heat can be checked. Does its maximum lie in the object's
# box, and how much of the heat lies on the object itself?

print("a hit" if scenes[0].is_hit(heat) else "a miss")
print(f"{heat[scenes[0].mask].sum() / heat.sum():.0%} of the heat", end=" ")
print(f"on {scenes[0].mask.mean():.0%} of the picture")

# %%
# The table
# ---------
# ``table()`` has one row for each cell, ready for ``pandas.DataFrame(comparison.table())``. It
# contains what the picture shows, and more. The first row:

for name, value in comparison.table()[0].items():
    print(f"{name:24} {value}")

# %%
# Columns that start with ``predicted`` are about the model's top class; those without are about the
# explained class. They differ only if you set a ``target``.
#
# Save
# ----
# The suffix of the name sets the format: the grid as a picture, an animation with one image per
# frame, the numbers, or the maps themselves.

import tempfile
from pathlib import Path

folder = Path(tempfile.mkdtemp())
for name in ("grid.png", "frames.gif", "table.csv", "maps.npz"):
    print(comparison.save(folder / name).name)

# %%
# A notebook displays a comparison directly:

comparison

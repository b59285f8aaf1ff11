r"""
Your own colour map and layout
==============================

A comparison stores maps, not pictures. So you can make any number of pictures from it without
running a model again: in other colours, sizes and arrangements, or drawn by your own code.
"""

# %%
# Colours
# -------
# ``colormap`` takes the name of any matplotlib colour map, ``alpha`` is the opacity of the
# strongest heat, ``width`` the width of a cell in px. ``inferno`` and ``viridis`` keep their order
# when printed in grey; ``turbo``, the default, has more distinct levels.

import effcam

scenes = effcam.demo.scenes(3, seed=41)
comparison = effcam.compare(
    scenes,
    {"ResNet": "demo_resnet", "EB0": "demo_efficientnet_b0"},
    progress=False,
)
picture = comparison.grid(colormap="inferno", alpha=0.75, width=180)

# %%
# Your own colour map works once it is registered with matplotlib. This one has a single hue, so
# that the image's own colours stay visible:

import matplotlib
from matplotlib.colors import LinearSegmentedColormap

ember = LinearSegmentedColormap.from_list("ember", ["#1b0b02", "#c2410c", "#ffedd5"])
matplotlib.colormaps.register(ember, force=True)
picture = comparison.grid(colormap="ember", alpha=0.85, width=180)

# %%
# Draw on one cell
# ----------------
# ``overlay()`` returns one cell as a PIL image of the photo's size. Draw on it: here the box of the
# object, and the point where the heat is strongest.

import numpy as np
from PIL import ImageDraw

scene, cell = scenes[0], comparison[0, "ResNet"]
overlay = cell.overlay(alpha=0.6)
pen = ImageDraw.Draw(overlay)
pen.rectangle(scene.box.as_tuple(), outline="white", width=2)
heat = cell.upsampled()
y, x = np.unravel_index(heat.argmax(), heat.shape)
pen.ellipse((x - 4, y - 4, x + 4, y + 4), outline="black", fill="white")

# %%
# Other arrangements
# ------------------
# A comparison is a sequence of its cells, so a layout is a loop. A contact sheet of one model:

from PIL import Image

many = effcam.compare(effcam.demo.scenes(12, seed=42), "demo_resnet", progress=False)
side, gap = 150, 6
contact_sheet = Image.new("RGB", (6 * (side + gap) - gap, 2 * (side + gap) - gap), "white")
for position, each in enumerate(many):
    row, column = divmod(position, 6)
    corner = column * (side + gap), row * (side + gap)
    contact_sheet.paste(each.overlay(colormap="viridis").resize((side, side)), corner)

# %%
# Contours
# --------
# ``upsampled()`` is an array of the photo's size, which any plotting library accepts. Contour lines
# leave the photo visible, and two models fit into one picture:

import io

import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 3, figsize=(10.5, 3.8), layout="constrained")
for row, axis in enumerate(axes):
    axis.imshow(scenes[row].image)
    for column, colour in (("ResNet", "white"), ("EB0", "yellow")):
        one = comparison[row, column].upsampled()
        axis.contour(one, levels=[0.4, 0.7, 0.9], colors=colour, linewidths=1.2)
    axis.set_title(f"{scenes[row].label}: ResNet white, EB0 yellow", fontsize=9)
    axis.set_axis_off()
stream = io.BytesIO()
figure.savefig(stream, dpi=100)
plt.close(figure)
contours = Image.open(stream).convert("RGB")

# %%
# Speed and format
# ----------------
# Animations show one image per frame; ``seconds`` sets for how long. WebP files are smaller than
# GIFs of the same pictures and keep all colours.

import tempfile
from pathlib import Path

folder = Path(tempfile.mkdtemp())
for name in ("frames.gif", "frames.webp"):
    file = comparison.save(folder / name, seconds=2, width=180, colormap="ember")
    print(f"{file.name}: {file.stat().st_size / 1024:.0f} KiB")

r"""
Where does a cell lie?
======================

A map is a grid of cells. To draw it on the image, one must know where in the image each cell looks.
No network promises that.
"""

# %%
# Two EfficientNet-B0
# -------------------
# ``efficientnet_b0`` pads its convolutions on both sides, as torch does. ``tf_efficientnet_b0`` was
# trained in TensorFlow, which pads more at the end. Their weights fit each other, so one can load
# the same random weights into both: padding is then all that differs.

import numpy as np

import effcam

torch_padding = effcam.load_model("efficientnet_b0", pretrained=False)
same_padding = effcam.load_model("tf_efficientnet_b0", pretrained=False)
same_padding.module.load_state_dict(torch_padding.module.state_dict())
models = {"torch's padding": torch_padding, "TensorFlow's padding": same_padding}
scenes = effcam.demo.scenes(2, seed=8, size=224)

# %%
# Drawn as usual, with cells that divide the input evenly, the two networks seem to look at
# different things. (The heat means nothing, since the weights are random. But both columns should
# show the same.)

even = effcam.compare(scenes, models, target=3, view="whole", placement="even", progress=False)
picture = even.grid(width=200)

# %%
# :attr:`effcam.Model.placement` measures where cells look: one network's lie 14 px up and left of
# where they are drawn, the other's 15 px down and right, almost a whole cell from the first.

for name, model in models.items():
    print(f"{name}: {model.placement}")

# %%
# Laid by these offsets, the same heat is seen in both columns:

measured = effcam.compare(
    scenes, models, target=3, view="whole", placement="measured", progress=False
)
picture = measured.grid(width=200)


def likeness(comparison: effcam.Comparison) -> float:
    """Return the mean correlation of the two columns' maps over the images."""
    maps = [
        [cell.evidence(56, 56).ravel() for cell in (comparison[row, column] for row in range(2))]
        for column in (0, 1)
    ]
    return float(np.mean([np.corrcoef(*pair)[0, 1] for pair in zip(*maps, strict=True)]))


for name, comparison in (("evenly", even), ("as measured", measured)):
    print(f"correlation of the columns, laid {name}: {likeness(comparison):.2f}")

# %%
# Trained weights make up for a part of it
# ----------------------------------------
# Training moves what a network looks at back to the middle. The offsets of trained networks are
# smaller than padding alone would make them, and only measurement tells them:

for name in effcam.demo.MODELS.values():
    print(f"{name:22} {effcam.load_model(name).placement}")

# %%
# How far apart cells lie is known exactly, without a measurement: one stride of the network. By
# default, effcam lays them so. For most networks it is the same as dividing the input evenly, but
# not for AlexNet, whose heat other tools draw too far out:

many = effcam.demo.scenes(60, seed=31, size=192)
for how in ("even", "pitch", "measured"):
    alexnet = effcam.compare(many, "demo_alexnet", placement=how, progress=False)
    hits = sum(s.is_hit(cell.upsampled()) for s, cell in zip(many, alexnet, strict=True))
    print(f"AlexNet, placement={how!r}: {hits} of {len(many)} point at the object")

# %%
# :doc:`/explanation/placement` says what was measured, and why ``"measured"`` is not the default.

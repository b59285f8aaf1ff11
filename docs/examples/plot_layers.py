r"""
Which layer?
============

A map belongs to one layer. The layer determines how fine the map is, and whether it shows what
the *prediction* depends on or only what some filter responds to.
"""

# %%
# List the layers
# ---------------
# :meth:`effcam.Model.layers` lists every possible target layer, in order of execution. An arrow
# marks the default: the features that enter the head.

import effcam

model = effcam.load_model("demo_resnet")
for layer in model.layers()[-8:]:
    print(layer)

# %%
# From the first to the last
# --------------------------
# The target layer is set when a model is loaded; the same model may be in several columns.

names = ["layer1", "layer2", "layer3", "layer4"]
by_layer = {name: effcam.load_model("demo_resnet", target_layer=name) for name in names}
scenes = effcam.demo.scenes(60, seed=31, size=192)
picture = effcam.compare(scenes[:4], by_layer, progress=False).grid(width=170)

# %%
# Early layers are finer. But their channels are edges and colours, which are not evidence for a
# class yet, and later layers can still reverse the meaning of an edge. Grad-CAM gives each channel
# *one* weight for the whole image, which suits the last layer but not the first ones. The objects
# are known here, so this can be measured:


def hits(comparison: effcam.Comparison, column: str) -> int:
    """Return how many maps of a column point at the object."""
    cells = [comparison[row, column] for row in range(len(scenes))]
    return sum(scene.is_hit(cell.upsampled()) for scene, cell in zip(scenes, cells, strict=True))


many = effcam.compare(scenes, by_layer, progress=False)
for name in names:
    grid = "x".join(map(str, many[0, name].heatmap.shape))
    print(f"gradcam at {name} ({grid}): {hits(many, name)} of {len(scenes)} point at the object")

# %%
# A method for early layers
# -------------------------
# LayerCAM (Jiang et al. 2021) weights each position by its own gradient, which an early layer
# needs. Its maps stay fine and lie on objects:

layercam = effcam.compare(scenes, by_layer, method="layercam", progress=False)
for name in names:
    print(f"layercam at {name}: {hits(layercam, name)} of {len(scenes)} point at the object")
picture = effcam.compare(scenes[:4], by_layer, method="layercam", progress=False).grid(width=170)

# %%
# Several layers at once
# ----------------------
# A model may have several target layers, whose maps are added: fine and coarse together.

fused = effcam.load_model("demo_resnet", target_layer=["layer3", "layer4"])
picture = effcam.compare(
    scenes[:2], {"layer4": "demo_resnet", "layer3 + layer4": fused}, progress=False
).grid()

# %%
# The wrong layer
# ---------------
# "The last convolution" sounds like the default but is different: in DenseNet it makes only a few
# of the many channels that enter the head.

densenet = effcam.load_model("demo_densenet")
last = [layer for layer in densenet.layers() if layer.name.endswith("conv2")][-1]
print(f"last convolution: {last}")
print(f"features entering the head: {densenet.layer}")
columns = {
    "entering the head": densenet,
    "last convolution": effcam.load_model("demo_densenet", target_layer=last.name),
}
picture = effcam.compare(scenes[:4], columns, progress=False).grid(width=200)
many = effcam.compare(scenes, columns, progress=False)
for name in columns:
    print(f"{name}: {hits(many, name)} of {len(scenes)} point at the object")

# %%
# :doc:`plot_placement` shows where in the image the cells of a map lie.
# :doc:`/explanation/layer` explains how the default is found for every architecture, and which
# layers are refused because their map would be meaningless.

r"""
Choosing a method
=================

There are ten ways to compute a map from the same layer of the same model. They have more in
common than they differ, and it helps to know why they differ.
"""

# %%
# Eight for the price of one
# --------------------------
# ``method`` takes several names. Those that need only a layer's activations and its gradient share
# one pass over the images; Score-CAM and Ablation-CAM run the head once for every channel of the
# layer.

import effcam

scenes = effcam.demo.scenes(5, seed=12)
shared = ["gradcam", "gradcam++", "hirescam", "xgradcam", "layercam", "gradcamelementwise"]
comparison = effcam.compare(scenes, {"ResNet": "demo_resnet"}, method=shared, progress=False)
picture = comparison.grid(width=150)

# %%
# In this network, global average pooling and one linear layer follow the target layer. There the
# gradient is the same at every position, and **Grad-CAM, HiResCAM and XGrad-CAM are the same map**
# up to a factor: the class activation map of Zhou et al. Check it:

import numpy as np


def likeness(one: str, other: str, label: str, comparison: effcam.Comparison) -> float:
    """Return the mean correlation of two methods' maps over the images."""
    pairs = [
        (comparison[row, f"{label} {one}"].heatmap, comparison[row, f"{label} {other}"].heatmap)
        for row in range(len(comparison.images))
    ]
    return float(np.mean([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairs]))


for method in shared[1:]:
    print(f"gradcam and {method:18} {likeness('gradcam', method, 'ResNet', comparison):.2f}")

# %%
# A head that depends on position
# -------------------------------
# AlexNet's fully connected head has separate weights for each position. There the methods differ:
# Grad-CAM averages a channel's gradient over the map before weighting, HiResCAM (Draelos and Carin,
# arXiv 2011.08891) and LayerCAM weight each position separately.

places = effcam.compare(scenes, {"AlexNet": "demo_alexnet"}, method=shared, progress=False)
picture = places.grid(width=150)

for method in shared[1:]:
    print(f"gradcam and {method:18} {likeness('gradcam', method, 'AlexNet', places):.2f}")

# %%
# Without a class, without a gradient
# -----------------------------------
# Eigen-CAM shows what is strongest in a layer, whatever the class: its map is the same for every
# target. Score-CAM (Wang et al. 2020, arXiv 1910.01279) and Ablation-CAM (Desai and Ramaswamy 2020)
# use no gradient, and test each channel's effect on the score. They cost accordingly more.

import time

for method in ("gradcam", "eigencam", "scorecam", "ablationcam"):
    start = time.perf_counter()
    effcam.compare(scenes, "demo_resnet", method=method, progress=False)
    print(f"{method:12} {1000 * (time.perf_counter() - start) / len(scenes):6.0f} ms an image")

slow = effcam.compare(
    scenes[:3],
    {"ResNet": "demo_resnet"},
    method=["gradcam", "eigencam", "scorecam", "ablationcam"],
    progress=False,
)
picture = slow.grid(width=170)

# %%
# Which one?
# ----------
# - Start with ``gradcam``: it is what others report, and for most networks (those that end in
#   pooling and one linear layer) it is the exact decomposition of the score.
# - If the head is more complex, as in AlexNet or VGG, look at ``hirescam`` beside it.
# - For layers far from the head use ``layercam``, which was made for them: :doc:`plot_layers`.
# - ``scorecam`` and ``ablationcam`` are an independent check, if time does not matter.
#
# :doc:`/methods` has all methods, with formulas and papers. The objects are known here, so you can
# count which method points at them more often:

scenes = effcam.demo.scenes(60, seed=13, size=192)
for model in ("demo_resnet", "demo_efficientnet_b0"):
    many = effcam.compare(scenes, model, method=shared, progress=False)
    for method in ("gradcam", "hirescam", "layercam"):
        cells = [many[row, f"{model} {method}"] for row in range(len(scenes))]
        hits = sum(
            scene.is_hit(cell.upsampled()) for scene, cell in zip(scenes, cells, strict=True)
        )
        print(f"{model:20} {method:10} {hits} of {len(scenes)}")

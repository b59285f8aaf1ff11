r"""
The notebook's experiment, repeated
===================================

In 2019 a notebook compared five networks: AlexNet, DenseNet-121, ResNet-152, EfficientNet-B0 and
B3, on five photos each of seven categories. It drew what each looked at, photo by photo, as a
GIF. This page repeats that experiment, call by call, on scenes and with small models of the same
structures, so that it runs anywhere in seconds. :doc:`/explanation/notebook` explains what was
confounded in the original, and how to run it on Caltech-256 with the original weights.
"""

# %%
# Photos in folders, one per category
# -----------------------------------
# The notebook used the first five photos of each of seven categories. Here are scenes in folders of
# that kind.

import tempfile
from pathlib import Path

import effcam

root = Path(tempfile.mkdtemp())
scenes = {}
for index, scene in enumerate(effcam.demo.scenes(60, seed=61)):
    file = root / scene.label / f"{index:03}.png"
    file.parent.mkdir(exist_ok=True)
    scene.image.save(file)
    scenes[f"{scene.label}/{file.name}"] = scene

categories = ["arrow", "butterfly", "clover", "fish", "gear", "heart", "key"]
photos = effcam.images.from_folders(root, categories=categories, per_category=5)
print(len(photos), "images:", ", ".join(photo.name for photo in photos[:3]), "...")

# %%
# As in 2019
# ----------
# Every image was squashed to one size for all networks, and the target layer of Grad-CAM was the
# last convolution that ran, whatever that is in each network.


def last_convolution(name: str) -> str:
    """Return the name of a model's last convolution that can be a target layer."""
    import torch

    model = effcam.load_model(name)
    usable = {layer.name for layer in model.layers()}
    return [
        layer
        for layer, module in model.module.named_modules()
        if isinstance(module, torch.nn.Conv2d) and layer in usable
    ][-1]


as_in_2019 = {
    label: effcam.load_model(name, target_layer=last_convolution(name))
    for label, name in effcam.demo.MODELS.items()
}
then = effcam.compare(photos, as_in_2019, view="whole", size=128, progress=False)
for label, model in as_in_2019.items():
    default = effcam.load_model(effcam.demo.MODELS[label])
    print(f"{label:9} {model.target_layer:38} default: {default.target_layer}")

# %%
# Like for like
# -------------
# Without those choices, each network sees the input that its weights were made for, and the target
# layer is the features that enter its head.

now = effcam.compare(photos, effcam.demo.MODELS, progress=False)
file = now.save(root / "compare.gif", seconds=1)
print(f"{file.name}: {len(photos)} frames, {file.stat().st_size / 1e6:.1f} MB")

# %%
# The GIF shows one image per frame, like the notebook's. Two of its frames:

from itertools import islice

frames = list(islice(now.frames(width=150), 5, 30, 20))
picture = frames[0]

# %%

picture = frames[1]

# %%
# The effect of layer and view alone
# ----------------------------------
# The same networks with the same weights on the same images, first as in 2019:

example = [photos[7], photos[26]]
picture = effcam.compare(example, as_in_2019, view="whole", size=128, progress=False).grid(
    width=150
)

# %%
# And like for like:

picture = effcam.compare(example, effcam.demo.MODELS, progress=False).grid(width=150)

# %%
# The notebook's finding was an impression: EfficientNet-B0's heat looked the most specific. Here
# this can be measured, because the objects are known: how often does the maximum lie on the object,
# and what share of the heat does?


def specific(comparison: effcam.Comparison, column: str) -> tuple[float, float]:
    """Return the share of hits, and the median share of heat on the object."""
    import numpy as np

    hits, shares = [], []
    for photo in comparison.images:
        scene, heat = scenes[photo.name], comparison[photo.name, column].upsampled()
        hits.append(scene.is_hit(heat))
        shares.append(heat[scene.mask].sum() / max(heat.sum(), 1e-9))
    return float(np.mean(hits)), float(np.median(shares))


print(f"{'':9} {'as in 2019':>18}   {'like for like':>18}")
for label in effcam.demo.MODELS:
    (old_hits, old_share), (new_hits, new_share) = specific(then, label), specific(now, label)
    print(
        f"{label:9} {old_hits:6.0%} hit, {old_share:3.0%} on it"
        f"   {new_hits:6.0%} hit, {new_share:3.0%} on it"
    )

# %%
# These figures are about five tiny networks on drawn scenes, and say nothing about their namesakes
# on photos. They do show that the choice of the layer and of the view changes such figures, with
# the same networks; fix both before you compare.

r"""
All methods on one photo
========================

Every method that :func:`effcam.methods` lists, for the same image, the same model and the same
class. :doc:`/methods` says what each computes.
"""

# %%
# The list
# --------
# It says what each needs, what it costs as measured, and where it comes from.

import effcam

print(effcam.methods())

# %%
# On convolutional networks
# -------------------------
# Methods are columns too; ``rows="methods"`` makes them rows. Those that read attention are left
# out, since these networks have none. ``refinecam`` multiplies the maps of several layers, and is
# shown below. ``channels`` makes Score-CAM and its kin faster, ``samples`` RISE and SmoothGrad.

scene = effcam.demo.scenes(1, seed=52, size=192)
known = [each.name for each in effcam.methods() if "attention" not in each.needs]
some = [name for name in known if name != "refinecam"]
models = ["demo_alexnet", "demo_densenet", "demo_resnet"]
found = effcam.compare(scene, models, method=some, channels=64, samples=200, progress=False)
picture = found.grid(width=110, rows="methods")

# %%
# All explain the class that the model predicts. ``eigencam``, ``fem`` and ``kpcacam`` do not depend
# on it, and may show the background. ``randomcam`` shows what a map without any knowledge looks
# like: on some images, not worse than others.

layers = effcam.load_model("demo_resnet", target_layer=["layer3", "layer4"])
refined = effcam.compare(scene, layers, method="refinecam", progress=False)
picture = refined[0, 0].overlay()

# %%
# ``legrad``, ``rollout`` and ``chefer`` read the attention of transformers. No demo model is one.
# ``effcam.compare("photo.jpg", "vit_small_patch16_224", method=["legrad", "chefer"])`` shows them.

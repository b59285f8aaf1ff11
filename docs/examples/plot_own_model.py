r"""
Your own model and checkpoint
=============================

Compare a network that you trained with one that you did not. effcam only requires that it takes
images and returns one score per class.
"""

# %%
# A model to start with
# ---------------------
# To have a model of its own, this page trains one within seconds: the body of the demo ResNet gets
# a new head that separates objects that are *made* (arrow, gear, key) from objects that *live or
# lived* (bone, butterfly, clover, fish). Any ``nn.Module`` works.

import copy

import torch
from torch import nn

import effcam

CLASSES = ["made", "lived"]
MADE, LIVED = {"arrow", "gear", "key"}, {"bone", "butterfly", "clover", "fish"}

base = effcam.load_model("demo_resnet")
network = copy.deepcopy(base.module)
network.fc = nn.Identity()

examples = [
    scene for scene in effcam.demo.scenes(500, seed=51, size=144) if scene.label in MADE | LIVED
]
images = torch.stack([base.preprocess(scene.image)[0] for scene in examples])
classes = torch.tensor([scene.label in LIVED for scene in examples]).long()
with torch.no_grad():
    features = network(images)

torch.manual_seed(0)
head = nn.Linear(features.shape[1], len(CLASSES))
optimizer = torch.optim.Adam(head.parameters(), 0.03, weight_decay=1e-3)
for _ in range(200):
    loss = nn.functional.cross_entropy(head(features), classes)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
network.fc = head
network.eval()
print(f"{len(examples)} scenes, loss {loss.item():.2f}")

# %%
# Use a module directly
# ---------------------
# :func:`effcam.load_model` takes the module itself. It does not copy, move or change it, and finds
# the target layer by tracing. A module does not contain how its input is made and what its classes
# are called, so pass these:

mine = effcam.load_model(network, name="made or lived", preprocess=base.preprocess, labels=CLASSES)
print(mine.target_layer, "-", mine.layer.reason)

fresh = [scene for scene in effcam.demo.scenes(60, seed=52) if scene.label in MADE | LIVED]
comparison = effcam.compare(fresh, {"mine": mine, "ten classes": "demo_resnet"}, progress=False)
right = sum(
    comparison[row, "mine"].predicted_label == ("lived" if scene.label in LIVED else "made")
    for row, scene in enumerate(fresh)
)
print(f"right in {right} of {len(fresh)} new scenes")
picture = effcam.compare(
    fresh[:5], {"mine": mine, "ten classes": "demo_resnet"}, progress=False
).grid(width=170)

# %%
# Both columns have the same body, and so the same features. They differ in which features are
# evidence for the prediction: the heat depends on the classes of the head.
#
# For a model of two classes, the evidence for the *other* class is interesting too: what in these
# images is evidence for "made"?

picture = effcam.compare(fresh[:5], {"mine": mine}, target="made", progress=False).grid(width=170)

# %%
# A checkpoint as training scripts write it
# -----------------------------------------
# Training frameworks wrap a network's weights: in a dict, under a prefix, beside an optimizer's
# state and settings. This is such a file.

import tempfile
from pathlib import Path

checkpoint = Path(tempfile.mkdtemp()) / "best.ckpt"
torch.save(
    {
        "epoch": 12,
        "state_dict": {f"model.{name}": value for name, value in network.state_dict().items()},
        "optimizer": optimizer.state_dict(),
        "class_names": CLASSES,
    },
    checkpoint,
)

# %%
# effcam unwraps it, reads the class names from it, and runs no code in the file. The file does not
# contain the network: pass a function that builds it.


def build() -> nn.Module:
    """Return the network without its weights."""
    from effcam.demo.networks import resnet

    built = resnet()
    built.fc = nn.Linear(built.num_features, len(CLASSES))
    return built


spec = effcam.ModelSpec(
    "made_or_lived", constructor=build, checkpoint=checkpoint, preprocess=base.preprocess
)
loaded = effcam.load_model(spec)
print(loaded.labels, loaded.weights)

# %%
# A spec is data: nothing is built before the model is needed. Once registered, it has a name like
# any other model, here and on the command line of everyone who imports your package (see
# :doc:`/howto/own_model`).

effcam.register_model(spec, replace=True)
again = effcam.compare(fresh[0], "made_or_lived", progress=False)
print(again[0, 0].predicted_label, f"{again[0, 0].predicted_probability:.2f}")

# %%
# For an architecture of timm or torchvision the name is enough, and the number of classes is read
# from the file: ``effcam.load_model("efficientnet_b0", checkpoint="best.pt")``. If a file does not
# fit, the error names the differences:

try:
    effcam.load_model("resnet18", checkpoint=checkpoint)
except effcam.EffcamError as error:
    print(error)

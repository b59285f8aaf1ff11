r"""
Your own model and checkpoint
=============================

A network that you trained, beside one that you did not: what effcam needs of it is that it takes
images and gives one score a class.
"""

# %%
# Something of one's own
# ----------------------
# To have a model that nobody else has, this page trains one within seconds: the body of the demo
# ResNet gets a new head that tells things that are *made* (arrow, gear, key) from things that
# *live or lived* (bone, butterfly, clover, fish). Any ``nn.Module`` would do.

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
# A module as it is
# -----------------
# :func:`effcam.load_model` takes the module itself. It is used where it is, neither copied nor
# moved nor changed; the target layer is found by tracing it. What cannot be seen in a module is how
# its input is made and what its classes are called, so those are said:

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
# Both columns have the same body, and so the same features. What differs is which of them speak for
# the answer: the heat belongs to the head's question.
#
# For a model of two classes the evidence for the *other* answer is worth a look as well: what in
# these pictures speaks for "made"?

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
# effcam unwraps it, reads the classes' names from it, and runs no code that a file may hold. What
# it does not know is the network: give a function that builds it.


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
# A spec is data: nothing is built before the model is needed. Registered, it has a name like any
# other, here and on the command line of whoever imports your package (see
# :doc:`/howto/own_model`).

effcam.register_model(spec, replace=True)
again = effcam.compare(fresh[0], "made_or_lived", progress=False)
print(again[0, 0].predicted_label, f"{again[0, 0].predicted_probability:.2f}")

# %%
# For an architecture that timm or torchvision knows, the name is enough, and the number of classes
# follows from the file: ``effcam.load_model("efficientnet_b0", checkpoint="best.pt")``. A file
# that does not fit says what does not:

try:
    effcam.load_model("resnet18", checkpoint=checkpoint)
except effcam.EffcamError as error:
    print(error)

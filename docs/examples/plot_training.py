r"""
Watch a network while it is trained
===================================

Fine-tune a small network for new classes, and see where it looks epoch by epoch: during the
training, with a callback, and afterwards, from the checkpoints. :doc:`/howto/training` has the
callback of transformers, a loop of your own, and what all of this costs.
"""

# %%
# A network and a task
# --------------------
# ``demo_resnet`` was trained on ten classes of drawn objects. Its new task are twins: fish with and
# without a fin, keys with and without teeth. The object is easy to find; its class is decided by
# one detail.

import logging
import tempfile
import warnings
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

import effcam
from effcam.demo import LOOK_ALIKE_LABELS, look_alike_scenes

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="lightning")
lightning.seed_everything(0, verbose=False)

transform = effcam.load_model("demo_resnet").preprocess


def new_network() -> torch.nn.Module:
    network = effcam.load_model("demo_resnet").module.requires_grad_(True)
    network.fc = torch.nn.Linear(network.fc.in_features, len(LOOK_ALIKE_LABELS))
    return network


def batches(scenes: list[effcam.demo.Scene], *, shuffle: bool = False) -> DataLoader:
    inputs = torch.stack([transform(scene.image)[0] for scene in scenes])
    classes = torch.tensor([LOOK_ALIKE_LABELS.index(scene.label) for scene in scenes])
    return DataLoader(TensorDataset(inputs, classes), batch_size=16, shuffle=shuffle)


training = batches(look_alike_scenes(640, seed=1, size=128), shuffle=True)
validation = batches(look_alike_scenes(64, seed=2, size=128))

# %%
# The callback
# ------------
# It takes a few images, here sixteen scenes whose objects are known, and the transform that the
# network is trained with. By default it shows as many epochs as fit into a hundredth of the
# training's time; this training is short, so it is told to show each. Everything is written beside
# the checkpoints, and goes to the trainer's loggers too.

from effcam.integrations.lightning import CompareCallback

watched = look_alike_scenes(16, seed=3, size=160)
callback = CompareCallback(
    watched, preprocess=transform, class_names=LOOK_ALIKE_LABELS, every_n_epochs=1
)


class FineTuning(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.network = new_network()

    def training_step(self, batch: list[torch.Tensor]) -> torch.Tensor:
        inputs, classes = batch
        return torch.nn.functional.cross_entropy(self.network(inputs), classes)

    def validation_step(self, batch: list[torch.Tensor]) -> None:
        inputs, classes = batch
        right = (self.network(inputs).argmax(1) == classes).float().mean()
        self.log("val_acc", right, batch_size=len(classes))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01, momentum=0.9)


folder = Path(tempfile.mkdtemp())
trainer = lightning.Trainer(
    max_epochs=5,
    logger=TensorBoardLogger(folder, name="run"),
    callbacks=[
        callback,
        ModelCheckpoint(folder / "checkpoints", "{epoch}-{val_acc:.2f}", save_top_k=-1),
    ],
    accelerator="cpu",
    enable_progress_bar=False,
    enable_model_summary=False,
)
trainer.fit(FineTuning(), training, validation)

# %%
# Epoch by epoch
# --------------
# The callback keeps a comparison with a column for each epoch that it showed. ``epochs.gif`` shows
# them in turn; here they are side by side.

picture = callback.comparison.take([0, 1, 2]).grid(width=150)

# %%
# The same over time: how concentrated the heat is, how much of it lies on the object, how often the
# predictions are right, and how far the maps agree with those of the last epoch. The bands are 95 %
# intervals. Sixteen images are few, and the bands say so. ``timeline.png`` is this figure.

written = Path(trainer.log_dir, "effcam")
print(*sorted(path.name for path in written.iterdir()), sep="\n")
timeline = Image.open(written / "timeline.png")

# %%
# Afterwards, from the checkpoints
# --------------------------------
# ``effcam.checkpoints`` makes a column of each file, in the order of training, with the epoch and
# the metric that the file states. They are loaded one at a time, so that a hundred need no more
# memory than one.

spec = effcam.ModelSpec(
    "fine-tuned", constructor=new_network, preprocess=transform, labels=LOOK_ALIKE_LABELS
)
epochs = effcam.checkpoints(folder / "checkpoints", spec)
print(*epochs, sep="\n")

# %%
# More images make the bands narrower.

comparison = effcam.compare(look_alike_scenes(48, seed=4, size=160), epochs, progress=False)
comparison.timeline().savefig(folder / "more.png", dpi=100)
more = Image.open(folder / "more.png")

# %%
# An animation over the epochs has a frame for each. With one photo, a frame shows it beside its
# original; several stand side by side.

several = comparison.take([1, 6, 7])
animation = Image.open(several.save(folder / "epochs.gif", rows="models"))

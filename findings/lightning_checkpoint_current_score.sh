#!/usr/bin/env bash
# With two ModelCheckpoints, the file that the first writes has the second's score of another epoch.
#
# Version: lightning 2.6.6, torch 2.14.1, Python 3.11, Linux x86-64.
# Behaviour: a checkpoint holds the state of all callbacks, with `current_score`, the monitored
#   metric. Each ModelCheckpoint sets its own shortly before it writes, one after the other. So in
#   the file of the first, the score of the second is that of the epoch before, or None. The file
#   does not say which of the two wrote it. Who reads any `current_score` as the file's own may
#   choose a wrong epoch.
# Seen: the metric is the epoch's number. The first callback's files of epochs 0, 1, 2 have
#   0, 1, 2 as its own score, and None, 0, 1 as that of the second.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q lightning==2.6.6 torch==2.14.1 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - "$folder" <<'PYTHON'
import sys
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

folder = Path(sys.argv[1])


class Module(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch, index):
        return self.layer(batch).sum()

    def validation_step(self, batch, index):
        self.log("score", float(self.current_epoch))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


loader = torch.utils.data.DataLoader(torch.ones(2, 1))
first, second = (
    ModelCheckpoint(folder / mode, "{epoch}", monitor="score", mode=mode, save_top_k=-1)
    for mode in ("max", "min")
)
quiet = dict(logger=False, enable_progress_bar=False, enable_model_summary=False)
lightning.Trainer(max_epochs=3, accelerator="cpu", callbacks=[first, second], **quiet).fit(
    Module(), loader, loader
)


def scores(epoch):
    """Return the scores of both callbacks in the file that the first wrote after an epoch."""
    states = torch.load(folder / f"max/epoch={epoch}.ckpt", weights_only=False)["callbacks"]
    found = [states[callback.state_key]["current_score"] for callback in (first, second)]
    return [None if score is None else float(score) for score in found]


found = [scores(epoch) for epoch in range(3)]
print(f"scores of the first and second callback in the first's files: {found}")
assert [own for own, _ in found] == [0, 1, 2]
assert [other for _, other in found] == [None, 0, 1], "the other's score is of this epoch now"
PYTHON

#!/usr/bin/env bash
# Gradients that a callback of transformers' Trainer leaves are added to those of the next step.
#
# Version: transformers 5.24.0, accelerate 1.15.0, torch 2.14.1, Python 3.11, Linux x86-64.
# Behaviour: Trainer sets gradients to zero after an optimizer's step; Lightning does so before the
#   next backward pass. Callbacks of Trainer at the end of a step or an epoch come in between.
#   One that calls backward(), to look at saliency or sharpness, changes training without a sign.
# Seen: a weight of gradient 1, learning rate 0.1, after 4 steps in 2 epochs: -0.4, as it should be.
#   A callback that leaves a gradient of 100: -30.4 from on_step_end, -10.4 from on_epoch_end.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q transformers==5.24.0 accelerate==1.15.0 torch==2.14.1 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - "$folder" <<'PYTHON'
import sys

import torch
from transformers import Trainer, TrainerCallback, TrainingArguments


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x, labels=None):
        return {"loss": (self.weight * x).mean()}


class LeavesGradient(TrainerCallback):
    def __init__(self, hook):
        setattr(self, hook, self.look)

    def look(self, args, state, control, *, model, **others):
        (100 * model.weight).sum().backward()


def trained(*callbacks):
    """Return the weight after 4 steps of 0.1 times its gradient, which is 1."""
    arguments = TrainingArguments(
        sys.argv[1],
        num_train_epochs=2,
        per_device_train_batch_size=1,
        optim="sgd",
        learning_rate=0.1,
        lr_scheduler_type="constant",
        max_grad_norm=0,
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
    )
    model = Model()
    images = [{"x": torch.ones(1)}] * 2
    Trainer(model, arguments, train_dataset=images, callbacks=list(callbacks)).train()
    return round(model.weight.item(), 3)


plain = trained()
found = {hook: trained(LeavesGradient(hook)) for hook in ("on_step_end", "on_epoch_end")}
print(f"without a callback {plain}, with one that leaves a gradient: {found}")
assert plain == -0.4
assert found == {"on_step_end": -30.4, "on_epoch_end": -10.4}, "they join the next step no longer"
PYTHON

"""What the name of a checkpoint states of its training: ``epoch=3-val_acc=0.81.ckpt``."""

from __future__ import annotations

import re
from pathlib import Path

from effcam.models.checkpoint_settings import CONFIGURED
from effcam.models.training_stage import TrainingStage

EPOCH = re.compile(r"(?<![a-z])(?:epoch|ep)[ _=-]?(\d{1,9})(?!\d)", re.IGNORECASE)
STEP = re.compile(
    r"(?<![a-z])(?:global_?step|steps?|iter(?:ation)?)[ _=-]?(\d{1,12})(?!\d)", re.IGNORECASE
)
SETTING = re.compile(r"([A-Za-z][\w.]*)=(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)", re.IGNORECASE)
TRAINER = re.compile(r"checkpoint-(\d{1,12})")
"""The name of a folder of transformers' Trainer, with the number of its steps."""
ENDINGS = (".tar", ".ckpt", ".pth", ".pt", ".bin", ".safetensors")


def shown_name(file: Path) -> str:
    """Return the name of a checkpoint without its suffix, or of the folder that stands for it.

    >>> shown_name(Path("last.pth.tar")), shown_name(Path("checkpoint-500/model.safetensors"))
    ('last', 'checkpoint-500')
    """
    if file.name in CONFIGURED and file.parent.name:
        return file.parent.name
    name = file.name
    for ending in ENDINGS:
        name = name[: -len(ending)] if name.lower().endswith(ending) else name
    return name or file.name


def stage_in_name(name: str) -> TrainingStage:
    """Return what a name states; metrics are as exact as they are written.

    >>> print(stage_in_name("epoch=3-step=120-val_acc=0.81-v1"))
    epoch 3, step 120, val_acc 0.81
    """
    epoch, step = EPOCH.search(name), STEP.search(name)
    metrics = {
        key: float(value)
        for key, value in SETTING.findall(name)
        if not (EPOCH.search(f"{key}=0") or STEP.search(f"{key}=0"))
    }
    return TrainingStage(int(epoch[1]) if epoch else None, int(step[1]) if step else None, metrics)


def stage_in_path(file: Path) -> TrainingStage:
    """Return what the name of a checkpoint states, or that of the folder which stands for it."""
    name = shown_name(file)
    trainer = TRAINER.fullmatch(name) if file.name in CONFIGURED else None
    return TrainingStage(step=int(trainer[1])) if trainer else stage_in_name(name)

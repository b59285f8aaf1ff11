"""Read at which point of training a checkpoint was saved, without reading its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from effcam.errors import WeightsError
from effcam.models.checkpoint import read_outline
from effcam.models.checkpoint_settings import CONFIGURED
from effcam.models.stage_content import MOST_METRICS, numbers, stage_in_content, to_number
from effcam.models.stage_names import TRAINER, stage_in_path
from effcam.models.training_stage import TrainingStage

TRAINER_STATE = "trainer_state.json"
STATE_BYTES = 2**26
"""The largest such file that is read: 64 MiB hold the log of a million steps."""


def read_stage(file: Path, settings: dict[object, object] | None = None) -> TrainingStage:
    """Return at which point of training a checkpoint was saved.

    What the file holds goes before what transformers' Trainer wrote beside it, and that before
    what the names state.

    Args:
        file: The file of weights.
        settings: What the file holds beside its tensors, if it was read already.

    Raises:
        WeightsError: If the file is missing, damaged, or holds no weights.
    """
    content = read_outline(file).settings if settings is None else settings
    sources = [
        stage_in_content(content, str(file)),
        _trainer_stage(file),
        stage_in_path(file),
    ]
    return TrainingStage(
        next((each.epoch for each in sources if each.epoch is not None), None),
        next((each.step for each in sources if each.step is not None), None),
        next((each.metrics for each in sources if each.metrics), {}),
    )


def _trainer_stage(file: Path) -> TrainingStage:
    """Return what the ``trainer_state.json`` of a folder ``checkpoint-500`` states.

    In another folder, the weights may be those of an earlier step, the best one.

    Raises:
        WeightsError: If it is broken.
    """
    named, beside = TRAINER.fullmatch(file.parent.name), file.parent / TRAINER_STATE
    if file.name not in CONFIGURED or named is None or not beside.is_file():
        return TrainingStage()
    state = _read_json(beside)
    step = to_number(state.get("global_step"))
    if step != int(named[1]):
        return TrainingStage()
    log = state.get("log_history")
    found: dict[str, float] = {}
    for entry in log if isinstance(log, list) else ():
        if isinstance(entry, dict) and to_number(entry.get("step")) == step:
            found |= dict(numbers(entry))
    # Those of the evaluation first; the loss is that of training.
    ordered = sorted(found.items(), key=lambda each: not each[0].startswith("eval_"))
    return TrainingStage(to_number(state.get("epoch")), int(step), dict(ordered[:MOST_METRICS]))


def _read_json(file: Path) -> Mapping[str, Any]:
    try:
        if file.stat().st_size > STATE_BYTES:
            raise ValueError(f"it has more than {STATE_BYTES} bytes")
        found = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{str(file)!r} cannot be read: {error}") from error
    return found if isinstance(found, dict) else {}

"""What a training program stored beside the weights: the epoch, the steps and the metrics.

Contents come from files that may be hostile: any mapping may replace its own methods, so that only
those of `dict` are used.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping
from numbers import Real
from typing import Any

from effcam.models.stage_names import stage_in_name
from effcam.models.training_stage import TrainingStage
from effcam.text import one_line

EPOCHS = ("epoch", "current_epoch")
STEPS = ("global_step", "step", "iteration", "iter", "num_updates")
COUNTERS = ("meta",)
"""The keys of further mappings with counters, as mmengine's."""
GROUPS = {
    **{key: key.partition("_")[0] for key in ("val_metrics", "eval_metrics", "test_metrics")},
    "train_metrics": "train",
    **dict.fromkeys(("metrics", "logs", "results"), ""),
}
"""The keys of mappings of metrics, each with what its metrics' names begin with."""
MEASURED = frozenset(
    {
        *("acc", "acc1", "acc5", "accuracy", "ap", "auc", "auroc", "dice", "err", "error", "f1"),
        *("fitness", "iou", "kappa", "loss", "mae", "map", "metric", "miou", "mse", "precision"),
        *("recall", "rmse", "score", "top1", "top5"),
    }
)
"""The words of which the name of a metric has one."""
OTHERS = frozenset(
    {
        *(
            "best",
            "epoch",
            "flos",
            "fn",
            "grad",
            "learning",
            "lr",
            "runtime",
            "samples",
            "scale",
            "scaler",
        ),
        *("second", "seconds", "step", "steps", "time", "total", "weight", "weights"),
    }
)
"""Words of settings, of costs, and of the best model so far, which is perhaps another one."""
MOST_METRICS = 20
MONITORED, BEST_MODELS = "monitor", "best_k_models"
"""Keys of the state of Lightning's ModelCheckpoint."""


def stage_in_content(content: dict[Any, Any], file: str) -> TrainingStage:
    """Return what the content of a checkpoint states.

    It reads files of Lightning, timm, torchvision, mmengine, ultralytics and of training scripts
    that keep ``epoch``, ``loss`` or ``accuracy`` beside the weights, and texts of safetensors.

    Args:
        content: The content, the settings of `effcam.models.checkpoint.read_outline`.
        file: The path of the checkpoint, to find its own metrics among those of others.
    """
    counters = [content, *(_mapping(content, key) for key in COUNTERS)]
    epoch = _first(counters, EPOCHS)
    step = _first(counters, STEPS)
    stage = TrainingStage(
        None if epoch is None or epoch < 0 else epoch,
        None if step is None or step < 0 or step != int(step) else int(step),
    )
    found = dict(_monitored(content, file, stage))
    for name, value in _metrics(content):
        found.setdefault(name, value)
    kept = dict(list(found.items())[:MOST_METRICS])
    return TrainingStage(stage.epoch, stage.step, kept)


def numbers(entries: dict[Any, Any]) -> Iterator[tuple[str, float]]:
    """Yield the numbers of a mapping whose names are not those of settings or costs."""
    for key, value in dict.items(entries):
        number = to_number(value)
        if isinstance(key, str) and number is not None and not _words(key) & OTHERS:
            yield one_line(key), number


def to_number(value: object) -> float | None:
    """Return a number, a text of one, or a tensor of one element as a float, else ``None``."""
    import torch

    if isinstance(value, torch.Tensor):
        plain = value.layout == torch.strided and value.device.type == "cpu"
        known = plain and value.numel() == 1 and not value.is_quantized
        real = known and not value.is_complex() and value.dtype != torch.bool
        return float(torch.Tensor.item(value)) if real else None
    if isinstance(value, str):  # as in the header of safetensors
        try:
            return float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def _first(mappings: list[dict[Any, Any]], keys: tuple[str, ...]) -> float | None:
    """Return the first finite number under one of the keys."""
    for entries in mappings:
        for key in keys:
            number = to_number(dict.get(entries, key))
            if number is not None and abs(number) < 1e15:
                return int(number) if number == int(number) else number
    return None


def _mapping(content: dict[Any, Any], key: str) -> dict[Any, Any]:
    found = dict.get(content, key)
    return found if isinstance(found, dict) else {}


def _metrics(content: dict[Any, Any]) -> Iterator[tuple[str, float]]:
    """Yield the metrics beside the weights, and those of mappings of metrics."""
    for name, value in numbers(content):
        if _words(name) & MEASURED:
            yield _timm_name(content) if name == "metric" else name, value
    for group, start in GROUPS.items():
        for name, value in numbers(_mapping(content, group)):
            yield f"{start}_{name}" if start and start not in _words(name) else name, value


def _timm_name(content: dict[Any, Any]) -> str:
    """Return the name of the metric by which timm's training script chooses the best model."""
    settings = dict.get(content, "args")
    values = vars(settings) if isinstance(settings, argparse.Namespace) else {}
    name = dict.get(values, "eval_metric")
    return one_line(name) if isinstance(name, str) and name else "metric"


def _monitored(
    content: dict[Any, Any], file: str, stage: TrainingStage
) -> Iterator[tuple[str, float]]:
    """Yield the metrics that Lightning's ModelCheckpoints kept for this very checkpoint.

    That of the one which wrote the file comes first. ``current_score`` is not read: where several
    of them watch a training, it may be that of an epoch before.
    """
    others = []
    for state in dict.values(_mapping(content, "callbacks")):
        name = dict.get(state, MONITORED) if isinstance(state, dict) else None
        if not isinstance(name, str):
            continue
        scores = {
            path: number
            for path, value in dict.items(_mapping(state, BEST_MODELS))
            if isinstance(path, str) and (number := to_number(value)) is not None
        }
        own = _of_name(scores, file)
        if own is not None:
            yield one_line(name), own
        else:
            others += [(one_line(name), scores[path]) for path in scores if _states(path, stage)][
                :1
            ]
    yield from others


def _of_name(scores: Mapping[str, float], file: str) -> float | None:
    """Return the score of the checkpoint of this name; folders may have been moved."""
    named = [path for path in scores if _tail(path, 1) == _tail(file, 1)]
    if len(named) > 1:
        named = [path for path in named if _tail(path, 2) == _tail(file, 2)]
    return scores[named[0]] if len(named) == 1 else None


def _states(path: str, stage: TrainingStage) -> bool:
    """Return whether a path names this step: in one epoch a model may be measured several times."""
    # A metric's name may have slashes, which Lightning turns into folders.
    told = stage_in_name(_tail(path, 2))
    return told.step is not None and told.step == stage.step and told.epoch in (None, stage.epoch)


def _tail(path: str, parts: int) -> str:
    return "/".join(re.split(r"[/\\]", path)[-parts:])


def _words(name: str) -> set[str]:
    return set(re.split(r"[^a-z0-9]+", name.casefold()))

"""What the settings in a checkpoint, or in the ``config.json`` beside it, state of its classes."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from effcam.models.class_names import read_labels
from effcam.models.tracing.logits import Link

# The keys of class names in training scripts' checkpoints, and of the settings around them.
LABELS = (
    "label_names",
    "class_names",
    "labels",
    "classes",
    "CLASSES",
    "categories",
    "id2label",
    "idx_to_class",
    "class_to_idx",
    "label2id",
)
SETTINGS = (
    "hyper_parameters",
    "datamodule_hyper_parameters",
    "hparams",
    "config",
    "cfg",
    "meta",
    "dataset_meta",
    "args",
    "pretrained_cfg",
)
PROBLEM, MULTI_LABEL = "problem_type", "multi_label_classification"
"""A key of the configurations of transformers, and its value for labels."""
DEPTH = 32
CONFIG_BYTES = 2**24
# The names of weights files that a config.json beside them describes, in timm and Hugging Face.
CONFIGURED = ("model.safetensors", "pytorch_model.bin")


def find_labels(content: object) -> tuple[str, ...] | None:
    """Return the classes' names in the settings beside the weights, ``None`` if there are none.

    Args:
        content: The content of a checkpoint or of a configuration.
    """
    keyed = ((settings, key) for settings in _settings_in(content, set()) for key in LABELS)
    found = (_encodable_labels(dict.get(settings, key)) for settings, key in keyed)
    return next(filter(None, found), None)


def find_link(content: object) -> Link | None:
    """Return what the class scores are, as the settings beside the weights state it, or ``None``.

    Args:
        content: The content of a checkpoint or of a configuration.
    """
    return next(filter(None, map(stated_link, _settings_in(content, set()))), None)


def stated_link(config: object) -> Link | None:
    """Return ``"sigmoid"`` if a configuration states labels that do not exclude each other.

    It does so by ``problem_type``, or by ``multi_label`` as the training script of timm.

    >>> stated_link({"problem_type": "multi_label_classification"})
    'sigmoid'
    >>> stated_link({"problem_type": "single_label_classification"}) is None
    True
    """
    found = config if isinstance(config, dict) else getattr(config, "__dict__", None)
    if not isinstance(found, dict):
        return None
    # A pickle may replace the `get` of a dict.
    is_stated = dict.get(found, "multi_label") is True
    return "sigmoid" if is_stated or dict.get(found, PROBLEM) == MULTI_LABEL else None


def config_beside(file: Path) -> object:
    """Return the ``config.json`` that timm and Hugging Face put beside weights, else ``None``."""
    if file.name not in CONFIGURED:
        return None  # the config.json may belong to another file
    config = file.parent / "config.json"
    try:
        if not config.is_file() or config.stat().st_size > CONFIG_BYTES:
            return None
        found: object = json.loads(config.read_text("utf-8"))
        return found
    except (OSError, ValueError, RecursionError):
        return None


def _settings_in(content: object, seen: set[int]) -> Iterator[dict[str, object]]:
    """Yield settings, and those inside them: settings may hold each other."""
    settings = vars(content) if isinstance(content, argparse.Namespace) else content
    if not isinstance(settings, dict) or id(settings) in seen or len(seen) >= DEPTH:
        return
    seen.add(id(settings))
    yield settings
    # A pickle may replace the `get` of a dict.
    for key in SETTINGS:
        yield from _settings_in(dict.get(settings, key), seen)


def _encodable_labels(names: object) -> tuple[str, ...] | None:
    try:
        labels = read_labels(names)
    except OverflowError:  # an infinite index
        return None
    # JSON and pickles can hold halves of a character, which no file takes.
    return labels and tuple(label.encode("utf-8", "replace").decode() for label in labels)

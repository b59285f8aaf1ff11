"""The classes' names in a checkpoint, or in the ``config.json`` beside it."""

from __future__ import annotations

import argparse
import json
from itertools import chain
from pathlib import Path

from effcam.models.class_names import read_labels

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
DEPTH = 32
CONFIG_BYTES = 2**24
# The names of weights files that a config.json beside them describes, in timm and Hugging Face.
CONFIGURED = ("model.safetensors", "pytorch_model.bin")


def find_labels(content: object, seen: set[int] | None = None) -> tuple[str, ...] | None:
    """Return the classes' names in the settings beside the weights, ``None`` if there are none.

    Args:
        content: The content of a checkpoint or of a configuration.
        seen: The ids of the settings that were searched: settings may hold each other.
    """
    seen = set() if seen is None else seen
    settings = vars(content) if isinstance(content, argparse.Namespace) else content
    if not isinstance(settings, dict) or id(settings) in seen or len(seen) >= DEPTH:
        return None
    seen.add(id(settings))
    # A pickle may replace the `get` of a dict.
    found = (_encodable_labels(dict.get(settings, key)) for key in LABELS)
    inner = (find_labels(dict.get(settings, key), seen) for key in SETTINGS)
    return next(filter(None, chain(found, inner)), None)


def labels_beside(file: Path) -> tuple[str, ...] | None:
    """Return the labels in the ``config.json`` that timm and Hugging Face put beside weights."""
    if file.name not in CONFIGURED:
        return None  # the config.json may belong to another file
    config = file.parent / "config.json"
    try:
        if not config.is_file() or config.stat().st_size > CONFIG_BYTES:
            return None
        return find_labels(json.loads(config.read_text("utf-8")))
    except (OSError, ValueError, RecursionError):
        return None


def _encodable_labels(names: object) -> tuple[str, ...] | None:
    try:
        labels = read_labels(names)
    except OverflowError:  # an infinite index
        return None
    # JSON and pickles can hold halves of a character, which no file takes.
    return labels and tuple(label.encode("utf-8", "replace").decode() for label in labels)

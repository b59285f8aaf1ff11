"""The names of a model's classes: given, its own, ImageNet's, or numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from effcam.errors import ArgumentError
from effcam.models.built_module import BuiltModule
from effcam.models.class_names import numbered
from effcam.models.imagenet import imagenet_labels, knows_imagenet, synonyms_of
from effcam.models.text_encoder import class_names
from effcam.models.tracing.score_source import ScoreSource

Names: TypeAlias = tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]
"""The name to show for each class, and all names of each class."""


def find_labels(built: BuiltModule, scores: ScoreSource, classes: int) -> Names:
    """Return the name to show for each class of a model, and all names of each class.

    Args:
        built: The module, with the names that were given or that came with it.
        scores: What it returns.
        classes: The number of values that it returns.

    Raises:
        ArgumentError: If the names that were given do not fit its classes.
    """
    if not scores.has_classes:
        if built.labels is not None:
            raise ArgumentError(f"{built.name} has no classes that labels could name")
        return (), ()
    if built.labels is not None and scores.head is not None:
        shown = class_names(built.labels)
    elif built.labels is not None:
        if isinstance(built.labels, Mapping):
            raise ArgumentError(
                f"{built.name} embeds no texts, so labels must be a list with the name of each of "
                f"its {classes} classes, not a mapping from names to texts"
            )
        if isinstance(built.labels, str) or len(built.labels) != classes:
            given = _count_labels(built.labels)
            raise ArgumentError(f"{built.name} has {classes} classes, but labels holds {given}")
        shown = tuple(str(label) for label in built.labels)
    elif built.model is not None:
        return built.model.labels, built.model.synonyms
    elif built.own_labels is not None:
        # With names of other classes, these are not ImageNet's either.
        shown = built.own_labels if len(built.own_labels) == classes else numbered(classes)
    else:
        known = imagenet_labels(classes) if knows_imagenet(built.module) else None
        if known is not None:
            return tuple(names[0] for names in known), known
        shown = numbered(classes)
    return shown, synonyms_of(shown)


def _count_labels(labels: Sequence[str]) -> str:
    if isinstance(labels, str):
        return "one string"
    first = ", ".join(repr(str(label)) for label in labels[:3])
    return f"{len(labels)} labels ({first}{', ...' if len(labels) > 3 else ''})"

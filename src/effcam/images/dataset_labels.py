"""The classes of a dataset's images, by name: an index in a dataset is none of a model."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Sequence

from effcam.errors import ImageWarning
from effcam.images.truth import NamedClass, Truth


def truth_of(label: NamedClass | None) -> Truth | None:
    """Return what is known of an image, ``None`` if that is nothing."""
    return None if label is None else Truth(label=label)


def class_of(value: object, names: Sequence[str]) -> NamedClass | None:
    """Return the class that an item of a dataset is of, ``None`` if it is unknown.

    Args:
        value: What the dataset has: a name, an index of one of its names, or anything else.
        names: The names of its classes; empty if unknown.
    """
    if isinstance(value, str):
        return NamedClass(None, value) if value.strip() else None
    index = index_of(value)
    return NamedClass(None, names[index]) if index is not None and index < len(names) else None


def index_of(value: object) -> int | None:
    """Return a whole number from 0 as an int, of NumPy and torch too; ``None`` for other values."""
    if isinstance(value, bool):
        return None
    try:
        index = operator.index(value)  # type: ignore[arg-type]  # whatever a dataset has
    except (TypeError, ValueError):  # the latter: a tensor of several elements
        return None
    return index if index >= 0 else None


def names_of(classes: object) -> tuple[str, ...]:
    """Return the names of a dataset's classes, of which some are several synonyms; else none."""
    if hasattr(classes, "tolist"):  # an array
        classes = classes.tolist()
    if isinstance(classes, str) or not isinstance(classes, Sequence):
        return ()
    joined = (each if isinstance(each, str) else ", ".join(map(str, each)) for each in classes)
    try:
        return tuple(joined)
    except TypeError:  # classes that are numbers
        return ()


def warn_of_unused(what: str, remedy: str) -> None:
    """Warn that something which a dataset has is not used.

    Args:
        what: What it is, and why it is not used.
        remedy: What to do.
    """
    warnings.warn(f"{what}. {remedy}", ImageWarning, stacklevel=2)

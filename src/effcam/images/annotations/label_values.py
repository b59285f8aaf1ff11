"""A class in a file of annotations: its name, its index, or both."""

from __future__ import annotations

from typing import TypeAlias

from effcam.errors import AnnotationError
from effcam.images.annotations.parsing import shown
from effcam.images.truth import NamedClass

Label: TypeAlias = int | str | NamedClass
"""A class by its index, by its name, or by both."""


def parse_class(value: object) -> Label:
    """Return a class: a name if it is text; if it is a number, an index that may be a name."""
    if isinstance(value, str) and value.strip():
        return value.strip()
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return NamedClass(value, str(value))
    raise AnnotationError(f"expected a class's name or index, found {shown(value)}")


def class_name(value: object) -> str:
    """Return the name of a class, or its index as text."""
    label = parse_class(value)
    return label.name if isinstance(label, NamedClass) else str(label)

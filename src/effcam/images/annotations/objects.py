"""Objects as all readers return them: a class, and a box in effcam's convention."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

from effcam.errors import AnnotationError
from effcam.images.annotations.parsing import shown
from effcam.images.geometry import Box

Objects: TypeAlias = dict[str, list[tuple[str | None, Box]]]
"""Classes and boxes by image; the class is ``None`` if there is none."""

EDGE_COLUMNS = (
    ("left", "top", "right", "bottom"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("x1", "y1", "x2", "y2"),
)


def make_box(edges: Sequence[float]) -> Box:
    """Check the edges left, top, right and bottom, and return their box."""
    left, top, right, bottom = edges
    if not all(map(math.isfinite, edges)):
        raise AnnotationError(f"expected finite numbers, found {shown(list(edges))}")
    if right <= left or bottom <= top:
        raise AnnotationError(
            "expected a box [left, top, right, bottom] with left < right and top < bottom, found "
            f"{shown(list(edges))}"
        )
    return Box(left, top, right, bottom)


def four_numbers(values: object, meaning: str) -> list[float]:
    """Check four finite numbers of JSON, and return them."""
    if not isinstance(values, list) or len(values) != 4 or not all(map(_is_number, values)):
        raise AnnotationError(f"expected four finite numbers {meaning}, found {shown(values)}")
    return [float(value) for value in values]


def _is_number(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer larger than any float
        return False


def parse_number(text: str | None, name: str) -> float:
    """Parse a number."""
    try:
        return float(text or "")
    except ValueError as error:
        raise AnnotationError(f"expected a number as {name}, found {shown(text)}") from error

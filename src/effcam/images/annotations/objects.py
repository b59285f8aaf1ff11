"""Objects as all readers return them: a class, and a box in effcam's convention."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from effcam.errors import AnnotationError
from effcam.images.annotations.parsing import shown
from effcam.images.geometry import Box

EDGE_COLUMNS = (
    ("left", "top", "right", "bottom"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("x1", "y1", "x2", "y2"),
)
OVERSHOOT = 0.1
"""How far beyond 0 and 1 the edges of relative boxes may lie: tools let boxes leave the image."""


@dataclass(frozen=True, slots=True)
class RelativeBox:
    """A rectangle in shares of an image's width and height, in [0, 1] inside the image.

    Attributes:
        left: The left edge, a share of the width.
        top: The top edge, a share of the height.
        right: The right edge, a share of the width.
        bottom: The bottom edge, a share of the height.
        recognised: Whether the values alone show that they are shares, and not the file's format.
    """

    left: float
    top: float
    right: float
    bottom: float
    recognised: bool = False

    def in_pixels(self, size: tuple[int, int]) -> Box:
        """Return the box in px of an image of a (width, height) in px."""
        return Box(self.left, self.top, self.right, self.bottom).scale(*size)


AnyBox: TypeAlias = Box | RelativeBox
Objects: TypeAlias = dict[str, list[tuple[str | None, AnyBox]]]
"""Classes and boxes by image; the class is ``None`` if there is none."""


def recognise_shares(boxes: Iterable[tuple[str, AnyBox]]) -> bool:
    """Return whether the boxes of a file or an argument are shares of their images' sides.

    They are if all edges lie between 0 and 1, or 0.1 beyond, and one is not a whole number. Boxes
    of whole numbers, such as that of the first pixel, (0, 0, 1, 1), alone show nothing.

    Args:
        boxes: The name of its image, and the box.

    Raises:
        AnnotationError: If some boxes look like shares, and others like px.
    """
    share: tuple[str, AnyBox] | None = None
    pixels: tuple[str, AnyBox] | None = None
    for name, box in boxes:
        if isinstance(box, RelativeBox):
            share = share or ((name, box) if box.recognised else None)
        elif not all(-OVERSHOOT <= edge <= 1 + OVERSHOOT for edge in box.as_tuple()):
            pixels = pixels or (name, box)
        elif not all(float(edge).is_integer() for edge in box.as_tuple()):
            share = share or (name, box)
        if share and pixels:
            raise _mixed(share, pixels)
    return share is not None


def _mixed(share: tuple[str, AnyBox], pixels: tuple[str, AnyBox]) -> AnnotationError:
    (one, first), (other, second) = share, pixels
    return AnnotationError(
        f"the box {_edges(first)} of image {one!r} looks like shares of the image's width and "
        f"height, from 0 to 1, and {_edges(second)} of {other!r} like px: give all boxes in px, or "
        "all as shares. For an object within the first pixel give (0, 0, 1, 1)."
    )


def _edges(box: AnyBox) -> tuple[float, ...]:
    return box.left, box.top, box.right, box.bottom


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


def make_relative_box(edges: Sequence[float]) -> RelativeBox:
    """Check the edges left, top, right and bottom, and return their relative box."""
    return RelativeBox(*make_box(edges).as_tuple())


def box_around(points: Iterable[tuple[float, float]]) -> list[float]:
    """Return the edges left, top, right and bottom of the smallest box around points."""
    across, down = zip(*points, strict=True)
    return [min(across), min(down), max(across), max(down)]


def rotate(
    points: Iterable[tuple[float, float]], degrees: float, centre: tuple[float, float]
) -> list[tuple[float, float]]:
    """Return points of an image after a clockwise rotation around a centre."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return [
        (
            centre[0] + cosine * (x - centre[0]) - sine * (y - centre[1]),
            centre[1] + sine * (x - centre[0]) + cosine * (y - centre[1]),
        )
        for x, y in points
    ]


def ellipse_extent(
    centre: tuple[float, float], radii: tuple[float, float], degrees: float
) -> list[tuple[float, float]]:
    """Return two corners of the box around an ellipse, which is rotated around its centre."""
    (x, y), (across, down), turn = centre, radii, math.radians(degrees)
    wide = math.hypot(across * math.cos(turn), down * math.sin(turn))
    tall = math.hypot(across * math.sin(turn), down * math.cos(turn))
    return [(x - wide, y - tall), (x + wide, y + tall)]


def four_numbers(values: object, meaning: str) -> list[float]:
    """Check four finite numbers of JSON, and return them."""
    if not isinstance(values, list) or len(values) != 4 or not all(map(is_number, values)):
        raise AnnotationError(f"expected four finite numbers {meaning}, found {shown(values)}")
    return [float(value) for value in values]


def is_number(value: object) -> bool:
    """Return whether a value of JSON is a finite number."""
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

"""Read boxes, polygons and masks of CVAT's XML, the format "CVAT for images 1.1"."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element

import numpy as np

from effcam.errors import AnnotationError
from effcam.images.annotations.coco_masks import MOST_PIXELS, fill
from effcam.images.annotations.objects import (
    Objects,
    box_around,
    ellipse_extent,
    make_box,
    parse_number,
    rotate,
)
from effcam.images.annotations.parsing import locating, shown

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHAPES = ("box", "polygon", "mask", "ellipse")
WITHOUT_PLACE = ("tag",)
MOST_DIGITS = 10


@dataclass(frozen=True, slots=True)
class Shape:
    """A shape of an image.

    Attributes:
        kind: The name of its element.
        number: Its position among the elements of the image, from 1.
        label: The name of its class.
        points: Corners of the shape, or of a box around it, px.
        runs: The lengths of a mask's runs outside, inside, and so on, row by row in its box.
    """

    kind: str
    number: int
    label: str
    points: list[tuple[float, float]]
    runs: NDArray[np.int64] | None = None

    @property
    def crowd(self) -> bool:
        """Whether its pixels are ignored: never."""
        return False

    def draw(self, height: int, width: int) -> NDArray[np.bool_]:
        """Return the (height, width) bool pixels of a polygon or mask."""
        if self.runs is None:
            return fill(np.array(self.points, np.float64), height, width)
        (left, top), (right, bottom) = ((int(x), int(y)) for x, y in self.points)
        values = np.arange(len(self.runs)) % 2 == 1
        inside = np.zeros((height, width), bool)
        drawn = np.repeat(values, self.runs).reshape(bottom - top, right - left)
        inside[top:bottom, left:right] = drawn[: max(height - top, 0), : max(width - left, 0)]
        return inside

    def extent(self) -> list[tuple[float, float]]:
        """Return corners of the shape or of the pixels of a mask, none if it has no pixels."""
        if self.runs is None:
            return self.points
        right, bottom = self.points[1]
        inside = self.draw(int(bottom), int(right))
        rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        if not rows.size:
            return []
        last = float(columns[-1] + 1), float(rows[-1] + 1)
        return [(float(columns[0]), float(rows[0])), last]


@dataclass(frozen=True, slots=True)
class AnnotatedImage:
    """An image of the file: width and height in px, and its shapes."""

    size: tuple[int, int]
    shapes: list[Shape]


def is_cvat(root: Element) -> bool:
    """Return whether an XML document has CVAT's root."""
    return root.tag == "annotations"


def images_in_cvat(root: Element) -> dict[str, AnnotatedImage]:
    """Return the images by name.

    Raises:
        AnnotationError: If the file is of a video, or a shape is broken or has no box.
    """
    if root.find("track") is not None:
        raise AnnotationError(
            'expected the format "CVAT for images 1.1", found tracks of "CVAT for video": export '
            "the task for images"
        )
    found: dict[str, AnnotatedImage] = {}
    for number, element in enumerate(root.findall("image"), 1):
        name = element.get("name")
        with locating(f"image {number}{f' ({name!r})' if name else ''}"):
            if not name:
                raise AnnotationError("expected its 'name', found none")
            if name in found:
                raise AnnotationError("it is listed twice")
            found[name] = AnnotatedImage(_size(element), list(_shapes(element)))
    return found


def objects_in_cvat(root: Element) -> Objects:
    """Return classes and boxes by image: of other shapes, the boxes around them."""
    found: Objects = {}
    for name, image in images_in_cvat(root).items():
        found[name] = []
        for shape in image.shapes:
            with locating(f"image {name!r}: element {shape.number} <{shape.kind}>"):
                points = shape.extent()
                if points:
                    found[name].append((shape.label, make_box(box_around(points))))
    return found


def _size(element: Element) -> tuple[int, int]:
    width, height = (_whole(element, key) for key in ("width", "height"))
    if width < 1 or height < 1 or width * height > MOST_PIXELS:
        raise AnnotationError(f"an image cannot be {width} x {height} px")
    return width, height


def _shapes(image: Element) -> Iterator[Shape]:
    for number, element in enumerate(image, 1):
        kind = str(element.tag)
        if kind in WITHOUT_PLACE:
            continue
        with locating(f"element {number} <{kind}>"):
            if kind not in SHAPES:
                raise AnnotationError(
                    f"<{kind}> is not supported: only {', '.join(f'<{each}>' for each in SHAPES)}; "
                    "delete the others, or export the objects of one kind only"
                )
            label = element.get("label", "")
            runs = _runs(element) if kind == "mask" else None
            yield Shape(kind, number, label, _points(element, kind), runs)


def _points(element: Element, kind: str) -> list[tuple[float, float]]:
    """Return the corners of a shape, or of a box around it."""
    readers = {"polygon": _corners, "mask": _mask_box, "ellipse": _ellipse, "box": _box}
    return readers[kind](element)


def _mask_box(element: Element) -> list[tuple[float, float]]:
    left, top, width, height = (_whole(element, key) for key in ("left", "top", "width", "height"))
    return [(left, top), (left + width, top + height)]


def _ellipse(element: Element) -> list[tuple[float, float]]:
    x, y, across, down = (_number(element, key) for key in ("cx", "cy", "rx", "ry"))
    return ellipse_extent((x, y), (across, down), _rotation(element))


def _box(element: Element) -> list[tuple[float, float]]:
    left, top, right, bottom = (_number(element, key) for key in ("xtl", "ytl", "xbr", "ybr"))
    make_box([left, top, right, bottom])
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    angle = _rotation(element)
    return rotate(corners, angle, ((left + right) / 2, (top + bottom) / 2)) if angle else corners


def _rotation(element: Element) -> float:
    """Return the clockwise angle in degrees."""
    return 0.0 if element.get("rotation") is None else _number(element, "rotation")


def _corners(element: Element) -> list[tuple[float, float]]:
    text = element.get("points")
    pairs = [pair.split(",") for pair in (text or "").split(";")]
    if len(pairs) < 3 or any(len(pair) != 2 for pair in pairs):
        raise AnnotationError(
            f"expected three 'points' or more, as x,y;x,y;x,y, found {shown(text)}"
        )
    points = [(_finite(x, "points"), _finite(y, "points")) for x, y in pairs]
    if max(abs(each) for point in points for each in point) > MOST_PIXELS:
        raise AnnotationError(f"expected points in an image, found {shown(text)}")
    return points


def _runs(element: Element) -> NDArray[np.int64]:
    """Return the run lengths of a mask, which must fill its box."""
    left, top, width, height = (_whole(element, key) for key in ("left", "top", "width", "height"))
    words = (element.get("rle") or "").replace(",", " ").split()
    if not words or not all(word.isdecimal() and len(word) <= MOST_DIGITS for word in words):
        raise AnnotationError(f"expected whole numbers as 'rle', found {shown(element.get('rle'))}")
    runs = np.array([int(word) for word in words], np.int64)
    area = width * height
    if min(left, top) < 0 or not 0 < area <= MOST_PIXELS or runs.sum() != area:
        raise AnnotationError(
            f"expected run lengths that add up to {width} x {height} pixels, found {runs.sum()}"
        )
    return runs


def _whole(element: Element, key: str) -> int:
    number = _number(element, key)
    if not number.is_integer() or abs(number) > MOST_PIXELS:
        raise AnnotationError(f"expected a whole number as {key!r}, found {shown(number)}")
    return int(number)


def _number(element: Element, key: str) -> float:
    return _finite(element.get(key), key)


def _finite(text: str | None, key: str) -> float:
    number = parse_number(text, repr(key))
    if not math.isfinite(number):
        raise AnnotationError(f"expected a finite number as {key!r}, found {shown(text)}")
    return number

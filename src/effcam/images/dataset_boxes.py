"""Boxes of objects in a dataset of Hugging Face, whose column does not state their convention.

Datasets of one hub store ``bbox`` as COCO's [x, y, width, height] or as the edges [left, top,
right, bottom]. It is one of these for certain if some box is impossible in the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from effcam.images.dataset_labels import class_of, warn_of_unused
from effcam.images.geometry import Box
from effcam.images.truth import NamedClass

BOXES = ("bbox", "bboxes", "boxes")
CLASSES = ("category", "categories", "label", "labels")
TOLERANCE = 1.0
"""How far a box may leave its image, in px: tools round."""
FAR = 0.1
"""How far a box may leave its image, in shares of its sides, before a convention is impossible:
a single careless box proves nothing."""
Row: TypeAlias = tuple[tuple[Box, ...], tuple[NamedClass, ...]]
Size: TypeAlias = tuple[float, float]


@dataclass(frozen=True, slots=True)
class ObjectColumns:
    """Where a dataset has its objects.

    Attributes:
        column: The column.
        boxes: The field of the boxes within it.
        classes: The field of their classes; empty without one.
        names: The names of the classes; empty if unknown.
    """

    column: str
    boxes: str
    classes: str = ""
    names: tuple[str, ...] = ()


def find_objects(features: Mapping[str, Any]) -> ObjectColumns | None:
    """Return where a dataset has objects with boxes, ``None`` if it has none."""
    feature = features.get("objects")
    fields = getattr(feature, "feature", feature)
    if not isinstance(fields, Mapping):
        return None
    boxes = next((name for name in BOXES if name in fields), None)
    if boxes is None:
        return None
    classes = next((name for name in CLASSES if name in fields), "")
    own = fields.get(classes)
    names = getattr(getattr(own, "feature", own), "names", None) or ()
    return ObjectColumns("objects", boxes, classes, tuple(map(str, names)))


def read_objects(
    where: ObjectColumns, table: Any, size_of: Callable[[int], Size]
) -> list[Row] | None:
    """Return the boxes of each row in px and the classes of its objects, each once.

    Args:
        where: Where the dataset has them.
        table: The dataset.
        size_of: Returns the width and height of a row's image in px.

    Returns:
        One entry a row; ``None``, with a warning, if the convention of the boxes is not certain.
    """
    rows = [_lists(each) for each in table.select_columns([where.column])[:][where.column]]
    boxes = [[tuple(map(float, box)) for box in row.get(where.boxes) or ()] for row in rows]
    # Without any box, each convention will do.
    make = _convention(boxes, size_of) if any(boxes) else _from_edges
    if make is None:
        warn_of_unused(
            f"the boxes in the dataset's column {where.column!r} may be [x, y, width, height] or "
            "[left, top, right, bottom], or are neither, and are not used",
            "Give boxes= to annotate or summary, in px as (left, top, right, bottom)",
        )
        return None
    return [
        (
            tuple(make(box) for box in own if _has_area(make(box))),
            _classes(row.get(where.classes) or (), where.names),
        )
        for row, own in zip(rows, boxes, strict=True)
    ]


def _convention(
    boxes: Sequence[Sequence[tuple[float, ...]]], size_of: Callable[[int], Size]
) -> Callable[[tuple[float, ...]], Box] | None:
    """Return what makes boxes of a dataset's numbers, ``None`` if that is not certain."""
    conventions = (_from_coco, _from_edges)
    fit, possible = set(conventions), set(conventions)
    for index, own in enumerate(boxes):
        if any(len(box) != 4 for box in own):
            return None
        width, height = size_of(index) if own else (0, 0)
        for make in conventions:
            made = [make(box) for box in own]
            if not all(_fits(box, width, height) for box in made):
                fit.discard(make)
            if not all(_fits(box, width, height, beyond=FAR) for box in made):
                possible.discard(make)
    return fit.pop() if fit == possible and len(fit) == 1 else None


def _from_coco(box: tuple[float, ...]) -> Box:
    x, y, width, height = box
    return Box(x, y, x + width, y + height)


def _from_edges(box: tuple[float, ...]) -> Box:
    left, top, right, bottom = box
    return Box(left, top, right, bottom)


def _fits(box: Box, width: float, height: float, *, beyond: float = 0) -> bool:
    """Return whether a box lies in an image, and its edges are in order; it may have no area.

    Args:
        box: The box.
        width: The image's width in px.
        height: The image's height in px.
        beyond: How far it may leave the image, in shares of these, beside `TOLERANCE`.
    """
    # A size that is not known is infinite, and 0 times that is NaN.
    across, down = (TOLERANCE + (beyond and beyond * side) for side in (width, height))
    return (
        -across <= box.left <= box.right <= width + across
        and -down <= box.top <= box.bottom <= height + down
    )


def _has_area(box: Box) -> bool:
    return box.left < box.right and box.top < box.bottom


def _lists(row: Any) -> Mapping[str, Any]:
    """Return the fields of a row's objects as lists: a row may be a list of objects instead."""
    if isinstance(row, Mapping):
        return row
    keys = dict.fromkeys(key for each in row or () for key in each)
    return {key: [each.get(key) for each in row] for key in keys}


def _classes(values: Sequence[Any], names: Sequence[str]) -> tuple[NamedClass, ...]:
    found = dict.fromkeys(class_of(each, names) for each in values)
    return tuple(each for each in found if each is not None)

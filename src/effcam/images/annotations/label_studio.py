"""Read the regions of Label Studio's JSON exports: boxes, polygons, ellipses and brushes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from effcam.errors import AnnotationError
from effcam.images.annotations.coco import entry_value
from effcam.images.annotations.coco_masks import MOST_PIXELS, fill
from effcam.images.annotations.name_matching import IMAGE_SUFFIXES
from effcam.images.annotations.objects import (
    Objects,
    box_around,
    ellipse_extent,
    is_number,
    make_relative_box,
    rotate,
)
from effcam.images.annotations.parsing import locating, shown

if TYPE_CHECKING:
    from numpy.typing import NDArray

Kind = Literal["rectangle", "polygon", "ellipse", "brush"]
KINDS: tuple[Kind, ...] = ("rectangle", "polygon", "ellipse", "brush")
WITHOUT_PLACE = frozenset(
    {
        *("choices", "taxonomy", "textarea", "rating", "number", "datetime", "pairwise"),
        *("ranker", "relation", "labels"),
    }
)
"""Types of results that say nothing of where an object is."""
UPLOAD = re.compile(r"^[0-9a-f]{8}-")
"""What Label Studio puts before the name of an uploaded file."""
OPAQUE = 128
CHANNELS = 4


@dataclass(frozen=True, slots=True)
class Region:
    """A region of an image.

    Attributes:
        kind: Its shape.
        label: The name of its class; ``None`` without one.
        points: Its corners, or those of the box around an ellipse: px of the image at `size`.
        size: Width and height of the image in px, when it was annotated.
        inside: (height, width) bool of a brush; ``None`` for all other shapes.
    """

    kind: Kind
    label: str | None
    points: list[tuple[float, float]]
    size: tuple[int, int]
    inside: NDArray[np.bool_] | None = None

    @property
    def crowd(self) -> bool:
        """Whether its pixels are ignored: never."""
        return False

    def draw(self, height: int, width: int) -> NDArray[np.bool_]:
        """Return the (height, width) bool pixels of the region."""
        if self.inside is not None:
            return self.inside
        return fill(np.array(self.points, np.float64), height, width)


def is_label_studio(document: object) -> bool:
    """Return whether JSON is a list of Label Studio's tasks, in its full or its short form."""
    if not isinstance(document, list) or not document:
        return False
    first = document[0]
    return isinstance(first, dict) and ("data" in first or "annotation_id" in first)


def regions_by_image(document: Sequence[Any]) -> dict[str, list[Region]]:
    """Return the regions of the images that were annotated, by image.

    Predictions are not annotations, and skipped tasks are left out.
    """
    found: dict[str, list[Region]] = {}
    for number, task in enumerate(document):
        with locating(f"task {number + 1}"):
            if not isinstance(task, dict):
                raise AnnotationError(f"expected an object, found {shown(task)}")
            results = _results(task) if "data" in task else _short_results(task)
            if results is None:
                continue
            name = _image_name(task.get("data", task))
            if name in found:
                raise AnnotationError(f"image {name!r} is that of an earlier task too")
            found[name] = list(_regions(results))
    return found


def objects_in_label_studio(document: Sequence[Any]) -> Objects:
    """Return classes and boxes by image: of other shapes, the boxes around them."""
    return {
        name: [
            (region.label, make_relative_box(_shares(region)))
            for region in regions
            if region.points
        ]
        for name, regions in regions_by_image(document).items()
    }


def _shares(region: Region) -> list[float]:
    width, height = region.size
    left, top, right, bottom = box_around(region.points)
    return [left / width, top / height, right / width, bottom / height]


def _results(task: Mapping[str, Any]) -> list[Any] | None:
    """Return the results of a task's annotation; ``None`` if it has none."""
    annotations = task.get("annotations", task.get("completions", []))
    if not isinstance(annotations, list) or not all(isinstance(each, dict) for each in annotations):
        raise AnnotationError(f"expected a list 'annotations', found {shown(annotations)}")
    given = [each for each in annotations if not each.get("was_cancelled")]
    given = [each for each in given if each.get("ground_truth")] or given
    if len(given) > 1:
        raise AnnotationError(
            f"it has {len(given)} annotations, which would be added up: keep one of them, or mark "
            "one as ground truth in Label Studio"
        )
    return _listed(given[0].get("result")) if given else None


def _short_results(task: Mapping[str, Any]) -> list[Any]:
    """Return the results of a task of the export JSON-MIN, which has them by the tags' names."""
    lists = [value for value in task.values() if isinstance(value, list)]
    return [
        {"value": each, **each}
        for each in (result for results in lists for result in results)
        if isinstance(each, dict) and "original_width" in each
    ]


def _listed(results: object) -> list[Any]:
    if not isinstance(results, list) or not all(isinstance(each, dict) for each in results):
        raise AnnotationError(f"expected a list 'result' of objects, found {shown(results)}")
    return results


def _image_name(data: object) -> str:
    """Return the name of the image among a task's data."""
    fields = data if isinstance(data, dict) else {}
    texts = {key: value for key, value in fields.items() if isinstance(value, str)}
    named = [texts["image"]] if "image" in texts else []
    named = named or [text for text in texts.values() if _path_of(text).suffix in IMAGE_SUFFIXES]
    if len(named) != 1 or named[0].startswith("data:"):
        raise AnnotationError(
            f"expected one image by its address or path in 'data', found {shown(data)}"
        )
    path = _path_of(named[0])
    if "upload" in path.parts[:-1]:
        return UPLOAD.sub("", path.name)
    return path.as_posix().lstrip("/")


def _path_of(address: str) -> PurePosixPath:
    """Return the path in an address, or in its query for files of Label Studio's own storage."""
    address = address.replace("\\", "/")
    try:
        parts = urlsplit(address)
    except ValueError as error:
        raise AnnotationError(f"expected an address, found {shown(address)}: {error}") from error
    local = parse_qs(parts.query).get("d")
    if parts.path.rstrip("/").endswith("local-files") and local:
        return PurePosixPath(local[0])
    # A path outside of Label Studio's own addresses may contain ?, # and %.
    is_address = parts.scheme or parts.path.startswith("/data/")
    return PurePosixPath(unquote(parts.path) if is_address else address)


def _regions(results: Sequence[Mapping[str, Any]]) -> Iterator[Region]:
    """Yield the regions of results: those with the same id are one region and its labels."""
    labels: dict[object, str] = {}
    for each in results:
        key, label = each.get("id"), _label(each)
        if label is not None and isinstance(key, str):
            labels.setdefault(key, label)
    for number, each in enumerate(results, 1):
        with locating(f"result {number}"):
            kind = _kind(each)
            if kind is not None:
                key = each.get("id")
                label = _label(each) or (labels.get(key) if isinstance(key, str) else None)
                yield _region(each, kind, label)


def _kind(result: Mapping[str, Any]) -> Kind | None:
    """Return the shape of a result, ``None`` for one without a place."""
    name = str(result.get("type") or _short_type(result)).lower()
    for kind in KINDS:
        if name in (kind, f"{kind}labels"):
            return kind
    if name in WITHOUT_PLACE:
        return None
    raise AnnotationError(
        f"results of type {name!r} are not supported: only {', '.join(KINDS)}, with or without "
        "labels; delete the others from the export"
    )


def _short_type(result: Mapping[str, Any]) -> str:
    """Return the type of a result of JSON-MIN: the key of its labels, else by its values."""
    found = [key for key in result if key.endswith("labels") and key != "labels"]
    if found:
        return found[0]
    shapes = {"rle": "brush", "points": "polygon", "radiusX": "ellipse", "width": "rectangle"}
    return next((shape for key, shape in shapes.items() if key in result), "unknown")


def _label(result: Mapping[str, Any]) -> str | None:
    value = result.get("value")
    for key, labels in value.items() if isinstance(value, dict) else ():
        if key.endswith("labels") and isinstance(labels, list) and labels:
            return str(labels[0])
    return None


def _region(result: Mapping[str, Any], kind: Kind, label: str | None) -> Region:
    size = _original_size(result)
    if result.get("image_rotation"):
        raise AnnotationError(
            f"the image was rotated by {shown(result['image_rotation'])} degrees in Label Studio: "
            "rotate it back there"
        )
    value = result.get("value")
    if not isinstance(value, dict):
        raise AnnotationError(f"expected an object 'value', found {shown(value)}")
    if kind == "brush":
        inside = _brush(value, size)
        return Region(kind, label, _corners_around(inside), size, inside)
    shapes = {"rectangle": _rectangle, "polygon": _polygon, "ellipse": _ellipse}
    return Region(kind, label, shapes[kind](value, size), size)


def _original_size(result: Mapping[str, Any]) -> tuple[int, int]:
    width = entry_value(result, "original_width", int)
    height = entry_value(result, "original_height", int)
    if width < 1 or height < 1 or width * height > MOST_PIXELS:
        raise AnnotationError(f"an image cannot be {shown(width)} x {shown(height)} px")
    return width, height


def _percent(value: Mapping[str, Any], key: str, *, default: float | None = None) -> float:
    number = value.get(key, default)
    if not is_number(number):
        raise AnnotationError(f"expected a number as {key!r}, found {shown(number)}")
    return float(number)


def _rectangle(value: Mapping[str, Any], size: tuple[int, int]) -> list[tuple[float, float]]:
    """Return the corners, rotated around the left upper one."""
    x, y = _percent(value, "x") * size[0] / 100, _percent(value, "y") * size[1] / 100
    width = _percent(value, "width") * size[0] / 100
    height = _percent(value, "height") * size[1] / 100
    if width <= 0 or height <= 0:
        return []
    corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
    return rotate(corners, _percent(value, "rotation", default=0), (x, y))


def _polygon(value: Mapping[str, Any], size: tuple[int, int]) -> list[tuple[float, float]]:
    points = value.get("points")
    if not isinstance(points, list) or len(points) < 3:
        raise AnnotationError(f"expected three points or more, found {shown(points)}")
    if not all(isinstance(each, list) and len(each) == 2 and all(map(is_number, each))
               for each in points):  # fmt: skip
        raise AnnotationError(f"expected points [x, y] in percent, found {shown(points)}")
    return [(x * size[0] / 100, y * size[1] / 100) for x, y in points]


def _ellipse(value: Mapping[str, Any], size: tuple[int, int]) -> list[tuple[float, float]]:
    """Return two corners of the box around an ellipse, which is rotated around its centre."""
    x, y = _percent(value, "x") * size[0] / 100, _percent(value, "y") * size[1] / 100
    across = _percent(value, "radiusX") * size[0] / 100
    down = _percent(value, "radiusY") * size[1] / 100
    angle = _percent(value, "rotation", default=0)
    return ellipse_extent((x, y), (across, down), angle) if across and down else []


def _brush(value: Mapping[str, Any], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the opaque pixels of a brush, whose RGBA values are run-length encoded."""
    width, height = size
    codes = value.get("rle")
    if not isinstance(codes, list) or not all(type(each) is int for each in codes):
        raise AnnotationError(f"expected 'rle', a list of bytes, found {shown(codes)}")
    try:
        pixels = decode(bytes(codes), width * height * CHANNELS)
    except ValueError as error:  # not bytes, or too short
        raise AnnotationError(f"expected the run lengths of a brush: {error}") from error
    return np.asarray(pixels.reshape(height, width, CHANNELS)[:, :, -1] >= OPAQUE)


def decode(data: bytes, count: int) -> NDArray[np.uint8]:
    """Return the (count,) values that are packed as Label Studio packs the RGBA values of a brush.

    A stream of bits: 32 with the number of values; 5 with the bits of a value minus 1; four times 4
    with bits of a length minus 1. Then blocks: a bit, which is set if one value repeats; 2 bits
    that choose one of the four sizes; the length minus 1; and the value, or as many values.

    Args:
        data: The bytes.
        count: The number of values that is expected.

    Raises:
        ValueError: If it is another one, or the bytes end too early.
    """
    bits = "".join(f"{byte:08b}" for byte in data)
    place = 0

    def read(size: int) -> int:
        nonlocal place
        place += size
        if place > len(bits):
            raise ValueError("the bytes end too early")
        return int(bits[place - size : place], 2)

    if (stated := read(32)) != count:
        raise ValueError(f"{stated} values instead of {count}")
    word = read(5) + 1
    sizes = [read(4) + 1 for _ in range(4)]
    if word > 8:
        raise ValueError(f"values of {word} bits instead of 8")
    values = np.zeros(count, np.uint8)
    at = 0
    while at < count:
        repeats = read(1)
        end = at + 1 + read(sizes[read(2)])
        if end > count:
            raise ValueError(f"more than {count} values")
        values[at:end] = read(word) if repeats else [read(word) for _ in range(end - at)]
        at = end
    return values


def _corners_around(inside: NDArray[np.bool_]) -> list[tuple[float, float]]:
    """Return two corners of the box around the pixels of a brush, none if it is empty."""
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    if not rows.size:
        return []
    first, last = (columns[0], rows[0]), (columns[-1] + 1, rows[-1] + 1)
    return [(float(first[0]), float(first[1])), (float(last[0]), float(last[1]))]

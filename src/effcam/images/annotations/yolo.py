"""Read the boxes and polygons of YOLO's label files: a text file for each image."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from effcam.errors import AnnotationError
from effcam.images.annotations.objects import Objects, RelativeBox, box_around, make_relative_box
from effcam.images.annotations.parsing import (
    as_text,
    files_below,
    load_yaml,
    locating,
    shown,
)

DATA_FILES = ("data.yaml", "data.yml", "dataset.yaml")
NAME_FILES = ("classes.txt", "obj.names", "labels.txt")
LISTS = frozenset({"train.txt", "val.txt", "valid.txt", "validation.txt", "test.txt", *NAME_FILES})
"""Text files of such datasets that list images or classes."""
DEPTH = 4
"""How many folders up a folder ``labels`` is looked for."""
OVERSHOOT = 0.01
"""How far shares may lie outside of [0, 1], by rounding, as Ultralytics allows."""
BOX, BOX_AND_SCORE, TRACKED = 5, 6, 7
"""The numbers of a line with class and box, also with a score, also with the id of a track."""

Points = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Shape:
    """An object of a line.

    Attributes:
        number: The line's number, from 1.
        label: The name of its class; without names, its index.
        box: Its box; ``None`` if it is empty.
        polygon: Its corners, shares of the width and height; ``None`` if the line has a box alone.
    """

    number: int
    label: str
    box: RelativeBox | None
    polygon: Points | None


@dataclass(frozen=True, slots=True)
class _Dataset:
    """What the files of a dataset say about its lines: class names, and keypoints after boxes."""

    names: dict[int, str]
    keypoints: bool = False


def is_yolo(path: Path) -> bool:
    """Return whether a path is a folder, a ``data.yaml`` or a text file of YOLO's labels."""
    if path.is_dir():
        return any((path / name).is_file() for name in DATA_FILES) or any(
            _has_numbers(file) for file in _label_files(path)
        )
    return path.name in DATA_FILES or (path.suffix.lower() == ".txt" and _has_numbers(path))


def shapes_in_yolo(path: Path) -> dict[str, list[Shape]]:
    """Return the objects by image, also of images without any, from a folder or a file.

    The name of an image is the path of its file, without suffix, below the folder that is given,
    with ``images`` for the last folder ``labels``.
    """
    root = path.parent if path.name in DATA_FILES else path
    if not root.is_dir():
        dataset = _read_dataset(root.parent)
        return {root.stem: list(_shapes(as_text(root.read_bytes()), dataset))}
    dataset = _read_dataset(root)
    found: dict[str, list[Shape]] = {}
    for file in _label_files(root):
        below = PurePosixPath(file.relative_to(root).as_posix())
        with locating(f"file {below.as_posix()!r}"):
            text = as_text(file.read_bytes().removeprefix(b"\xef\xbb\xbf"))
            found[_image_name(below)] = list(_shapes(text, dataset))
    if not found:
        raise AnnotationError("the folder has no text files of YOLO's labels")
    return found


def objects_in_yolo(path: Path) -> Objects:
    """Return classes and boxes by image; empty boxes are left out."""
    return {
        name: [(shape.label, shape.box) for shape in shapes if shape.box is not None]
        for name, shapes in shapes_in_yolo(path).items()
    }


def _label_files(root: Path) -> list[Path]:
    """Return the text files of labels: those below folders ``labels``, if there are any."""
    files = [
        file
        for file in files_below(root, {".txt"})
        if file.name.lower() not in LISTS and not file.name.lower().startswith("readme")
    ]
    inside = [file for file in files if "labels" in file.relative_to(root).parts[:-1]]
    return inside or files


def _has_numbers(file: Path) -> bool:
    """Return whether the first line of a text file has the five numbers or more of an object."""
    with file.open("rb") as stream:
        words = stream.read(2**12).lstrip().partition(b"\n")[0].split()
    try:
        return len(words) >= BOX and all(math.isfinite(float(word)) for word in words[:BOX])
    except ValueError:
        return False


def _image_name(below: PurePosixPath) -> str:
    """Return the name of the image of a label file: ``images/val/1`` for ``labels/val/1.txt``."""
    parts = list(below.with_suffix("").parts)
    for at in reversed(range(len(parts) - 1)):
        if parts[at] == "labels":
            parts[at] = "images"
            break
    return "/".join(parts)


def _read_dataset(folder: Path) -> _Dataset:
    """Return what the files of classes say, in a folder or above its folder ``labels``."""
    near = [folder.absolute(), *folder.absolute().parents][:DEPTH]
    inside = next((place for place in near if place.name == "labels"), None)
    for place in [folder] if inside is None else [folder, inside, inside.parent]:
        for name in (*DATA_FILES, *NAME_FILES):
            file = place / name
            if file.is_file():
                with locating(f"file {name!r}"):
                    return _parse_dataset(file)
    return _Dataset({})


def _parse_dataset(file: Path) -> _Dataset:
    data = file.read_bytes()
    if file.name not in DATA_FILES:
        return _Dataset(dict(enumerate(map(str.strip, as_text(data).rstrip().splitlines()))))
    document = load_yaml(data)
    names: Any = document.get("names") if isinstance(document, dict) else None
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not all(isinstance(key, int) for key in names):
        raise AnnotationError(
            f"expected 'names', a list or from index to name, found {shown(names)}"
        )
    return _Dataset({key: str(name) for key, name in names.items()}, "kpt_shape" in document)


def _shapes(text: str, dataset: _Dataset) -> Iterator[Shape]:
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if words:
            with locating(f"line {number}"):
                yield _shape(number, words, dataset)


def _shape(number: int, words: Sequence[str], dataset: _Dataset) -> Shape:
    if len(words) < BOX:
        raise AnnotationError(
            "expected a class, and x, y, width and height of a box or the corners of a polygon, "
            f"found {shown(list(words))}"
        )
    label = _label(words[0], dataset)
    values = [_share(word) for word in words[1 : _shares(words, dataset)]]
    if len(values) == BOX - 1:
        return Shape(number, label, _centred(*values), None)
    polygon = list(zip(values[::2], values[1::2], strict=True))
    edges = box_around(polygon)
    empty = edges[0] == edges[2] or edges[1] == edges[3]
    return Shape(number, label, None if empty else make_relative_box(edges), polygon)


def _shares(words: Sequence[str], dataset: _Dataset) -> int:
    """Return how many of a line's numbers are its class and the shares of a box or a polygon."""
    after_box = len(words) <= BOX_AND_SCORE or dataset.keypoints or len(words) % 2 == 0
    # Tracks have whole numbers above 1, which no share is.
    tracked = len(words) == TRACKED and words[-1].isdecimal() and int(words[-1]) > 1
    return BOX if after_box or tracked else len(words)


def _label(word: str, dataset: _Dataset) -> str:
    try:
        index = float(word)  # some tools write 0.0
    except ValueError:
        index = -1.0
    if not index.is_integer() or index < 0:
        raise AnnotationError(f"expected the index of a class, found {shown(word)}")
    if dataset.names and int(index) not in dataset.names:
        raise AnnotationError(f"class {word} is not one of the {len(dataset.names)} names")
    return dataset.names.get(int(index), str(int(index)))


def _share(word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not -OVERSHOOT <= value <= 1 + OVERSHOOT:
        raise AnnotationError(
            f"expected shares of the image's width and height from 0 to 1, found {shown(word)}"
        )
    return value


def _centred(x: float, y: float, width: float, height: float) -> RelativeBox | None:
    if width <= 0 or height <= 0:
        return None
    return make_relative_box([x - width / 2, y - height / 2, x + width / 2, y + height / 2])

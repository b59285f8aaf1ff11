"""Read the classes of images from a file of any format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

from effcam.errors import AnnotationError
from effcam.images.annotations.boxes import objects_in
from effcam.images.annotations.coco import is_coco, parse_coco
from effcam.images.annotations.csv_tables import (
    CLASS_COLUMNS,
    IMAGE_COLUMNS,
    find_columns,
    nonempty,
    table_rows,
)
from effcam.images.annotations.label_studio import is_label_studio
from effcam.images.annotations.label_values import Label, parse_class
from effcam.images.annotations.name_matching import IMAGE_SUFFIXES
from effcam.images.annotations.objects import Objects
from effcam.images.annotations.parsing import (
    as_path,
    as_text,
    files_below,
    is_json,
    load_json,
    locating,
    parse_json,
    read_bytes,
    shown,
)
from effcam.images.annotations.yolo import is_yolo
from effcam.images.truth import NamedClass

ImageLabels: TypeAlias = Label | tuple[Label, ...]
"""The class of an image; or all of its labels, where there may be several or none."""

INDEX_COLUMNS = ("class_index",)


def read_image_labels(path: str | PathLike[str]) -> dict[str, ImageLabels]:
    """Return the class of each image: by name if it is text, by index if it is called one.

    Where an image has several classes or none, they are a tuple: its labels, for models of which
    the labels do not exclude each other.

    Text of digits is a name too; where a model has no class of that name, it is its index
    (`effcam.models.class_names.find_class`).

    Args:
        path: One of

            - A table of comma, semicolon or tab separated values, image and label, with or
              without a header. A column ``class_index`` has the index. An image with several
              labels has a row for each.
            - Lines of an image's name and its label, both without spaces.
            - JSON that maps image names to labels, or to ``{"class_index": 3, "label": "cat"}``.
              A label that is a number is an index, which is refused where another class has that
              number as its name. Images with neither are left out. A list has all labels of an
              image, also none.
            - COCO's JSON: the categories of the annotations of each image.
            - The other files of objects that `read_boxes` reads, of Pascal VOC, YOLO, Label Studio
              and CVAT: the classes of the objects in each image.
            - A folder with a subfolder for each class, whose name is the label of the images in it,
              at any depth.

            With both an index and a name, models must agree with both, if they know the name.

    Raises:
        AnnotationError: If the file is missing, broken, of another format, or contradicts itself.
    """
    with locating(f"labels {str(path)!r}"):
        source = as_path(path)
        labels = _labels_at(source)
        if not labels:
            raise AnnotationError("the file has no labels")
    return labels


def _labels_at(path: Path) -> dict[str, ImageLabels]:
    if is_yolo(path) or (path.is_dir() and _has_only_xml(path)):
        return _labels_of_objects(objects_in(path))
    if path.is_dir():
        return dict(_labels_of_folders(path))
    data = read_bytes(path)
    if data.lstrip().startswith(b"<"):
        return _labels_of_objects(objects_in(path))
    if not is_json(data):
        return _labels_from_table(as_text(data))
    document = load_json(data)
    if is_label_studio(document):
        return _labels_of_objects(objects_in(path))
    document = parse_json(data)
    return _labels_from_coco(document) if is_coco(document) else _labels_by_name(document)


def _has_only_xml(folder: Path) -> bool:
    return bool(files_below(folder, {".xml"})) and not files_below(folder, IMAGE_SUFFIXES)


def _labels_of_objects(objects: Objects) -> dict[str, ImageLabels]:
    """Return the classes of the objects in each image."""
    found: dict[str, list[Label]] = {name: [] for name in objects}
    for name, several in objects.items():
        for label, _ in several:
            if label is None:
                raise AnnotationError(f"image {name!r}: an object has no class")
            _add_label(found, name, parse_class(label))
    return _settled(found)


def _labels_of_folders(root: Path) -> dict[str, Label]:
    """Return the names of the folders just below the root, by image."""
    labels: dict[str, Label] = {}
    for file in files_below(root, IMAGE_SUFFIXES):
        below = file.relative_to(root)
        if len(below.parts) == 1:
            raise AnnotationError(
                f"expected a folder with a subfolder for each class; the image {below.name!r} is "
                "in none"
            )
        labels[below.as_posix()] = below.parts[0]
    if not labels:
        raise AnnotationError("the folder has no images, which must be in a subfolder a class")
    return labels


def _parse_index(value: object) -> int:
    text = str(value).strip() if isinstance(value, int | str) else ""
    # Longer digits are no index, and int() refuses thousands of them.
    if isinstance(value, bool) or not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise AnnotationError(
            f"expected a class_index, a whole number from 0, found {shown(value)}"
        )
    return int(text)


def _parse_both(index: object, label: object) -> Label:
    """Return a class that is given by its index, by its name, or by both."""
    if index in (None, ""):
        return parse_class(label)
    number = _parse_index(index)
    named = None if label in (None, "") else parse_class(label)
    return NamedClass(number, named) if isinstance(named, str) else number


def _add_label(found: dict[str, list[Label]], name: str, label: Label) -> None:
    """Add a class of an image, once."""
    own = found.setdefault(name, [])
    if label not in own:
        own.append(label)


def _settled(found: Mapping[str, Sequence[Label]]) -> dict[str, ImageLabels]:
    """Return the class of each image that has one, and all labels of others."""
    return {name: own[0] if len(own) == 1 else tuple(own) for name, own in found.items()}


def _labels_by_name(document: Mapping[str, Any]) -> dict[str, ImageLabels]:
    """Return the classes of JSON that maps image names to labels."""
    labels: dict[str, ImageLabels] = {}
    for name, entry in document.items():
        with locating(f"image {name!r}"):
            record = entry if isinstance(entry, dict) else {"label": entry}
            index, label = record.get("class_index"), record.get("label", record.get("labels"))
            if isinstance(label, list) and index is None:
                labels[name] = tuple(dict.fromkeys(map(parse_class, label)))
            elif index is not None or label is not None:
                labels[name] = _parse_both(index, label)
    return labels


def _labels_from_table(text: str) -> dict[str, ImageLabels]:
    """Return the classes of a table of images and labels, with or without a header."""
    rows = table_rows(text)
    header = rows[0][1]
    images, classes = find_columns(header, IMAGE_COLUMNS), find_columns(header, CLASS_COLUMNS)
    indices = find_columns(header, INDEX_COLUMNS)
    if images and (classes or indices):
        width, rows = len(header), rows[1:]
    else:
        width, images, classes, indices = 2, [0], [1], []
    labels: dict[str, list[Label]] = {}
    for number, row in rows:
        with locating(f"line {number}"):
            if len(row) != width:
                raise AnnotationError(
                    f"expected {width} cells, including an image and its label, found "
                    f"{len(row)}: {shown(row)}; use CSV if names or labels contain spaces"
                )
            name = nonempty(row[images[0]], "the image's name")
            index = next((row[column] for column in indices if row[column]), "")
            named = next((row[column] for column in classes if row[column]), "")
            nonempty(index or named, "a label")
            _add_label(labels, name, _parse_both(index, named))
    return _settled(labels)


def _labels_from_coco(document: Mapping[str, Any]) -> dict[str, ImageLabels]:
    """Return the categories of each image of a COCO file."""
    images, annotations = parse_coco(document)
    found: dict[str, list[Label]] = {name: [] for name in images}
    for each in annotations:
        if each.label is None:
            raise AnnotationError(f"{each.where}: its category has no name")
        _add_label(found, each.image, parse_class(each.label))
    return _settled(found)

"""Read the classes of images from a file of any format."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

from effcam.errors import AnnotationError
from effcam.images.annotations.coco import is_coco, parse_coco
from effcam.images.annotations.csv_tables import (
    CLASS_COLUMNS,
    IMAGE_COLUMNS,
    find_columns,
    nonempty,
    table_rows,
)
from effcam.images.annotations.name_matching import IMAGE_SUFFIXES
from effcam.images.annotations.parsing import (
    as_path,
    as_text,
    files_below,
    is_json,
    locating,
    parse_json,
    read_bytes,
    shown,
)
from effcam.images.truth import NamedClass

Label: TypeAlias = int | str | NamedClass
"""A class by its index, by its name, or by both."""

INDEX_COLUMNS = ("class_index",)


def read_image_labels(path: str | PathLike[str]) -> dict[str, Label]:
    """Return the class of each image: by name if it is text, by index if it is called one.

    Text of digits is a name too; where a model has no class of that name, it is its index
    (`effcam.models.class_names.find_class`).

    Args:
        path: One of

            - A table of comma, semicolon or tab separated values, image and label, with or
              without a header. A column ``class_index`` has the index.
            - Lines of an image's name and its label, both without spaces.
            - JSON that maps image names to labels, or to ``{"class_index": 3, "label": "cat"}``.
              A label that is a number is an index, which is refused where another class has that
              number as its name. Images with neither are left out.
            - COCO's JSON, if all annotations of each image have the same category.
            - A folder with a subfolder for each class, whose name is the label of the images in it,
              at any depth.

            With both an index and a name, models must agree with both, if they know the name.

    Raises:
        AnnotationError: If the file is missing, broken, of another format, or contradicts itself.
    """
    with locating(f"labels {str(path)!r}"):
        source = as_path(path)
        labels = _labels_of_folders(source) if source.is_dir() else _labels_in(read_bytes(source))
        if not labels:
            raise AnnotationError("the file has no labels")
    return labels


def _labels_in(data: bytes) -> dict[str, Label]:
    if not is_json(data):
        return _labels_from_table(as_text(data))
    document = parse_json(data)
    return _labels_from_coco(document) if is_coco(document) else _labels_by_name(document)


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


def _add_label(labels: dict[str, Label], name: str, label: Label) -> None:
    """Add the class of an image, which must not have a different one already."""
    if labels.setdefault(name, label) != label:
        raise AnnotationError(f"image {name!r} is {shown(label)} here, {shown(labels[name])} above")


def _labels_by_name(document: Mapping[str, Any]) -> dict[str, Label]:
    """Return the classes of JSON that maps image names to labels."""
    labels = {}
    for name, entry in document.items():
        with locating(f"image {name!r}"):
            record = entry if isinstance(entry, dict) else {"label": entry}
            index, label = record.get("class_index"), record.get("label")
            if index is not None or label is not None:
                labels[name] = _parse_both(index, label)
    return labels


def _labels_from_table(text: str) -> dict[str, Label]:
    """Return the classes of a table of images and labels, with or without a header."""
    rows = table_rows(text)
    header = rows[0][1]
    images, classes = find_columns(header, IMAGE_COLUMNS), find_columns(header, CLASS_COLUMNS)
    indices = find_columns(header, INDEX_COLUMNS)
    if images and (classes or indices):
        width, rows = len(header), rows[1:]
    else:
        width, images, classes, indices = 2, [0], [1], []
    labels: dict[str, Label] = {}
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
    return labels


def _labels_from_coco(document: Mapping[str, Any]) -> dict[str, Label]:
    """Return the category of each image of a COCO file, of which each must have one."""
    images, annotations = parse_coco(document)
    found: dict[str, set[str]] = {name: set() for name in images}
    for each in annotations:
        if each.label is None:
            raise AnnotationError(f"{each.where}: its category has no name")
        found[each.image].add(each.label)
    for name, names in found.items():
        if len(names) != 1:
            raise AnnotationError(
                f"image {name!r} has annotations of {len(names)} categories"
                f"{': ' if names else ''}{', '.join(sorted(names)[:5])}; expected one, its class"
            )
    return {name: parse_class(names.pop()) for name, names in found.items()}

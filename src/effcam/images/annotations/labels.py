"""Read the classes of images from a file of any format."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

from effcam.errors import AnnotationError
from effcam.images.annotations.coco import is_coco, parse_coco
from effcam.images.annotations.csv_tables import (
    CLASS_COLUMNS,
    IMAGE_COLUMNS,
    find_columns,
    nonempty,
    table_rows,
)
from effcam.images.annotations.parsing import (
    as_path,
    as_text,
    is_json,
    locating,
    parse_json,
    read_bytes,
    shown,
)

LABEL_COLUMNS = ("class_index", *CLASS_COLUMNS)


def read_image_labels(path: str | PathLike[str]) -> dict[str, int | str]:
    """Return the class of each image, as an index if it is written in digits, else as a name.

    Args:
        path: One of

            - A table of comma, semicolon or tab separated values, image and label, with or
              without a header. ``class_index`` has precedence over ``label``.
            - Lines of an image's name and its label, both without spaces.
            - JSON that maps image names to labels, or to ``{"class_index": 3, "label": "cat"}``,
              where the index has precedence. Images with neither are left out.
            - COCO's JSON, if all annotations of each image have the same category.

    Raises:
        AnnotationError: If the file is missing, broken, of another format, or contradicts itself.
    """
    with locating(f"labels {str(path)!r}"):
        data = read_bytes(as_path(path))
        if not is_json(data):
            labels = _labels_from_table(as_text(data))
        elif is_coco(document := parse_json(data)):
            labels = _labels_from_coco(document)
        else:
            labels = _labels_by_name(document)
        if not labels:
            raise AnnotationError("the file has no labels")
    return labels


def parse_class(value: object) -> int | str:
    """Return a class: an index if it is a number or consists of digits, else a name."""
    if isinstance(value, str) and value.strip():
        text = value.strip()
        # Longer digits are no index, and int() refuses thousands of them.
        return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else text
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise AnnotationError(f"expected a class's name or index, found {shown(value)}")


def _add_label(labels: dict[str, int | str], name: str, label: int | str) -> None:
    """Add the class of an image, which must not have a different one already."""
    if labels.setdefault(name, label) != label:
        raise AnnotationError(f"image {name!r} is {shown(label)} here, {shown(labels[name])} above")


def _labels_by_name(document: Mapping[str, Any]) -> dict[str, int | str]:
    """Return the classes of JSON that maps image names to labels."""
    labels = {}
    for name, entry in document.items():
        with locating(f"image {name!r}"):
            record = entry if isinstance(entry, dict) else {"label": entry}
            given = [record[key] for key in ("class_index", "label") if record.get(key) is not None]
            if given:
                labels[name] = parse_class(given[0])
    return labels


def _labels_from_table(text: str) -> dict[str, int | str]:
    """Return the classes of a table of images and labels, with or without a header."""
    rows = table_rows(text)
    header = rows[0][1]
    images, classes = find_columns(header, IMAGE_COLUMNS), find_columns(header, LABEL_COLUMNS)
    if images and classes:
        width, rows = len(header), rows[1:]
    else:
        width, images, classes = 2, [0], [1]
    labels: dict[str, int | str] = {}
    for number, row in rows:
        with locating(f"line {number}"):
            if len(row) != width:
                raise AnnotationError(
                    f"expected {width} cells, including an image and its label, found "
                    f"{len(row)}: {shown(row)}; use CSV if names or labels contain spaces"
                )
            given = [row[column] for column in classes if row[column]] or [""]
            name = nonempty(row[images[0]], "the image's name")
            _add_label(labels, name, parse_class(nonempty(given[0], "a label")))
    return labels


def _labels_from_coco(document: Mapping[str, Any]) -> dict[str, int | str]:
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

"""Parse the images and annotations of a COCO file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from effcam.errors import AnnotationError
from effcam.images.annotations.parsing import locating, shown


@dataclass(frozen=True, slots=True)
class Annotation:
    """An annotation of COCO, with the names of its image and category instead of their ids."""

    where: str
    image: str
    label: str | None
    crowd: bool
    entry: Mapping[str, Any]


def is_coco(document: Mapping[str, Any]) -> bool:
    """Return whether a JSON object has COCO's lists."""
    return "images" in document or "annotations" in document


def parse_coco(
    document: Mapping[str, Any],
) -> tuple[dict[str, Mapping[str, Any]], list[Annotation]]:
    """Return the images of a COCO file by name, and its annotations."""
    names: dict[object, str] = {}
    images: dict[str, Mapping[str, Any]] = {}
    for where, image in _entries(document, "images"):
        with locating(where):
            name = entry_value(image, "file_name", str)
            if name in images:
                raise AnnotationError(f"image {name!r} is listed twice")
            images[name] = image
            if (key := entry_value(image, "id", int, str)) in names:
                raise AnnotationError(f"images {names[key]!r} and {name!r} have the same id")
            names[key] = name
    labels = _categories(document)
    annotations = []
    for where, entry in _entries(document, "annotations"):
        with locating(where):
            key = entry_value(entry, "image_id", int, str)
            if key not in names:
                raise AnnotationError(f"no image has the id {shown(key)}")
            category = (
                entry_value(entry, "category_id", int, str) if "category_id" in entry else None
            )
        crowd = bool(entry.get("iscrowd"))
        annotations.append(Annotation(where, names[key], labels.get(category), crowd, entry))
    return images, annotations


def _categories(document: Mapping[str, Any]) -> dict[object, str]:
    """Return the names of the categories by id, none if the file lists none."""
    found: dict[object, str] = {}
    if "categories" in document:
        for where, entry in _entries(document, "categories"):
            with locating(where):
                found[entry_value(entry, "id", int, str)] = entry_value(entry, "name", str)
    return found


def _entries(document: Mapping[str, Any], key: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the location and the content of each object in a list of a COCO file."""
    entries = document.get(key)
    if not isinstance(entries, list):
        raise AnnotationError(f"expected COCO's list {key!r}, found {shown(entries)}")
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise AnnotationError(f"{key}[{number}]: expected an object, found {shown(entry)}")
        yield f"{key}[{number}]", entry


def entry_value(entry: Mapping[str, Any], key: str, *kinds: type) -> Any:
    """Return an entry's value if it is of one of the kinds."""
    value = entry.get(key)
    if not isinstance(value, kinds) or isinstance(value, bool):
        expected = " or ".join(kind.__name__ for kind in kinds)
        raise AnnotationError(f"expected {key!r} to be {expected}, found {shown(value)}")
    return value

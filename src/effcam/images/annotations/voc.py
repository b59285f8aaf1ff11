"""Read boxes from XML files of Pascal VOC."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element

from effcam.errors import AnnotationError
from effcam.images.annotations.objects import EDGE_COLUMNS, Objects, make_box, parse_number
from effcam.images.annotations.parsing import files_below, locating, parse_xml, read_bytes
from effcam.images.geometry import Box


def objects_in_voc(folder: Path) -> Objects:
    """Return classes and boxes by image from a folder of XML files."""
    found: Objects = {}
    files = files_below(folder, {".xml"})
    if not files:
        raise AnnotationError("the folder has no XML files of Pascal VOC")
    for file in files:
        below = file.relative_to(folder)
        with locating(f"file {below.as_posix()!r}"):
            image, objects = objects_from_voc(read_bytes(file), file.stem)
            name = (below.parent / image).as_posix()
            if name in found:
                raise AnnotationError(f"image {name!r} has boxes in two files")
            found[name] = objects
    return found


def objects_from_voc(data: bytes, stem: str) -> tuple[str, list[tuple[str | None, Box]]]:
    """Return the name of an image, by default ``stem``, and its classes and boxes."""
    root = parse_xml(data)
    if root.tag != "annotation":
        raise AnnotationError(f"expected <annotation> of Pascal VOC, found <{root.tag}>")
    objects = []
    for number, each in enumerate(root.findall("object"), 1):
        with locating(f"object {number}"):
            label = (each.findtext("name") or "").strip()
            objects.append((label or None, _voc_box(each)))
    return (root.findtext("filename") or "").strip() or stem, objects


def _voc_box(element: Element) -> Box:
    # VOC counts pixels from 1, and includes the last one.
    left, top, right, bottom = (
        parse_number(element.findtext(f"bndbox/{name}"), f"<{name}>") for name in EDGE_COLUMNS[1]
    )
    return make_box([left - 1, top - 1, right, bottom])

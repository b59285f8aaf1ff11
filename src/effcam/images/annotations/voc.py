"""Read boxes from XML files of Pascal VOC."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element

from effcam.errors import AnnotationError
from effcam.images.annotations.cvat import is_cvat, objects_in_cvat
from effcam.images.annotations.objects import (
    EDGE_COLUMNS,
    AnyBox,
    Objects,
    RelativeBox,
    make_box,
    parse_number,
)
from effcam.images.annotations.parsing import files_below, locating, parse_xml, read_bytes


def objects_in_voc(folder: Path) -> Objects:
    """Return classes and boxes by image from a folder of XML files, of CVAT too."""
    found: Objects = {}
    files = files_below(folder, {".xml"})
    if not files:
        raise AnnotationError(
            "the folder has no XML files of Pascal VOC or CVAT, and no text files of YOLO"
        )
    for file in files:
        below = file.relative_to(folder)
        with locating(f"file {below.as_posix()!r}"):
            root = parse_xml(read_bytes(file))
            if is_cvat(root):
                read = objects_in_cvat(root)
            else:
                image, objects = objects_from_voc(root, file.stem)
                read = {(below.parent / image).as_posix(): objects}
            if twice := found.keys() & read.keys():
                raise AnnotationError(f"image {min(twice)!r} has boxes in two files")
            found |= read
    return found


def objects_from_voc(root: Element, stem: str) -> tuple[str, list[tuple[str | None, AnyBox]]]:
    """Return the name of an image, by default ``stem``, and its classes and boxes."""
    if root.tag != "annotation":
        raise AnnotationError(f"expected <annotation> of Pascal VOC, found <{root.tag}>")
    objects = []
    for number, each in enumerate(root.findall("object"), 1):
        with locating(f"object {number}"):
            label = (each.findtext("name") or "").strip()
            objects.append((label or None, _voc_box(each)))
    return (root.findtext("filename") or "").strip() or stem, objects


def _voc_box(element: Element) -> AnyBox:
    edges = [
        parse_number(element.findtext(f"bndbox/{name}"), f"<{name}>") for name in EDGE_COLUMNS[1]
    ]
    if all(0 <= edge <= 1 for edge in edges) and not all(map(float.is_integer, edges)):
        # These are shares of the sides: of pixels, the first one would be 1.
        box = make_box(edges)
        return RelativeBox(*box.as_tuple(), recognised=True)
    left, top, right, bottom = edges
    # VOC counts pixels from 1, and includes the last one.
    return make_box([left - 1, top - 1, right, bottom])

"""Read boxes of objects from a file of any format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from effcam.errors import AnnotationError, ArgumentError, did_you_mean
from effcam.images.annotations.coco import is_coco, parse_coco
from effcam.images.annotations.csv_tables import (
    CLASS_COLUMNS,
    IMAGE_COLUMNS,
    find_columns,
    full_row,
    nonempty,
    table_rows,
)
from effcam.images.annotations.cvat import is_cvat, objects_in_cvat
from effcam.images.annotations.label_studio import is_label_studio, objects_in_label_studio
from effcam.images.annotations.label_values import class_name
from effcam.images.annotations.objects import (
    EDGE_COLUMNS,
    AnyBox,
    Objects,
    RelativeBox,
    four_numbers,
    make_box,
    parse_number,
    recognise_shares,
)
from effcam.images.annotations.parsing import (
    as_path,
    as_text,
    files_below,
    is_json,
    load_json,
    locating,
    parse_xml,
    read_bytes,
    shown,
)
from effcam.images.annotations.voc import objects_from_voc, objects_in_voc
from effcam.images.annotations.yolo import is_yolo, objects_in_yolo
from effcam.images.geometry import Box

BOX_FORMATS = (
    "COCO JSON, Pascal VOC XML, YOLO text files, JSON of Label Studio, XML of CVAT, JSON of image "
    "names and boxes, or a CSV file whose header names image and left, top, right, bottom (or "
    "xmin, ymin, xmax, ymax; or x1, y1, x2, y2)"
)


def read_boxes(
    path: str | PathLike[str], *, categories: Iterable[str] | None = None
) -> dict[str, tuple[AnyBox, ...]]:
    """Return the boxes of objects by image, for every image of the file, also without boxes.

    Args:
        path: One of

            - COCO's JSON. Its ``bbox`` is [x, y, width, height]; crowd regions are left out.
            - An XML file of Pascal VOC, or a folder of these, searched recursively. VOC counts
              pixels from 1 and includes ``xmax`` and ``ymax``, so a box becomes
              ``Box(xmin - 1, ymin - 1, xmax, ymax)``. Difficult objects are kept. The name of an
              image is the subfolder of its XML file and its ``<filename>``.
            - JSON by image name: ``{"boxes": [[left, top, right, bottom], ...], "label": ...}``,
              only the list of boxes, or a single box.
            - A table of comma, semicolon or tab separated values, one box per row, with columns
              image, left, top, right, bottom and, optionally, label. The edges may also be called
              ``xmin``, ``ymin``, ``xmax``, ``ymax`` or ``x1``, ``y1``, ``x2``, ``y2``; in each
              case they are edges as above, not VOC's pixels. A row without edges is an image
              without boxes.
            - YOLO's text files, one for each image: a folder, searched recursively, its
              ``data.yaml``, or a single file. Each line has a class, and x and y of the centre,
              width and height of a box, or three corners or more of a polygon. More numbers after
              a box are ignored. Of a dataset, only files below folders ``labels`` are read.
            - JSON exported by Label Studio, full or "JSON-MIN": rectangles, polygons, ellipses and
              brushes, with the boxes around rotated ones. Predictions are left out.
            - XML exported by CVAT, "CVAT for images 1.1": boxes, polygons, ellipses and masks.

            Boxes of YOLO and Label Studio are shares of the sides. So are those of any other file
            if all their edges lie between 0 and 1 and one is not a whole number.

        categories: The classes whose boxes to keep: of the exact spelling if there are any, else
            in any case; ``None`` keeps all.

    Raises:
        AnnotationError: If the file is missing, broken, or of another format.
        ArgumentError: If no box has one of the categories, or no box has a class.
    """
    wanted = _wanted(categories)
    with locating(f"annotations {str(path)!r}"):
        found = _with_shares(objects_in(as_path(path)))
        if not found:
            raise AnnotationError("the file lists no images")
    if wanted is not None:
        found = _of_classes(found, wanted, path)
    return {name: tuple(box for _, box in objects) for name, objects in found.items()}


def objects_in(path: Path) -> Objects:
    """Return classes and boxes by image."""
    if path.is_dir():
        return _objects_in_folder(path)
    data = read_bytes(path)
    if data.lstrip().startswith(b"<"):
        return _objects_from_xml(parse_xml(data), path.stem)
    if is_json(data):
        return _objects_from_json(load_json(data))
    return objects_in_yolo(path) if is_yolo(path) else _objects_from_table(as_text(data))


def _objects_in_folder(folder: Path) -> Objects:
    if not is_yolo(folder):
        return objects_in_voc(folder)
    if files_below(folder, {".xml"}):
        raise AnnotationError(
            "the folder has XML files, and text files of YOLO: give the folder of one of them"
        )
    return objects_in_yolo(folder)


def _objects_from_xml(root: Element, stem: str) -> Objects:
    if is_cvat(root):
        return objects_in_cvat(root)
    name, objects = objects_from_voc(root, stem)
    return {name: objects}


def _objects_from_json(document: Any) -> Objects:
    if is_label_studio(document):
        return objects_in_label_studio(document)
    if not isinstance(document, dict):
        raise AnnotationError(f"expected a JSON object, found {shown(document)}")
    return _objects_from_coco(document) if is_coco(document) else _objects_by_name(document)


def _with_shares(found: Objects) -> Objects:
    """Return the objects; boxes that are recognised as shares are relative."""
    boxes = ((name, box) for name, objects in found.items() for _, box in objects)
    if not recognise_shares(boxes):
        return found
    return {
        name: [(label, _as_shares(box)) for label, box in objects]
        for name, objects in found.items()
    }


def _as_shares(box: AnyBox) -> RelativeBox:
    return RelativeBox(*box.as_tuple(), recognised=True) if isinstance(box, Box) else box


def _wanted(categories: Iterable[str] | None) -> list[str] | None:
    """Return the names of the categories."""
    if categories is None:
        return None
    listed = [categories] if isinstance(categories, str) else list(categories)
    if not listed or not all(isinstance(each, str) for each in listed):
        raise ArgumentError(f"categories must be names of classes, not {shown(listed)}")
    return [each.strip() for each in listed]


def _of_classes(found: Objects, wanted: Sequence[str], path: object) -> Objects:
    """Return the objects of some classes, and all images."""
    labels = {label for objects in found.values() for label, _ in objects if label is not None}
    if not labels:
        raise ArgumentError(
            f"categories cannot be selected in annotations {str(path)!r}: no box has a class"
        )
    kept: set[str] = set()
    for category in wanted:
        same = {category} & labels or {
            label for label in labels if label.casefold() == category.casefold()
        }
        if not same:
            raise ArgumentError(
                f"no box in annotations {str(path)!r} is of category {category!r}."
                f"{did_you_mean(category, sorted(labels))}"
            )
        if len(same) > 1:
            raise ArgumentError(
                f"category {category!r} stands for {' and '.join(map(repr, sorted(same)))} in "
                f"annotations {str(path)!r}: give one of these"
            )
        kept |= same
    return {name: [each for each in objects if each[0] in kept] for name, objects in found.items()}


def _objects_by_name(document: Mapping[str, Any]) -> Objects:
    """Return classes and boxes of JSON that maps image names to boxes."""
    entries = document.values()
    if document and all(isinstance(entry, dict) and "boxes" not in entry for entry in entries):
        raise AnnotationError(f"no image has 'boxes'; expected {BOX_FORMATS}")
    found: Objects = {}
    for name, entry in document.items():
        with locating(f"image {name!r}"):
            record = entry if isinstance(entry, dict) else {"boxes": entry}
            label = None if record.get("label") is None else class_name(record["label"])
            found[name] = [(label, box) for box in _listed_boxes(record.get("boxes", []))]
    return found


def _listed_boxes(boxes: object) -> list[Box]:
    """Return the boxes of a list, or a single box."""
    if not isinstance(boxes, list):
        raise AnnotationError(
            f"expected a list of boxes [left, top, right, bottom], found {shown(boxes)}"
        )
    if boxes and not any(isinstance(box, list) for box in boxes):
        boxes = [boxes]
    return [make_box(four_numbers(box, "[left, top, right, bottom]")) for box in boxes]


def _objects_from_table(text: str) -> Objects:
    """Return classes and boxes of a table with a header and one box per row."""
    (_, header), *rows = table_rows(text)
    images, classes = find_columns(header, IMAGE_COLUMNS), find_columns(header, CLASS_COLUMNS)
    edges = _edge_columns(header)
    if not images or not edges:
        raise AnnotationError(f"expected {BOX_FORMATS}; found the first line {shown(header)}")
    found: Objects = {}
    for number, row in rows:
        with locating(f"line {number}"):
            cells = full_row(row, len(header))
            objects = found.setdefault(nonempty(cells[images[0]], "the image's name"), [])
            if any(cells[edge] for edge in edges):
                label = cells[classes[0]] if classes else ""
                box = make_box([parse_number(cells[edge], header[edge]) for edge in edges])
                objects.append((label or None, box))
    return found


def _edge_columns(header: Sequence[str]) -> list[int]:
    """Return the positions of the columns left, top, right and bottom, none if one is missing."""
    for names in EDGE_COLUMNS:
        if len(columns := find_columns(header, names)) == len(names):
            return columns
    return []


def _objects_from_coco(document: Mapping[str, Any]) -> Objects:
    """Return classes and boxes of a COCO file, without crowds."""
    images, annotations = parse_coco(document)
    found: Objects = {name: [] for name in images}
    for each in annotations:
        if each.crowd:
            continue
        with locating(each.where):
            x, y, width, height = bbox = four_numbers(
                each.entry.get("bbox"), "[x, y, width, height]"
            )
            if width < 0 or height < 0:
                raise AnnotationError(
                    f"expected [x, y, width, height] of a size >= 0, found {shown(bbox)}"
                )
            # The training annotations of COCO contain two boxes of height 0, which are empty.
            if width and height:
                found[each.image].append((each.label, make_box([x, y, x + width, y + height])))
    return found

"""Boxes and masks of heat as COCO's JSON: a dataset to look at, or results to evaluate.

The heat of a model is no detection: a box of heat is where its score for a class comes from, as
`effcam.Explanation.box` finds it. COCO's evaluation of such boxes is weakly supervised localisation
(Zhou et al. 2016, arXiv:1512.04150). Writing needs no other package.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Union

import numpy as np

from effcam import __version__
from effcam.cam.cells import Cells
from effcam.cam.explanation import BOX_THRESHOLD, Explanation
from effcam.errors import AnnotationError, ArgumentError, OutputError, check_choice, check_flag
from effcam.files import atomic, check_path
from effcam.images.annotations.coco import parse_coco
from effcam.images.annotations.coco_masks import compress, run_lengths
from effcam.images.annotations.name_matching import ByName
from effcam.images.annotations.parsing import locating, parse_json, read_bytes
from effcam.names import find_name
from effcam.text import listed

if TYPE_CHECKING:
    from effcam.comparison.comparison import Comparison
    from effcam.images.refs import ImageRef

AnyPath: TypeAlias = Union[str, "PathLike[str]"]


def save_dataset(
    comparison: Comparison,
    path: AnyPath,
    *,
    categories: Literal["class", "column"] = "class",
    threshold: float = BOX_THRESHOLD,
    masks: bool = False,
) -> Path:
    """Write a COCO dataset of the boxes of heat of all columns, and return its path.

    ``pycocotools.coco.COCO``, FiftyOne, CVAT, Label Studio and `effcam.compare`'s ``boxes=`` read
    it. Ids count from 1. Each annotation also has the label of its ``column``, its ``method``, the
    ``label`` explained and, as ``score``, the class's probability. An image in which a column has
    no heat has no annotation of it. Images are turned upright, as effcam does, so ``width`` and
    ``height`` are those of the upright image. ``file_name`` is the image's name, also of one from
    memory, of which there is no file.

    Args:
        comparison: The comparison.
        path: Where to write; it ends in ``.json``.
        categories: ``"class"`` for a category for each class explained, or ``"column"`` for one for
            each column, which viewers show in its own colour.
        threshold: As in `effcam.Explanation.box`.
        masks: Whether to add the heat above the threshold as masks, of compressed run lengths, as
            `effcam.Explanation.mask` has it; their area is then that of the annotation.

    Raises:
        ArgumentError: If an image is a frame of a video, or an argument is impossible.
        OutputError: If the path has another suffix, or cannot be written.
    """
    by_class = check_choice("categories", categories, ("class", "column")) == "class"
    check_flag("masks", masks)
    target = check_path(path, (".json",))
    _check_images(comparison)
    names = _classes(comparison) if by_class else list(comparison.columns)
    ids = {name: number for number, name in enumerate(names, 1)}
    annotations: list[dict[str, object]] = []
    for image_id, row in enumerate(comparison.rows(), 1):
        for cell in row:
            found = _place(cell, threshold, masks)
            if found is not None:
                category = ids[cell.label if by_class else cell.column]
                known = {"id": len(annotations) + 1, "image_id": image_id, "category_id": category}
                annotations.append({**known, "iscrowd": 0, **found, **_origin(cell)})
    return _write(
        target,
        {
            "info": {"description": "Boxes of heat", "version": f"effcam {__version__}"},
            "licenses": [],
            "images": [_image(number, row[0]) for number, row in enumerate(comparison.rows(), 1)],
            "categories": [
                {"id": number, "name": name, "supercategory": ""} for name, number in ids.items()
            ],
            "annotations": annotations,
        },
    )


def save_results(
    comparison: Comparison,
    path: AnyPath,
    *,
    column: int | str = 0,
    ground_truth: AnyPath | None = None,
    names: Mapping[str, str] | None = None,
    threshold: float = BOX_THRESHOLD,
    masks: bool = False,
) -> Path:
    """Write the boxes of heat of one column as COCO results, which ``COCO.loadRes`` reads.

    The score of a box is the probability of the class explained.

    Args:
        comparison: The comparison.
        path: Where to write; it ends in ``.json``.
        column: The column, by position or label.
        ground_truth: The COCO file that the results are evaluated against: images are matched by
            file name and classes by name, and their ids are its ids. ``None`` uses the ids that
            `save_dataset` gives with a category for each class.
        names: The category of classes that the ground truth calls otherwise, as ``{"tabby":
            "cat"}``. A class that is no category has no result, as in the evaluation; at least one
            must be.
        threshold: As in `effcam.Explanation.box`.
        masks: As in `save_dataset`.

    Raises:
        ArgumentError: If an image is a frame of a video, a class has no probability, no class is a
            category, or an argument is impossible.
        AnnotationError: If the ground truth is broken, lacks an image, or has it in another size.
        CellError: If there is no such column.
        OutputError: If the path has another suffix, or cannot be written.
    """
    check_flag("masks", masks)
    target = check_path(path, (".json",))
    _check_images(comparison)
    if ground_truth is None:
        if names is not None:
            raise ArgumentError("names= are those of a ground_truth=, which is not given")
        ids = _own_ids(comparison)
    else:
        ids = _read_ids(ground_truth, comparison, names or {})
    at = find_name("column", column, comparison.columns)
    results = []
    for cell in comparison.column(at):
        found = _place(cell, threshold, masks)
        category = ids.categories.get(cell.label)
        if found is not None and category is not None:
            found.pop("area")  # loadRes computes it
            known = {"image_id": ids.images[cell.image.name], "category_id": category}
            results.append({**known, **found, "score": _score(cell)})
    if not results and any(cell.state == "ok" for cell in comparison.column(at)):
        labels = listed(sorted({cell.label for cell in comparison.column(at)}))
        raise ArgumentError(
            f"no class of column {comparison.columns[at]!r} is a category of the ground truth: it "
            f"explains {labels}, and the categories are {listed(list(ids.known))}; names= maps the "
            "former to the latter"
        )
    return _write(target, results)


@dataclass(frozen=True, slots=True)
class _Ids:
    """The ids of a COCO file: of images by effcam's names, of classes explained, of categories."""

    images: Mapping[str, Any]
    categories: Mapping[str, Any]
    known: Mapping[str, Any] = field(default_factory=dict)


def _own_ids(comparison: Cells) -> _Ids:
    images = {image.name: number for number, image in enumerate(comparison.images, 1)}
    categories = {name: number for number, name in enumerate(_classes(comparison), 1)}
    return _Ids(images, categories, categories)


def _read_ids(path: AnyPath, comparison: Cells, names: Mapping[str, str]) -> _Ids:
    """Return the ids of a file of ground truth."""
    with locating(f"ground truth {str(path)!r}"):
        document = parse_json(read_bytes(Path(path)))
        images, _ = parse_coco(document)
        listed_categories = document.get("categories") or ()
        known = {str(each["name"]): each["id"] for each in listed_categories}
        found = _image_ids(images, [row[0] for row in comparison.rows()])
    folded = {name.casefold(): number for name, number in known.items()}
    unknown = [name for name in names.values() if name not in known]
    if unknown:
        raise ArgumentError(
            f"names= has {unknown[0]!r}, which is no category: they are {listed(list(known))}"
        )
    labels = dict.fromkeys(cell.label for cell in comparison.cells)
    categories = {
        label: known[names[label]] if label in names else folded.get(label.casefold())
        for label in labels
    }
    return _Ids(found, categories, known)


def _image_ids(
    images: Mapping[str, Mapping[str, Any]], cells: Sequence[Explanation]
) -> dict[str, Any]:
    """Return the ids that images have in a file, by effcam's names.

    Raises:
        AnnotationError: If an image is not in it, or two are the same one there.
    """
    index = ByName(images)
    names: dict[str, str] = {}
    for cell in cells:
        name = _listed_name(index, cell.image)
        if name is None:
            raise AnnotationError(f"it has no image {cell.image.name!r}")
        if name in names:
            raise AnnotationError(
                f"its image {name!r} would be both {names[name]!r} and {cell.image.name!r}: it "
                "needs the folders in the names of its files"
            )
        names[name] = cell.image.name
        _check_size(images[name], cell)
    return {own: images[name]["id"] for name, own in names.items()}


def _listed_name(index: ByName[Any], image: ImageRef) -> str | None:
    """Return the name of an image in a file: by its path, since its name may lack the folder."""
    if image.path is not None:
        with suppress(ArgumentError):  # several fit: that of its name, if there is one
            return index.find(image.path.absolute().as_posix())
    return index.find(image.name)


def _check_size(entry: Mapping[str, Any], cell: Explanation) -> None:
    """Check that an image has the size that a file has for it.

    Raises:
        AnnotationError: If it has another one.
    """
    size = entry.get("width", cell.size[0]), entry.get("height", cell.size[1])
    if size != cell.size:
        raise AnnotationError(
            f"image {cell.image.name!r} is {size[0]} x {size[1]} px in it, and {cell.size[0]} x "
            f"{cell.size[1]} px upright: its boxes would lie elsewhere"
        )


def _check_images(comparison: Cells) -> None:
    """Check that images are still images: COCO names a file for each.

    Raises:
        ArgumentError: If one is a frame of a video.
        OutputError: If there are none.
    """
    if not comparison.cells:
        raise OutputError("there is nothing to write: the comparison holds no images")
    for image in comparison.images:
        if image.frame is not None:
            raise ArgumentError(
                f"image {image.name!r} is a frame of a video, and COCO has files of images: write "
                "the frames as files, and compare these"
            )


def _classes(comparison: Cells) -> list[str]:
    """Return the names of all classes explained, in alphabetical order."""
    return sorted({cell.label for cell in comparison.cells})


def _image(number: int, cell: Explanation) -> dict[str, object]:
    width, height = cell.size
    return {"id": number, "file_name": cell.image.name, "width": width, "height": height}


def _place(cell: Explanation, threshold: float, masks: bool) -> dict[str, object] | None:
    """Return the box of a cell and its area, and its mask if asked for; ``None`` without heat."""
    box = cell.box(threshold=threshold)
    if box is None:
        return None
    found: dict[str, object] = {
        "bbox": [float(each) for each in (box.left, box.top, box.width, box.height)],
        "area": float(box.width * box.height),
    }
    if masks:
        mask = cell.mask(threshold=threshold)
        counts = compress(run_lengths(mask))
        found |= {
            "area": float(np.count_nonzero(mask)),
            "segmentation": {"size": list(mask.shape), "counts": counts},
        }
    return found


def _origin(cell: Explanation) -> dict[str, object]:
    """Return what an annotation says beyond COCO's fields."""
    known: dict[str, object] = {"column": cell.column, "method": cell.method, "label": cell.label}
    return known | ({"score": cell.probability} if np.isfinite(cell.probability) else {})


def _score(cell: Explanation) -> float:
    if not np.isfinite(cell.probability):
        raise ArgumentError(
            f"column {cell.column!r} explains {cell.label!r}, which has no probability, and COCO "
            "results have a score in [0, 1]: explain a class, or use save_dataset"
        )
    return float(cell.probability)


def _write(path: Path, document: object) -> Path:
    # ASCII alone, so that names of files with bytes that are not UTF-8 can be written.
    parts: Iterator[str] = json.JSONEncoder(allow_nan=False).iterencode(document)
    with atomic(path) as partial, partial.open("w", encoding="ascii") as stream:
        stream.writelines(parts)
    return path

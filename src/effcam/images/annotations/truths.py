"""Match annotations in any form with the images of a comparison."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from numbers import Real
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, Union

import numpy as np

from effcam.errors import AnnotationError, ArgumentError
from effcam.images.annotations import ByName, Mask, read_boxes, read_image_labels, read_masks
from effcam.images.geometry import Box
from effcam.images.refs import ImageRef
from effcam.images.truth import Truth

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

BoxLike: TypeAlias = Union["Box", "Sequence[float]"]
Boxes: TypeAlias = Union[
    str,
    "PathLike[str]",
    "Mapping[str, BoxLike | Sequence[BoxLike]]",
    "Sequence[BoxLike | Sequence[BoxLike] | None]",
    None,
]
Masks: TypeAlias = Union[
    str, "PathLike[str]", "Mapping[str, ArrayLike]", "Sequence[ArrayLike | None]", None
]
Labels: TypeAlias = Union[
    str, "PathLike[str]", "Mapping[str, int | str]", "Sequence[int | str | None]", None
]

T = TypeVar("T")


def find_truths(
    images: Sequence[ImageRef], boxes: Boxes, masks: Masks, labels: Labels
) -> list[Truth]:
    """Return the annotations of each image: those given here, else the image's own.

    Args:
        images: The images.
        boxes: Boxes around the objects: a file, a mapping by image name, or one entry per image;
            an entry is a `Box` or (left, top, right, bottom) in px, or several of these.
        masks: (height, width) arrays, true on objects, likewise; or a folder of mask files.
        labels: Class indices or names, likewise.

    Raises:
        AnnotationError: If a file is broken, has none of the images, or an entry is not valid.
        ArgumentError: If there is not one entry per image.
    """
    found = [image.truth or Truth() for image in images]
    for name, given, read, parse in (
        ("boxes", boxes, read_boxes, _parse_boxes),
        ("masks", masks, read_masks, _parse_mask),
        ("labels", labels, read_image_labels, _parse_label),
    ):
        if given is None:
            continue
        entries = _one_each(name, given, read, images)
        found = [
            truth if entry is None else replace(truth, **parse(entry, image.name))
            for truth, entry, image in zip(found, entries, images, strict=True)
        ]
    return found


def _one_each(
    name: str, given: Any, read: Callable[[Any], Mapping[str, Any]], images: Sequence[ImageRef]
) -> list[Any]:
    """Return one entry per image, ``None`` where there is none."""
    from_file = isinstance(given, str | PathLike)
    known = read(given) if from_file else given
    if isinstance(known, Mapping):
        index = ByName(known)
        entries = [index.get(image.name) for image in images]
        if all(entry is None for entry in entries):
            where = f" in {str(Path(given))!r}" if from_file else ""
            raise AnnotationError(
                f"there are no {name}{where} for any of the {len(images)} images: they are for "
                f"{_listed(known)}; the images are "
                f"{_listed([image.name for image in images])}"
            )
        return entries
    try:
        entries = list(known)
    except TypeError as error:
        raise ArgumentError(
            f"{name} must be a file, a mapping by image name, or one entry per image, not "
            f"{type(given).__name__}"
        ) from error
    if len(entries) != len(images):
        raise ArgumentError(
            f"the number of {name} is {len(entries)}, that of images {len(images)}: give one entry "
            "per image, or a mapping by image name"
        )
    return entries


def _listed(names: Collection[str], most: int = 3) -> str:
    first = ", ".join(repr(name) for name in list(names)[:most])
    return f"{first}, ..." if len(names) > most else first or "none"


def _parse_boxes(entry: Any, image: str) -> dict[str, Any]:
    listed = list(entry) if isinstance(entry, Iterable) else [entry]
    # Plain numbers are the edges of one box.
    several = [listed] if listed and all(isinstance(each, Real) for each in listed) else listed
    return {"boxes": tuple(_to_box(each, image) for each in several)}


def _to_box(entry: Any, image: str) -> Box:
    try:
        edges = entry.as_tuple() if isinstance(entry, Box) else entry
        left, top, right, bottom = map(float, edges)
    except (TypeError, ValueError) as error:
        raise AnnotationError(
            f"image {image!r}: a box is (left, top, right, bottom) in px, not {entry!r}"
        ) from error
    box = Box(left, top, right, bottom)
    if not (np.isfinite(box.as_tuple()).all() and left < right and top < bottom):
        raise AnnotationError(f"image {image!r}: the box {box.as_tuple()} is empty")
    return box


def _parse_mask(entry: Any, image: str) -> dict[str, Any]:
    if isinstance(entry, Mask):
        return {"mask": entry.inside, "ignored": entry.ignored}
    try:
        mask = np.asarray(entry)
    except ValueError as error:  # rows of different lengths
        raise AnnotationError(f"image {image!r}: a mask is (height, width): {error}") from error
    if mask.ndim != 2:
        raise AnnotationError(
            f"image {image!r}: a mask is (height, width), not of shape {mask.shape}"
        )
    return {"mask": mask.astype(bool), "ignored": None}


def _parse_label(entry: Any, image: str) -> dict[str, Any]:
    if isinstance(entry, str):
        return {"label": entry}
    if isinstance(entry, bool) or not hasattr(entry, "__index__"):
        raise AnnotationError(f"image {image!r}: a label is a class index or a name, not {entry!r}")
    return {"label": int(entry)}

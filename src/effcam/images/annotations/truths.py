"""Match annotations in any form with the images of a comparison."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from numbers import Real
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, Union

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

MOST_NAMED = 3
"""How many names a message lists."""


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
    known = GroundTruth(len(images), boxes=boxes, masks=masks, labels=labels)
    known.check(image.name for image in images)
    return known.take(images, range(len(images)))


class GroundTruth:
    """The annotations of the images of a comparison, looked up for some of them at a time."""

    def __init__(
        self, count: int, *, boxes: Boxes = None, masks: Masks = None, labels: Labels = None
    ) -> None:
        """Read the files that are given.

        Args:
            count: The number of images.
            boxes: As in `find_truths`.
            masks: As in `find_truths`.
            labels: As in `find_truths`.

        Raises:
            AnnotationError: If a file is broken.
            ArgumentError: If there is not one entry per image.
        """
        self._count = count
        self._kinds = [
            (_Entries(name, given, read, count), parse)
            for name, given, read, parse in (
                ("boxes", boxes, read_boxes, _parse_boxes),
                ("masks", masks, read_masks, _parse_mask),
                ("labels", labels, read_image_labels, _parse_label),
            )
            if given is not None
        ]

    @property
    def labelled(self) -> bool:
        """Whether labels are given."""
        return any(entries.name == "labels" and not entries.empty for entries, _ in self._kinds)

    def check(self, names: Iterable[str]) -> None:
        """Check that annotations by name fit at least one of the images each.

        Args:
            names: The names of all images.

        Raises:
            AnnotationError: If all names are those of other images.
        """
        waiting = [entries for entries, _ in self._kinds if entries.index is not None]
        first: list[str] = []
        for name in names:
            if not waiting:
                return
            waiting = [entries for entries in waiting if not entries.has(name)]
            if len(first) <= MOST_NAMED:
                first.append(name)
        if waiting:
            raise waiting[0].mismatch(self._count, first)

    def take(self, images: Sequence[ImageRef], positions: Sequence[int]) -> list[Truth]:
        """Return the annotations of some images.

        Args:
            images: The images.
            positions: The position of each among all images.

        Raises:
            AnnotationError: If an entry is not a box, mask or label.
        """
        found = [image.truth or Truth() for image in images]
        for entries, parse in self._kinds:
            for at, (image, position) in enumerate(zip(images, positions, strict=True)):
                entry = entries.get(image.name, position)
                if entry is not None:
                    found[at] = replace(found[at], **parse(entry, image.name))
        return found


class _Entries:
    """Boxes, masks or labels, by image name or one per image."""

    def __init__(
        self, name: str, given: Any, read: Callable[[Any], Mapping[str, Any]], count: int
    ) -> None:
        self.name = name
        self._file = Path(given) if isinstance(given, str | PathLike) else None
        known = read(given) if self._file is not None else given
        self._named = known if isinstance(known, Mapping) else {}
        self._listed = [] if isinstance(known, Mapping) else _one_each(name, known, count)
        self.index = ByName(known) if isinstance(known, Mapping) else None

    @property
    def empty(self) -> bool:
        return self.index is None and all(entry is None for entry in self._listed)

    def has(self, image: str) -> bool:
        return self.index is not None and self.index.find(image) is not None

    def get(self, image: str, position: int) -> Any:
        """Return the entry of an image, ``None`` where there is none."""
        return self._listed[position] if self.index is None else self.index.get(image)

    def mismatch(self, count: int, images: Sequence[str]) -> AnnotationError:
        where = f" in {str(self._file)!r}" if self._file is not None else ""
        return AnnotationError(
            f"there are no {self.name}{where} for any of the {count} images: they are for "
            f"{_listed(self._named)}; the images are {_listed(images)}"
        )


def _one_each(name: str, given: Any, count: int) -> list[Any]:
    try:
        entries = list(given)
    except TypeError as error:
        raise ArgumentError(
            f"{name} must be a file, a mapping by image name, or one entry per image, not "
            f"{type(given).__name__}"
        ) from error
    if len(entries) != count:
        raise ArgumentError(
            f"the number of {name} is {len(entries)}, that of images {count}: give one entry per "
            "image, or a mapping by image name"
        )
    return entries


def _listed(names: Collection[str]) -> str:
    first = ", ".join(repr(name) for name in list(names)[:MOST_NAMED])
    return f"{first}, ..." if len(names) > MOST_NAMED else first or "none"


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

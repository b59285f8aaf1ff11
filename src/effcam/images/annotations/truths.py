"""Match annotations in any form with the images of a comparison."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from numbers import Real
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np

from effcam.errors import AnnotationError, ArgumentError
from effcam.images.annotations import ByName, Mask, read_boxes, read_image_labels, read_masks
from effcam.images.annotations.label_values import Label
from effcam.images.annotations.labels import ImageLabels
from effcam.images.annotations.masks import RelativePolygons
from effcam.images.annotations.objects import AnyBox, RelativeBox, recognise_shares
from effcam.images.geometry import Box
from effcam.images.refs import ImageRef
from effcam.images.tables import is_arrow_column, refuse_table
from effcam.images.truth import NamedClass, Truth

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
    str,
    "PathLike[str]",
    "Mapping[str, ImageLabels | Collection[Label]]",
    "Sequence[ImageLabels | Collection[Label] | None]",
    None,
]
Size: TypeAlias = tuple[int, int]
"""Width and height of an image in px."""

MOST_NAMED = 3
"""How many names a message lists."""


def find_truths(
    images: Sequence[ImageRef],
    boxes: Boxes,
    masks: Masks,
    labels: Labels,
    *,
    sizes: Sequence[Size] | None = None,
) -> list[Truth]:
    """Return the annotations of each image: those given here, else the image's own.

    Args:
        images: The images.
        boxes: Boxes around the objects: a file, a mapping by image name, or one entry per image;
            an entry is a `Box` or (left, top, right, bottom) in px, or several of these. If all
            edges lie between 0 and 1, and one is not a whole number, they are shares of the width
            and height, and marked as `Truth.rescaled`.
        masks: (height, width) arrays, true on objects, likewise; or a folder of mask files.
        labels: Class indices or names, likewise; or a folder with a subfolder for each class. An
            entry may be a collection of all labels of an image, also an empty one.
        sizes: Width and height of each image in px, for annotations in shares of these; ``None``
            opens the images that have such annotations.

    Raises:
        AnnotationError: If a file is broken, has none of the images, or an entry is not valid.
        ArgumentError: If there is not one entry per image.
        ImageError: If an image whose size is needed cannot be read.
    """
    known = GroundTruth(len(images), boxes=boxes, masks=masks, labels=labels)
    known.check(image.name for image in images)
    return known.take(images, range(len(images)), sizes=sizes)


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

    def take(
        self,
        images: Sequence[ImageRef],
        positions: Sequence[int],
        *,
        sizes: Sequence[Size] | None = None,
    ) -> list[Truth]:
        """Return the annotations of some images.

        Args:
            images: The images.
            positions: The position of each among all images.
            sizes: As in `find_truths`.

        Raises:
            AnnotationError: If an entry is not a box, mask or label.
            ImageError: If an image whose size is needed cannot be read.
        """
        found = [image.truth or Truth() for image in images]
        for entries, parse in self._kinds:
            for at, (image, position) in enumerate(zip(images, positions, strict=True)):
                entry = entries.get(image.name, position)
                if entry is not None:
                    known = _Image(image, None if sizes is None else sizes[at])
                    found[at] = replace(found[at], **parse(entry, known, entries.in_shares))
        return found

    def with_labels(self, images: Sequence[ImageRef]) -> list[Truth]:
        """Return the images' own annotations, with the labels given here."""
        own = [image.truth or Truth() for image in images]
        for entries, _ in self._kinds:
            if entries.name == "labels":
                for at, image in enumerate(images):
                    entry = entries.get(image.name, at)
                    if entry is not None:
                        found = _parse_label(entry, _Image(image), False)
                        own[at] = replace(own[at], **found)
        return own


@dataclass(frozen=True, slots=True)
class _Image:
    """An image whose annotations are read, and its width and height in px, if they are known."""

    ref: ImageRef
    known_size: Size | None = None

    @property
    def name(self) -> str:
        return self.ref.name

    @property
    def size(self) -> Size:
        return self.known_size or self.ref.open().size


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
        # Files recognise this by themselves.
        self.in_shares = name == "boxes" and self._file is None and self._are_shares()

    def _are_shares(self) -> bool:
        """Return whether boxes in Python are shares; entries that are no boxes are left out."""
        named = self._named or {f"number {at}": each for at, each in enumerate(self._listed, 1)}
        return recognise_shares(
            (name, box) for name, entry in named.items() for box in _well_formed(entry)
        )

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
    refuse_table(given, name)  # as a list, it is the names of its columns
    try:
        entries = given.to_pylist() if is_arrow_column(given) else list(given)
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


def _parse_boxes(entry: Any, image: _Image, in_shares: bool) -> dict[str, Any]:
    boxes = [_to_box(each, image.name) for each in _several(entry)]
    shares = [box for box in boxes if isinstance(box, RelativeBox)]
    rescaled = in_shares or any(box.recognised for box in shares)
    if shares or (in_shares and boxes):
        boxes = [_in_pixels(box, image.size, in_shares) for box in boxes]
    return {"boxes": tuple(boxes), "rescaled": bool(boxes) and rescaled}


def _several(entry: Any) -> list[Any]:
    """Return the boxes of an entry; plain numbers are the edges of one box."""
    listed = list(entry) if isinstance(entry, Iterable) else [entry]
    return [listed] if listed and all(isinstance(each, Real) for each in listed) else listed


def _in_pixels(box: AnyBox, size: Size, in_shares: bool) -> Box:
    if isinstance(box, RelativeBox):
        return box.in_pixels(size)
    return box.scale(*size) if in_shares else box


def _well_formed(entry: Any) -> list[AnyBox]:
    """Return the boxes of an entry, none if it is not one or several boxes."""
    try:
        return [_to_box(each, "") for each in _several(entry)] if entry is not None else []
    except AnnotationError:  # it is raised where the image is known
        return []


def _to_box(entry: Any, image: str) -> AnyBox:
    if isinstance(entry, RelativeBox):
        return entry
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


def _parse_mask(entry: Any, known: _Image, _: bool) -> dict[str, Any]:
    image = known.name
    if isinstance(entry, RelativePolygons):
        entry = entry.draw(known.size)
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


def _parse_label(entry: Any, image: _Image, _: bool) -> dict[str, Any]:
    """Return the class of an image, or all of its labels."""
    is_several = isinstance(entry, Iterable) and getattr(entry, "ndim", 1) > 0
    if isinstance(entry, str | bytes | NamedClass) or not is_several:
        return {"label": _to_label(entry, image), "labels": None}
    listed = sorted(entry, key=str) if isinstance(entry, Set) else entry
    labels = tuple(_to_label(each, image) for each in listed)
    twice = next((each for each in labels if labels.count(each) > 1), None)
    if twice is not None:
        raise AnnotationError(
            f"image {image.name!r} has the label {twice!r} twice: give the labels that the image "
            "has, each once, and not a number for every label"
        )
    return {"label": None, "labels": labels}


def _to_label(entry: Any, image: _Image) -> Label:
    if isinstance(entry, str | NamedClass):
        return entry
    if isinstance(entry, bool) or not hasattr(entry, "__index__"):
        raise AnnotationError(
            f"image {image.name!r}: a label is a class index or a name, not {entry!r}; several "
            "labels are a list of these"
        )
    return int(entry)

"""Read masks of objects from images, arrays, or COCO files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from PIL import Image, ImageOps

from effcam.errors import AnnotationError
from effcam.images.annotations.coco import is_coco, parse_coco
from effcam.images.annotations.coco_masks import Region, image_size, parse_region
from effcam.images.annotations.name_matching import MASK_SUFFIXES
from effcam.images.annotations.parsing import (
    as_path,
    files_below,
    is_json,
    locating,
    parse_json,
    read_bytes,
)
from effcam.images.decoding import open_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

T = TypeVar("T")

BACKGROUND, IGNORED = 0, 255


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """The pixels of an image that belong to objects.

    Attributes:
        inside: (height, width) bool, true on objects.
        ignored: (height, width) bool, true on pixels without an annotation, never where ``inside``
            is true. ``None`` if there are no such pixels.
    """

    inside: NDArray[np.bool_]
    ignored: NDArray[np.bool_] | None = None


def read_masks(path: str | PathLike[str]) -> Mapping[str, Mask]:
    """Return the masks of objects by image; each is read at every look-up.

    Args:
        path: One of

            - A folder of masks, searched recursively, or a single file. Masks have the names of
              their images, here without suffix: ``bear/1.png`` is ``bear/1``. In a palette image,
              as in Pascal VOC, index 0 is background, 255 is ignored, and all others are objects.
              In any other image all pixels but black and transparent ones are objects. In a
              ``.npy`` array of booleans or integers all values but 0 are objects.
            - COCO's JSON with polygons or run lengths, compressed or not. A pixel is inside a
              polygon if its centre is (by the even-odd rule), so that the polygon (0, 0), (4, 0),
              (4, 4), (0, 4) is 16 pixels. Crowd regions are ignored pixels.

    Raises:
        AnnotationError: If the file is missing, broken, or of another format; for the mask of
            one image, at its look-up.
    """
    with locating(f"masks {str(path)!r}"):
        source = as_path(path)
        if source.is_dir():
            return _masks_in(source)
        if is_json(data := read_bytes(source)):
            return _masks_from_coco(parse_json(data))
        return {source.stem: _read_mask(source)}


class _Opened(Mapping[str, T]):
    """A mapping that makes a value at every look-up."""

    def __init__(self, openers: Mapping[str, Callable[[], T]]) -> None:
        self._openers = openers

    def __getitem__(self, key: str) -> T:
        return self._openers[key]()

    def __contains__(self, key: object) -> bool:
        # The inherited method would make the value.
        return key in self._openers

    def __iter__(self) -> Iterator[str]:
        return iter(self._openers)

    def __len__(self) -> int:
        return len(self._openers)


def _masks_in(folder: Path) -> Mapping[str, Mask]:
    """Return the masks of a folder by their paths in it, without suffix."""
    openers: dict[str, Callable[[], Mask]] = {}
    for file in files_below(folder, MASK_SUFFIXES):
        name = file.relative_to(folder).with_suffix("").as_posix()
        if name in openers:
            raise AnnotationError(f"image {name!r} has two masks, one of them {file.name!r}")
        openers[name] = partial(_open_mask, file)
    if not openers:
        raise AnnotationError(
            f"the folder has no masks, which end in {', '.join(sorted(MASK_SUFFIXES))}"
        )
    return _Opened(openers)


def _open_mask(path: Path) -> Mask:
    with locating(f"mask {str(path)!r}"):
        return _read_mask(path)


def _read_mask(path: Path) -> Mask:
    """Read a mask from an image or an array."""
    try:
        if path.suffix.lower() == ".npy":
            with path.open("rb") as file:
                # Not numpy.load, which also opens archives and, if allowed, pickles.
                array = np.lib.format.read_array(file, allow_pickle=False)
            return _mask_from_array(array)
        with open_file(path) as image:
            return _mask_from_image(image)
    except (AnnotationError, FileNotFoundError):
        raise
    except Exception as error:  # a broken header can make a decoder raise anything
        raise AnnotationError(
            "expected a mask: a PNG or another lossless image, a .npy array, or COCO JSON; it "
            f"cannot be read: {error}"
        ) from error


def _mask_from_array(array: NDArray[Any]) -> Mask:
    shape = " x ".join(map(str, array.shape)) or "()"
    if array.dtype.kind not in "bui" or array.ndim != 2 or not array.size:
        raise AnnotationError(
            f"expected an array of height x width booleans or integers, found {array.dtype} of "
            f"shape {shape}"
        )
    return Mask(array.astype(bool))


def _mask_from_image(image: Image.Image) -> Mask:
    if image.format in ("JPEG", "MPO"):
        raise AnnotationError("JPEG blurs the edges of a mask: save it as PNG")
    upright = ImageOps.exif_transpose(image)
    mode, pixels = upright.mode, np.atleast_3d(np.asarray(upright))
    if mode in ("P", "PA"):
        indices = pixels[:, :, 0]
        ignored = indices == IGNORED
        return Mask((indices != BACKGROUND) & ~ignored, ignored if ignored.any() else None)
    if mode in ("1", "L", "F", "RGB") or mode.startswith("I"):
        return Mask(np.logical_or.reduce(pixels, axis=2))
    if mode in ("LA", "RGBA"):
        colored = np.logical_or.reduce(pixels[:, :, :-1], axis=2)
        return Mask(np.logical_and(colored, pixels[:, :, -1]))
    raise AnnotationError(f"expected a mask in grey, in RGB or with a palette, found mode {mode}")


def _masks_from_coco(document: Mapping[str, Any]) -> Mapping[str, Mask]:
    """Return the masks of a COCO file by image, drawn at every look-up."""
    if not is_coco(document):
        raise AnnotationError("expected COCO JSON, with 'images' and 'annotations'")
    images, annotations = parse_coco(document)
    sizes = {}
    for name, image in images.items():
        with locating(f"image {name!r}"):
            sizes[name] = image_size(image)
    regions: dict[str, list[Region]] = {name: [] for name in images}
    for each in annotations:
        with locating(each.where):
            region = parse_region(each.entry.get("segmentation"), each.crowd, sizes[each.image])
            regions[each.image].append(region)
    if not regions:
        raise AnnotationError("the file lists no images")
    return _Opened({name: partial(_draw, regions[name], sizes[name]) for name in regions})


def _draw(regions: Sequence[Region], size: tuple[int, int]) -> Mask:
    """Draw the mask of an image's regions; pixels of crowd regions are ignored."""
    inside, ignored = np.zeros(size, bool), np.zeros(size, bool)
    for region in regions:
        drawn = region.draw(*size)
        if region.crowd:
            ignored |= drawn
        else:
            inside |= drawn
    ignored &= ~inside
    return Mask(inside, ignored if ignored.any() else None)

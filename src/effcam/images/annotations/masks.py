"""Masks of objects from images, arrays, or COCO's regions."""

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
    parse_json,
    read_bytes,
    telling,
)
from effcam.images.decoding import open_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

T = TypeVar("T")

BACKGROUND, IGNORED = 0, 255


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """Which pixels of an image are the object's.

    Attributes:
        inside: (height, width) bool, true on objects.
        ignored: (height, width) bool, true where nobody said what it is; nowhere where ``inside``
            is. ``None`` if there are no such pixels.
    """

    inside: NDArray[np.bool_]
    ignored: NDArray[np.bool_] | None = None


def read_masks(path: str | PathLike[str]) -> Mapping[str, Mask]:
    """Return the masks of objects by image; each is read, anew, when it is asked for.

    Args:
        path: One of

            - A folder of masks, searched through, or a single one. They are named as their images
              are, here without suffix: ``bear/1.png`` is ``bear/1``. In a palette image, as Pascal
              VOC has them, index 0 is background, 255 is ignored, and all others are objects. In
              any other image all that is not black is object, but for transparent pixels. In a
              ``.npy`` array of booleans or integers all that is not 0 is object.
            - COCO's JSON with polygons or run lengths, compressed or not. A pixel is inside a
              polygon if its centre is (by the even-odd rule), so that the polygon (0, 0), (4, 0),
              (4, 4), (0, 4) is 16 pixels. Crowd regions are ignored pixels.

    Raises:
        AnnotationError: If the file is missing, broken, or of another format; of an image, when
            it is asked for.
    """
    with telling(f"masks {str(path)!r}"):
        source = as_path(path)
        if source.is_dir():
            return _masks_in(source)
        if is_json(data := read_bytes(source)):
            return _masks_from_coco(parse_json(data))
        return {source.stem: _read_mask(source)}


class _Opened(Mapping[str, T]):
    """Values that are made when they are asked for, each time anew."""

    def __init__(self, openers: Mapping[str, Callable[[], T]]) -> None:
        self._openers = openers

    def __getitem__(self, key: str) -> T:
        return self._openers[key]()

    def __contains__(self, key: object) -> bool:
        # The inherited way would make the value.
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
            f"the folder holds no masks, which end in {', '.join(sorted(MASK_SUFFIXES))}"
        )
    return _Opened(openers)


def _open_mask(path: Path) -> Mask:
    with telling(f"mask {str(path)!r}"):
        return _read_mask(path)


def _read_mask(path: Path) -> Mask:
    """Return the mask that an image or an array is."""
    try:
        if path.suffix.lower() == ".npy":
            with path.open("rb") as file:
                # Not numpy.load, which would open archives and, if it were let, pickles.
                array = np.lib.format.read_array(file, allow_pickle=False)
            return _mask_from_array(array)
        with open_file(path) as image:
            return _mask_from_image(image)
    except (AnnotationError, FileNotFoundError):
        raise
    except Exception as error:  # a broken header can make a decoder raise anything
        raise AnnotationError(
            "expected a mask: a PNG or another image without loss, a .npy array, or COCO JSON; "
            f"it cannot be read as such: {error}"
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
    """Return the masks of a COCO file by image; its regions are drawn when they are asked for."""
    if not is_coco(document):
        raise AnnotationError("expected COCO JSON, with 'images' and 'annotations'")
    images, annotations = parse_coco(document)
    sizes = {}
    for name, image in images.items():
        with telling(f"image {name!r}"):
            sizes[name] = image_size(image)
    regions: dict[str, list[Region]] = {name: [] for name in images}
    for each in annotations:
        with telling(each.where):
            region = parse_region(each.entry.get("segmentation"), each.crowd, sizes[each.image])
            regions[each.image].append(region)
    if not regions:
        raise AnnotationError("the file names no images")
    return _Opened({name: partial(_draw, regions[name], sizes[name]) for name in regions})


def _draw(regions: Sequence[Region], size: tuple[int, int]) -> Mask:
    """Return the mask of an image's regions, of which the crowds' are ignored."""
    inside, ignored = np.zeros(size, bool), np.zeros(size, bool)
    for region in regions:
        drawn = region.draw(*size)
        if region.crowd:
            ignored |= drawn
        else:
            inside |= drawn
    ignored &= ~inside
    return Mask(inside, ignored if ignored.any() else None)

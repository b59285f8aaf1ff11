"""Read masks of objects from images, arrays, or COCO files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from xml.etree.ElementTree import Element

import numpy as np
from PIL import Image, ImageOps

from effcam.errors import AnnotationError
from effcam.images.annotations.coco import is_coco, parse_coco
from effcam.images.annotations.coco_masks import fill, image_size, parse_region
from effcam.images.annotations.cvat import images_in_cvat, is_cvat
from effcam.images.annotations.label_studio import is_label_studio, regions_by_image
from effcam.images.annotations.name_matching import MASK_SUFFIXES
from effcam.images.annotations.parsing import (
    as_path,
    files_below,
    is_json,
    load_json,
    locating,
    parse_xml,
    read_bytes,
)
from effcam.images.annotations.yolo import is_yolo, shapes_in_yolo
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


@dataclass(frozen=True, slots=True, eq=False)
class RelativePolygons:
    """The outlines of an image's objects, for any size of the image.

    Attributes:
        polygons: (n, 2) x and y of the corners of each, in shares of the width and height.
    """

    polygons: tuple[NDArray[np.float64], ...]

    def draw(self, size: tuple[int, int]) -> Mask:
        """Return the mask of an image of a (width, height) in px."""
        inside = np.zeros(size[::-1], bool)
        for polygon in self.polygons:
            inside |= fill(polygon * size, size[1], size[0])
        return Mask(inside)


class Drawn(Protocol):
    """A region of an image whose pixels can be drawn."""

    @property
    def crowd(self) -> bool:
        """Whether its pixels are ignored."""

    def draw(self, height: int, width: int) -> NDArray[np.bool_]:
        """Return the (height, width) bool pixels of the region."""


def read_masks(path: str | PathLike[str]) -> Mapping[str, Mask | RelativePolygons]:
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
            - Polygons of YOLO's text files: a folder, its ``data.yaml``, or a single file.
            - JSON of Label Studio with polygons or brushes, XML of CVAT with polygons or masks.
              Other shapes are refused: the mask of their image would not be complete.

    Raises:
        AnnotationError: If the file is missing, broken, or of another format; for the mask of
            one image, at its look-up.
    """
    with locating(f"masks {str(path)!r}"):
        source = as_path(path)
        if source.is_dir():
            return _masks_from_yolo(source) if is_yolo(source) else _masks_in(source)
        data = read_bytes(source)
        if is_json(data):
            document = load_json(data)
            is_tasks = is_label_studio(document)
            return _masks_from_tasks(document) if is_tasks else _masks_from_coco(document)
        if data.lstrip().startswith(b"<"):
            return _masks_from_cvat(parse_xml(data))
        if is_yolo(source):
            return _masks_from_yolo(source)
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


def _masks_from_coco(document: Any) -> Mapping[str, Mask]:
    """Return the masks of a COCO file by image, drawn at every look-up."""
    if not isinstance(document, dict) or not is_coco(document):
        raise AnnotationError("expected COCO JSON, with 'images' and 'annotations'")
    images, annotations = parse_coco(document)
    sizes = {}
    for name, image in images.items():
        with locating(f"image {name!r}"):
            sizes[name] = image_size(image)
    regions: dict[str, list[Drawn]] = {name: [] for name in images}
    for each in annotations:
        with locating(each.where):
            region = parse_region(each.entry.get("segmentation"), each.crowd, sizes[each.image])
            regions[each.image].append(region)
    if not regions:
        raise AnnotationError("the file lists no images")
    return _Opened({name: partial(_draw, regions[name], sizes[name]) for name in regions})


def _masks_from_yolo(path: Path) -> Mapping[str, RelativePolygons]:
    """Return the polygons of YOLO's files by image."""
    found = {}
    for name, shapes in shapes_in_yolo(path).items():
        outlines = []
        for shape in shapes:
            if shape.polygon is None:
                raise AnnotationError(
                    f"image {name!r}: line {shape.number}: expected a polygon, found a box: give "
                    "the files as boxes"
                )
            outlines.append(np.array(shape.polygon))
        found[name] = RelativePolygons(tuple(outlines))
    return found


def _masks_from_tasks(document: Sequence[Any]) -> Mapping[str, Mask]:
    """Return the masks of Label Studio's polygons and brushes by image, drawn at every look-up.

    Images without regions, whose size is not known, are left out.
    """
    openers = {}
    for name, regions in regions_by_image(document).items():
        for region in regions:
            _check_outlined(name, region.kind, ("polygon", "brush"))
        if regions:
            openers[name] = partial(_draw, regions, regions[0].size[::-1])
    if not openers:
        raise AnnotationError("no image has polygons or brushes")
    return _Opened(openers)


def _masks_from_cvat(root: Element) -> Mapping[str, Mask]:
    """Return the masks of CVAT's polygons and masks by image, drawn at every look-up."""
    if not is_cvat(root):
        raise AnnotationError(f"expected <annotations> of CVAT, found <{root.tag}>")
    openers = {}
    for name, image in images_in_cvat(root).items():
        for shape in image.shapes:
            _check_outlined(name, shape.kind, ("polygon", "mask"))
        openers[name] = partial(_draw, image.shapes, image.size[::-1])
    if not openers:
        raise AnnotationError("the file lists no images")
    return _Opened(openers)


def _check_outlined(image: str, kind: str, allowed: tuple[str, str]) -> None:
    if kind not in allowed:
        raise AnnotationError(
            f"image {image!r}: a {kind} is no outline; expected {' or '.join(allowed)}: give the "
            "file as boxes"
        )


def _draw(regions: Sequence[Drawn], size: tuple[int, int]) -> Mask:
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

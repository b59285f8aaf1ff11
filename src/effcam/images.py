"""Whatever holds images, as a list of `ImageRef`: named, in order, opened when needed."""

from __future__ import annotations

import glob
import os
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from io import IOBase
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, Union

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from effcam.errors import ArgumentError, ImageError, did_you_mean
from effcam.truth import Truth

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

SUFFIXES = frozenset(
    {".avif", ".bmp", ".dib", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm"}
    | {".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp"}
)
CHANNELS = (1, 3, 4)
WHITE = (255, 255, 255)
CACHE_BYTES = 512 * 2**20
ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


@dataclass(frozen=True, slots=True, eq=False)
class ImageRef:
    """An image by name, whose pixels are read when they are asked for.

    Attributes:
        name: What it is called in tables and pictures, unique in a comparison.
        source: A path, or the image itself: a PIL image, an array or a tensor.
        truth: What is known of it: its class, boxes around its object, a mask.
    """

    name: str
    source: Any = field(repr=False)
    truth: Truth | None = field(default=None, repr=False)

    def __str__(self) -> str:
        """Returns the name."""
        return self.name

    @property
    def path(self) -> Path | None:
        """The file, ``None`` if the image came from memory."""
        return self.source if isinstance(self.source, Path) else None

    def open(self) -> Image.Image:
        """Returns the image in RGB and upright, the first frame if it is animated.

        Transparent parts lie on white; 16-bit and floating-point pixels are scaled to 8 bits.

        Raises:
            ImageError: If it is missing, empty, truncated, no image, too large or ambiguous.
        """
        try:
            return _read(self.source)
        except ImageError as error:
            raise ImageError(f"image {self.name!r}: {error}") from error.__cause__


class HoldsImage(Protocol):
    """What refers to an image among other things, as a demo scene does."""

    @property
    def ref(self) -> ImageRef:
        """The image."""


ImageLike: TypeAlias = Union[
    str, "PathLike[str]", Image.Image, "NDArray[Any]", "torch.Tensor", ImageRef, HoldsImage
]


def iter_images(
    images: ImageLike | Iterable[ImageLike], *, missing_ok: bool = False
) -> Iterator[ImageRef]:
    """Yields a reference to every image, each name once.

    Args:
        images: A file, a folder (searched through, in natural order), a glob, a PIL image, an
            array or a tensor of one image or, with four dimensions, of a batch, or any iterable
            of these.

        missing_ok: Whether a file that does not exist is yielded too, to fail when it is opened.

    Raises:
        ImageError: If a path does not exist, or a folder or glob holds no image.
        ArgumentError: If something is none of these.
    """
    taken: set[str] = set()
    counts: dict[str, int] = {}
    for ref in _walk(images, missing_ok):
        name = ref.name
        if name in taken and ref.path is not None:
            name = ref.path.as_posix()
        stem = name
        while name in taken:
            counts[stem] = counts.get(stem, 1) + 1
            name = f"{stem} ({counts[stem]})"
        taken.add(name)
        yield ref if name == ref.name else replace(ref, name=name)


def from_folders(
    root: str | PathLike[str],
    *,
    categories: Sequence[str] | None = None,
    per_category: int | None = None,
) -> list[ImageRef]:
    """Returns the images of a tree with one folder a class, the first few of each.

    Args:
        root: The folder that holds the class folders.
        categories: The class folders to take, in this order; ``None`` takes all, in natural order.
        per_category: How many images to take of each, the first in natural order; ``None`` is all.

    Returns:
        The images, category by category, named ``category/file``.

    Raises:
        ImageError: If the root or a category does not exist or holds no image.
        ArgumentError: If ``per_category`` is no whole number from 1 on.

    >>> from_folders("photos", categories=["bear"], per_category=5)
    Traceback (most recent call last):
    effcam.errors.ImageError: folder 'photos' does not exist
    """
    base = Path(root).expanduser()
    if not base.is_dir():
        raise ImageError(f"folder {str(root)!r} does not exist")
    if per_category is not None and (not isinstance(per_category, int) or per_category < 1):
        raise ArgumentError(f"per_category must be 1 or more images, not {per_category!r}")
    if isinstance(categories, str):
        categories = [categories]
    known = [each.name for each in sorted(base.iterdir(), key=_natural) if each.is_dir()]
    names = [name for name in known if not name.startswith(".")]
    if not names:
        raise ImageError(f"folder {str(root)!r} holds no class folders")
    found: list[ImageRef] = []
    for category in names if categories is None else categories:
        if category not in known:
            raise ImageError(
                f"folder {str(root)!r} has no category {category!r}."
                f"{did_you_mean(category, known)} It has {', '.join(names)}."
            )
        files = _files(base / category)[:per_category]
        found += [ImageRef(file.relative_to(base).as_posix(), file) for file in files]
    return found


def cached_opener(most_bytes: int = CACHE_BYTES) -> Callable[[ImageRef], Image.Image]:
    """Returns a function that opens images and keeps the latest, up to a number of bytes.

    Args:
        most_bytes: How much memory the decoded images may take together.
    """
    kept: OrderedDict[ImageRef, Image.Image] = OrderedDict()
    size = 0

    def open_once(ref: ImageRef) -> Image.Image:
        nonlocal size
        if ref in kept:
            kept.move_to_end(ref)
            return kept[ref]
        image = ref.open()
        kept[ref] = image
        size += _bytes(image)
        while size > most_bytes:
            size -= _bytes(kept.popitem(last=False)[1])
        return image

    return open_once


def _bytes(image: Image.Image) -> int:
    # Pillow keeps an RGB pixel in four bytes.
    return 4 * image.width * image.height


def _walk(images: object, missing_ok: bool) -> Iterator[ImageRef]:
    if isinstance(images, ImageRef):
        yield images
    elif isinstance(ref := getattr(images, "ref", None), ImageRef):
        yield ref
    elif isinstance(images, str | PathLike):
        yield from _from_path(images, missing_ok)
    elif isinstance(images, Image.Image):
        yield ImageRef("image", images)
    elif _is_array(images):
        yield from _from_array(images, missing_ok)
    elif isinstance(images, Iterable) and not isinstance(images, bytes | bytearray | IOBase):
        for each in images:
            yield from _walk(each, missing_ok)
    else:
        raise ArgumentError(
            "images must be paths, folders, globs, PIL images, arrays or tensors, or an iterable "
            f"of these, not {type(images).__name__}"
        )


def _from_path(given: str | PathLike[str], missing_ok: bool) -> Iterator[ImageRef]:
    text = os.fspath(given)
    if ADDRESS.match(text):
        raise ImageError(f"{text!r} is an address; effcam reads local files: download it first")
    try:
        path = Path(text).expanduser()
        exists, is_folder = path.exists(), path.is_dir()
    except (OSError, RuntimeError, ValueError) as error:  # no permission, no such home, too long
        raise ImageError(f"image {text!r} cannot be reached: {error}") from error
    if is_folder:
        files = _files(path)
        yield from (ImageRef(file.relative_to(path).as_posix(), file) for file in files)
    elif exists:
        yield ImageRef(path.name, path)
    elif glob.has_magic(text) and (matches := _matches(str(path))):
        yield from (ImageRef(file.name, file) for file in matches)
    elif missing_ok:
        yield ImageRef(path.name, path)
    elif glob.has_magic(text):
        raise ImageError(f"no image file matches {text!r}")
    else:
        raise ImageError(f"image {text!r} does not exist")


def _files(folder: Path) -> list[Path]:
    """Returns the image files below a folder in natural order, without hidden ones."""
    files = [
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    ]
    if not files:
        raise ImageError(
            f"folder {str(folder)!r} holds no images, which end in {', '.join(sorted(SUFFIXES))}"
        )
    return sorted(files, key=_natural)


def _matches(pattern: str) -> list[Path]:
    # Path.glob takes no absolute patterns.
    found = [Path(each) for each in glob.glob(pattern, recursive=True)]  # noqa: PTH207
    files = [path for path in found if path.is_file() and path.suffix.lower() in SUFFIXES]
    return sorted(files, key=_natural)


def _natural(path: Path) -> list[list[tuple[int, str]]]:
    """Returns a sort key that puts ``2.jpg`` before ``10.jpg``, folder by folder."""
    return [
        [(int(piece), "") if piece.isdecimal() else (-1, piece) for piece in pieces]
        for pieces in (re.split(r"(\d+)", part.casefold()) for part in path.parts)
    ]


def _is_array(value: object) -> bool:
    # A tensor is told by its type's name, so that images load no torch; torchvision's and others'
    # tensors are subclasses.
    return isinstance(value, np.ndarray) or any(
        (base.__module__, base.__name__) == ("torch", "Tensor") for base in type(value).__mro__
    )


def _from_array(array: Any, missing_ok: bool) -> Iterator[ImageRef]:
    if isinstance(array, np.ndarray) and array.dtype.kind in "OU":  # a column of a table, say
        yield from _walk(array.tolist(), missing_ok)
    elif array.ndim == 4:
        yield from (ImageRef("image", each) for each in array)
    else:
        yield ImageRef("image", array)


def _read(source: object) -> Image.Image:
    if isinstance(source, Path):
        return _read_file(source)
    if isinstance(source, Image.Image):
        return _decode(source)
    array = source if isinstance(source, np.ndarray) else _to_numpy(source)
    return Image.fromarray(_to_pixels(array))


def _read_file(path: Path) -> Image.Image:
    try:
        if path.stat().st_size == 0:
            raise ImageError("the file is empty")
        with Image.open(path) as image:
            return _decode(image)
    except FileNotFoundError as error:
        raise ImageError("the file does not exist") from error
    except UnidentifiedImageError as error:
        raise ImageError("the file is not an image that can be read") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"the image is too large: {error}") from error
    except OSError as error:
        raise ImageError(f"the file cannot be read: {error}") from error
    except ImageError:
        raise
    except Exception as error:  # a broken header can make a plugin raise anything
        raise ImageError(f"the file cannot be read as an image: {error}") from error


def _decode(image: Image.Image) -> Image.Image:
    """Returns a PIL image upright and in RGB; the image itself stays as it was."""
    if 0 in image.size:
        raise ImageError(f"the image has no pixels, its size is {image.width} x {image.height}")
    try:
        return _to_rgb(ImageOps.exif_transpose(image))
    except ImageError:
        raise
    except Exception as error:  # a broken file can make a decoder raise anything
        raise ImageError(f"the image cannot be decoded: {error}") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return _scale(np.asarray(image)).convert("RGB")
    if image.mode in ("RGBa", "La"):
        image = image.convert("RGBA" if image.mode == "RGBa" else "LA")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, (*WHITE, 255))
        return Image.alpha_composite(ground, image).convert("RGB")
    if image.mode == "LAB":
        return _from_lab(image)
    return image.convert("RGB")


def _from_lab(image: Image.Image) -> Image.Image:
    from PIL import ImageCms

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.applyTransform(image, ImageCms.buildTransform(lab, srgb, "LAB", "RGB"))
    if converted is None:
        raise ImageError("the image's CIELAB colours could not be converted")
    return converted


def _scale(values: NDArray[Any]) -> Image.Image:
    """Returns 16-bit, 32-bit and floating-point pixels as 8-bit ones, scaled and not clipped.

    The range is what the numbers were meant for: [0, 1], [0, 255] or [0, 65535], whichever is the
    smallest that holds them; else their own. Integers start at [0, 65535].
    """
    pixels = values.astype(np.float64)
    if not np.isfinite(pixels).all():
        raise ImageError("the image holds pixels that are not finite numbers")
    low, high = pixels.min(), pixels.max()
    tops = (1, 255, 65535) if values.dtype.kind == "f" else (65535,)
    if low >= 0 and high <= tops[-1]:
        low, high = 0.0, next(top for top in tops if high <= top)
    scaled = (pixels - low) / max(high - low, 1e-300) * 255
    return Image.fromarray(scaled.round().astype(np.uint8))


def _to_numpy(tensor: Any) -> NDArray[Any]:
    try:
        values = tensor.detach().cpu()
        if values.is_floating_point():
            values = values.float()
        array: NDArray[Any] = values.numpy()
    except (RuntimeError, TypeError) as error:  # sparse, quantised, or on the meta device
        raise ImageError(f"the tensor's values cannot be read: {error}") from error
    return array


def _to_pixels(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Returns (height, width, 3) uint8 pixels from an array in any layout that is unambiguous."""
    shape = " x ".join(map(str, array.shape)) or "()"
    if array.size == 0:
        raise ImageError(f"the array has no pixels, its shape is {shape}")
    pixels = _to_uint8(_channels_last(array, shape))
    if pixels.shape[2] == 1:
        return np.repeat(pixels, 3, axis=2)
    if pixels.shape[2] == 4:
        return np.asarray(_to_rgb(Image.fromarray(pixels)))
    return np.ascontiguousarray(pixels)


def _channels_last(array: NDArray[Any], shape: str) -> NDArray[Any]:
    if array.ndim == 2:
        return array[:, :, None]
    if array.ndim != 3:
        raise ImageError(f"the array's shape is {shape}: expected height x width, or with channels")
    first, last = array.shape[0] in CHANNELS, array.shape[2] in CHANNELS
    if first and last:
        raise ImageError(
            f"the array's shape is {shape}, so its channels may come first or last: "
            "pass a PIL image instead"
        )
    if not first and not last:
        raise ImageError(
            f"the array's shape is {shape}: expected 1, 3 or 4 channels, first or last"
        )
    return array.transpose(1, 2, 0) if first else array


def _to_uint8(array: NDArray[Any]) -> NDArray[np.uint8]:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind != "f":
        raise ImageError(f"the array holds {array.dtype}: expected uint8, or floats in [0, 1]")
    if not np.isfinite(array).all():
        raise ImageError("the array holds NaN or infinite values")
    low, high = float(array.min()), float(array.max())
    if low < 0 or high > 1:
        raise ImageError(
            f"the array holds floats from {low:g} to {high:g}: expected [0, 1]; undo a model's "
            "normalisation, or divide by 255, first"
        )
    return (array * 255).round().astype(np.uint8)

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
from PIL import Image

from effcam.decoding import Needed, Photo, read
from effcam.errors import ArgumentError, ImageError, did_you_mean
from effcam.truth import Truth

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

SUFFIXES = frozenset(
    {".avif", ".bmp", ".dib", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm"}
    | {".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp"}
)
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
        Metadata other than the orientation are left out, and no harm is done if they are damaged.

        Files are read as the raster formats of ``effcam.decoding.FORMATS``, whatever their names.
        How large an image may be is Pillow's ``PIL.Image.MAX_IMAGE_PIXELS``, 89 million unless it
        is set: a file that declares more is read with Pillow's ``DecompressionBombWarning``, one
        that declares more than twice as many is refused before it is decoded, and so is the former
        where that warning is an error. While it is read, an image takes up to 13 bytes a pixel.

        Raises:
            ImageError: If it is missing, empty, truncated, no image, too large or ambiguous.
        """
        return self.photo().picture

    def photo(self, needed: Needed | None = None) -> Photo:
        """Returns what `open` does, with its size; perhaps a reduced copy.

        Args:
            needed: Returns the width and height in px to which an image of a width and a height
                will be resized. A JPEG file is then decoded at a half, a quarter or an eighth of
                its size, if that divides its sides and leaves three times as much.

        Raises:
            ImageError: As `open` does.
        """
        try:
            return read(self.source, needed)
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
            of these. What is named as an image in a folder, and is none or a link to nothing,
            fails when it is opened; links to folders are not followed.
        missing_ok: Whether a path that does not exist or cannot be reached is yielded too, to
            fail when it is opened.

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
    if not _is_folder(base):
        raise ImageError(f"folder {str(root)!r} does not exist")
    if per_category is not None and (not isinstance(per_category, int) or per_category < 1):
        raise ArgumentError(f"per_category must be 1 or more images, not {per_category!r}")
    if isinstance(categories, str):
        categories = [categories]
    try:
        known = [each.name for each in sorted(base.iterdir(), key=_natural) if _is_folder(each)]
    except OSError as error:
        raise ImageError(f"folder {str(root)!r} cannot be read: {error}") from error
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
    path = _path(text)
    matches: list[Path] = []
    try:
        exists, is_folder = path.exists(), path.is_dir()
        if glob.has_magic(text) and not exists:
            matches = _matches(str(path))
    except (OSError, ValueError) as error:  # no permission, too long, impossible characters
        if not missing_ok:
            raise ImageError(f"image {text!r} cannot be reached: {error}") from error
        exists = is_folder = False
    if is_folder:
        files = _files(path)
        yield from (ImageRef(file.relative_to(path).as_posix(), file) for file in files)
    elif exists:
        yield ImageRef(path.name, path)
    elif matches:
        yield from (ImageRef(file.name, file) for file in matches)
    elif missing_ok:
        yield ImageRef(path.name, path)
    elif glob.has_magic(text):
        raise ImageError(f"no image file matches {text!r}")
    else:
        raise ImageError(f"image {text!r} does not exist")


def _path(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:  # a file's name that begins with ~, as a home's does
        return Path(text)


def _files(folder: Path) -> list[Path]:
    """Returns what is named as an image below a folder in natural order, without hidden ones."""
    failed: list[OSError] = []
    found = (each for _, names in _folders(folder, failed) for each in names)
    files = [path for path in map(Path, found) if path.suffix.lower() in SUFFIXES]
    if not files and failed:
        raise ImageError(f"folder {str(folder)!r} cannot be read: {failed[0]}") from failed[0]
    if not files:
        raise ImageError(
            f"folder {str(folder)!r} holds no images, which end in {', '.join(sorted(SUFFIXES))}"
        )
    return sorted(files, key=_natural)


def _folders(top: Path, failed: list[OSError]) -> Iterator[tuple[str, list[str]]]:
    """Yields a folder and those below it, each with what it holds beside folders.

    Hidden ones are left out, and links to folders, which may lead back. `os.walk` would fail for
    a thousand folders in one another in Python 3.11.

    Args:
        top: The folder.
        failed: To it is added what was raised by folders that cannot be read.
    """
    waiting = [str(top)]
    while waiting:
        folder = waiting.pop()
        files = []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif not entry.is_symlink() or not _is_folder(entry.path):
                        files.append(entry.path)
        except OSError as error:
            failed.append(error)
        yield folder, files


def _is_folder(path: str | Path) -> bool:
    # Path.is_dir raises where a folder on the way may not be entered.
    return os.path.isdir(path)  # noqa: PTH112


def _matches(pattern: str) -> list[Path]:
    found = dict.fromkeys(map(Path, _expand(Path(pattern).parts)))
    files = [path for path in found if path.suffix.lower() in SUFFIXES and not _is_folder(path)]
    return sorted(files, key=_natural)


def _expand(parts: tuple[str, ...]) -> Iterator[str]:
    """Yields what matches a pattern, whose ``**`` is any number of folders.

    `glob` itself would follow links to folders there, and two that lead back take it for ever.
    """
    before = parts[: parts.index("**")] if "**" in parts else parts
    # Path.glob takes no absolute patterns.
    found = glob.iglob(str(Path(*before)))  # noqa: PTH207
    if before == parts:
        yield from found
        return
    rest = parts[len(before) + 1 :] or ("*",)
    for top in found:
        for folder, _ in _folders(Path(top), []):
            yield from _expand((glob.escape(folder), *rest))


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

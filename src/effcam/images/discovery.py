"""Find images in files, folders, globs and videos, as a list of `ImageRef`."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from io import IOBase
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from effcam.errors import ArgumentError, ImageError, check_number, did_you_mean
from effcam.images.frames import FilmFrame, check_pace, is_film, list_frames
from effcam.images.refs import ImageLike, ImageRef
from effcam.images.video import SUFFIXES as VIDEOS
from effcam.text import natural_key

SUFFIXES = frozenset(
    {
        ".apng",
        ".avif",
        ".bmp",
        ".dib",
        ".gif",
        ".jfif",
        ".jp2",
        ".jpe",
        ".jpeg",
        ".jpg",
        ".pbm",
        ".pgm",
    }
    | {".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp"}
)
AT = " @ "
"""What stands between the name of a film and the time of a frame."""
ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Ways:
    """How images are looked for.

    Attributes:
        missing_ok: Whether what does not exist is yielded too.
        films: Whether films that are named are taken apart.
        every: Which of their frames to take.
        fps: How many of them to take a second.
        found: The films that were taken apart.
    """

    missing_ok: bool
    films: bool = True
    every: int | None = None
    fps: float | None = None
    found: list[Path] = field(default_factory=list)

    @property
    def seeks_films(self) -> bool:
        """Whether films are taken apart that lie in folders."""
        return self.every is not None or self.fps is not None

    @property
    def named(self) -> Collection[str]:
        """The suffixes of what images are made of."""
        return SUFFIXES | VIDEOS if self.films else SUFFIXES

    def frames(self, path: Path, name: str) -> Iterator[ImageRef]:
        """Yield the frames of a film."""
        self.found.append(path)
        try:
            frames = list_frames(path, every=self.every, fps=self.fps)
        except ImageError as error:
            if not self.missing_ok:
                raise ImageError(f"film {name!r}: {error}") from error
            frames = []
            yield ImageRef(name, FilmFrame(path, 0, 0.0, "0:00.000", 0, None, str(error)))
        for frame in frames:
            yield ImageRef(f"{name}{AT}{frame.timecode}", frame)


def iter_images(
    images: ImageLike | Iterable[ImageLike],
    *,
    missing_ok: bool = False,
    every: int | None = None,
    fps: float | None = None,
    films: bool = True,
) -> Iterator[ImageRef]:
    """Yield a reference to every image, each name once.

    Args:
        images: A file, a folder (searched through, in natural order), a glob, a PIL image, an
            array or a tensor of one image or, with four dimensions, of a batch, or any iterable
            of these. What is named as an image in a folder, and is none or a link to nothing,
            fails when it is opened; links to folders are not followed. A video or an animated
            picture that is named, or that a glob matches, means its frames, ``clip.mp4 @
            0:01.200`` and so on. In a folder, videos are left out and animated pictures are one
            image each, unless ``every`` or ``fps`` is given.
        missing_ok: Whether a path that does not exist or cannot be reached is yielded too, to
            fail when it is opened.
        every: Takes each so manieth frame of a film, the first one first; ``None`` takes all.
        fps: Takes so many frames a second of a film's time: at each multiple of 1 / fps s the
            latest frame, but none twice.
        films: Whether films are taken apart; if not, a video stays a file that is no image, and
            an animated picture its first frame.

    Raises:
        ImageError: If a path does not exist, a folder or glob holds no image, or a video cannot
            be read.
        ArgumentError: If something is none of these, ``every`` or ``fps`` is impossible, or there
            is no film that they could be about.
    """
    check_pace(every, fps)
    ways = _Ways(missing_ok, films, every, fps)
    taken: set[str] = set()
    counts: dict[str, int] = {}
    for ref in _walk(images, ways):
        name = ref.name
        if name in taken:
            name = _longer_name(ref)
        stem = name
        while name in taken:
            counts[stem] = counts.get(stem, 1) + 1
            name = f"{stem} ({counts[stem]})"
        taken.add(name)
        yield ref if name == ref.name else replace(ref, name=name)
    if ways.seeks_films and not ways.found:
        given = f"every={every!r}" if fps is None else f"fps={fps!r}"
        raise ArgumentError(
            f"{given} takes frames of videos and animated pictures, and there are none"
        )


def _longer_name(ref: ImageRef) -> str:
    if ref.frame is not None:
        return f"{ref.frame.path.as_posix()}{AT}{ref.frame.timecode}"
    return ref.name if ref.path is None else ref.path.as_posix()


def from_folders(
    root: str | PathLike[str],
    *,
    categories: Sequence[str] | None = None,
    per_category: int | None = None,
) -> list[ImageRef]:
    """Return the images of a tree with one folder a class, the first few of each.

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
    if per_category is not None:
        per_category = check_number("per_category", per_category)
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


def _walk(images: object, ways: _Ways) -> Iterator[ImageRef]:
    if isinstance(images, ImageRef):
        yield images
    elif isinstance(ref := getattr(images, "ref", None), ImageRef):
        yield ref
    elif isinstance(images, str | PathLike):
        yield from _from_path(images, ways)
    elif isinstance(images, Image.Image):
        yield ImageRef("image", images)
    elif _is_array(images):
        yield from _from_array(images, ways)
    elif isinstance(images, Iterable) and not isinstance(images, bytes | bytearray | IOBase):
        for each in images:
            yield from _walk(each, ways)
    else:
        raise ArgumentError(
            "images must be paths, folders, globs, PIL images, arrays or tensors, or an iterable "
            f"of these, not {type(images).__name__}"
        )


def _from_path(given: str | PathLike[str], ways: _Ways) -> Iterator[ImageRef]:
    text = os.fspath(given)
    if ADDRESS.match(text):
        raise ImageError(f"{text!r} is an address; effcam reads local files: download it first")
    path = _path(text)
    matches: list[Path] = []
    try:
        exists, is_folder = path.exists(), path.is_dir()
        if glob.has_magic(text) and not exists:
            matches = _matches(str(path), ways.named)
    except (OSError, ValueError) as error:  # no permission, too long, impossible characters
        if not ways.missing_ok:
            raise ImageError(f"image {text!r} cannot be reached: {error}") from error
        exists = is_folder = False
    if is_folder:
        for file in _files(path, ways.named if ways.seeks_films else SUFFIXES):
            yield from _from_file(file, file.relative_to(path).as_posix(), ways, ways.seeks_films)
    elif exists:
        yield from _from_file(path, path.name, ways, ways.films)
    elif matches:
        for file in matches:
            yield from _from_file(file, file.name, ways, ways.films)
    elif ways.missing_ok:
        yield ImageRef(path.name, path)
    elif glob.has_magic(text):
        raise ImageError(f"no image file matches {text!r}")
    else:
        raise ImageError(f"image {text!r} does not exist")


def _from_file(path: Path, name: str, ways: _Ways, films: bool) -> Iterator[ImageRef]:
    if films and is_film(path):
        yield from ways.frames(path, name)
    else:
        yield ImageRef(name, path)


def _path(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:  # a file's name that begins with ~, as a home's does
        return Path(text)


def _files(folder: Path, suffixes: Collection[str] = SUFFIXES) -> list[Path]:
    """Return what is named as an image below a folder in natural order, without hidden ones."""
    failed: list[OSError] = []
    found = (each for _, names in _folders(folder, failed) for each in names)
    files = [path for path in map(Path, found) if path.suffix.lower() in suffixes]
    if not files and failed:
        raise ImageError(f"folder {str(folder)!r} cannot be read: {failed[0]}") from failed[0]
    if not files:
        raise ImageError(
            f"folder {str(folder)!r} holds no images, which end in {', '.join(sorted(suffixes))}"
        )
    return sorted(files, key=_natural)


def _folders(top: Path, failed: list[OSError]) -> Iterator[tuple[str, list[str]]]:
    """Yield a folder and those below it, each with what it holds beside folders.

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


def _matches(pattern: str, suffixes: Collection[str]) -> list[Path]:
    found = dict.fromkeys(map(Path, _expand(Path(pattern).parts)))
    files = [path for path in found if path.suffix.lower() in suffixes and not _is_folder(path)]
    return sorted(files, key=_natural)


def _expand(parts: tuple[str, ...]) -> Iterator[str]:
    """Yield what matches a pattern, whose ``**`` is any number of folders.

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
    """Return a sort key that puts ``2.jpg`` before ``10.jpg``, folder by folder."""
    return [natural_key(part) for part in path.parts]


def _is_array(value: object) -> bool:
    # A tensor is told by its type's name, so that images load no torch; torchvision's and others'
    # tensors are subclasses.
    return isinstance(value, np.ndarray) or any(
        (base.__module__, base.__name__) == ("torch", "Tensor") for base in type(value).__mro__
    )


def _from_array(array: Any, ways: _Ways) -> Iterator[ImageRef]:
    if isinstance(array, np.ndarray) and array.dtype.kind in "OU":  # a column of a table, say
        yield from _walk(array.tolist(), ways)
    elif array.ndim == 4:
        yield from (ImageRef("image", each) for each in array)
    else:
        yield ImageRef("image", array)

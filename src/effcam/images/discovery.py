"""Find images in files, folders, globs and videos, as a list of `ImageRef`."""

from __future__ import annotations

import glob
import os
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field, replace
from io import IOBase
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from effcam.errors import ArgumentError, ImageError, ImageWarning, check_number, did_you_mean
from effcam.images.file_search import (
    SUFFIXES,
    files_in,
    files_matching,
    is_folder,
    natural_path_key,
)
from effcam.images.frames import FilmFrame, check_pace, has_frames, list_frames
from effcam.images.labelled_datasets import is_dataset, refs_of_dataset
from effcam.images.other_formats import describe_counts
from effcam.images.refs import ImageLike, ImageRef
from effcam.images.tables import is_arrow_column, refuse_mapping, refuse_table
from effcam.images.video import SUFFIXES as VIDEOS

AT = " @ "
"""Separates the name of a video from the time of a frame."""
ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Search:
    """How to search for images.

    Attributes:
        missing_ok: Whether to yield paths that do not exist.
        videos: Whether to split named videos and animated pictures into frames.
        every: Use every n-th of their frames.
        fps: Use this many of their frames per second.
        found: The videos and animated pictures that were split so far.
        others: The numbers of files of formats that are not read, by format.
    """

    missing_ok: bool
    videos: bool = True
    every: int | None = None
    fps: float | None = None
    found: list[Path] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)

    @property
    def split_in_folders(self) -> bool:
        """Whether to split those in folders too."""
        return self.every is not None or self.fps is not None

    @property
    def suffixes(self) -> Set[str]:
        """The suffixes of files that are images, or have frames."""
        return SUFFIXES | VIDEOS if self.videos else SUFFIXES

    def frames(self, path: Path, name: str) -> Iterator[ImageRef]:
        """Yield the frames of a video or an animated picture."""
        self.found.append(path)
        try:
            frames = list_frames(path, every=self.every, fps=self.fps)
        except ImageError as error:
            if not self.missing_ok:
                raise ImageError(f"video {name!r}: {error}") from error
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
    """Yield a reference to every image, each with a unique name.

    Args:
        images: A file, a folder (searched recursively, in natural order), a glob, a PIL image, an
            array or a tensor of one image or, with four dimensions, of a batch, a dataset of
            torchvision, of Hugging Face or any other with positions, whose items are images or
            images and their classes (before its transform), or any iterable of these. A file in a
            folder that has the suffix of an image, but is not one, fails when it is opened; links
            to folders are not followed. A video or an animated picture that is named, or that a
            glob matches, is split into its frames, ``clip.mp4 @ 0:01.200`` and so on. In a folder,
            videos are left out and animated pictures are one image each, unless ``every`` or
            ``fps`` is given. Files of formats that are not read, as HEIC without a plugin or a
            camera's raw format, are left out, which one `effcam.errors.ImageWarning` says.
        missing_ok: Whether to yield a path that does not exist or cannot be reached; it fails
            when it is opened.
        every: Use every n-th frame of a video, starting with the first; ``None`` uses all.
        fps: Use this many frames per second of a video: at each multiple of 1 / fps s the latest
            frame, none twice.
        films: Whether to split videos and animated pictures; if not, a video is a file that is
            not an image, and an animated picture is its first frame.

    Raises:
        ImageError: If a path does not exist, a folder or glob has no images, or a video cannot be
            read.
        ArgumentError: If an entry is of another type, ``every`` or ``fps`` is impossible, or one
            is given and there is no video.
    """
    check_pace(every, fps)
    search = _Search(missing_ok, films, every, fps)
    taken: set[str] = set()
    counts: dict[str, int] = {}
    for ref in _walk(images, search):
        name = ref.name
        if name in taken:
            name = _longer_name(ref)
        stem = name
        while name in taken:
            counts[stem] = counts.get(stem, 1) + 1
            name = f"{stem} ({counts[stem]})"
        taken.add(name)
        yield ref if name == ref.name else replace(ref, name=name)
    _warn_of_others(search.others)
    if search.split_in_folders and not search.found:
        given = f"every={every!r}" if fps is None else f"fps={fps!r}"
        raise ArgumentError(
            f"{given} chooses frames of videos and animated pictures, but there are none"
        )


def _warn_of_others(others: Counter[str]) -> None:
    if others:
        warnings.warn(
            f"left out: {describe_counts(others)}. If you name one of them, the error says what "
            "to do.",
            ImageWarning,
            stacklevel=3,
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
    """Return the images of a tree with one folder per class, optionally the first few of each.

    Args:
        root: The folder that contains the class folders.
        categories: The class folders to use, in this order; ``None`` uses all, in natural order.
        per_category: How many images of each to use, the first in natural order; ``None`` is all.

    Returns:
        The images, category by category, named ``category/file``.

    Raises:
        ImageError: If the root or a category does not exist or has no images.
        ArgumentError: If ``per_category`` is not a whole number of at least 1.

    >>> from_folders("photos", categories=["bear"], per_category=5)
    Traceback (most recent call last):
    effcam.errors.ImageError: folder 'photos' does not exist
    """
    base = Path(root).expanduser()
    if not is_folder(base):
        raise ImageError(f"folder {str(root)!r} does not exist")
    if per_category is not None:
        per_category = check_number("per_category", per_category)
    if isinstance(categories, str):
        categories = [categories]
    try:
        entries = sorted(base.iterdir(), key=natural_path_key)
    except OSError as error:
        raise ImageError(f"folder {str(root)!r} cannot be read: {error}") from error
    known = [each.name for each in entries if is_folder(each)]
    names = [name for name in known if not name.startswith(".")]
    if not names:
        raise ImageError(f"folder {str(root)!r} has no class folders")
    found: list[ImageRef] = []
    others: Counter[str] = Counter()
    for category in names if categories is None else categories:
        if category not in known:
            raise ImageError(
                f"folder {str(root)!r} has no category {category!r}."
                f"{did_you_mean(category, known)} It has {', '.join(names)}."
            )
        files = files_in(base / category, others=others)[:per_category]
        found += [ImageRef(file.relative_to(base).as_posix(), file) for file in files]
    _warn_of_others(others)
    return found


def _walk(images: Any, search: _Search) -> Iterator[ImageRef]:
    if isinstance(images, ImageRef):
        yield images
    elif isinstance(ref := getattr(images, "ref", None), ImageRef):
        yield ref
    elif isinstance(images, str | PathLike):
        yield from _from_path(images, search)
    elif isinstance(images, Image.Image):
        yield ImageRef("image", images)
    elif _is_array(images):
        yield from _from_array(images, search)
    else:
        refuse_table(images)
        yield from _from_several(images, search)


def _from_several(images: Any, search: _Search) -> Iterator[ImageRef]:
    if is_dataset(images):
        yield from refs_of_dataset(images)
        return
    refuse_mapping(images)
    if is_arrow_column(images):
        yield from _walk(images.to_pylist(), search)
    elif isinstance(images, Iterable) and not isinstance(images, bytes | bytearray | IOBase):
        for each in images:
            yield from _walk(each, search)
    else:
        raise ArgumentError(
            "images must be paths, folders, globs, PIL images, arrays, tensors or datasets, or an "
            f"iterable of these, not {type(images).__name__}"
        )


def _from_path(given: str | PathLike[str], search: _Search) -> Iterator[ImageRef]:
    text = os.fspath(given)
    if ADDRESS.match(text):
        raise ImageError(
            f"{text!r} is an address, but effcam reads local files only: download it first"
        )
    path = _path(text)
    matches: list[Path] = []
    try:
        exists, searched = path.exists(), path.is_dir()
        if glob.has_magic(text) and not exists:
            matches = files_matching(str(path), search.suffixes, search.others)
    except (OSError, ValueError) as error:  # no permission, too long, invalid characters
        if not search.missing_ok:
            raise ImageError(f"image {text!r} cannot be reached: {error}") from error
        exists = searched = False
    if searched:
        suffixes = search.suffixes if search.split_in_folders else SUFFIXES
        for file in files_in(path, suffixes, search.others):
            yield from _from_file(
                file, file.relative_to(path).as_posix(), search, search.split_in_folders
            )
    elif exists:
        yield from _from_file(path, path.name, search, search.videos)
    elif matches:
        for file in matches:
            yield from _from_file(file, file.name, search, search.videos)
    elif search.missing_ok:
        yield ImageRef(path.name, path)
    elif glob.has_magic(text):
        others = f", but {describe_counts(search.others)}" if search.others else ""
        raise ImageError(f"no image file matches {text!r}{others}")
    else:
        raise ImageError(f"image {text!r} does not exist")


def _from_file(path: Path, name: str, search: _Search, split: bool) -> Iterator[ImageRef]:
    if split and has_frames(path):
        yield from search.frames(path, name)
    else:
        yield ImageRef(name, path)


def _path(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:  # the name of a file that begins with ~, as a home folder does
        return Path(text)


def _is_array(value: object) -> bool:
    # Recognise a tensor by its type's name, so that torch is not imported; the tensors of
    # torchvision and others are subclasses.
    return isinstance(value, np.ndarray) or any(
        (base.__module__, base.__name__) == ("torch", "Tensor") for base in type(value).__mro__
    )


def _from_array(array: Any, search: _Search) -> Iterator[ImageRef]:
    if (
        isinstance(array, np.ndarray) and array.dtype.kind in "OU"
    ):  # for example a column of a table
        yield from _walk(array.tolist(), search)
    elif array.ndim == 4:
        yield from (ImageRef("image", each) for each in array)
    else:
        yield ImageRef("image", array)

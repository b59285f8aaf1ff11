"""Digests of the images that a run's targets compare with, so that another query is noticed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from effcam.images.discovery import iter_images
from effcam.targets.outputs import Similar
from effcam.targets.plain import PlainTarget, singles

DIGITS = 16


def digest_compared(target: PlainTarget) -> dict[str, str]:
    """Return a digest of the content of each file, folder or glob that images are compared with.

    Args:
        target: The target, without images in memory.

    Returns:
        The digests by path, as it was given.

    Raises:
        ImageError: If there is no such file, or no image in a folder.
    """
    given = (each for each in singles(target) if isinstance(each, Similar))
    paths = dict.fromkeys(str(path) for each in given for path in each.files)
    return {path: _digest(path) for path in paths}


def _digest(path: str) -> str:
    found = hashlib.sha256()
    for file in _files(path):
        with file.open("rb") as stream:
            found.update(hashlib.file_digest(stream, "sha256").digest())
    return found.hexdigest()[:DIGITS]


def _files(path: str) -> Iterator[Path]:
    """Yield the image files that a path stands for, in order; a video is one."""
    refs = list(iter_images(path))
    files = [ref.path if ref.frame is None else ref.frame.path for ref in refs]
    yield from dict.fromkeys(Path(each) for each in files if each is not None)

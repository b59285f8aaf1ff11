"""Which entry of a file means which image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Generic, TypeVar

from effcam.errors import ArgumentError

T = TypeVar("T")

MASK_SUFFIXES = frozenset(
    {".bmp", ".gif", ".npy", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff"}
)
# What the same image may end in here and there: photo.JPEG, its photo.jpg and its mask photo.png.
IMAGE_SUFFIXES = MASK_SUFFIXES | {
    *(".avif", ".dib", ".heic", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".jxl", ".tga", ".webp")
}


class ByName(Generic[T]):
    """Finds what is known of an image, whichever folders lead to it here and there.

    Two names may mean the same image if their file names are the same, with or without the
    suffixes that images have. Of several entries the one is found that shares most folders with
    the name, counted from the file up; then the one with the same suffix. If only one has that
    file name, it is found whatever its folders: ``cat/1.jpg`` for ``JPEGImages/1.jpg``.

    >>> boxes = ByName({"JPEGImages/1.jpg": "a bear", "2": "a cat"})
    >>> boxes.get("bear/1.jpg"), boxes.get("2.jpg"), boxes.get("3.jpg")
    ('a bear', 'a cat', None)
    """

    def __init__(self, known: Mapping[str, T]) -> None:
        self._known = known
        self._exact: dict[str, list[str]] = {}
        self._bare: dict[str, list[str]] = {}
        for key in known:
            for tail in _tails(key):
                self._exact.setdefault(tail, []).append(key)
                self._bare.setdefault(_without_suffix(tail), []).append(key)

    def get(self, name: str) -> T | None:
        """Return what is known of an image, ``None`` if nothing is.

        Raises:
            ArgumentError: If two entries are equally like the name.
        """
        key = self.find(name)
        return None if key is None else self._known[key]

    def find(self, name: str) -> str | None:
        """Return the name by which an image is known, ``None`` if it is not.

        Raises:
            ArgumentError: If two entries are equally like the name.
        """
        if name in self._known:
            return name
        tails = list(_tails(name))
        for tail in reversed(tails):
            found = self._exact.get(tail) or self._bare.get(_without_suffix(tail), [])
            if len(found) > 1 and tail == tails[-1]:
                # All of the name is matched: an entry without further folders is the same path.
                depth = len(_parts(name))
                found = [key for key in found if len(_parts(key)) == depth] or found
            if len(found) > 1:
                raise ArgumentError(
                    f"image {name!r} may be {found[0]!r} or {found[1]!r}: both names end alike, so "
                    "name the images by more of their paths"
                )
            if found:
                return found[0]
        return None


def _parts(name: str) -> tuple[str, ...]:
    # Tables written on Windows say JPEGImages\1.jpg.
    return PurePosixPath(name.replace("\\", "/")).parts


def _tails(name: str) -> Iterator[str]:
    """Yield the ends of a path: 1.jpg, bear/1.jpg and so on."""
    parts = _parts(name)
    for start in reversed(range(len(parts))):
        yield "/".join(parts[start:])


def _without_suffix(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return stem if stem and f"{dot}{suffix}".lower() in IMAGE_SUFFIXES else name

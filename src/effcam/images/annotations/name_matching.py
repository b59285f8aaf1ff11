"""Match the names in annotation files with those of images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Generic, TypeVar

from effcam.errors import ArgumentError

T = TypeVar("T")

MASK_SUFFIXES = frozenset(
    {".bmp", ".gif", ".npy", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff"}
)
# Suffixes that may differ between files about one image: photo.JPEG, photo.jpg, mask photo.png.
IMAGE_SUFFIXES = MASK_SUFFIXES | {
    *(".avif", ".dib", ".heic", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".jxl", ".tga", ".webp")
}


class ByName(Generic[T]):
    """Look up annotations by image name, even if the folders of the names differ.

    Two names match if their file names are equal, with or without the suffix of an image. Of
    several entries, the one with the most common folders, counted from the file up, is chosen, then
    the one with the same suffix. A single entry with the file name matches whatever its folders:
    ``cat/1.jpg`` for ``JPEGImages/1.jpg``.

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
        """Return the entry of an image, ``None`` if there is none.

        Raises:
            ArgumentError: If two entries match equally well.
        """
        key = self.find(name)
        return None if key is None else self._known[key]

    def find(self, name: str) -> str | None:
        """Return the name of the entry of an image, ``None`` if there is none.

        Raises:
            ArgumentError: If two entries match equally well.
        """
        if name in self._known:
            return name
        tails = list(_tails(name))
        for tail in reversed(tails):
            found = self._exact.get(tail) or self._bare.get(_without_suffix(tail), [])
            if len(found) > 1 and tail == tails[-1]:
                # The whole name matches: prefer an entry with the same path, without more folders.
                depth = len(_parts(name))
                found = [key for key in found if len(_parts(key)) == depth] or found
            if len(found) > 1:
                raise ArgumentError(
                    f"image {name!r} may be {found[0]!r} or {found[1]!r}: add more folders to the "
                    "names of the images"
                )
            if found:
                return found[0]
        return None


def _parts(name: str) -> tuple[str, ...]:
    # Tables from Windows contain JPEGImages\1.jpg.
    return PurePosixPath(name.replace("\\", "/")).parts


def _tails(name: str) -> Iterator[str]:
    """Yield the ends of a path: 1.jpg, bear/1.jpg and so on."""
    parts = _parts(name)
    for start in reversed(range(len(parts))):
        yield "/".join(parts[start:])


def _without_suffix(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return stem if stem and f"{dot}{suffix}".lower() in IMAGE_SUFFIXES else name

"""Animated pictures: files that Pillow reads as several frames."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from effcam.errors import ImageError
from effcam.images.decoding import check_file, decode, message_of, open_file, readable
from effcam.images.video import Entry

SUFFIXES = frozenset({".apng", ".avif", ".gif", ".png", ".webp"})
FORMATS = ("GIF", "WEBP", "PNG", "AVIF")
SHORTEST, USUAL = 0.02, 0.1
"""Viewers show a frame of less than `SHORTEST` s for `USUAL` s."""


def is_animated(path: Path) -> bool:
    """Return whether a file is a picture of several frames; False if it cannot be read."""
    if path.suffix.lower() not in SUFFIXES:
        return False
    try:
        with open_file(path, FORMATS) as image:
            return bool(getattr(image, "is_animated", False))
    except Exception:  # noqa: BLE001  # a broken file can make a decoder raise anything
        return False


class Animation:
    """An animated picture, decoded from its first frame on."""

    def __init__(self, path: Path) -> None:
        """Open a file.

        Raises:
            ImageError: If it is missing, not a picture, or too large.
        """
        try:
            check_file(path)
            self._file = path.open("rb")
        except OSError as error:
            raise ImageError(f"the file cannot be read: {message_of(error)}") from error
        try:
            self._image = Image.open(self._file, formats=readable(FORMATS))
        except BaseException as error:
            self._file.close()
            if isinstance(error, UnidentifiedImageError):
                raise ImageError("the file is not an image that can be read") from error
            if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
                raise ImageError(f"the image is too large: {message_of(error)}") from error
            if isinstance(error, Exception) and not isinstance(error, ImageError):
                raise ImageError(f"the file cannot be read: {message_of(error)}") from error
            raise
        # The default image is for viewers without animation, and not one of the frames.
        self._first = int(bool(self._image.info.get("default_image")))

    def close(self) -> None:
        """Close the file."""
        self._image.close()
        self._file.close()

    def frames(self, key: int | None, *, rewind: bool = False) -> Iterator[tuple[int, Image.Image]]:
        """Yield all frames from the first one on, in RGB, each with its number.

        Raises:
            ImageError: If one cannot be decoded.
        """
        del key, rewind  # each frame is stored as a change of the one before
        for number in count(self._first):
            try:
                self._image.seek(number)
            except EOFError:
                return
            except Exception as error:  # a broken file can make a decoder raise anything
                raise ImageError(f"the image cannot be decoded: {message_of(error)}") from error
            yield number - self._first, decode(self._image)

    def picture(self, frame: Image.Image) -> Image.Image:
        """Return a copy of a frame."""
        return frame.copy()

    @staticmethod
    def size(frame: Image.Image) -> int:
        """Return the size of a frame in bytes: Pillow stores an RGB pixel in four."""
        return 4 * frame.width * frame.height

    def seconds(self) -> float:
        """Return for how many seconds viewers show the frame that was read last."""
        duration = float(self._image.info.get("duration") or 0) / 1000
        return duration if duration >= SHORTEST else USUAL


def index(path: Path) -> list[Entry]:
    """Return the frames of an animated picture, in order, after decoding all of it.

    The first frame that cannot be decoded is the last one that is listed.

    Raises:
        ImageError: If it is missing, not a picture, or too large.
    """
    animation = Animation(path)
    entries: list[Entry] = []
    time = 0.0
    try:
        for number, _ in animation.frames(None):
            entries.append(Entry(time, number, None))
            time += animation.seconds()
    except ImageError as error:
        entries.append(Entry(time, len(entries), None, str(error)))
    finally:
        animation.close()
    return entries

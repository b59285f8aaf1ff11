"""Animated pictures: files that Pillow reads as several frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count, pairwise
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from effcam.errors import ImageError
from effcam.images.decoding import check_file, decode, message_of, open_file, readable
from effcam.images.notes import pillow_silenced
from effcam.images.video import Entry

SUFFIXES = frozenset({".apng", ".avif", ".gif", ".png", ".webp"})
FORMATS = ("GIF", "WEBP", "PNG", "AVIF")
USUAL = 0.1
"""Viewers show a frame for which a file states no time, or 0, for this many seconds."""
SHORTEST_IN_GIF = 0.02
"""Viewers show a frame of a GIF of less than this many seconds for `USUAL` s.

The other formats state short times in earnest: they have units of 1 ms or less, GIF of 10 ms.
"""


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
            with pillow_silenced():
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
                with pillow_silenced():
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

    def stated(self) -> tuple[float | None, float]:
        """Return when the frame that was read last begins and for how long it lasts, in s.

        The beginning is ``None`` if the format states only durations; a duration of 0 is none.
        """
        begin = self._image.info.get("timestamp")
        duration = float(self._image.info.get("duration") or 0) / 1000
        if self._image.format == "GIF" and duration < SHORTEST_IN_GIF:
            duration = 0.0
        return None if begin is None else float(begin) / 1000, duration


def index(path: Path) -> list[Entry]:
    """Return the frames of an animated picture, in order, after decoding all of it.

    The first frame that cannot be decoded is the last one that is listed.

    Raises:
        ImageError: If it is missing, not a picture, or too large.
    """
    animation = Animation(path)
    stated: list[tuple[float | None, float]] = []
    problem = ""
    try:
        for _ in animation.frames(None):
            stated.append(animation.stated())  # noqa: PERF401 - keep those before an error
    except ImageError as error:
        problem = str(error)
    finally:
        animation.close()
    entries: list[Entry] = []
    time = 0.0
    for number, duration in enumerate(_durations(stated)):
        entries.append(Entry(time, number, None, duration=duration))
        time += duration
    if problem:
        entries.append(Entry(time, len(entries), None, problem))
    return entries


def _durations(stated: Sequence[tuple[float | None, float]]) -> list[float]:
    """Return for how many seconds each frame is shown.

    Args:
        stated: When each begins, ``None`` if unknown, and how long it lasts, in s.
    """
    lasting = [duration for _, duration in stated]
    for at, ((begin, _), (end, _)) in enumerate(pairwise(stated)):
        # Times are rounded to ms: 60 durations of 1 / 60 s would add up to 1.02 s.
        if begin is not None and end is not None:
            lasting[at] = end - begin
    return [duration if duration > 0 else USUAL for duration in lasting]

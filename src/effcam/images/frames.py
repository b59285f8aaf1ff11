"""Films: the frames of videos and animated pictures, told apart by time and opened when needed."""

from __future__ import annotations

import math
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from effcam.errors import ArgumentError, ImageError, check_number
from effcam.images import animation, video
from effcam.images.animation import Animation, is_animated
from effcam.images.decoding import told
from effcam.images.video import Video

if TYPE_CHECKING:
    from PIL import Image

MOST_OPEN = 3
"""How many films are kept open at once: batches overlap, and so do films that follow another."""
KEPT_BYTES = 64 * 2**20
"""How much memory the latest frames of a film may take: threads ask a little out of order."""
NEAR = 16
"""How many frames ahead are decoded rather than jumped to: a jump empties the decoder."""
ROUNDING = 1e-6
"""By how much a frame may come late, in s: times are rounded to a file's own units."""


@dataclass(frozen=True, slots=True)
class FilmFrame:
    """A frame of a film: what an image of one is read from. It can be pickled.

    Attributes:
        path: The film's file.
        index: Which of the film's frames it is, from 0.
        time: When it shows, in s from the first frame on.
        timecode: The same as text, as ``0:01.200``.
        stamp: What the file knows it by.
        key: What the file knows the frame by from which on it is decoded; ``None`` is the first.
        problem: Why it cannot be read; empty if it can.
    """

    path: Path
    index: int
    time: float
    timecode: str
    stamp: int = field(repr=False)
    key: int | None = field(repr=False)
    problem: str = ""

    def follows(self, other: FilmFrame) -> bool:
        """Return whether it is a later frame of the same film."""
        return self.path == other.path and self.index > other.index


def is_video(path: Path) -> bool:
    """Return whether a file is named as a video."""
    return path.suffix.lower() in video.SUFFIXES


def is_film(path: Path) -> bool:
    """Return whether a file is named as a video, or is an animated picture."""
    return is_video(path) or is_animated(path)


def list_frames(
    path: Path, *, every: int | None = None, fps: float | None = None
) -> list[FilmFrame]:
    """Return frames of a film, in order.

    All of it is decoded once, as the number of frames is known from nothing else.

    Args:
        path: The file.
        every: Takes each so manieth frame, the first one first.
        fps: Takes so many frames a second of the film's time: at each multiple of 1 / fps s the
            latest frame, but none twice.

    Raises:
        ImageError: If it is missing, no film or too large; if it is a video, and PyAV is not there.
    """
    entries = (video.index if is_video(path) else animation.index)(path)
    hours = entries[-1].time >= 3600
    frames = [
        FilmFrame(path, number, entry.time, _timecode(entry.time, hours), *entry[1:])
        for number, entry in enumerate(entries)
    ]
    if every is not None:
        return frames[::every]
    return frames if fps is None else _at_rate(frames, fps)


def check_pace(every: object, fps: object) -> None:
    """Check that at most one of two ways to take frames is given, and is possible.

    Raises:
        ArgumentError: If not.
    """
    if every is not None and fps is not None:
        raise ArgumentError("every and fps both say which frames to take: give one of them")
    if every is not None:
        check_number("every", every)
    if fps is not None and (
        isinstance(fps, bool) or not isinstance(fps, Real) or not 0 < float(fps) < math.inf
    ):
        raise ArgumentError(f"fps must be a number of frames a second above 0, not {fps!r}")


def spacing(frames: Sequence[FilmFrame | None]) -> float | None:
    """Return how far frames of one film are apart, in s, the mean over them.

    It is ``None`` where they are not of one film, not in order, or not two.
    """
    known = [frame for frame in frames if frame is not None]
    if len(known) < max(len(frames), 2):
        return None
    if not all(other.follows(one) for one, other in pairwise(known)):
        return None
    return (known[-1].time - known[0].time) / (len(known) - 1) or None


def _at_rate(frames: Sequence[FilmFrame], fps: float) -> list[FilmFrame]:
    """Return each frame that is the latest one at a multiple of 1 / fps s, while the film runs."""
    times = [frame.time - ROUNDING for frame in frames]
    last = times[-1] - times[-2] if len(times) > 1 else 0.0
    ends = [*times[1:], times[-1] + max(last, ROUNDING)]
    return [
        frame
        for frame, begin, end in zip(frames, times, ends, strict=True)
        if math.ceil(begin * fps) / fps < end
    ]


def _timecode(seconds: float, hours: bool) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    second = f"{rest // 1000:02d}.{rest % 1000:03d}"
    return f"{minutes // 60}:{minutes % 60:02d}:{second}" if hours else f"{minutes}:{second}"


# reading, each film by one decoder that goes on from where it is


class _Reader(Protocol):
    """What reads a film forward."""

    def frames(self, key: int | None, *, tries: int = 0) -> Iterator[tuple[int, Any]]: ...
    def picture(self, frame: Any) -> Image.Image: ...
    def size(self, frame: Any) -> int: ...
    def close(self) -> None: ...


class _Film:
    """An open film: where its decoder is, and the latest frames."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._reader: _Reader | None = None
        self._coming: Iterator[tuple[int, Any]] = iter(())
        self._at: int | None = None
        self._index = 0
        self._kept: OrderedDict[int, Any] = OrderedDict()
        self._bytes = 0
        self._retired = False

    def read(self, frame: FilmFrame) -> Image.Image:
        """Return a frame.

        Raises:
            ImageError: If it cannot be read.
        """
        with self._lock:
            if self._reader is None:
                self._reader = Video(self._path) if is_video(self._path) else Animation(self._path)
            reader = self._reader
            try:
                found = self._find(reader, frame)
            finally:
                if self._retired:
                    self._close()
        if found is None:
            raise ImageError("the frame cannot be decoded")
        # Beside the other threads: this takes as long as decoding.
        return reader.picture(found)

    def close(self) -> None:
        """Close the file once nobody reads from it; who still comes closes it again."""
        with self._lock:
            self._retired = True
            self._close()

    def _close(self) -> None:
        if self._reader is not None:
            self._reader.close()
        self._reader, self._at, self._coming = None, None, iter(())
        self._kept.clear()
        self._bytes = 0

    def _find(self, reader: _Reader, frame: FilmFrame) -> Any:
        found = self._seek(reader, frame)
        self._index = frame.index
        return found

    def _seek(self, reader: _Reader, frame: FilmFrame) -> Any:
        if frame.stamp in self._kept:
            return self._kept[frame.stamp]
        key = frame.key
        near = key is None or self._index < frame.index <= self._index + NEAR
        if self._at is not None and self._at < frame.stamp and (near or (key or 0) <= self._at):
            found = self._forward(reader, frame.stamp)
            if found is not None:
                return found
        # Some files' indices lead to a later frame than they should.
        for tries in range(1 if key is None else 3):
            self._coming = reader.frames(key, tries=tries)
            found = self._forward(reader, frame.stamp)
            if found is not None:
                return found
        return None

    def _forward(self, reader: _Reader, stamp: int) -> Any:
        """Return the frame of a stamp if it comes, and keeps the latest on the way."""
        for at, each in self._coming:
            self._at = at
            self._keep(at, each, reader.size(each))
            if at >= stamp:
                return each if at == stamp else None
        self._at = None
        return None

    def _keep(self, stamp: int, frame: Any, size: int) -> None:
        if stamp not in self._kept:
            self._kept[stamp] = frame
            self._bytes += size
        while self._bytes > KEPT_BYTES and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= self._reader.size(oldest) if self._reader else 0


_films: OrderedDict[tuple[object, ...], _Film] = OrderedDict()
_films_lock = threading.Lock()


def read_frame(frame: FilmFrame) -> Image.Image:
    """Return a frame of a film in RGB, upright, with square pixels, transparent parts on white.

    The film stays open, and the frames that come next are read the faster; `close_films` closes it.

    Raises:
        ImageError: If the film is gone, or the frame cannot be decoded.
    """
    if frame.problem:
        raise ImageError(frame.problem)
    return _film(frame.path).read(frame)


def close_films() -> None:
    """Close the films that are open; they open again when a frame is read."""
    with _films_lock:
        known = list(_films.values())
        _films.clear()
    for each in known:
        each.close()


@contextmanager
def closing_films() -> Iterator[None]:
    """Close, at the end, the films that were opened."""
    try:
        yield
    finally:
        close_films()


def _film(path: Path) -> _Film:
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise ImageError("the file does not exist") from error
    except OSError as error:
        raise ImageError(f"the file cannot be read: {told(error)}") from error
    # A file that was written anew is another one.
    key = (path.absolute(), status.st_ino, status.st_size, status.st_mtime_ns)
    with _films_lock:
        found = _films.setdefault(key, _Film(path))
        _films.move_to_end(key)
        surplus = [_films.popitem(last=False)[1] for _ in range(len(_films) - MOST_OPEN)]
    for each in surplus:
        each.close()
    return found


def _forget() -> None:
    """Leave a forked process without the films that another thread was opening meanwhile."""
    global _films_lock  # noqa: PLW0603 - it may be held by a thread that is not there
    _films_lock = threading.Lock()
    _films.clear()


if hasattr(os, "register_at_fork"):
    # Decoders have threads, which a forked process does not have.
    os.register_at_fork(before=close_films, after_in_child=_forget)

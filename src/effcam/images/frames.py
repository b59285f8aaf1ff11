"""Frames of videos and animated pictures, listed by time and decoded when needed."""

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
from effcam.images.decoding import message_of
from effcam.images.video import Video

if TYPE_CHECKING:
    from PIL import Image

MOST_OPEN = 3
"""How many videos stay open at once: batches overlap, and so do consecutive videos."""
KEPT_BYTES = 64 * 2**20
"""Memory for the latest frames of a video: threads ask for frames slightly out of order."""
NEAR = 16
"""How many frames ahead to decode instead of seeking: a seek empties the decoder."""
ROUNDING = 1e-6
"""By how much a frame may be late, in s: files round times to their own units."""


@dataclass(frozen=True, slots=True)
class FilmFrame:
    """Reference to one frame of a video or an animated picture. It can be pickled.

    Attributes:
        path: The file.
        index: The number of the frame, from 0.
        time: When it is shown, in s from the first frame.
        timecode: The same as text, as ``0:01.200``.
        stamp: The frame's identifier in the file.
        key: The identifier of the frame where decoding must start; ``None`` is the first frame.
        problem: Why it cannot be read; empty if it can.
        duration: For how long it is shown, in s; 0 if that is unknown.
    """

    path: Path
    index: int
    time: float
    timecode: str
    stamp: int = field(repr=False)
    key: int | None = field(repr=False)
    problem: str = ""
    duration: float = 0.0

    def follows(self, other: FilmFrame) -> bool:
        """Return whether it is a later frame of the same video."""
        return self.path == other.path and self.index > other.index


def is_video(path: Path) -> bool:
    """Return whether a file has the suffix of a video."""
    return path.suffix.lower() in video.SUFFIXES


def has_frames(path: Path) -> bool:
    """Return whether a file has the suffix of a video, or is an animated picture."""
    return is_video(path) or is_animated(path)


def list_frames(
    path: Path, *, every: int | None = None, fps: float | None = None
) -> list[FilmFrame]:
    """Return the frames of a video or an animated picture, in order.

    The whole file is decoded once: nothing else gives the number of frames reliably.

    Args:
        path: The file.
        every: Use every n-th frame, starting with the first.
        fps: Use this many frames per second of the video: at each multiple of 1 / fps s the latest
            frame, none twice.

    Raises:
        ImageError: If it is missing, has no frames or is too large, or if it is a video and PyAV
            is not installed.
    """
    entries = (video.index if is_video(path) else animation.index)(path)
    hours = entries[-1].time >= 3600
    ends = [*(entry.time for entry in entries[1:]), entries[-1].time + entries[-1].duration]
    frames = [
        FilmFrame(
            path,
            number,
            entry.time,
            _timecode(entry.time, hours),
            entry.stamp,
            entry.key,
            entry.problem,
            end - entry.time,
        )
        for number, (entry, end) in enumerate(zip(entries, ends, strict=True))
    ]
    if every is not None:
        return frames[::every]
    return frames if fps is None else _at_rate(frames, fps)


def check_pace(every: object, fps: object) -> None:
    """Check ``every`` and ``fps``, of which at most one may be given.

    Raises:
        ArgumentError: If both are given, or one has an impossible value.
    """
    if every is not None and fps is not None:
        raise ArgumentError("every and fps both choose frames: give only one of them")
    if every is not None:
        check_number("every", every)
    if fps is not None and (
        isinstance(fps, bool) or not isinstance(fps, Real) or not 0 < float(fps) < math.inf
    ):
        raise ArgumentError(f"fps must be a number of frames per second above 0, not {fps!r}")


def spacing(frames: Sequence[FilmFrame | None]) -> float | None:
    """Return the mean time for which frames of one video are shown, in s.

    Of frames that follow each other without a gap, this includes the duration of the last one, so
    that a copy of them lasts as long as they do. Otherwise it is the mean time from each to the
    next. It is ``None`` if they are not of one video, not in order, or fewer than two.
    """
    known = [frame for frame in frames if frame is not None]
    if len(known) < max(len(frames), 2):
        return None
    if not all(other.follows(one) for one, other in pairwise(known)):
        return None
    first, last = known[0], known[-1]
    if last.duration and last.index - first.index == len(known) - 1:
        return (last.time + last.duration - first.time) / len(known)
    return (last.time - first.time) / (len(known) - 1) or None


def _at_rate(frames: Sequence[FilmFrame], fps: float) -> list[FilmFrame]:
    """Return each frame that is the latest one at a multiple of 1 / fps s of the video."""
    times = [frame.time - ROUNDING for frame in frames]
    # What cannot be read at the end has no duration: it may last as long as the frame before it.
    before = times[-1] - times[-2] if len(times) > 1 else 0.0
    ends = [*times[1:], times[-1] + max(frames[-1].duration or before, ROUNDING)]
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


# Reading: one decoder per open video, which continues from its position.


class _Reader(Protocol):
    """Decodes a file forward."""

    def frames(self, key: int | None, *, rewind: bool = False) -> Iterator[tuple[int, Any]]: ...
    def picture(self, frame: Any) -> Image.Image: ...
    def size(self, frame: Any) -> int: ...
    def close(self) -> None: ...


class _OpenVideo:
    """An open video: its decoder, the decoder's position, and the latest frames."""

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
        # Outside the lock, so that threads run in parallel: this takes as long as decoding.
        return reader.picture(found)

    def close(self) -> None:
        """Close the file after the read in progress; a later read closes it again at its end."""
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
        # Some files have an index that leads past the frame: then decode from the first one.
        for rewind in (False,) if key is None else (False, True):
            self._coming = reader.frames(key, rewind=rewind)
            found = self._forward(reader, frame.stamp)
            if found is not None:
                return found
        return None

    def _forward(self, reader: _Reader, stamp: int) -> Any:
        """Return the frame of a stamp if it comes, and keep the latest frames on the way."""
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


_open_videos: OrderedDict[tuple[object, ...], _OpenVideo] = OrderedDict()
_open_videos_lock = threading.Lock()


def read_frame(frame: FilmFrame) -> Image.Image:
    """Return a frame in RGB, upright, with square pixels, transparent parts on white.

    The file stays open, so that the next frames are read faster; `close_videos` closes it.

    Raises:
        ImageError: If the file is gone, or the frame cannot be decoded.
    """
    if frame.problem:
        raise ImageError(frame.problem)
    return _open_video(frame.path).read(frame)


def close_videos() -> None:
    """Close the videos that are open; they open again when a frame is read."""
    with _open_videos_lock:
        known = list(_open_videos.values())
        _open_videos.clear()
    for each in known:
        each.close()


@contextmanager
def closing_videos() -> Iterator[None]:
    """Close at the end the videos that were opened."""
    try:
        yield
    finally:
        close_videos()


def _open_video(path: Path) -> _OpenVideo:
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise ImageError("the file does not exist") from error
    except OSError as error:
        raise ImageError(f"the file cannot be read: {message_of(error)}") from error
    # A file that was rewritten is another file.
    key = (path.absolute(), status.st_ino, status.st_size, status.st_mtime_ns)
    with _open_videos_lock:
        found = _open_videos.setdefault(key, _OpenVideo(path))
        _open_videos.move_to_end(key)
        surplus = [
            _open_videos.popitem(last=False)[1] for _ in range(len(_open_videos) - MOST_OPEN)
        ]
    for each in surplus:
        each.close()
    return found


def _forget() -> None:
    """Drop, in a forked process, the videos that another thread was opening during the fork."""
    global _open_videos_lock  # noqa: PLW0603 - a thread that was not forked may hold it
    _open_videos_lock = threading.Lock()
    _open_videos.clear()


if hasattr(os, "register_at_fork"):
    # Decoders have threads, which a fork does not copy.
    os.register_at_fork(before=close_videos, after_in_child=_forget)

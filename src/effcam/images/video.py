"""Video files, decoded forward frame by frame with PyAV.

Python opens the files and passes them to FFmpeg as streams, and FFmpeg may open nothing else: a
playlist with the suffix of a video could make it read other files, or contact servers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from effcam.errors import ImageError
from effcam.images.decoding import TURNS, check_file, check_pixels, decode, message_of

if TYPE_CHECKING:
    from types import ModuleType

    from av import Packet, VideoFrame

SUFFIXES = frozenset(
    {".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"}
    | {".mts", ".ogv", ".webm", ".wmv"}
)
OPTIONS = {
    # The formats that are read, whatever a file's suffix: no playlists or lists of other files.
    "format_whitelist": "mov,matroska,avi,mpegts,mpeg,mpegvideo,ogg,asf,flv",
    "protocol_whitelist": "none",
}
INDEXED = ("mov", "matroska", "avi")
DAMAGED = "the frame, or one that it depends on, is damaged"
GUESSED_RATE = 25
"""Frames per second, if a file has neither times nor a rate."""
LATE_SECONDS, LATE_SHARE = 0.5, 0.05
"""How much shorter than stated a video may be, in s and as a share, before this is an error."""
UNKNOWN_COLOURS, HIGH = 2, 720
"""Players assume HDTV's colours for videos of this height in px or more that do not state them."""
ORIENTATIONS = {
    (-1, 0, 0, 1): 2,
    (-1, 0, 0, -1): 3,
    (1, 0, 0, -1): 4,
    (0, 1, 1, 0): 5,
    (0, 1, -1, 0): 6,
    (0, -1, -1, 0): 7,
    (0, -1, 1, 0): 8,
}
"""Exif's orientation by the signs of a display matrix (a, b, c, d): right (a, b), down (c, d)."""


class Entry(NamedTuple):
    """A frame in the list of a file's frames.

    Attributes:
        time: When it is shown, in s from the first frame.
        stamp: Its identifier: its time in the file's own units, or its number.
        key: The stamp of a key frame from which it can be decoded; ``None`` if stamps are
            numbers, and decoding starts at the first frame.
        problem: Why it cannot be read; empty if it can.
        duration: For how long it is shown, in s; 0 if the file does not say. It is needed for the
            last frame only: all others are shown until the next one.
    """

    time: float
    stamp: int
    key: int | None
    problem: str = ""
    duration: float = 0.0


class _Packet(NamedTuple):
    """What a file states of a frame: its stamp, whether it is a key frame, its duration in s."""

    stamp: int
    is_key: bool
    duration: float


class Video:
    """A video file, decoded forward from the current position.

    Attributes:
        lost: Whether something could not be decoded.
        stream: PyAV's video stream.
    """

    def __init__(self, path: Path) -> None:
        """Open a file at its first frame.

        Raises:
            ImageError: If it is missing, not a video or too large, or PyAV is not installed.
        """
        self._av = _require_av()
        self._path = path
        self.lost = False
        self._open()
        # Read now: `picture` runs outside the lock, and another thread may have closed the file.
        self._aspect: Fraction | None = self.stream.sample_aspect_ratio

    def _open(self) -> None:
        try:
            check_file(self._path)
            self._file = self._path.open("rb")
        except OSError as error:
            raise ImageError(f"the file cannot be read: {message_of(error)}") from error
        try:
            # Passed as `options` they would go to the streams too, which crashes the process if a
            # file declares its streams late.
            self._container = self._av.open(
                self._file, metadata_errors="replace", container_options=OPTIONS
            )
            self.stream = self._find_stream()
        except (self._av.FFmpegError, OSError, ValueError) as error:
            self.close()
            if isinstance(error, ImageError):
                raise
            raise ImageError("the file is not a video that can be read") from error
        except BaseException:
            self.close()
            raise

    def _find_stream(self) -> Any:
        # "best" ranks cover pictures of music files last.
        stream = self._container.streams.best("video")
        if stream is None:
            raise ImageError("the file contains no video")
        context = stream.codec_context
        check_pixels(*_displayed((context.width, context.height), stream.sample_aspect_ratio))
        stream.thread_type = "AUTO"
        if Image.MAX_IMAGE_PIXELS is not None:  # frames may be larger than declared
            context.options = {"max_pixels": str(2 * Image.MAX_IMAGE_PIXELS)}
        return stream

    @property
    def seeks(self) -> bool:
        """Whether the file has an index of key frames."""
        return self._container.format.name.split(",")[0] in INDEXED

    @property
    def duration(self) -> float:
        """The declared duration of the video in s; 0 if there is none."""
        stream = self.stream
        if stream.duration is not None and stream.time_base:
            return float(stream.duration * stream.time_base)
        # Matroska's form: 00:01:02.345000000
        found = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
        return 3600.0 * int(found[1]) + 60.0 * int(found[2]) + float(found[3]) if found else 0.0

    def close(self) -> None:
        """Close the file."""
        container = getattr(self, "_container", None)
        if container is not None:
            container.close()
        self._file.close()

    def frames(self, key: int | None, *, rewind: bool = False) -> Iterator[tuple[int, VideoFrame]]:
        """Yield the undamaged frames from a key frame on, or one before it, with their stamps.

        Args:
            key: The stamp of the key frame; ``None`` if stamps are numbers.
            rewind: Whether to start at the first frame instead.
        """
        self._go(None if rewind else key)
        for number, frame in enumerate(self.decode()):
            stamp = number if key is None else frame.pts
            if stamp is not None and not frame.is_corrupt:
                yield stamp, frame

    def _go(self, stamp: int | None) -> None:
        """Go to the last key frame at or before a stamp, or to the first frame."""
        if stamp is not None:
            try:
                self._container.seek(stamp, stream=self.stream)
            except self._av.FFmpegError:
                stamp = None
        if stamp is None:
            self.close()
            self._open()

    def decode(self, note: Callable[[Packet[Any]], object] | None = None) -> Iterator[VideoFrame]:
        """Yield the frames that can be decoded from here on; set `lost` if some cannot.

        Args:
            note: Called with each packet before it is decoded.
        """
        packets = self._container.demux(self.stream)
        while True:
            try:
                packet = next(packets, None)
            except self._av.FFmpegError:
                self.lost = True
                return
            if packet is None:
                return
            if note is not None:
                note(packet)
            try:
                decoded = packet.decode()
            except self._av.FFmpegError:
                self.lost = True
                continue
            yield from decoded

    def picture(self, frame: VideoFrame) -> Image.Image:
        """Return a frame in RGB, upright, with square pixels, transparent parts on white."""
        picture = _to_picture(frame)
        size = _displayed(picture.size, self._aspect)
        if size != picture.size:
            check_pixels(*size)
            picture = picture.resize(size, Image.Resampling.BICUBIC)
        turn = TURNS.get(_orientation(frame))
        return picture if turn is None else picture.transpose(turn)

    @staticmethod
    def size(frame: VideoFrame) -> int:
        """Return the size of a frame in bytes."""
        return sum(plane.buffer_size for plane in frame.planes)


def index(path: Path) -> list[Entry]:
    """Return the frames of a video, in order, after decoding all of it.

    Decoding is the only reliable source: a file's own figures may be wrong, and some packets
    contain no visible frame.

    Raises:
        ImageError: If it is missing, not a video or too large, or PyAV is not installed.
    """
    video = Video(path)
    packets: list[_Packet] = []

    def note(packet: Packet[Any]) -> None:
        if packet.pts is not None and not packet.is_discard:
            duration = float((packet.duration or 0) * (packet.time_base or 0))
            packets.append(_Packet(packet.pts, packet.is_keyframe, duration))

    try:
        shown = [(frame.pts, frame.is_corrupt) for frame in video.decode(note)]
        if not shown:
            raise ImageError("no frame of the video can be decoded")
        entries = _timed(video, shown, packets) or _counted(video, [each for _, each in shown])
        return _ended(video, entries, packets)
    finally:
        video.close()


def _timed(
    video: Video, shown: Sequence[tuple[int | None, bool]], packets: Sequence[_Packet]
) -> list[Entry]:
    """Return the frames by their times; none if these are unknown or out of order."""
    numbers = {stamp: number for number, (stamp, _) in enumerate(shown) if stamp is not None}
    unit = video.stream.time_base
    if not unit or len(numbers) < len(shown) or any(a >= b for a, b in pairwise(numbers)):
        return []
    broken = {stamp for stamp, damaged in shown if damaged and stamp is not None}
    if video.lost:
        # Without loss, packets without a frame are never shown, as VP8's reference frames.
        broken |= {packet.stamp for packet in packets} - numbers.keys()
    keys = {packet.stamp for packet in packets if packet.is_key}
    stamps = sorted({*numbers, *broken})
    entries, key, problem = [], stamps[0], ""
    for stamp in stamps:
        if stamp in keys and stamp not in broken:
            key, problem = stamp, ""
        elif stamp in broken:
            problem = DAMAGED
        time = float((stamp - stamps[0]) * unit)
        if video.seeks:
            entries.append(Entry(time, stamp, key, problem))
        else:  # times are unreliable after a seek
            entries.append(Entry(time, numbers.get(stamp, 0), None, problem))
    return entries


def _counted(video: Video, damaged: Sequence[bool]) -> list[Entry]:
    """Return the frames by their numbers, evenly spaced in time."""
    rate = video.stream.average_rate or video.stream.guessed_rate or GUESSED_RATE
    entries = [
        Entry(float(number / rate), number, None, DAMAGED if each else "")
        for number, each in enumerate(damaged)
    ]
    if video.lost:
        problem = "some frames cannot be decoded, and the file does not show which"
        entries.append(Entry(float(len(damaged) / rate), len(damaged), None, problem))
    return entries


def _ended(video: Video, entries: Sequence[Entry], packets: Sequence[_Packet]) -> list[Entry]:
    """Return the frames with the duration of the last one.

    If the file declares more than there is, an entry for the missing frames follows.
    """
    last = entries[-1]
    durations = {packet.stamp: packet.duration for packet in packets}
    usual = last.time / max(len(entries) - 1, 1)
    found = last.time + ((last.key is not None and durations.get(last.stamp)) or usual)
    stated = video.duration
    margin = max(LATE_SECONDS, LATE_SHARE * stated)
    # Durations are stored in the order of decoding, so the last frame's own may be another's; their
    # sum is that of all frames, and shows that none is missing.
    is_whole = sum(durations.values()) >= stated - margin
    if stated > last.time and (found > stated + margin or (found < stated - margin and is_whole)):
        found = stated
    ended = [*entries[:-1], last._replace(duration=found - last.time)]
    if stated - found <= margin:
        return ended
    problem = f"the video ends after {found:.3f} s, but {stated:.3f} s are declared"
    return [*ended, Entry(found, last.stamp + 1, last.key, problem)]


def _displayed(size: tuple[int, int], aspect: Fraction | None) -> tuple[int, int]:
    """Return the size at which pixels of an aspect ratio are square; no side shrinks."""
    if not aspect or aspect <= 0:
        return size
    width, height = size
    return (round(width * aspect), height) if aspect > 1 else (width, round(height / aspect))


def _to_picture(frame: VideoFrame) -> Image.Image:
    from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

    transparent = any(component.is_alpha for component in frame.format.components)
    colours = None
    if frame.colorspace == UNKNOWN_COLOURS:
        colours = Colorspace.ITU709 if frame.height >= HIGH else Colorspace.ITU601
    # A new reformatter: the frame's own would keep threads alive as long as the frame.
    pixels = VideoReformatter().reformat(
        frame,
        format="rgba" if transparent else "rgb24",
        src_colorspace=colours,
        dst_color_range=ColorRange.JPEG,
    )
    return decode(Image.fromarray(pixels.to_ndarray()))


def _orientation(frame: VideoFrame) -> int:
    """Return the orientation of a frame as Exif numbers it: 1 is upright."""
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return 1
    numbers = np.frombuffer(bytes(matrix)[:36], np.int32).astype(np.int64)
    if numbers.size < 9:
        return 1
    # The nearest quarter turn, at any scale.
    axes = numbers[[0, 1, 3, 4]].reshape(2, 2)
    strong = np.abs(axes) == np.abs(axes).max(axis=1, keepdims=True)
    a, b, c, d = (np.sign(axes) * strong).ravel().tolist()
    return ORIENTATIONS.get((a, b, c, d), 1)


def _require_av() -> ModuleType:
    try:
        import av
    except ImportError as error:
        raise ImageError("reading videos needs PyAV: pip install 'effcam[video]'") from error
    return av

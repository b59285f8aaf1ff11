"""Video files, read forward frame by frame: what PyAV is known for, beside writing.

Files are opened by Python and handed to FFmpeg as streams, which may open nothing else: a playlist
under a video's name would have it read other files, or ask servers.
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
from effcam.images.decoding import TURNS, check_file, check_pixels, decode, told

if TYPE_CHECKING:
    from types import ModuleType

    from av import Packet, VideoFrame

SUFFIXES = frozenset(
    {".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"}
    | {".mts", ".ogv", ".webm", ".wmv"}
)
OPTIONS = {
    # What files are read as, whatever their names: no playlists, nothing made of other files.
    "format_whitelist": "mov,matroska,avi,mpegts,mpeg,mpegvideo,ogg,asf,flv",
    "protocol_whitelist": "none",
}
INDEXED = ("mov", "matroska", "avi")
DAMAGED = "the frame, or one that it builds on, is damaged"
GUESSED_RATE = 25
"""Frames a second where a file tells neither their times nor their rate."""
LATE_SECONDS, LATE_SHARE = 0.5, 0.05
"""How far a film may end before the end that it states without a word."""
EARLIER = 10.0
"""How far before a key frame to look for it, in s, where a file's index does not lead to it."""
UNKNOWN_COLOURS, HIGH = 2, 720
"""Players hold videos that do not tell, from this height in px on, to have HDTV's colours."""
ORIENTATIONS = {
    (-1, 0, 0, 1): 2,
    (-1, 0, 0, -1): 3,
    (1, 0, 0, -1): 4,
    (0, 1, 1, 0): 5,
    (0, 1, -1, 0): 6,
    (0, -1, -1, 0): 7,
    (0, -1, 1, 0): 8,
}
"""Exif's orientation by the signs of a display matrix: right is (a, b), down is (c, d)."""


class Entry(NamedTuple):
    """A frame in a film's index.

    Attributes:
        time: When it shows, in s from the first one on.
        stamp: What it is found by: its time in the file's own units, or its number.
        key: The stamp of a frame from which on it can be decoded; ``None`` where stamps are
            numbers, and all are decoded from the first one on.
        problem: Why it cannot be read; empty if it can.
    """

    time: float
    stamp: int
    key: int | None
    problem: str = ""


class Video:
    """A video file, decoded forward from where it was sent.

    Attributes:
        lost: Whether something could not be decoded.
        stream: What PyAV knows of the video.
    """

    def __init__(self, path: Path) -> None:
        """Open a file, at its first frame.

        Raises:
            ImageError: If it is missing, no video or too large, or PyAV is not there.
        """
        self._av = _require_av()
        self._path = path
        self.lost = False
        self._open()
        # Pictures are made of frames beside other threads, which may close the file meanwhile.
        self._aspect: Fraction | None = self.stream.sample_aspect_ratio

    def _open(self) -> None:
        try:
            check_file(self._path)
            self._file = self._path.open("rb")
        except OSError as error:
            raise ImageError(f"the file cannot be read: {told(error)}") from error
        try:
            # As `options` these would also go to the streams, which kills the process where a
            # file tells of its streams late.
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
        # The pictures that are stored with music count least.
        stream = self._container.streams.best("video")
        if stream is None:
            raise ImageError("the file holds no video")
        context = stream.codec_context
        check_pixels(*_displayed((context.width, context.height), stream.sample_aspect_ratio))
        stream.thread_type = "AUTO"
        if Image.MAX_IMAGE_PIXELS is not None:  # frames may be larger than the file says
            context.options = {"max_pixels": str(2 * Image.MAX_IMAGE_PIXELS)}
        return stream

    @property
    def seeks(self) -> bool:
        """Whether the file has an index that leads to key frames."""
        return self._container.format.name.split(",")[0] in INDEXED

    @property
    def duration(self) -> float:
        """How long the file says that the video is, in s; 0 if it does not."""
        stream = self.stream
        if stream.duration is not None and stream.time_base:
            return float(stream.duration * stream.time_base)
        # As Matroska writes it: 00:01:02.345000000
        found = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
        return 3600.0 * int(found[1]) + 60.0 * int(found[2]) + float(found[3]) if found else 0.0

    def close(self) -> None:
        """Close the file."""
        container = getattr(self, "_container", None)
        if container is not None:
            container.close()
        self._file.close()

    def frames(self, key: int | None, *, tries: int = 0) -> Iterator[tuple[int, VideoFrame]]:
        """Yield the whole frames from a key frame on, or one before it, with their stamps.

        Args:
            key: The stamp of the key frame; ``None`` where stamps are numbers.
            tries: How often that led too far: then it is from further before, at last from the
                first frame on.
        """
        self._go(None if key is None or tries > 1 else key - tries * self._earlier())
        for number, frame in enumerate(self.decode()):
            stamp = number if key is None else frame.pts
            if stamp is not None and not frame.is_corrupt:
                yield stamp, frame

    def _go(self, stamp: int | None) -> None:
        """Go to the last key frame at or before a stamp, else to the first frame."""
        if stamp is not None:
            try:
                self._container.seek(stamp, stream=self.stream)
            except self._av.FFmpegError:
                stamp = None
        if stamp is None:
            self.close()
            self._open()

    def _earlier(self) -> int:
        return int(EARLIER / (self.stream.time_base or 1))

    def decode(self, note: Callable[[Packet[Any]], object] | None = None) -> Iterator[VideoFrame]:
        """Yield what can be decoded from here on; `lost` becomes true where something cannot.

        Args:
            note: Is told of each packet before it is decoded.
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
        """Return how many bytes a frame takes."""
        return sum(plane.buffer_size for plane in frame.planes)


def index(path: Path) -> list[Entry]:
    """Return the frames of a video, in order, after decoding all of it.

    What a file says of itself may be wrong, and some packets hold no frame that is shown.

    Raises:
        ImageError: If it is missing, no video or too large, or PyAV is not there.
    """
    video = Video(path)
    packets: list[tuple[int, bool]] = []

    def note(packet: Packet[Any]) -> None:
        if packet.pts is not None and not packet.is_discard:
            packets.append((packet.pts, packet.is_keyframe))

    try:
        shown = [(frame.pts, frame.is_corrupt) for frame in video.decode(note)]
        if not shown:
            raise ImageError("no frame of the video can be decoded")
        entries = _timed(video, shown, packets) or _counted(video, [each for _, each in shown])
        return entries + _missing(video, entries)
    finally:
        video.close()


def _timed(
    video: Video, shown: Sequence[tuple[int | None, bool]], packets: Sequence[tuple[int, bool]]
) -> list[Entry]:
    """Return the frames by their times; none where these are unknown or out of order."""
    numbers = {stamp: number for number, (stamp, _) in enumerate(shown) if stamp is not None}
    unit = video.stream.time_base
    if not unit or len(numbers) < len(shown) or any(a >= b for a, b in pairwise(numbers)):
        return []
    broken = {stamp for stamp, damaged in shown if damaged and stamp is not None}
    if video.lost:
        # Else what gives no frame is not meant to be shown, as VP8's reference frames.
        broken |= {stamp for stamp, _ in packets} - numbers.keys()
    keys = {stamp for stamp, is_key in packets if is_key}
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
        else:  # times are unsure after a jump
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
        problem = "some frames cannot be decoded, and it is not known which"
        entries.append(Entry(float(len(damaged) / rate), len(damaged), None, problem))
    return entries


def _missing(video: Video, entries: Sequence[Entry]) -> list[Entry]:
    """Return what stands for the frames after the last one, if the file says there are some."""
    last, stated = entries[-1], video.duration
    found = last.time + last.time / max(len(entries) - 1, 1)
    if stated - found <= max(LATE_SECONDS, LATE_SHARE * stated):
        return []
    problem = f"the video ends after {found:.3f} s of the {stated:.3f} s it is said to have"
    return [Entry(found, last.stamp + 1, last.key, problem)]


def _displayed(size: tuple[int, int], aspect: Fraction | None) -> tuple[int, int]:
    """Return the size at which pixels of an aspect ratio are square; none is lost."""
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
    # One of its own: PyAV's would keep threads alive for as long as the frame lives.
    pixels = VideoReformatter().reformat(
        frame,
        format="rgba" if transparent else "rgb24",
        src_colorspace=colours,
        dst_color_range=ColorRange.JPEG,
    )
    return decode(Image.fromarray(pixels.to_ndarray()))


def _orientation(frame: VideoFrame) -> int:
    """Return how a frame lies, as Exif counts: 1 is upright."""
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return 1
    numbers = np.frombuffer(bytes(matrix)[:36], np.int32).astype(np.int64)
    if numbers.size < 9:
        return 1
    # By quarters of a turn, whatever the scale.
    axes = numbers[[0, 1, 3, 4]].reshape(2, 2)
    strong = np.abs(axes) == np.abs(axes).max(axis=1, keepdims=True)
    a, b, c, d = (np.sign(axes) * strong).ravel().tolist()
    return ORIENTATIONS.get((a, b, c, d), 1)


def _require_av() -> ModuleType:
    try:
        import av
    except ImportError as error:
        raise ImageError(
            "videos are read through PyAV, which is not there: pip install 'effcam[video]'"
        ) from error
    return av

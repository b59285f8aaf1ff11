"""Encode pixels as pictures, animations and videos."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from effcam.drawing.formats import ANIMATION_SUFFIXES, FORMATS, IMAGE_SUFFIXES, Encoding
from effcam.drawing.webp_still import keep_duration
from effcam.errors import ArgumentError, OutputError
from effcam.files import atomic

if TYPE_CHECKING:
    from av import VideoFrame
    from numpy.typing import NDArray
    from PIL import Image


# Players stutter below about ten frames a second, so a still becomes several frames. These take
# almost no bytes, but they take time, so their number is limited.
_LEAST_RATE, _MOST_REPEATS = 10, 100
# BT.709 in limited range, with sRGB's curve, by the numbers of ITU-T H.273. Without these, players
# guess by the height of a video.
_COLOURS = {"color_range": 1, "colorspace": 1, "color_primaries": 1, "color_trc": 13}
LONGEST_SECONDS = 655.35


def write_image(picture: Image.Image, path: Path) -> Path:
    """Write a picture in the format that the suffix names, and return the path.

    Raises:
        OutputError: If the suffix is not one of `IMAGE_SUFFIXES`, the picture is too large for the
            format, or the file cannot be written.
    """
    path = Path(path)
    encoding = FORMATS[_known_suffix(path, IMAGE_SUFFIXES, "pictures")].picture or {}
    _check_size(picture.size, path)
    with atomic(path) as temporary:
        _encode([np.asarray(picture.convert("RGB"))], temporary, encoding)
    return path


def check_seconds(seconds: float) -> None:
    """Check the time for which a frame shows, in s.

    Raises:
        ArgumentError: If it is out of range.
    """
    if not isinstance(seconds, int | float) or not 0 < seconds <= LONGEST_SECONDS:
        raise ArgumentError(
            f"a frame shows for more than 0 and at most {LONGEST_SECONDS} seconds, not {seconds!r}."
        )


def write_animation(frames: Iterable[Image.Image], path: Path, *, seconds: float = 1.0) -> Path:
    """Write frames as an animation in the format that the suffix names, and return the path.

    Frames are read one by one. GIF and WebP loop for ever, and equal frames in a row are stored
    once, with the sum of their times, even if all are equal. Frames of a GIF are held in memory
    with one byte a pixel until the end; each has its own palette of 256 colours, by Pillow's fast
    octree. MP4 is H.264 video, which browsers play while it loads; players can seek each frame, and
    an odd side grows by one px that repeats the edge.

    Args:
        frames: At least one frame, all of one size.
        path: Where to write; the suffix is one of `ANIMATION_SUFFIXES`.
        seconds: How long a frame shows, in s. GIF rounds it to 0.01 s and WebP to 0.001 s, and it
            is at least 0.02 s in both, as viewers slow down anything faster; at least 0.001 s in
            MP4.

    Raises:
        ArgumentError: If there is no frame, sizes differ, or `seconds` is out of range.
        OutputError: If the suffix is not one of `ANIMATION_SUFFIXES`, a frame is too large for the
            format, the file cannot be written, or PyAV, which writes MP4, is not installed.
    """
    path = Path(path)
    suffix = _known_suffix(path, ANIMATION_SUFFIXES, "animations")
    encoding = FORMATS[suffix].animation or {}
    if suffix == ".mp4":
        check_video(path)
    check_seconds(seconds)
    iterator = iter(frames)
    first = next(iterator, None)
    if first is None:
        raise ArgumentError(f"there is no frame to write to {path}.")
    _check_size(first.size, path)
    step = 10 if suffix == ".gif" else 1
    milliseconds = step * max(20 // step, math.floor(1000 / step * seconds + 0.5))
    # Pillow has its fast octree for RGBA only; for RGB it uses the slow median cut.
    mode = "RGBA" if suffix == ".gif" else "RGB"
    count = 0

    def pixels() -> Iterator[NDArray[np.uint8]]:
        nonlocal count
        for frame in chain([first], iterator):
            count += 1
            yield np.asarray(_of_size(first.size, frame).convert(mode))

    with atomic(path) as temporary:
        if suffix == ".mp4":
            duration = max(_fraction(seconds), Fraction(1, 1000))
            _encode_video(pixels(), temporary, duration, encoding)
        else:
            options = {"duration": milliseconds, "loop": 0, **encoding}
            _encode(pixels(), temporary, options)
        if suffix == ".webp":
            keep_duration(temporary, count * milliseconds)
    return path


def _encode(frames: Iterable[NDArray[np.uint8]], path: Path, options: Mapping[str, Any]) -> None:
    """Write frames, each (H, W, 3 or 4) uint8, in the format that the suffix names."""
    import imageio.v3 as iio

    file = iio.imopen(path, "w", plugin="pillow", extension=path.suffix.lower())
    try:
        for frame in frames:
            file.write(frame, **options)
        file.close()
    except BaseException as error:
        # Otherwise imageio would try to write its frames again when the object is freed.
        getattr(file, "images_to_write", []).clear()
        file.close()
        if isinstance(error, (OverflowError, struct.error)):
            raise OutputError(
                f"a {path.suffix} cannot hold these frames ({error}): equal frames in a row may "
                f"last at most {LONGEST_SECONDS} seconds together."
            ) from error
        raise


def _fraction(seconds: float) -> Fraction:
    """Return a time as players count it, in small units: 1 / 29.97 s is 1001 / 30000 s."""
    return Fraction(seconds).limit_denominator(60_000)


def check_video(path: Path) -> None:
    """Check that video can be written, before any frame is made.

    Raises:
        OutputError: If PyAV is not installed, or has no encoder for H.264.
    """
    try:
        import av
    except ImportError as error:
        raise OutputError(
            f"cannot write {path}: writing video needs PyAV: pip install 'effcam[video]'"
        ) from error
    if "libx264" not in av.codecs_available:
        raise OutputError(
            f"cannot write {path}: the installed PyAV has no encoder for H.264 (libx264): "
            "pip install 'effcam[video]' brings one that has"
        )


def _encode_video(
    frames: Iterable[NDArray[np.uint8]], path: Path, seconds: Fraction, encoding: Encoding
) -> None:
    """Write frames, each (H, W, 3) uint8, as H.264 in MP4; each shows for ``seconds``."""
    import av

    repeats = min(math.ceil(_LEAST_RATE * seconds), _MOST_REPEATS)
    options = {name: str(value) for name, value in encoding.items()}
    rate = repeats / seconds
    try:
        # "faststart" puts the index first, so that browsers play while the file loads.
        with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as file:
            stream = file.add_stream("libx264", rate=rate, options=options)
            context = stream.codec_context
            # One key frame for each image; without B-frames time starts at 0.
            context.gop_size, context.max_b_frames, context.pix_fmt = repeats, 0, "yuv420p"
            for name, value in _COLOURS.items():
                setattr(context, name, value)
            for position, frame in enumerate(_video_frames(frames)):
                if position == 0:
                    context.width, context.height = frame.width, frame.height
                frame.time_base = 1 / rate
                for repeat in range(repeats):
                    frame.pts = position * repeats + repeat
                    file.mux(stream.encode(frame))
            file.mux(stream.encode(None))
    except av.FFmpegError as error:
        if isinstance(error, OSError):
            raise
        raise OutputError(f"cannot encode the video: {error}") from error


def _video_frames(frames: Iterable[NDArray[np.uint8]]) -> Iterator[VideoFrame]:
    """Convert frames, each (H, W, 3) uint8, to those of the encoder, with even sides."""
    import av
    from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

    # PyAV's shared converter would keep threads alive as long as this process.
    converter = VideoReformatter()
    for pixels in frames:
        height, width = pixels.shape[:2]
        padding = (0, height % 2), (0, width % 2), (0, 0)
        yield converter.reformat(
            av.VideoFrame.from_ndarray(np.pad(pixels, padding, mode="edge"), format="rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
        )


def _of_size(size: tuple[int, int], frame: Image.Image) -> Image.Image:
    if frame.size != size:
        raise ArgumentError(
            f"all frames have one size, but the first has {size[0]} x {size[1]} px and "
            f"another {frame.width} x {frame.height} px."
        )
    return frame


def _known_suffix(path: Path, known: tuple[str, ...], what: str) -> str:
    suffix = path.suffix.lower()
    if suffix not in known:
        raise OutputError(
            f"cannot write {path}: {what} are written as {', '.join(known)}, "
            f"not as {suffix or 'a file without a suffix'}."
        )
    return suffix


def _check_size(size: tuple[int, int], path: Path) -> None:
    most = FORMATS[path.suffix.lower()].longest_side
    if most is not None and max(size) > most:
        raise OutputError(
            f"cannot write {path}: {size[0]} x {size[1]} px, and {path.suffix} holds at most "
            f"{most} px a side. Draw smaller cells or fewer rows, or save pictures as .png."
        )

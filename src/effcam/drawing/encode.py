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

from effcam.errors import ArgumentError, OutputError
from effcam.files import atomic

if TYPE_CHECKING:
    from av import VideoFrame
    from numpy.typing import NDArray
    from PIL import Image


IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
ANIMATION_SUFFIXES = (".gif", ".webp", ".mp4")
# Colour is not subsampled in JPEG: small coloured text would blur.
_IMAGE_OPTIONS: dict[str, dict[str, int]] = {
    ".png": {},
    ".jpg": {"quality": 93, "subsampling": 0},
    ".jpeg": {"quality": 93, "subsampling": 0},
    ".webp": {"quality": 90, "method": 4},
}
# `bits` has imageio quantise each frame as it comes, and RGBA frames by Pillow's fast octree. On
# photos under heat that is over ten times faster than the default median cut, as true and smaller,
# and heat keeps all its hues; on frames of few hues, such as a lone grey photo, it is coarser.
_ANIMATION_OPTIONS: dict[str, dict[str, int]] = {
    ".gif": {"bits": 8},
    ".webp": {"quality": 90, "method": 2},
}
# "veryfast" takes half as long as "medium" and, for stills that are repeated, is as true and small.
_VIDEO_OPTIONS = {"preset": "veryfast", "crf": "20"}
# Players stutter at less than about ten frames a second, so that a still is several frames, which
# take next to no bytes; no more than so many, as they do take time.
_LEAST_RATE, _MOST_REPEATS = 10, 100
# BT.709 in limited range, with sRGB's curve, by the numbers of ITU-T H.273. Said outright, else
# players go by the height of a video.
_COLOURS = {"color_range": 1, "colorspace": 1, "color_primaries": 1, "color_trc": 13}
_LONGEST_SIDE = {".jpg": 65500, ".jpeg": 65500, ".webp": 16383, ".gif": 65535, ".mp4": 16384}
LONGEST_SECONDS = 655.35


def write_image(picture: Image.Image, path: Path) -> Path:
    """Return `path`, to which the picture was written as PNG, JPEG or WebP by its suffix.

    Raises:
        OutputError: If the suffix is none of `IMAGE_SUFFIXES`, the format cannot hold so large a
            picture, or the file cannot be written.
    """
    path = Path(path)
    suffix = _known_suffix(path, IMAGE_SUFFIXES, "pictures")
    _check_size(picture.size, path)
    with atomic(path) as temporary:
        _encode([np.asarray(picture.convert("RGB"))], temporary, _IMAGE_OPTIONS[suffix])
    return path


def check_seconds(seconds: float) -> None:
    """Check that a frame can show for so long.

    Raises:
        ArgumentError: If it cannot.
    """
    if not isinstance(seconds, int | float) or not 0 < seconds <= LONGEST_SECONDS:
        raise ArgumentError(
            f"a frame shows for more than 0 and at most {LONGEST_SECONDS} seconds, not {seconds!r}."
        )


def write_animation(frames: Iterable[Image.Image], path: Path, *, seconds: float = 1.0) -> Path:
    """Return `path`, to which the frames were written as an animation.

    Frames are taken one by one. GIF and WebP loop for ever, and consecutive frames that are equal
    are stored once, for as long as they last together. Frames of a GIF are held with one byte a
    pixel until the end; each has its own palette of 256 colours, by Pillow's fast octree. MP4 is
    H.264 video, which browsers play while it loads; each frame is one that can be sought, and odd
    sides grow by a px that repeats the edge.

    Args:
        frames: At least one frame, all of one size.
        path: Where to write; the suffix is one of `ANIMATION_SUFFIXES`.
        seconds: How long a frame shows. GIF rounds it to 0.01 s and WebP to 0.001 s, and it is at
            least 0.02 s in both, as viewers slow down anything faster; at least 0.001 s in MP4.

    Raises:
        ArgumentError: If there is no frame, sizes differ, or `seconds` is out of range.
        OutputError: If the suffix is none of `ANIMATION_SUFFIXES`, the format cannot hold so large
            a frame, the file cannot be written, or PyAV, which writes MP4, is not installed.
    """
    path = Path(path)
    suffix = _known_suffix(path, ANIMATION_SUFFIXES, "animations")
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
    # Pillow has its fast octree for RGBA only: of RGB it would make a slow median cut.
    mode = "RGBA" if suffix == ".gif" else "RGB"
    pixels = (
        np.asarray(_of_size(first.size, frame).convert(mode)) for frame in chain([first], iterator)
    )
    with atomic(path) as temporary:
        if suffix == ".mp4":
            _encode_video(pixels, temporary, max(_exactly(seconds), Fraction(1, 1000)))
        else:
            options = {"duration": milliseconds, "loop": 0, **_ANIMATION_OPTIONS[suffix]}
            _encode(pixels, temporary, options)
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
        # Else imageio would try again to write what it holds when the object is freed.
        getattr(file, "images_to_write", []).clear()
        file.close()
        if isinstance(error, (OverflowError, struct.error)):
            raise OutputError(
                f"a {path.suffix} cannot hold these frames ({error}): equal ones in a row may last "
                f"{LONGEST_SECONDS} seconds together."
            ) from error
        raise


def _exactly(seconds: float) -> Fraction:
    """Return a time that players count in small units: 1 / 29.97 s is 1001 / 30000 s."""
    return Fraction(seconds).limit_denominator(60_000)


def check_video(path: Path) -> None:
    """Make sure, before any frame is made, that there is something to write video with."""
    try:
        import av
    except ImportError as error:
        raise OutputError(
            f"cannot write {path}: video is written through PyAV, which is not there: "
            "pip install 'effcam[video]'"
        ) from error
    if "libx264" not in av.codecs_available:
        raise OutputError(
            f"cannot write {path}: the PyAV that is installed has no encoder for H.264 (libx264); "
            "the one of pip install 'effcam[video]' has"
        )


def _encode_video(frames: Iterable[NDArray[np.uint8]], path: Path, seconds: Fraction) -> None:
    """Write frames, each (H, W, 3) uint8, as H.264 in MP4, each for so many seconds."""
    import av

    repeats = min(math.ceil(_LEAST_RATE * seconds), _MOST_REPEATS)
    rate = repeats / seconds
    try:
        # What a browser reads first stands first ("faststart").
        with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as file:
            stream = file.add_stream("libx264", rate=rate, options=_VIDEO_OPTIONS)
            context = stream.codec_context
            # A key frame for each image and no other; without B-frames time starts at 0.
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
    """Yield frames, each (H, W, 3) uint8, as the encoder takes them, with even sides."""
    import av
    from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

    # One of its own: PyAV's would keep threads alive for as long as this one lives.
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
    most = _LONGEST_SIDE.get(path.suffix.lower())
    if most is not None and max(size) > most:
        raise OutputError(
            f"cannot write {path}: {size[0]} x {size[1]} px, and {path.suffix} holds at most "
            f"{most} px a side. Draw smaller cells or fewer rows, or save pictures as .png."
        )

"""Pixels to files: pictures and animations, written whole or not at all, through imageio."""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import struct
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from effcam.errors import ArgumentError, EffcamError, OutputError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
ANIMATION_SUFFIXES = (".gif", ".webp")

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
_LONGEST_SIDE = {".jpg": 65500, ".jpeg": 65500, ".webp": 16383, ".gif": 65535}
_LONGEST_SECONDS = 655.35


def check_path(path: str | PathLike[str], suffixes: Collection[str]) -> Path:
    """Returns the path, after making sure that a file of one of the formats can be written there.

    Raises:
        OutputError: If the suffix is none of those, or the folder does not exist.
    """
    target = Path(path).expanduser()
    if target.suffix.lower() not in suffixes:
        unknown = f"has the unknown suffix {target.suffix!r}" if target.suffix else "has no suffix"
        raise OutputError(
            f"cannot save {str(path)!r}: its name {unknown}; the format follows from it: use one "
            f"of {', '.join(suffixes)}"
        )
    if not target.parent.is_dir():
        raise OutputError(f"cannot save {str(path)!r}: there is no folder {str(target.parent)!r}")
    return target


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yields a temporary path, of the same folder and suffix, that becomes `path` on success.

    Whatever ends the block early, an interrupt too, leaves the previous file as it was and no
    temporary one behind.

    Raises:
        OutputError: If the folder does not exist or cannot be written, `path` is a folder, or
            the system fails to write, as with a full disk.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise OutputError(
            f"cannot write {path}: there is no folder {path.parent}. Create it first."
        )
    if path.is_dir():
        raise OutputError(f"cannot write {path}: it is a folder. Add a file name to it.")
    temporary = path.with_name(f".effcam-{secrets.token_hex(8)}{path.suffix}")
    try:
        # Made this way, and not by tempfile, the file has the permissions the umask asks for.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield temporary
        _flush(temporary)
        temporary.replace(path)
    except EffcamError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}.") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Brings a file's content to the disk, lest a crash leaves a renamed but empty file."""
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_image(picture: Image.Image, path: Path) -> Path:
    """Returns `path`, to which the picture was written as PNG, JPEG or WebP by its suffix.

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


def write_animation(frames: Iterable[Image.Image], path: Path, *, seconds: float = 1.0) -> Path:
    """Returns `path`, to which the frames were written as an animation that loops for ever.

    Frames are taken one by one; those of a GIF are held with one byte a pixel until the end.
    Each has its own palette of 256 colours, by Pillow's fast octree. Consecutive frames that
    are equal are stored once, for as long as they last together.

    Args:
        frames: At least one frame, all of one size.
        path: Where to write; the suffix is one of `ANIMATION_SUFFIXES`.
        seconds: How long a frame shows, rounded to 0.01 s and at least 0.02 s, as viewers slow
            down anything faster.

    Raises:
        ArgumentError: If there is no frame, sizes differ, or `seconds` is out of range.
        OutputError: If the suffix is none of `ANIMATION_SUFFIXES`, the format cannot hold so large
            a frame, or the file cannot be written.
    """
    path = Path(path)
    suffix = _known_suffix(path, ANIMATION_SUFFIXES, "animations")
    if not isinstance(seconds, int | float) or not 0 < seconds <= _LONGEST_SECONDS:
        raise ArgumentError(
            f"a frame shows for more than 0 and at most {_LONGEST_SECONDS} seconds, "
            f"not {seconds!r}."
        )
    iterator = iter(frames)
    first = next(iterator, None)
    if first is None:
        raise ArgumentError(f"there is no frame to write to {path}.")
    _check_size(first.size, path)
    milliseconds = 10 * max(2, math.floor(100 * seconds + 0.5))
    options = {"duration": milliseconds, "loop": 0, **_ANIMATION_OPTIONS[suffix]}
    # Pillow has its fast octree for RGBA only: of RGB it would make a slow median cut.
    mode = "RGBA" if suffix == ".gif" else "RGB"
    pixels = (
        np.asarray(_of_size(first.size, frame).convert(mode)) for frame in chain([first], iterator)
    )
    with atomic(path) as temporary:
        _encode(pixels, temporary, options)
    return path


def _encode(frames: Iterable[NDArray[np.uint8]], path: Path, options: Mapping[str, Any]) -> None:
    """Writes frames, each (H, W, 3 or 4) uint8, in the format that the suffix names."""
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
                f"{_LONGEST_SECONDS} seconds together."
            ) from error
        raise


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

"""Turn a still WebP into an animation, so that it keeps its time.

libwebp writes frames that are all equal as a still, which has no duration.
"""

from __future__ import annotations

import struct
from itertools import pairwise
from pathlib import Path

from PIL import Image

MOST_MILLISECONDS = 2**24 - 1
"""The longest duration of one frame in the format."""
ANIMATED, TRANSPARENT = 0x02, 0x10
"""Flags of a file."""
REPLACING = 0x02
"""Flag of a frame that is not blended with the one before it."""
PIXELS = (b"ALPH", b"VP8 ", b"VP8L")
"""The names of the parts of a file that hold the pixels of a still."""


def keep_duration(path: Path, milliseconds: int) -> None:
    """Rewrite a WebP that is a still as an endless animation of one frame; leave others alone.

    A frame that would last too long for the format is repeated.

    Args:
        path: The file.
        milliseconds: For how long to show its picture.
    """
    with Image.open(path) as image:
        if getattr(image, "is_animated", False):
            return
        (width, height), transparent = image.size, image.mode == "RGBA"
    pixels = b"".join(_chunk(*each) for each in _chunks(path.read_bytes()) if each[0] in PIXELS)
    sides = _uint24(width - 1) + _uint24(height - 1)
    flags = ANIMATED | (TRANSPARENT if transparent else 0)
    count = -(-milliseconds // MOST_MILLISECONDS)
    ends = [milliseconds * number // count for number in range(count + 1)]
    frames = (
        _chunk(b"ANMF", bytes(6) + sides + _uint24(end - begin) + bytes([REPLACING]) + pixels)
        for begin, end in pairwise(ends)
    )
    body = [_chunk(b"VP8X", struct.pack("<I", flags) + sides), _chunk(b"ANIM", bytes(6)), *frames]
    path.write_bytes(_chunk(b"RIFF", b"WEBP" + b"".join(body)))


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return the parts of a WebP file, each with its name."""
    found, at = [], 12
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        found.append((name, data[at + 8 : at + 8 + size]))
        at += 8 + size + size % 2
    return found


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def _uint24(number: int) -> bytes:
    return number.to_bytes(3, "little")

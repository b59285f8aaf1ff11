#!/usr/bin/env bash
# Pillow reads an uncompressed 16-bit RGB TIFF stored plane by plane as if it had 8 bits.
#
# Version: Pillow 13.0.0, Python 3.11, Linux x86-64.
# Behaviour: TIFF stores samples pixel by pixel or one plane after the other. Of 16 bits per sample,
#   Pillow gives the upper byte. In an uncompressed file with planes it takes each byte for a sample
#   instead: low and high bytes alternate along a row, each row of the file fills two rows of the
#   image, and the lower half of the file is lost. There is no error. The same planes, compressed,
#   are read correctly.
# Seen: every pixel (0x1234, 0xABCD, 0xFF00), so (18, 171, 255) is expected. Pixel by pixel: that.
#   By planes: (52, 205, 0) and (18, 171, 255) in turn.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pillow==13.0.0
"$folder/venv/bin/python" - <<'PYTHON'
import io
import struct
import zlib

from PIL import Image

WIDTH, HEIGHT, PIXEL = 6, 4, (0x1234, 0xABCD, 0xFF00)
SHORT, LONG = 3, 4


def tiff(*, planes, compressed):
    """Return a little-endian TIFF whose pixels are all PIXEL, in one strip or three."""
    if planes:
        strips = [struct.pack("<H", sample) * (WIDTH * HEIGHT) for sample in PIXEL]
    else:
        strips = [struct.pack("<3H", *PIXEL) * (WIDTH * HEIGHT)]
    if compressed:
        strips = [zlib.compress(strip) for strip in strips]
    body = bytearray(8)

    def put(data):
        body.extend(data)
        return len(body) - len(data)

    offsets, counts = [put(strip) for strip in strips], [len(strip) for strip in strips]
    tags = [
        (256, SHORT, [WIDTH]), (257, SHORT, [HEIGHT]), (258, SHORT, [16, 16, 16]),
        (259, SHORT, [8 if compressed else 1]), (262, SHORT, [2]), (273, LONG, offsets),
        (277, SHORT, [3]), (278, SHORT, [HEIGHT]), (279, LONG, counts),
        (284, SHORT, [2 if planes else 1]),
    ]
    entries = struct.pack("<H", len(tags))
    for tag, kind, values in tags:
        packed = struct.pack(f"<{len(values)}{'H' if kind == SHORT else 'I'}", *values)
        if len(packed) > 4:
            packed = struct.pack("<I", put(packed))
        entries += struct.pack("<HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    start = put(entries + bytes(4))
    body[:8] = b"II*\0" + struct.pack("<I", start)
    return bytes(body)


found = {}
for planes in (False, True):
    for compressed in (False, True):
        image = Image.open(io.BytesIO(tiff(planes=planes, compressed=compressed)))
        row = found[planes, compressed] = [image.getpixel((x, 0)) for x in range(WIDTH)]
        print(f"planes: {planes}, compressed: {compressed}, mode {image.mode}, {row[:2]} ...")
right = [(0x12, 0xAB, 0xFF)] * WIDTH
assert found[False, False] == found[False, True] == found[True, True] == right
assert found[True, False] == [(0x34, 0xCD, 0x00), (0x12, 0xAB, 0xFF)] * 3, "planes are read anew"
PYTHON

#!/usr/bin/env bash
# In a 16-bit RGB PNG with a transparent colour, Pillow makes other pixels transparent instead.
#
# Version: Pillow 13.0.0, Python 3.11, Linux x86-64.
# Behaviour: a PNG's tRNS chunk names one colour that is transparent, with as many bits per sample
#   as the image. Pillow reduces the pixels to 8 bits but keeps the key at 16, in
#   info["transparency"]. convert("RGBA") compares the two, so the key's own pixels become opaque.
#   Where the key's samples are below 256, the pixels whose upper bytes have these values become
#   transparent in their place.
# Seen: key (0x0012, 0x0056, 0x009A). The pixel of that colour gets alpha 255; the pixel
#   (0x1200, 0x5600, 0x9A00) gets alpha 0. With 8 bits, the key's pixel gets alpha 0, as it should.
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

KEY = (0x12, 0x56, 0x9A)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def alphas(bits, pixels):
    """Return the alpha of each pixel in an RGB PNG of one row, whose transparent colour is KEY."""
    sample = "B" if bits == 8 else "H"
    row = b"".join(struct.pack(f">3{sample}", *pixel) for pixel in pixels)
    data = b"\x89PNG\r\n\x1a\n"
    data += chunk(b"IHDR", struct.pack(">IIBBBBB", len(pixels), 1, bits, 2, 0, 0, 0))
    data += chunk(b"tRNS", struct.pack(">3H", *KEY))
    data += chunk(b"IDAT", zlib.compress(b"\0" + row)) + chunk(b"IEND", b"")
    image = Image.open(io.BytesIO(data)).convert("RGBA")
    return [image.getpixel((x, 0))[3] for x in range(len(pixels))]


other = tuple(256 * sample for sample in KEY)
with_8, with_16 = alphas(8, [KEY]), alphas(16, [KEY, other])
print(f"8 bits: alpha {with_8[0]} for the key's colour")
print(f"16 bits: alpha {with_16[0]} for the key's colour, {with_16[1]} for another colour")
assert with_8 == [0]
assert with_16 == [255, 0], "the key of a 16-bit image is compared in another way now"
PYTHON

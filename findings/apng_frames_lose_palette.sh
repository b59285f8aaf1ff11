#!/usr/bin/env bash
# An animation that the package apng makes of palette images shows them in the first one's colours.
#
# Version: apng 0.3.4, read with Pillow 13.0.0, Python 3.11, Linux x86-64.
# Behaviour: an APNG file has one palette and one header for all frames. APNG.from_files copies the
#   pixels of each PNG file and leaves out the palettes of all but the first, without looking
#   whether they are equal. A colour is then whatever the first palette has at its index. The same
#   goes for the transparent colour, and for the kind of pixels: a grey image after a palette image
#   has its grey values taken for indices. There is no error.
# Seen: a red and a blue image, each with a palette of one colour. The animation is red and red. A
#   red image with a palette and a grey one (200) without: red and black.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q apng==0.3.4 pillow==13.0.0
"$folder/venv/bin/python" - <<'PYTHON'
import io

from apng import APNG
from PIL import Image

RED, BLUE, BLACK, GREY = (255, 0, 0), (0, 0, 255), (0, 0, 0), (200, 200, 200)


def png(colour, mode):
    image = Image.new("RGB", (4, 4), colour)
    image = image.quantize(1) if mode == "P" else image.convert(mode)
    assert image.convert("RGB").getpixel((0, 0)) == colour
    data = io.BytesIO()
    image.save(data, "PNG")
    data.seek(0)
    return data


def colours(*images):
    """Return the colour of each frame of the animation."""
    animation = Image.open(io.BytesIO(APNG.from_files(images, delay=100).to_bytes()))
    found = []
    for frame in range(animation.n_frames):
        animation.seek(frame)
        found.append(animation.convert("RGB").getpixel((0, 0)))
    return found


true_colour = colours(png(RED, "RGB"), png(BLUE, "RGB"))
palette = colours(png(RED, "P"), png(BLUE, "P"))
mixed = colours(png(RED, "P"), png(GREY, "L"))
print(f"red and blue without palettes: {true_colour}; with: {palette}; red and grey: {mixed}")
assert true_colour == [RED, BLUE]
assert palette == [RED, RED], "palettes are handled in another way now"
assert mixed == [RED, BLACK], "kinds of pixels are handled in another way now"
PYTHON

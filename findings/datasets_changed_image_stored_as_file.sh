#!/usr/bin/env bash
# Hugging Face datasets drops what was drawn into an image that had been opened from a file.
#
# Version: datasets 5.2.0, Pillow 12.3.0, Python 3.11, Linux x86-64.
# Behaviour: an image column stores a PIL image that has a file name as that name, without pixels.
#   Methods that change an image in place (paste, putpixel, ImageDraw) keep the name. So from_dict
#   stores the file as it was before, and so does map with a function that changes the image of each
#   row: the change is lost without a sign. image.copy() before it avoids this.
# Seen: a white file, opened and painted black, is white in the dataset, from from_dict and from
#   map; its copy is black.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q datasets==5.2.0 pillow==12.3.0 numpy==2.4.6
export HF_HOME="$folder/cache" HF_HUB_OFFLINE=1 HF_DATASETS_DISABLE_PROGRESS_BARS=1
"$folder/venv/bin/python" -W ignore - "$folder" <<'PYTHON'
import sys
from pathlib import Path

import datasets
from PIL import Image

BLACK, WHITE = 0, 255
path = Path(sys.argv[1], "white.png")
Image.new("L", (4, 4), WHITE).save(path)
features = datasets.Features({"image": datasets.Image()})


def painted(image):
    """Return the same image, painted black in place."""
    image.paste(BLACK, (0, 0, *image.size))
    return image


def painted_row(row):
    return {"image": painted(row["image"])}


def stored(dataset):
    return dataset[0]["image"].getpixel((0, 0))


def of_list(image):
    return datasets.Dataset.from_dict({"image": [image]}, features=features)


image = painted(Image.open(path))
assert image.getpixel((0, 0)) == BLACK
found = {
    "from_dict": stored(of_list(image)),
    "map": stored(of_list(str(path)).map(painted_row)),
    "copy": stored(of_list(painted(Image.open(path).copy()))),
}
print(f"level of the image in the dataset, painted black (0): {found}")
assert found == {"from_dict": WHITE, "map": WHITE, "copy": BLACK}, "the pixels are stored now"
PYTHON

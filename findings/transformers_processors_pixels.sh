#!/usr/bin/env bash
# Image processors of transformers 5 give other pixels than those of Pillow, which models know.
#
# Version: transformers 5.24.0, torchvision 0.29.1, Pillow 13.0, Python 3.11, Linux x86-64.
# Behaviour: image processors resize with torchvision by default; CLIPImageProcessorPil and its like
#   give what earlier releases gave by default, with Pillow. The same settings give different pixels.
# Seen: for SigLIP's bicubic resize of noise, 30 % of the pixels differ, by up to 19 of 255 levels.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q transformers==5.24.0 torch==2.14.1 torchvision==0.29.1 pillow==13.0.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import transformers
from PIL import Image
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

size = {"height": 224, "width": 224}
levels = []
for seed in range(5):
    pixels = np.random.default_rng(seed).integers(0, 256, (301, 200, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    now, before = (
        np.asarray(kind(size=size)(image, return_tensors="np")["pixel_values"][0])
        for kind in (transformers.SiglipImageProcessor, SiglipImageProcessorPil)
    )
    levels.append(np.abs(now - before) * 127.5)
print(f"largest difference: {max(each.max() for each in levels):.1f} of 255 levels; "
      f"pixels that differ: {np.mean([(each > 0.5).mean() for each in levels]):.1%}")
assert max(each.max() for each in levels) > 5, "the two give nearly the same pixels now"
PYTHON

#!/usr/bin/env bash
# Integrated gradients of the package saliency are wrong where a uint8 image is below its baseline.
#
# Version: saliency 0.2.1, Python 3.11, Linux x86-64.
# Behaviour: an image as it was read, with values from 0 to 255 in uint8, is accepted, and so is a
#   grey baseline of the same kind. Their difference is computed in uint8. Wherever the image is
#   darker than the baseline, it is 256 too large: the sign of the attribution is wrong, and the
#   path runs from the baseline away from the image, out of the range of pixels. There is no error.
# Seen: value 100, baseline 128, model: sum of all values. Attribution with floats: -28. With uint8:
#   228, and the last point of the path is 356 instead of 100.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q saliency==0.2.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import saliency.core as saliency

path = []


def model(batch, call_model_args=None, expected_keys=None):
    """Return the gradients of the sum of all values."""
    path.extend(each.flat[0] for each in batch)
    return {saliency.INPUT_OUTPUT_GRADIENTS: np.ones_like(batch)}


found = {}
for dtype in (np.float32, np.uint8):
    path.clear()
    image = np.full((2, 2, 3), 100, dtype)
    grey = np.full((2, 2, 3), 128, dtype)
    mask = saliency.IntegratedGradients().GetMask(image, model, x_baseline=grey)
    found[dtype] = float(mask[0, 0, 0]), float(path[-1])
    attribution, last = found[dtype]
    print(f"{dtype.__name__}: attribution {attribution:.0f}, last point of the path {last:.0f}")
assert found[np.float32] == (-28, 100)
assert found[np.uint8] == (228, 356), "uint8 images are handled in another way now"
PYTHON

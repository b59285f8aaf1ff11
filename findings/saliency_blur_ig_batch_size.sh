#!/usr/bin/env bash
# BlurIG of the package saliency gives other attributions for another batch size.
#
# Version: saliency 0.2.1, Python 3.11, Linux x86-64.
# Behaviour: the batch size is described as the number of steps passed to the model at once. With
#   sqrt=True, the steps become smaller along the path, and each is to be weighted by its own size.
#   A batch is weighted by the size of its last step instead, the smallest one. So the larger the
#   batch, the smaller the attributions. With equal steps, the default, there is no difference.
# Seen: a random image, 100 steps, model: sum of squares. Sum of the attributions with sqrt=True:
#   130 one by one, 119 in batches of 5, 87 of 20, 52 of 100. With sqrt=False: 202 with each.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q saliency==0.2.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import saliency.core as saliency

SIZES = (1, 5, 20, 100)
image = np.random.default_rng(0).random((16, 16, 3)).astype(np.float32)


def model(batch, call_model_args=None, expected_keys=None):
    """Return the gradients of the sum of squares."""
    return {saliency.INPUT_OUTPUT_GRADIENTS: 2 * batch}


sums = {}
for sqrt in (False, True):
    for size in SIZES:
        mask = saliency.BlurIG().GetMask(image, model, max_sigma=5, sqrt=sqrt, batch_size=size)
        sums[sqrt, size] = float(mask.sum())
    found = ", ".join(f"{sums[sqrt, size]:.1f} ({size})" for size in SIZES)
    print(f"sqrt={sqrt}, sum of the attributions (batch size): {found}")
assert max(sums[False, size] for size in SIZES) - min(sums[False, size] for size in SIZES) < 0.01
assert sums[True, 100] < 0.5 * sums[True, 1], "the batch size no longer changes the attributions"
PYTHON

#!/usr/bin/env bash
# Quantus rotates and shifts an image that is not square into one with its sides swapped.
#
# Version: quantus 0.6.0, Python 3.11, Linux x86-64.
# Behaviour: rotation, translation_x_direction and translation_y_direction are perturbations for
#   images with channels first. They hand height and width to OpenCV, which expects width and
#   height. The result has the two swapped: what exceeds the new width is cut off, the new rows are
#   black, and the centre of the rotation is not that of the image. On square images nothing shows.
# Seen: an image of 4 x 8 px, rotated by 0 degrees or shifted by 0: 8 x 4 px, with the left half in
#   its upper half.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q quantus==0.6.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
from quantus.functions import perturb_func

square = np.arange(1, 1 + 3 * 8 * 8, dtype=np.float32).reshape(3, 8, 8)
wide = square[:, :4]
nothing = {
    "rotation": {"perturb_angle": 0},
    "translation_x_direction": {"perturb_baseline": 0.0, "perturb_dx": 0},
    "translation_y_direction": {"perturb_baseline": 0.0, "perturb_dy": 0},
}
for name, arguments in nothing.items():
    perturb = getattr(perturb_func, name)
    of_square, of_wide = perturb(square, **arguments), perturb(wide, **arguments)
    print(f"{name} by 0: {square.shape} to {of_square.shape}, {wide.shape} to {of_wide.shape}, "
          f"{np.count_nonzero(of_wide == 0)} of {of_wide.size} values black")
    assert np.array_equal(of_square, square)
    assert of_wide.shape == (3, 8, 4), "the sides are no longer swapped"
    assert np.array_equal(of_wide[:, :4], wide[:, :, :4])
    assert not of_wide[:, 4:].any()
PYTHON

#!/usr/bin/env bash
# Quantus' relevance rank accuracy depends on where the object is, for maps with equal values.
#
# Version: quantus 0.6.0, Python 3.11, Linux x86-64.
# Behaviour: RelevanceRankAccuracy takes as many of the highest values as the object has pixels, by
#   argsort. Maps that are 0 over much of the image, as class activation maps are, have fewer
#   positive values than that, and the rest of the places goes to zeros in about the order of
#   reading. So pixels without any relevance count as the most relevant ones if they are at the top
#   of the image. The paper (Arras et al., arXiv:2003.07258) has no rule for ties.
# Seen: a map of 9 positive pixels in a corner of the object, which is a quarter of the image: 0.997
#   with the object at the top, 0.003 with the same map and object mirrored to the bottom. In equal
#   parts, the ties give 0.25 for both.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q quantus==0.6.0 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import numpy as np
import quantus

heat = np.zeros((1, 1, 224, 224))
heat[..., :3, :3] = 1
mask = np.zeros(heat.shape, bool)
mask[..., :56, :] = True
metric = quantus.RelevanceRankAccuracy(disable_warnings=True)


def accuracy(heat: np.ndarray, mask: np.ndarray) -> float:
    (found,) = metric(None, np.zeros(heat.shape), None, a_batch=heat.copy(), s_batch=mask.copy())
    return float(found)


top, bottom = accuracy(heat, mask), accuracy(heat[..., ::-1, :], mask[..., ::-1, :])
left = mask.sum() - 9
equal = (9 + left * left / (heat.size - 9)) / mask.sum()
print(f"object at the top {top:.3f}, mirrored to the bottom {bottom:.3f}, in equal parts {equal:.3f}")
assert abs(equal - 0.25) < 0.01
assert top > 0.9, "zeros at the top are no longer preferred"
assert bottom < 0.1, "zeros at the top are no longer preferred"
PYTHON

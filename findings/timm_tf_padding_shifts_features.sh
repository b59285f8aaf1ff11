#!/usr/bin/env bash
# The same weights in timm's efficientnet_b0 and tf_efficientnet_b0 look 27 px apart at 224 px.
#
# Version: timm 1.0.31, torch 2.14.1, Python 3.11, Linux x86-64.
# Behaviour: the names of all weights are equal, so load_state_dict(strict=True) takes them from one
#   into the other without complaint, and feature_info states a reduction of 32 for both. But one
#   pads its convolutions of stride 2 equally on both sides, the other at the end ("same"), so that
#   what cell (3, 3) of 7 x 7 looks at is up and left of the middle of the input in one and down and
#   right in the other, almost a whole cell of 32 px apart. Where "same" adds a pixel depends on the
#   size of the input: at 193 px (6 * 32 + 1) both pad equally, and their features are the same.
# Seen: the middle of the squared gradient of the middle cell, from the middle of the input, mean of
#   down and across: -13 px and +14 px at 224 px. At 193 px the features are equal to 1e-4.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q timm==1.0.31 torch==2.14.1 torchvision==0.29.1 \
  numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import timm
import torch

torch.manual_seed(0)
plain = timm.create_model("efficientnet_b0").eval()
same = timm.create_model("tf_efficientnet_b0").eval()
same.load_state_dict(plain.state_dict(), strict=True)


def offset(network, size=224, pictures=8):
    """Return where the middle cell looks, from the middle of the input, in px."""
    found = []
    for seed in range(pictures):
        generator = torch.Generator().manual_seed(seed)
        image = torch.randn(1, 3, size, size, generator=generator).requires_grad_()
        cells = network.forward_features(image)
        middle = cells.shape[2] // 2
        weights = torch.randn(cells.shape[1], generator=generator)
        (gradient,) = torch.autograd.grad(cells[0, :, middle, middle] @ weights, image)
        energy = gradient[0].square().sum(0)
        places = torch.arange(size) + 0.5 - size / 2
        down, across = ((energy.sum(axis) @ places) / energy.sum() for axis in (1, 0))
        found.append(float(down + across) / 2)
    return sum(found) / len(found)


reductions = [
    timm.create_model(name, features_only=True).feature_info.reduction()[-1]
    for name in ("efficientnet_b0", "tf_efficientnet_b0")
]
one, other = offset(plain), offset(same)
with torch.no_grad():
    image = torch.randn(1, 3, 193, 193)
    apart = float((plain.forward_features(image) - same.forward_features(image)).abs().max())
print(f"reductions {reductions}; {one:+.1f} and {other:+.1f} px; apart at 193 px: {apart:.1e}")
assert reductions == [32, 32]
assert one < -8 and other > 8, "the two look at the same place now"
assert apart < 1e-4, "they differ also where the padding is equal now"
PYTHON

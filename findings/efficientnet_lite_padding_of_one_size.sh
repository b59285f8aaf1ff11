#!/usr/bin/env bash
# An EfficientNet-Lite that is built for one input size runs at another, and looks elsewhere.
#
# Version: efficientnet-lite-pytorch 0.1.0, torch 2.9.1, Python 3.11, Linux x86-64.
# Behaviour: from_name(..., image_size=240) computes the padding of every convolution with a stride
#   from that size, as TensorFlow's "same" padding has it, and keeps it. At 224 px the network runs
#   without an error or a warning, its grid has the same 7 x 7 cells as that of a network built for
#   224 px, and the weights are the same, but what a cell sees has moved: up and to the left.
# Seen: the middle of what the central cell of Lite1 depends on moves by about 16 px in both
#   directions (random weights, mean over 8 inputs).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q efficientnet-lite-pytorch==0.1.0 torch==2.9.1 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import torch
from efficientnet_lite_pytorch import EfficientNet

torch.manual_seed(0)
own = EfficientNet.from_name("efficientnet-lite1", image_size=224).eval()
other = EfficientNet.from_name("efficientnet-lite1", image_size=240).eval()
other.load_state_dict(own.state_dict())
images = torch.randn(8, 3, 224, 224)


def middle(network: torch.nn.Module) -> tuple[tuple[int, ...], torch.Tensor]:
    inputs = images.clone().requires_grad_()
    maps = network.extract_features(inputs)
    centre = maps.shape[2] // 2
    maps[:, :, centre, centre].square().sum().backward()
    weight = inputs.grad.square().sum((0, 1))
    rows, columns = torch.arange(224.0)[:, None], torch.arange(224.0)[None]
    place = [(weight * each).sum() / weight.sum() for each in (rows, columns)]
    return tuple(maps.shape[2:]), torch.stack(place)


(grid, place), (same, moved) = middle(own), middle(other)
print(f"grid {grid} and {same}, the central cell sees {place.tolist()} and {moved.tolist()}")
assert grid == same, "the grid differs, which would be noticed"
assert ((place - moved).abs() > 4).all(), "the place is the same now"
PYTHON

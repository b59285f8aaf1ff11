#!/usr/bin/env bash
# grad-cam's FinerCAM takes the other classes as ranks of similarity, torch-cam's as class indices.
#
# Version: grad-cam 1.5.7, torchcam 0.5.0, torch 2.14.1, torchvision 0.29.1, Python 3.11, Linux x86-64.
# Behaviour: both packages have a FinerCAM for "class 0 rather than classes 1 and 2", and both take a
#   list of integers. In torch-cam's comparison_idx these are classes. In grad-cam's
#   comparison_categories they are places in the order of similarity: 1 is the class whose score is
#   nearest to that of target_idx, whatever its index. A list of class indices is taken without
#   complaint, and contrasts with other classes. To name classes there, give
#   targets=[FinerWeightedTarget(0, [1, 2], alpha)].
# Seen: for a network of 10 classes in which classes 7 and 4 have the scores nearest to that of class
#   0, comparison_categories=[1, 2] gives exactly the map of FinerWeightedTarget(0, [7, 4], 1), which
#   differs from that of FinerWeightedTarget(0, [1, 2], 1); torch-cam's comparison_idx=[1, 2] gives
#   the difference of class 0 and the mean of classes 1 and 2.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q grad-cam==1.5.7 torchcam==0.5.0 torch==2.14.1 \
  torchvision==0.29.1
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import torch
from pytorch_grad_cam import FinerCAM as GradCamFiner
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import FinerWeightedTarget
from torch import nn
from torchcam.methods import FinerCAM as TorchCamFiner

torch.manual_seed(0)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.ReLU())
        self.head = nn.Linear(16, 10)

    def forward(self, images):
        return self.head(self.features(images).mean((2, 3)))


network = Network().eval()
image = torch.rand(1, 3, 32, 32)
with torch.no_grad():
    scores = network(image)[0]
    # Classes 7 and 4 are nearest to class 0; classes 1 and 2 are far.
    wanted = torch.tensor([3.0, 0.5, 0.0, 1.0, 2.8, 1.0, 1.0, 2.9, 1.0, 1.0])
    network.head.bias += wanted - scores
    nearest = (network(image)[0] - wanted[0]).abs().argsort()[:3].tolist()


def by_target(others):
    with GradCAM(network, [network.features]) as cam:
        return cam(image, [FinerWeightedTarget(0, others, 1)])[0]


with GradCamFiner(network, [network.features]) as cam:
    by_list = cam(image, target_idx=0, comparison_categories=[1, 2])[0]
with TorchCamFiner(network, "features", (3, 32, 32), gamma=1.0) as cam:
    (theirs,) = cam(0, network(image), comparison_idx=[1, 2])
with torch.no_grad():
    weight = network.head.weight
    mixed = weight[0] - (weight[1] + weight[2]) / 2
    expected = (mixed[:, None, None] * network.features(image)[0]).sum(0).clamp(min=0)
    expected = (expected - expected.min()) / (expected.max() - expected.min())
ranked = float(np.abs(by_list - by_target([7, 4])).max())
named = float(np.abs(by_list - by_target([1, 2])).max())
peer = float((theirs[0] - expected).abs().max())
print("nearest to class 0:", nearest)
print(f"from the map of [7, 4]: {ranked:.3f}; from that of [1, 2]: {named:.3f}; torch-cam: {peer:.1e}")
assert nearest == [0, 7, 4]
assert ranked < 1e-5 and named > 0.05 and peer < 1e-4
PYTHON

#!/usr/bin/env bash
# An in-place ReLU after the target layer changes the maps of pytorch-grad-cam and torchcam.
#
# Version: grad-cam 1.5.7, torchcam 0.5.0 and captum 0.9.0 with torch 2.14.1 and 2.15.0 on the CPU,
#   Python 3.11, Linux x86-64.
# Behaviour: Grad-CAM weights the activations of a layer. On the CPU, both packages keep the very
#   tensor that the layer returned. If a ReLU(inplace=True) follows, as after the convolutions of
#   torchvision's VGG, it overwrites that tensor: the map is made of the ReLU's output and of the
#   gradients of the layer before it. The network's output is the same with and without inplace, but
#   the maps differ, with no warning. captum copies the activations and gives one map for both.
# Seen: values are between 0 and 1. With the small network below, inplace changes them by up to 0.42
#   (grad-cam), 0.39 (torchcam) and 0 (captum).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.14.1 torchvision==0.29.1 numpy==2.4.6 \
    grad-cam==1.5.7 torchcam==0.5.0 captum==0.9.0
"$folder/venv/bin/python" - <<'PYTHON'
import torch
from captum.attr import LayerGradCam
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn
from torchcam.methods import GradCAM as TorchcamGradCAM

CLASS = 1
torch.manual_seed(0)
images = torch.rand(1, 3, 6, 6) - 0.5


def network(inplace):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(inplace=inplace),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4),
    ).eval()


def with_grad_cam(model):
    with GradCAM(model, [model[0]]) as cam:
        return torch.from_numpy(cam(images.clone(), [ClassifierOutputTarget(CLASS)]))


def with_torchcam(model):
    with TorchcamGradCAM(model, model[0]) as cam:
        return cam(CLASS, model(images))[0]


def with_captum(model):
    return LayerGradCam(model, model[0]).attribute(images, target=CLASS).detach()


assert torch.equal(network(inplace=False)(images), network(inplace=True)(images))
differences = {}
for method in (with_grad_cam, with_torchcam, with_captum):
    apart, overwritten = method(network(inplace=False)), method(network(inplace=True))
    differences[method.__name__] = (apart - overwritten).abs().max().item()
    print(f"{method.__name__}: inplace changes the map by up to {differences[method.__name__]:.3f}")
assert differences["with_captum"] == 0
assert differences["with_grad_cam"] > 0.1, "grad-cam's map no longer depends on inplace"
assert differences["with_torchcam"] > 0.1, "torchcam's map no longer depends on inplace"
PYTHON

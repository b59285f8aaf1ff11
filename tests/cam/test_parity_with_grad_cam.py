"""Parity with grad-cam: its classes and effcam give the same maps on every convolutional family."""

from __future__ import annotations

import copy
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest
import pytorch_grad_cam
import torch
from pytorch_grad_cam.ablation_layer import AblationLayer
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn
from torch.nn import functional

from effcam import Preprocess, load_model
from effcam.cam.explain import compute_cams
from effcam.images.geometry import Box
from tests.tiers import core

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from effcam import Model

FAMILIES = [
    ("torchvision:alexnet", 96),
    ("torchvision:vgg11", 64),
    ("torchvision:vgg11_bn", 64),
    ("torchvision:resnet18", 96),
    ("torchvision:resnext50_32x4d", 96),
    ("torchvision:wide_resnet50_2", 64),
    ("torchvision:densenet121", 96),
    ("torchvision:googlenet", 96),
    ("torchvision:inception_v3", 128),
    ("torchvision:squeezenet1_0", 96),
    ("torchvision:squeezenet1_1", 96),
    ("torchvision:mobilenet_v2", 96),
    ("torchvision:mobilenet_v3_small", 96),
    ("torchvision:shufflenet_v2_x0_5", 96),
    ("torchvision:mnasnet0_5", 96),
    ("torchvision:efficientnet_b0", 96),
    ("torchvision:efficientnet_v2_s", 96),
    ("torchvision:regnet_y_400mf", 96),
    ("torchvision:convnext_tiny", 96),
    ("timm:vgg11", 64),
    ("timm:resnet10t", 96),
    ("timm:resnetv2_50", 64),
    ("timm:densenet121", 96),
    ("timm:inception_v3", 128),
    ("timm:inception_v4", 128),
    ("timm:mobilenetv1_100", 96),
    ("timm:mobilenetv2_050", 96),
    ("timm:mobilenetv3_small_050", 96),
    ("timm:mobilenetv4_conv_small_050", 96),
    ("timm:mnasnet_small", 96),
    ("timm:tf_efficientnet_b0", 96),
    ("timm:tf_efficientnet_lite0", 96),
    ("timm:tf_efficientnetv2_b0", 96),
    ("timm:regnetx_002", 96),
    ("timm:convnext_atto", 96),
    ("timm:convnextv2_atto", 96),
    ("timm:nfnet_l0", 64),
    ("timm:dpn48b", 96),
    ("timm:ghostnet_050", 96),
    ("timm:repvgg_a0", 96),
]

CORE = {
    ("torchvision:squeezenet1_1", 96),
    ("torchvision:mobilenet_v3_small", 96),
    ("torchvision:densenet121", 96),
    ("timm:resnet10t", 96),
    ("timm:convnext_atto", 96),
}
"""Those in the default tier."""


def untrained(name: str, size: int) -> Model:
    """Return a model with random weights whose features and scores are neither tiny nor huge."""
    model = load_model(name, pretrained=False, preprocess=Preprocess(size=size))
    # Both compute in one memory format: another format adds in another order, which differs by
    # 1e-5. With channels last, the gradient of a strided 1 x 1 convolution's weights, which
    # grad-cam takes and effcam does not, can crash in torch.
    model.module.to(memory_format=torch.contiguous_format)
    calibrate(model.module, size)
    return model


def calibrate(module: nn.Module, size: int) -> None:
    """Run a batch through batch normalisation, so that features do not grow with depth."""
    norms = [each for each in module.modules() if isinstance(each, nn.BatchNorm2d)]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    with torch.no_grad():
        module(pictures(8, size))
    module.eval()


def pictures(count: int, size: int) -> Tensor:
    """Return seeded images with structure at several scales, (count, 3, size, size)."""
    generator = torch.Generator().manual_seed(1)
    total = torch.zeros(count, 3, size, size)
    for cells in (2, 5, 16):
        noise = torch.randn(count, 3, cells, cells, generator=generator)
        total += functional.interpolate(noise, size=(size, size), mode="bilinear")
    return total


def upsampled(heatmap: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Return a map at the input's size, in [0, 1], as `Explanation.upsampled` does."""
    heat, _ = Box(0, 0, size, size).spread(heatmap, size, size)
    extent = float(np.ptp(heat))
    return (heat - heat.min()) / extent if extent else np.zeros_like(heat)


def reference(
    method: type[pytorch_grad_cam.base_cam.BaseCAM],
    model: Model,
    images: Tensor,
    targets: Sequence[int],
    **options: object,
) -> NDArray[np.float32]:
    """Return the maps of grad-cam's class for a copy of the module, differentiated as a whole."""
    module = copy.deepcopy(model.module)
    module.requires_grad_(True)
    layer = module.get_submodule(model.target_layer)
    cam = method(module, [layer], reshape_transform=partial(reshape, model), **options)
    try:
        maps: NDArray[np.float32] = cam(
            images, [ClassifierOutputTarget(target) for target in targets]
        )
        return maps
    finally:
        cam.activations_and_grads.release()


def reshape(model: Model, output: Tensor) -> Tensor:
    """Return a layer's output as NCHW, as grad-cam's users write it for transformers."""
    if model.layer.layout == "tokens":
        height, width = model.layer.grid
        cells = output[:, model.layer.prefix :].reshape(len(output), height, width, -1)
        return cells.transpose(2, 3).transpose(1, 2).clone()
    # Without a copy it would read activations that DenseNet's in-place ReLU has overwritten.
    return output.clone()


@pytest.mark.sweep
@pytest.mark.parametrize(("name", "size"), core(FAMILIES, CORE), ids=[name for name, _ in FAMILIES])
def test_gradcam_is_grad_cams_for_every_family(name: str, size: int) -> None:
    model = untrained(name, size)
    images, targets = pictures(2, size), [3, 5]
    ours = compute_cams(model, images, ["gradcam"], targets)
    theirs = reference(pytorch_grad_cam.GradCAM, model, images, targets)
    for heatmap, expected in zip(ours.maps["gradcam"], theirs, strict=True):
        np.testing.assert_allclose(upsampled(heatmap, size), expected, atol=1e-5)
    assert theirs.max() > 0.9, "every map is empty: these weights test nothing"


CLASSES = {
    "gradcam": pytorch_grad_cam.GradCAM,
    "gradcam++": pytorch_grad_cam.GradCAMPlusPlus,
    "hirescam": pytorch_grad_cam.HiResCAM,
    "xgradcam": pytorch_grad_cam.XGradCAM,
    "layercam": pytorch_grad_cam.LayerCAM,
    "gradcamelementwise": pytorch_grad_cam.GradCAMElementWise,
    "eigencam": pytorch_grad_cam.EigenCAM,
    "eigengradcam": pytorch_grad_cam.EigenGradCAM,
    "scorecam": pytorch_grad_cam.ScoreCAM,
    "ablationcam": pytorch_grad_cam.AblationCAM,
}


# Its weights are differences of nearly equal scores, which magnifies how these were rounded.
ABLATION = 2e-5


class ZeroAblation(AblationLayer):  # type: ignore[misc]  # grad-cam is untyped
    """Sets the ablated channel to 0, as the paper does."""

    def __init__(self, channels: int | None = None) -> None:
        """Take the dimension of the channels; by default -1 of tokens, else 1."""
        super().__init__()
        self.channels = channels

    def set_next_batch(
        self, input_batch_index: int, activations: Tensor, num_channels_to_ablate: int
    ) -> None:
        self.activations = activations[[input_batch_index] * num_channels_to_ablate]

    def __call__(self, _: Tensor) -> Tensor:
        output: Tensor = self.activations
        channels = self.channels or (1 if output.ndim == 4 else -1)
        for row, channel in zip(output, self.indices, strict=False):
            row[None].movedim(channels, 0)[channel] = 0
        return output


@pytest.mark.parametrize("name", ["timm:test_resnet", "timm:test_efficientnet", "timm:test_vit"])
@pytest.mark.parametrize("method", CLASSES)
def test_every_method_is_grad_cams(name: str, method: str) -> None:
    size = 64
    model = untrained(name, size)
    images, targets = pictures(2, size), [1, 7]
    options = {"ablation_layer": ZeroAblation()} if method == "ablationcam" else {}
    ours = compute_cams(model, images, [method], targets)
    theirs = reference(CLASSES[method], model, images, targets, **options)
    atol = ABLATION if method == "ablationcam" else 1e-5
    for heatmap, expected in zip(ours.maps[method], theirs, strict=True):
        np.testing.assert_allclose(upsampled(heatmap, size), expected, atol=atol)
    assert theirs.max() > 0.9


def test_ablationcam_is_grad_cams_as_it_is_where_features_are_not_negative() -> None:
    size = 64
    model = untrained("timm:test_resnet", size)
    images, targets = pictures(2, size), [1, 7]
    ours = compute_cams(model, images, ["ablationcam"], targets).maps["ablationcam"]
    theirs = reference(pytorch_grad_cam.AblationCAM, model, images, targets)
    for heatmap, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(upsampled(heatmap, size), expected, atol=ABLATION)


class OutOfPlaceDenseNet(nn.Module):
    """torchvision's DenseNet with a ReLU after the target layer that is not in place."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.features, self.classifier = module.features, module.classifier

    def forward(self, images: Tensor) -> Tensor:
        features = functional.relu(self.features(images))
        scores: Tensor = self.classifier(functional.adaptive_avg_pool2d(features, 1).flatten(1))
        return scores


def test_densenet_is_plain_gradcam_without_its_in_place_relu() -> None:
    size = 96
    model = untrained("torchvision:densenet121", size)
    images, targets = pictures(2, size), [3, 5]
    ours = compute_cams(model, images, ["gradcam"], targets).maps["gradcam"]
    module = OutOfPlaceDenseNet(copy.deepcopy(model.module)).requires_grad_(True)
    cam = pytorch_grad_cam.GradCAM(module, [module.features])
    theirs = cam(images, [ClassifierOutputTarget(target) for target in targets])
    cam.activations_and_grads.release()
    for heatmap, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(upsampled(heatmap, size), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["torchvision:resnet18", "timm:tf_efficientnet_b0"])
def test_the_memory_format_changes_no_more_than_the_last_digits(name: str) -> None:
    model = untrained(name, 96)
    images = pictures(2, 96)
    plain = compute_cams(model, images, ["gradcam"], [3, 5]).maps["gradcam"]
    model.module.to(memory_format=torch.channels_last)
    assert model.channels_last
    faster = compute_cams(model, images, ["gradcam"], [3, 5]).maps["gradcam"]
    np.testing.assert_allclose(faster, plain, atol=1e-4 * plain.max())

"""``aug_smooth`` and ``eigen_smooth``: beside grad-cam's, and as they are defined."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import pytorch_grad_cam
import torch
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor
from torch.testing import assert_close

from effcam.cam.explain import compute_cams
from effcam.cam.methods.checks import check_options
from effcam.cam.methods.options import MethodOptions
from effcam.errors import ArgumentError
from effcam.images.preprocess import Preprocess
from effcam.models.loading import load_model
from effcam.models.model import Model
from tests.nets import ConvNet

METHODS = {
    "gradcam": "GradCAM",
    "gradcam++": "GradCAMPlusPlus",
    "hirescam": "HiResCAM",
    "xgradcam": "XGradCAM",
    "layercam": "LayerCAM",
}
CLASSES = [0, 1, 2]


def net() -> Model:
    torch.manual_seed(3)
    return load_model(ConvNet().eval(), preprocess=Preprocess(size=64))


def images() -> Tensor:
    return torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(5))


def grad_cams(model: Model, name: str, **smooth: bool) -> np.ndarray[Any, Any]:
    """Return what a class of grad-cam returns, at the layer's resolution, scaled to [0, 1]."""
    module = model.module
    layer = module.get_submodule(model.target_layer)
    cam = getattr(pytorch_grad_cam, METHODS[name])(module, [layer])
    cam.get_target_width_height = lambda _: model.layer.grid[::-1]
    try:
        found = cam(images(), [ClassifierOutputTarget(each) for each in CLASSES], **smooth)
    finally:
        cam.activations_and_grads.release()
    return np.asarray(found, np.float32)


def unit(heat: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    low, high = heat.min((1, 2), keepdims=True), heat.max((1, 2), keepdims=True)
    return (heat - low) / np.where(high > low, high - low, 1)


@pytest.mark.parametrize("name", METHODS)
def test_the_mean_over_copies_is_grad_cams(name: str) -> None:
    model = net()
    found = compute_cams(model, images(), [name], CLASSES, MethodOptions(aug_smooth=True))
    expected = grad_cams(model, name, aug_smooth=True)
    assert found.maps[name].any()
    assert_close(unit(found.maps[name]), unit(expected), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", METHODS)
def test_the_component_is_grad_cams_with_the_sign_of_the_sum(name: str) -> None:
    """Of the two signs, grad-cam takes the one that its decomposition happens to have."""
    model = net()
    found = compute_cams(model, images(), [name], CLASSES, MethodOptions(eigen_smooth=True))
    expected = grad_cams(model, name, eigen_smooth=True)
    plain = compute_cams(model, images(), [name], CLASSES).maps[name]
    same = 0
    for own, theirs, total in zip(unit(found.maps[name]), unit(expected), plain, strict=True):
        assert np.corrcoef(own.ravel(), total.ravel())[0, 1] > 0
        if np.corrcoef(theirs.ravel(), total.ravel())[0, 1] > 0:
            assert_close(own, theirs, atol=1e-5, rtol=0)
            same += 1
    assert same


@pytest.mark.parametrize("name", ["scorecam", "ablationcam"])
def test_methods_of_many_passes_are_smoothed_too(name: str) -> None:
    plain = compute_cams(net(), images(), [name], CLASSES).maps[name]
    for options in (MethodOptions(aug_smooth=True), MethodOptions(eigen_smooth=True)):
        found = compute_cams(net(), images(), [name], CLASSES, options)
        assert found.maps[name].shape == plain.shape
        assert not np.allclose(unit(found.maps[name]), unit(plain), atol=1e-3)


def test_the_class_is_that_of_the_image_not_of_a_copy() -> None:
    model = net()
    top = compute_cams(model, images(), ["gradcam"])
    options = MethodOptions(aug_smooth=True)
    smoothed = compute_cams(model, images(), ["gradcam"], None, options)
    given = compute_cams(model, images(), ["gradcam"], top.targets.tolist(), options)
    assert (smoothed.targets == top.targets).all()
    assert_close(smoothed.maps["gradcam"], given.maps["gradcam"])
    assert_close(smoothed.probabilities, top.probabilities)
    assert_close(smoothed.values, top.values)


def test_a_mirrored_image_has_the_mirrored_map() -> None:
    options = MethodOptions(aug_smooth=True)
    model = net()
    found = compute_cams(model, images(), ["gradcam"], CLASSES, options).maps["gradcam"]
    mirrored = compute_cams(model, images().flip(-1), ["gradcam"], CLASSES, options)
    assert_close(mirrored.maps["gradcam"], found[..., ::-1].copy(), atol=1e-5, rtol=1e-5)


def own(activations: Tensor, gradients: Tensor) -> Tensor:
    return (activations * gradients).sum(1)


@pytest.mark.parametrize(
    ("options", "methods", "message"),
    [
        ({"eigen_smooth": True}, ["gradcam", own], "sums over channels, and own is none"),
        (
            {"resolution": 28},
            ["gradcam"],
            "resolution is for maps of the input's pixels, not",
        ),
        (
            {"samples": 5},
            ["gradcam", own],
            "samples is for methods that make copies .* own",
        ),
        ({"channels": 5}, ["gradcam"], "channels is for methods of a pass for each channel, not"),
    ],
)
def test_options_without_effect_are_refused(options: Any, methods: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        check_options(MethodOptions(**options), methods)

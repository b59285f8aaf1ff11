"""ARCC and its parts, compared with grad-cam's and with the formula by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from pytorch_grad_cam.metrics import arcc as grad_cam_arcc
from pytorch_grad_cam.metrics import road as grad_cam_road
from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget
from torch import Tensor, nn

from effcam import metrics
from effcam.errors import ArgumentError
from effcam.metrics.combined_score import arcc, coherency

TARGETS = (1, 4, 1)
"""The classes that the network predicts."""


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(1)
    layers = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, padding_mode="reflect"),
        nn.Softplus(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 5),
    )
    with torch.no_grad():
        layers[0].weight.mul_(3)
        layers[4].weight.mul_(3)
    return layers.eval()


@pytest.fixture
def predict(network: nn.Module) -> Callable[[Tensor], Tensor]:
    def probabilities(images: Tensor) -> Tensor:
        with torch.no_grad():
            return network(images).softmax(1)

    return probabilities


@pytest.fixture
def explain(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """Class activation maps of the targets, scaled to [0, 1]."""

    def maps(images: Tensor) -> Tensor:
        with torch.no_grad():
            activations = network[1](network[0](images))
            heats = torch.einsum("bchw,bc->bhw", activations, network[4].weight[list(TARGETS)])
        low, high = heats.amin((1, 2), keepdim=True), heats.amax((1, 2), keepdim=True)
        return (heats - low) / (high - low)

    return maps


def some_images() -> Tensor:
    images = torch.randn(3, 3, 10, 12, generator=torch.Generator().manual_seed(0))
    return nn.functional.avg_pool2d(images, 3, 1, 1) * 3


class Noiseless(grad_cam_road.NoisyLinearImputer):
    def __init__(self) -> None:
        super().__init__(noise=0)


# grad-cam 1.5 passes a tensor to NumPy to find its zeros, at which NumPy 2 warns.
@pytest.mark.filterwarnings("ignore:__array_wrap__ must accept context:DeprecationWarning")
def test_arcc_is_grad_cams(
    network: nn.Module,
    predict: Callable[[Tensor], Tensor],
    explain: Callable[[Tensor], Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(grad_cam_road, "NoisyLinearImputer", Noiseless)
    images = some_images()
    heats = explain(images)
    metric = grad_cam_arcc.ARCC(lambda input_tensor, **_: explain(input_tensor).numpy())
    targets = [ClassifierOutputSoftmaxTarget(target) for target in TARGETS]
    expected = metric(images, heats.numpy(), targets, network)
    found = arcc(predict, explain, images, heats, TARGETS, noise=0)
    assert found.shape == (3,)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.min() > 0.01


def test_arcc_is_the_harmonic_mean_of_its_parts(
    predict: Callable[[Tensor], Tensor], explain: Callable[[Tensor], Tensor]
) -> None:
    images = some_images()
    heats = explain(images)
    again = explain(images * heats[:, None])
    likeness = [
        (scipy.stats.pearsonr(one.flatten(), other.flatten()).statistic + 1) / 2
        for one, other in zip(heats, again, strict=True)
    ]
    small = 1 - heats.mean((1, 2)).numpy()
    removed = (0.2, 0.4, 0.6, 0.8)
    depends = 2 * metrics.road(predict, images, heats, TARGETS, removed=removed, noise=0)
    expected = scipy.stats.hmean([likeness, small, depends])
    found = arcc(predict, explain, images, heats, TARGETS, noise=0)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    geometric = scipy.stats.gmean([likeness, small, depends])
    assert (geometric - found > 0.01).any()


def test_a_map_of_the_wrong_order_has_a_score_of_zero(
    predict: Callable[[Tensor], Tensor], explain: Callable[[Tensor], Tensor]
) -> None:
    images = some_images()
    assert (arcc(predict, explain, images, 1 - explain(images), TARGETS, noise=0) == 0).all()


@pytest.mark.parametrize("value", [0.0, 1.0, float("nan")])
def test_a_map_without_evidence_has_no_score(
    predict: Callable[[Tensor], Tensor], explain: Callable[[Tensor], Tensor], value: float
) -> None:
    images = some_images()
    heats = explain(images)
    heats[1] = value
    found = arcc(predict, explain, images, heats, TARGETS, noise=0)
    assert np.isnan(found).tolist() == [False, True, False]

    def lost(masked: Tensor) -> Tensor:
        maps = explain(masked)
        maps[2] = value
        return maps

    found = arcc(predict, lost, images, explain(images), TARGETS, noise=0)
    assert np.isnan(found).tolist() == [False, False, True]


def test_impossible_arguments_are_refused(
    predict: Callable[[Tensor], Tensor], explain: Callable[[Tensor], Tensor]
) -> None:
    images = some_images()
    heats = explain(images)
    with pytest.raises(ArgumentError, match=r"heats must be scaled to \[0, 1\]"):
        arcc(predict, explain, images, heats * 2, TARGETS)
    with pytest.raises(ArgumentError, match="one target per image, not 2 for 3"):
        arcc(predict, explain, images, heats, TARGETS[:2])
    with pytest.raises(ArgumentError, match="explain must return the maps of its images"):
        arcc(predict, lambda some: explain(some)[:, ::2], images, heats, TARGETS)
    with pytest.raises(ArgumentError, match="removed must be shares"):
        arcc(predict, explain, images, heats, TARGETS, removed=[2])


# coherency


def test_coherency_in_closed_form() -> None:
    heat = np.random.default_rng(0).random((2, 5, 7))
    np.testing.assert_allclose(coherency(heat, 3 * heat + 1), 1)
    np.testing.assert_allclose(coherency(heat, -heat), 0, atol=1e-15)
    assert coherency([[0, 1, 0, 1]], [[0, 0, 1, 1]]) == pytest.approx(0.5)


@pytest.mark.parametrize("value", [0.0, 0.1, float("nan")])
def test_a_constant_map_has_no_coherency(value: float) -> None:
    heat = np.random.default_rng(0).random((5, 7))
    for pair in ((np.full((5, 7), value), heat), (heat, np.full((5, 7), value))):
        assert np.isnan(coherency(*pair))


@pytest.mark.parametrize("other", [np.ones((2, 3)), np.ones(3)])
def test_maps_of_other_shapes_are_refused(other: Any) -> None:
    with pytest.raises(ArgumentError, match="two maps to compare must have one shape"):
        coherency(np.ones(3) if other.ndim == 1 else np.ones((3, 2)), other)

"""Guided backpropagation: parity with captum and grad-cam, ReLUs of all forms, refusals."""

from __future__ import annotations

import copy
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from pytorch_grad_cam import GuidedBackpropReLUModel
from torch import Tensor, nn

from effcam import Preprocess, load_model
from effcam.cam.explain import compute_cams
from effcam.errors import ModelError
from tests.cam.test_parity_with_further_classes import ReluNet

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from effcam import Model

SIZE, TARGETS = 32, [1, 3]


def net(act: Any = nn.ReLU) -> nn.Module:
    torch.manual_seed(0)
    return ReluNet(act).eval()


def model_of(module: nn.Module) -> Model:
    return load_model(module, preprocess=Preprocess(size=SIZE), device="cpu")


def images(count: int = 2) -> Tensor:
    return torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(3))


def guided(module: nn.Module, batch: Tensor, targets: list[int] = TARGETS) -> Any:
    found = compute_cams(model_of(module), batch, ["guidedbackprop"], targets)
    return np.stack(found.maps["guidedbackprop"])


def same(found: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    assert expected.max() > 0, "every map is empty: these weights test nothing"
    np.testing.assert_allclose(found, expected, atol=1e-6 * expected.max(), rtol=1e-5)


def test_it_is_captums() -> None:
    from captum.attr import GuidedBackprop

    module, batch = net(), images()
    found = guided(module, batch)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Setting backward hooks on ReLU activations")
        expected = GuidedBackprop(copy.deepcopy(module)).attribute(
            batch.clone().requires_grad_(), torch.tensor(TARGETS)
        )
    same(found, expected.detach().abs().sum(1).numpy())


def test_it_is_grad_cams() -> None:
    module, batch = net(), images()
    found = guided(module, batch)
    for at, target in enumerate(TARGETS):
        # It leaves its gradients, and other modules, behind.
        peer = GuidedBackpropReLUModel(copy.deepcopy(module))
        expected = peer(batch[at : at + 1].clone(), target)
        same(found[at], np.abs(expected).sum(2))


def test_relus_in_place_and_functions_count_too() -> None:
    expected = guided(net(), images())
    same(guided(net(lambda: nn.ReLU(inplace=True)), images()), expected)
    same(guided(net(Function), images()), expected)
    same(guided(net(Below), images()), expected)


class Function(nn.Module):
    def forward(self, batch: Tensor) -> Tensor:
        return torch.relu(batch)


class Below(nn.Module):
    """A ReLU6 of a 1000th, so that nothing is clipped above."""

    def forward(self, batch: Tensor) -> Tensor:
        return 1000 * nn.functional.relu6(batch / 1000)


class Signed(nn.Module):
    """Scores of which the gradient is positive in the left half, and negative in the right."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 1, 1, bias=False)
        nn.init.ones_(self.features.weight)

    def forward(self, batch: Tensor) -> Tensor:
        features = torch.relu(self.features(batch)).flatten(2)
        left = torch.arange(features.shape[2]) % SIZE < SIZE // 2
        score = (features * torch.where(left, 1.0, -1.0)).sum(2)
        return torch.cat([score, -score], 1)


def test_negative_gradients_end_at_a_relu() -> None:
    found = guided(Signed(), images().abs(), [0, 1])
    left = np.broadcast_to(np.arange(SIZE) < SIZE // 2, (SIZE, SIZE))
    same(found, np.stack([3.0 * left, 3.0 * ~left]).astype(np.float32))


def test_an_image_has_one_map_in_every_batch_and_the_network_stays_as_it_was() -> None:
    module, batch = net(), images()
    before = [type(each) for each in module.modules()]
    together = guided(module, batch)
    for at, target in enumerate(TARGETS):
        same(together[at], guided(module, batch[at : at + 1], [target])[0])
    assert [type(each) for each in module.modules()] == before
    assert not any(each._forward_hooks or each._backward_hooks for each in module.modules())


@pytest.mark.parametrize(
    ("act", "counts"), [(nn.GELU, "0 of ReLU, 4 of GELU"), (nn.SiLU, "0 of ReLU, 4 of SiLU")]
)
def test_networks_of_other_activations_are_refused(act: Any, counts: str) -> None:
    with pytest.raises(ModelError, match=f"activations found here are {counts}"):
        guided(net(act), images())


def test_a_network_of_relus_and_others_is_refused() -> None:
    module = net()
    assert isinstance(module, ReluNet)
    module.act = nn.Hardswish()
    with pytest.raises(ModelError, match="3 of ReLU, 1 of hard swish"):
        guided(module, images())

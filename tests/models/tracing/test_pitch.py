from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from effcam import Preprocess, load_model
from effcam.models.tracing.pitch import find_pitch
from tests.nets import ConvNet
from tests.tiers import core

PITCHES = {
    "alexnet": 32,
    "squeezenet1_0": 16,
    "efficientnet_b3": 32,
    "inception_v3": 32,
    "vit_tiny_patch16_224": 16,
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "pitch"),
    core(PITCHES.items(), [("alexnet", 32), ("vit_tiny_patch16_224", 16)]),
)
def test_it_is_the_product_of_the_strides(name: str, pitch: int) -> None:
    model = load_model(name, pretrained=False, device="meta")
    found = find_pitch(model.module, model.layer, model.preprocess.size, 3)
    # A ViT takes one size only: its cells divide the input evenly.
    assert found == (None if name.startswith("vit") else (pitch, pitch))


class Pooled(nn.Module):
    """Has 5 x 5 cells at every input size."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.AdaptiveAvgPool2d(5))
        self.mix = nn.Conv2d(4, 4, 1)
        self.head = nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.head(self.mix(self.features(images)).mean((2, 3)))
        return scores


def test_it_is_unknown_for_a_fixed_number_of_cells() -> None:
    model = load_model(Pooled(), preprocess=Preprocess(size=64))
    assert find_pitch(model.module, model.layer, (64, 64), 3) is None
    assert model.placed("pitch").is_even


def test_the_module_is_left_unchanged() -> None:
    network = ConvNet().train()
    before = {name: each.clone() for name, each in network.state_dict().items()}
    model = load_model(network, preprocess=Preprocess(size=64))
    model.placed("pitch")
    assert network.training
    assert all(torch.equal(each, before[name]) for name, each in network.state_dict().items())

from __future__ import annotations

import pytest
import torch
from timm.layers import create_conv2d
from torch import Tensor, nn

from effcam import Model, Preprocess, load_model
from effcam.models.tracing.offset import SURE, Offset, measure_offset

SIZE = 128
WIDTH = 32
PITCH = 16.0


class Strided(nn.Module):
    """Four convolutions of stride 2 with random weights: padding alone says where a cell looks."""

    def __init__(self, padding: str = "", layout: str = "NCHW") -> None:
        super().__init__()
        self.layout = layout
        torch.manual_seed(0)
        convolutions = [
            create_conv2d(3 if at == 0 else WIDTH, WIDTH, 3, stride=2, padding=padding)
            for at in range(4)
        ]
        for each in convolutions:
            nn.init.kaiming_normal_(each.weight)  # type: ignore[arg-type]
        self.features = nn.Sequential(*(nn.Sequential(each, nn.ReLU()) for each in convolutions))
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, images: Tensor) -> Tensor:
        cells = self.features(images)
        if self.layout == "NHWC":
            cells = self.norm(cells.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        elif self.layout == "tokens":
            tokens = cells.flatten(2).transpose(1, 2)
            first = tokens.new_zeros(len(tokens), 1, WIDTH)
            cells = self.norm(torch.cat([first, tokens], 1))[:, 1:].transpose(1, 2)[..., None]
        scores: Tensor = self.head(cells.mean((2, 3)))
        return scores


def load(module: nn.Module, size: int | tuple[int, int] = SIZE) -> Model:
    return load_model(module, preprocess=Preprocess(size=size))  # type: ignore[arg-type]


def measure(model: Model) -> Offset | None:
    pitch = (PITCH, PITCH)
    return measure_offset(model.module, model.layer, model.preprocess, pitch, model.scores)


# With a padding of 1 on both sides, each stride moves the middle of the cells by half of its step
# up: 0.5 + 1 + 2 + 4 px. What "same" adds at the end moves them down as far.
@pytest.mark.parametrize(("padding", "offset"), [("", -7.5), ("same", 7.5), ("valid", 0)])
def test_uneven_padding_is_found_where_arithmetic_says(padding: str, offset: float) -> None:
    size = 127 if padding == "valid" else SIZE
    found = measure(load(Strided(padding), size))
    assert found is not None
    assert found.shift == pytest.approx((offset, offset), abs=0.8)
    assert max(found.error) < 0.5


@pytest.mark.slow
def test_patches_of_an_input_that_they_divide_have_none() -> None:
    model = load_model("vit_tiny_patch16_224", pretrained=False)
    found = measure(model)
    assert found is not None
    assert found.shift == pytest.approx((0, 0), abs=3 * max(found.error) + 0.1)


@pytest.mark.parametrize("layout", ["NHWC", "tokens"])
def test_it_does_not_depend_on_the_layout(layout: str) -> None:
    model = load(Strided(layout=layout))
    assert model.layer.layout == layout
    found = measure(model)
    assert found is not None
    assert found.shift == pytest.approx((-7.5, -7.5), abs=0.8)


def test_it_is_the_same_each_time_and_leaves_no_trace() -> None:
    network = Strided().train()
    model = load(network)
    state = torch.get_rng_state()
    assert measure(model) == measure(model)
    assert torch.equal(torch.get_rng_state(), state)
    assert network.training
    assert all(each.requires_grad for each in network.parameters())
    assert not any(each._forward_hooks for each in network.modules())


def test_inputs_need_not_be_square() -> None:
    found = measure(load(Strided(), (96, 160)))
    assert found is not None
    assert found.shift == pytest.approx((-7.5, -7.5), abs=1)


def test_a_network_that_skips_most_pixels_is_measured_by_those_it_sees() -> None:
    class Skips(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Conv2d(3, 4, 7, stride=16)
            self.head = nn.Linear(4, 3)

        def forward(self, images: Tensor) -> Tensor:
            scores: Tensor = self.head(self.features(images).mean((2, 3)))
            return scores

    found = measure(load(Skips()))
    assert found is not None
    assert found.shift == pytest.approx((-4.5, -4.5), abs=1.5)


class Constant(Strided):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images * 0)


class Mixed(Strided):
    """Adds the mean of all cells to each: all of them change."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(WIDTH, WIDTH, 1)

    def forward(self, images: Tensor) -> Tensor:
        cells = self.features(images)
        cells = self.mix(cells + cells.mean((2, 3), keepdim=True))
        scores: Tensor = self.head(cells.mean((2, 3)))
        return scores


def test_what_changes_all_cells_does_not_pull_it_to_the_middle() -> None:
    model = load(Mixed())
    assert model.target_layer == "mix"
    found = measure(model)
    assert found is not None
    assert found.shift == pytest.approx((-7.5, -7.5), abs=1.5)


def test_it_is_none_for_a_map_that_does_not_change() -> None:
    model = load(Strided())
    assert (
        measure_offset(Constant(), model.layer, model.preprocess, (PITCH, PITCH), model.scores)
        is None
    )


def test_it_is_none_for_one_row_of_cells() -> None:
    assert measure(load(Strided(), (16, 128))) is None


def test_an_offset_that_is_not_known_to_an_eighth_of_a_cell_is_none() -> None:
    model = load_model("demo_efficientnet_b0")
    assert measure(model) is None
    placement = model.placement
    assert placement.error is None
    assert placement.offset == (0, 0)
    assert SURE == 0.125

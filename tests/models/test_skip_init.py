"""Modules built without random weights that are replaced anyway."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from torch import nn
from torchvision.models import get_model

from effcam import ModelSpec, load_model
from effcam.models.skip_init import skip_init
from tests.tiers import core

Build = Callable[[], nn.Module]


@pytest.mark.parametrize(
    "draw",
    [
        nn.init.uniform_,
        nn.init.normal_,
        nn.init.trunc_normal_,
        nn.init.xavier_uniform_,
        nn.init.xavier_normal_,
        nn.init.kaiming_uniform_,
        nn.init.kaiming_normal_,
        nn.init.orthogonal_,
        lambda tensor: nn.init.trunc_normal_(tensor, mean=0.3, std=0.5, a=0.25, b=0.5),
        lambda tensor: nn.init.trunc_normal_(tensor, mean=9.0, std=0.5, a=0.25, b=0.5),
        timm.layers.trunc_normal_,
        timm.layers.trunc_normal_tf_,
        timm.layers.lecun_normal_,
        torch.Tensor.uniform_,
        torch.Tensor.normal_,
    ],
)
@pytest.mark.filterwarnings("ignore:mean is more than 2 std")
def test_every_way_to_draw_ends_at_once_and_takes_no_random_numbers(
    draw: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    tensor = torch.full((4, 6), 7.0)
    with skip_init():
        returned = draw(tensor)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert returned is tensor or returned is None
    assert tensor.isfinite().all()


def test_truncated_draws_stay_within_their_bounds() -> None:
    with skip_init():
        drawn = nn.init.trunc_normal_(torch.empty(50), mean=0.3, std=0.5, a=0.25, b=0.5)
    assert drawn.min() >= 0.25
    assert drawn.max() <= 0.5


def test_constants_and_buffers_are_what_the_constructor_makes_them() -> None:
    with skip_init():
        norm = nn.BatchNorm2d(3)
        frozen = nn.init.constant_(torch.empty(2), 3.0)
        made = torch.linspace(0, 1, 5)
    assert norm.weight.tolist() == [1, 1, 1]
    assert norm.running_var is not None
    assert norm.running_var.tolist() == [1, 1, 1]
    assert frozen.tolist() == [3, 3]
    assert made.tolist() == [0, 0.25, 0.5, 0.75, 1]


def test_outside_the_context_everything_is_drawn() -> None:
    torch.manual_seed(3)
    expected = nn.Linear(4, 4).weight
    torch.manual_seed(3)
    with skip_init():
        nn.Linear(4, 4)
    assert torch.equal(nn.Linear(4, 4).weight, expected)


LIBRARY: dict[str, Build] = {
    "timm:test_vit": lambda: timm.create_model("test_vit"),
    "timm:test_efficientnet": lambda: timm.create_model("test_efficientnet"),
    "timm:test_convnext": lambda: timm.create_model("test_convnext"),
    "torchvision:googlenet": lambda: get_model("googlenet", weights=None, init_weights=True),
    "torchvision:mobilenet_v3_small": lambda: get_model("mobilenet_v3_small", weights=None),
    "torchvision:swin_t": lambda: get_model("swin_t", weights=None),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", core(LIBRARY, [name for name in LIBRARY if "timm" in name]))
def test_what_is_not_drawn_is_equal_with_and_without(name: str) -> None:
    """Tensors outside the state dict must be the same with and without drawing."""
    drawn = LIBRARY[name]()
    with skip_init():
        blank = LIBRARY[name]()
    blank.load_state_dict(drawn.state_dict())
    buffers = dict(blank.named_buffers())
    for key, value in drawn.named_buffers():
        assert torch.equal(buffers[key], value), key
    images = torch.rand(2, 3, 224, 224)
    with torch.inference_mode():
        size = 160 if name.startswith("timm:test") else 224
        images = images[..., :size, :size]
        assert torch.equal(blank.eval()(images), drawn.eval()(images))


def test_a_model_from_a_checkpoint_draws_no_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    donor = load_model("timm:test_resnet", pretrained=False)
    file = tmp_path / "own.pt"
    torch.save(donor.module.state_dict(), file)
    drawn: list[str] = []
    original = torch.nn.init._no_grad_normal_

    def counted(*arguments: object, **named: object) -> object:
        drawn.append("drawn")
        return original(*arguments, **named)

    monkeypatch.setattr(torch.nn.init, "_no_grad_normal_", counted)
    loaded = load_model(ModelSpec("timm:test_resnet", checkpoint=file))
    assert drawn == []
    for key, value in donor.module.state_dict().items():
        assert torch.equal(loaded.module.state_dict()[key], value), key


def test_code_that_reads_drawn_values_gets_meaningful_numbers() -> None:
    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            weight = torch.empty(3, 3).uniform_(0.5, 1)
            self.scale = float(weight.norm())

    with skip_init():
        assert math.isclose(Normed().scale, 1.5)


def test_it_reaches_no_other_thread() -> None:
    from threading import Thread

    found: list[torch.Tensor] = []
    with skip_init():
        thread = Thread(target=lambda: found.append(torch.empty(100).normal_()))
        thread.start()
        thread.join()
    assert found[0].std() > 0.5

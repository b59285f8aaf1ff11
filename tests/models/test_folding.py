"""Folded batch normalisations: which, that nothing changes by it, and whose networks are folded."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from torch.testing import assert_close

import effcam
from effcam.cam import lighten as lighten_module
from effcam.cam.explain import compute_cams
from effcam.images.preprocess import Preprocess
from effcam.models.folding import fold_norms, is_foldable_norm
from effcam.models.loading import load_model
from tests.cam.test_parity_with_grad_cam import calibrate, pictures

SIZE = 64


def directly(conv: nn.Module, norm: nn.Module, images: Tensor) -> Tensor:
    normalised: Tensor = norm(conv(images))
    return normalised


class Pair(nn.Module):
    """A convolution, a batch normalisation, and a head; ``join`` says what is between them."""

    def __init__(
        self,
        conv: nn.Module | None = None,
        norm: nn.Module | None = None,
        join: Callable[[nn.Module, nn.Module, Tensor], Tensor] = directly,
    ) -> None:
        super().__init__()
        self.conv = conv or nn.Conv2d(3, 6, 3, 2, bias=False)
        self.norm = norm or nn.BatchNorm2d(6)
        self.last, self.fc = nn.Conv2d(6, 4, 3, 2), nn.Linear(4, 5)
        self.join = join

    def forward(self, images: Tensor) -> Tensor:
        features = self.join(self.conv, self.norm, images)
        scores: Tensor = self.fc(self.last(features).relu().mean((2, 3)))
        return scores


def prepared(net: nn.Module) -> nn.Module:
    """Return a network whose batch normalisations have statistics and weights of their own."""
    torch.manual_seed(1)
    for each in net.modules():
        if isinstance(each, nn.BatchNorm2d) and each.affine:
            nn.init.uniform_(each.weight, 0.5, 2)
            nn.init.normal_(each.bias)
    calibrate(net, SIZE)
    return net.eval().requires_grad_(False)


def fold(net: nn.Module, kept: tuple[str, ...] = ()) -> int:
    """Fold a network, and check that it returns what it did."""
    images = pictures(2, SIZE)
    with torch.no_grad():
        before = net(images)
        count = fold_norms(net, (SIZE, SIZE), 3, kept)
        assert_close(net(images), before, atol=1e-5 * float(before.abs().max()), rtol=0)
    return count


@pytest.mark.parametrize(
    ("conv", "norm"),
    [
        (nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6)),
        (nn.Conv2d(3, 6, 3, 2, padding=1), nn.BatchNorm2d(6, eps=0.1)),
        (nn.Conv2d(3, 6, 3, groups=3, padding="same", padding_mode="reflect"), nn.BatchNorm2d(6)),
        (nn.Conv2d(3, 6, 1), nn.BatchNorm2d(6, affine=False)),
        (nn.Conv2d(3, 6, 1), BatchNormAct2d(6, act_layer=nn.SiLU)),
        (Conv2dSame(3, 6, 4, 3), nn.BatchNorm2d(6)),
    ],
)
def test_a_pair_is_folded_and_returns_the_same(conv: nn.Module, norm: nn.Module) -> None:
    net = prepared(Pair(conv, norm))
    assert fold(net) == 1
    found = torch.randn(2, 6, 4, 4)
    act = getattr(norm, "act", nn.Identity())
    assert_close(net.norm(found), act(found))  # the normalisation does nothing more
    assert fold(net) == 0, "it is folded once"


def twice(conv: nn.Module, norm: nn.Module, images: Tensor) -> Tensor:
    features = conv(images)
    normalised: Tensor = norm(features)
    return normalised + features


def activated(conv: nn.Module, norm: nn.Module, images: Tensor) -> Tensor:
    normalised: Tensor = norm(conv(images).relu_())
    return normalised


def shared_conv(conv: nn.Module, norm: nn.Module, images: Tensor) -> Tensor:
    normalised: Tensor = norm(conv(images)) + conv(images.flip(3))
    return normalised


def shared_norm(conv: nn.Module, norm: nn.Module, images: Tensor) -> Tensor:
    normalised: Tensor = norm(norm(conv(images)))
    return normalised


class DoubledConv(nn.Conv2d):
    def forward(self, images: Tensor) -> Tensor:
        return 2 * super().forward(images)


class ScaledNorm(nn.BatchNorm2d):
    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) * 3


@pytest.mark.parametrize(
    "parts",
    [
        {"join": twice},
        {"join": activated},
        {"join": shared_conv},
        {"join": shared_norm},
        {"conv": DoubledConv(3, 6, 3)},
        {"norm": ScaledNorm(6)},
        {"conv": weight_norm(nn.Conv2d(3, 6, 3))},
        {"norm": nn.GroupNorm(2, 6)},
        {"norm": nn.BatchNorm2d(6, track_running_stats=False)},
    ],
    ids=[
        "read twice",
        "changed between",
        "one convolution for two",
        "one norm for two",
        "another convolution",
        "another norm",
        "computed weights",
        "another kind",
        "statistics of the batch",
    ],
)
def test_what_is_not_such_a_pair_stays(parts: dict[str, Any]) -> None:
    net = prepared(Pair(**parts))
    before = copy.deepcopy(net.state_dict())
    assert fold(net) == 0
    assert_close(net.state_dict(), before, atol=0, rtol=0)


def masked(conv: nn.Module, norm: nn.Module, images: Tensor) -> Tensor:
    features = conv(images)
    normalised: Tensor = norm(features) * (features > 0)
    return normalised


def shifted(conv: nn.Module, norm: nn.Module, images: Tensor) -> Tensor:
    features = conv(images)
    normalised: Tensor = norm(features) + float(features.mean())
    return normalised


def reused(conv: nn.Conv2d, norm: nn.Module, images: Tensor) -> Tensor:
    again = nn.functional.conv2d(images, conv.weight, stride=conv.stride)
    normalised: Tensor = norm(conv(images)) + again
    return normalised


def without_bias(conv: nn.Conv2d, norm: nn.Module, images: Tensor) -> Tensor:
    normalised: Tensor = norm(conv(images)) * (1 if conv.bias is None else 2)
    return normalised


class Telling(Pair):
    """A network that also returns the output of its convolution."""

    def forward(self, images: Tensor) -> Any:
        return {"logits": super().forward(images), "maps": self.conv(images)}


class Counting(Pair):
    """A network that also returns whole numbers made of its convolution's output, and no boxes."""

    def forward(self, images: Tensor) -> Any:
        features = self.conv(images)
        mean = round(1e4 * float(features.mean()))
        scores = self.fc(self.last(self.norm(features)).relu().mean((2, 3)))
        numbers = torch.full((len(images),), mean)
        return {"logits": scores, "numbers": numbers, "boxes": scores.new_empty(0, 4)}


class Opaque(Pair):
    """A network that returns an object, whose parts are not known."""

    def forward(self, images: Tensor) -> Any:
        return SimpleNamespace(logits=super().forward(images))


@pytest.mark.parametrize("join", [masked, shifted, reused, without_bias])
def test_what_the_graph_does_not_show_is_seen_in_what_the_network_returns(join: Any) -> None:
    net = prepared(Pair(join=join))
    before = copy.deepcopy(net.state_dict())
    assert fold(net) == 0
    assert_close(net.state_dict(), before, atol=0, rtol=0)
    assert "forward" not in vars(net.norm)


@pytest.mark.parametrize("kind", [Telling, Counting, Opaque])
def test_other_outputs_stay_too(kind: type[Pair]) -> None:
    net = prepared(kind())
    before = copy.deepcopy(net.state_dict())
    assert fold_norms(net, (SIZE, SIZE), 3, ()) == 0
    assert_close(net.state_dict(), before, atol=0, rtol=0)


def test_a_normalisation_by_the_batch_stays() -> None:
    net = prepared(Pair())
    net.norm.train()
    assert not any(map(is_foldable_norm, net.modules()))


def test_hooks_and_layers_that_are_looked_at_keep_a_pair() -> None:
    net = prepared(Pair())
    handle = net.conv.register_forward_hook(lambda *_: None)
    assert fold(net) == 0
    handle.remove()
    assert fold(net, kept=("conv",)) == 0
    assert fold(net, kept=("norm",)) == 1


def test_tied_weights_of_another_module_stay() -> None:
    net = Pair()
    net.other = nn.Conv2d(3, 6, 3, bias=False)  # type: ignore[assignment]
    net.other.weight = net.conv.weight  # type: ignore[union-attr]
    prepared(net)
    kept = net.conv.weight.detach().clone()
    assert fold(net) == 1
    assert_close(net.other.weight, kept)  # type: ignore[union-attr]


def test_channels_last_weights_stay_so() -> None:
    net = prepared(Pair()).to(memory_format=torch.channels_last)
    assert fold(net) == 1
    assert net.conv.weight.is_contiguous(memory_format=torch.channels_last)


NETWORKS = {
    "resnet18": 20,
    "densenet121": 59,
    "torchvision:mobilenet_v3_small": 34,
    "timm:regnetx_002": 44,
    "timm:test_efficientnet": 13,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_maps_of_a_folded_network_are_the_same(name: str) -> None:
    torch.manual_seed(0)
    model = load_model(name, pretrained=False, device="cpu", preprocess=Preprocess(size=SIZE))
    calibrate(model.module, SIZE)
    images, methods = pictures(2, SIZE), ["gradcam", "layercam", "eigencam"]
    before = compute_cams(model, images, methods, [1, 2])
    kept = [layer.name for layer in model.target_layers]
    assert fold_norms(model.module, (SIZE, SIZE), 3, kept) == NETWORKS[name]
    after = compute_cams(model, images, methods, [1, 2])
    for method in methods:
        highest = before.maps[method].max()
        assert highest > 0
        assert abs(after.maps[method] - before.maps[method]).max() <= 1e-5 * highest


@pytest.fixture
def folded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the numbers of batch normalisations that are folded while a test runs."""
    counts: list[int] = []

    def count(*args: Any) -> int:
        counts.append(fold_norms(*args))
        return counts[-1]

    monkeypatch.setattr(lighten_module, "fold_norms", count)
    return counts


def test_a_comparison_folds_what_it_builds_by_name(folded: list[int]) -> None:
    scenes = effcam.demo.scenes(1, size=112)
    by_name = effcam.compare(scenes, ["demo_resnet"])
    assert folded == [38]
    (kept,) = folded
    own = effcam.compare(scenes, {"demo_resnet": effcam.load_model("demo_resnet")})
    assert folded == [kept], "a model of the caller's was folded"
    one, other = by_name[0, 0].heatmap, own[0, 0].heatmap
    assert_close(one, other, atol=1e-5 * float(other.max()), rtol=0)
    facts, others = by_name.facts[0], own.facts[0]
    assert (facts.parameters, facts.flops) == (others.parameters, others.flops)


def test_modules_and_constructors_of_the_caller_are_not_folded(folded: list[int]) -> None:
    net = prepared(Pair())
    before = copy.deepcopy(net.state_dict())
    spec = effcam.ModelSpec("mine", constructor=lambda: net, preprocess=Preprocess(size=SIZE))
    effcam.compare(effcam.demo.scenes(1, size=SIZE), [net, spec], target=0)
    assert folded == []
    assert_close(net.state_dict(), before, atol=0, rtol=0)


def test_a_method_that_reads_biases_gets_the_network_as_it_is(folded: list[int]) -> None:
    effcam.compare(effcam.demo.scenes(1, size=112), ["demo_resnet"], method=["gradcam", "fullgrad"])
    assert folded == []

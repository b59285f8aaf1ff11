"""The identity of a model in a run: equal for the same model, different for any other."""

from __future__ import annotations

import copy
import functools
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from effcam import ModelSpec, Preprocess, load_model
from effcam.models.sources import ModelLike
from tests.nets import ConvNet

pytest.importorskip("pyarrow")

from effcam.dataset.identity import describe, unidentified

PLAIN = Preprocess(size=32, resize=32, mean=0, std=1)


class Net(nn.Module):
    """A net that is changed in each of these tests."""

    def __init__(self, scale: float = 1.0, act: nn.Module | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), act or nn.ReLU())
        self.fc = nn.Linear(4, 3)
        self.scale = scale
        self.losses: list[float] = []
        self.register_buffer("shift", torch.zeros(3), persistent=False)

    def pool(self, features: Tensor) -> Tensor:
        return features.mean((2, 3))

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.fc(self.pool(self.features(images))) * self.scale + self.shift
        return double(scores)

    def training_step(self) -> float:
        return self.scale + 1


def double(scores: Tensor) -> Tensor:
    return 2 * scores


def triple(scores: Tensor) -> Tensor:
    return 3 * scores


def pooled(features: Tensor, by: int) -> Tensor:
    return by * features.mean((2, 3))


def other_forward() -> nn.Module:
    class Net(type(net())):  # type: ignore[misc]
        def pool(self, features: Tensor) -> Tensor:
            return features.amax((2, 3))

    return Net()


def net(change: Callable[[Any], object] | None = None, **arguments: Any) -> nn.Module:
    found = Net(**arguments)
    if change is not None:
        change(found)
    return found


def patched(factor: int) -> nn.Module:
    module = Net()
    real = module.forward
    module.forward = lambda images: real(images) * factor  # type: ignore[method-assign]
    return module


def hooked(factor: int) -> nn.Module:
    def scale(_module: object, _args: object, output: Tensor, by: int = factor) -> Tensor:
        return output * by

    return net(lambda each: each.fc.register_forward_hook(scale))


def loaded(**options: Any) -> ModelLike:
    return load_model(Net(), **{"preprocess": PLAIN, **options})


def untrained(**options: Any) -> ModelLike:
    return load_model("resnet18", pretrained=False, options=options)


def built(build: Callable[..., nn.Module], **fields: Any) -> ModelSpec:
    return ModelSpec("mine", constructor=build, preprocess=PLAIN, **fields)


class Owner:
    """An object whose method a module calls."""

    def __init__(self, factor: int) -> None:
        self.factor = factor

    def scale(self, scores: Tensor) -> Tensor:
        return scores * self.factor


class UsesOwner(Net):
    def __init__(self, factor: int) -> None:
        super().__init__()
        self.owner = Owner(factor)

    def forward(self, images: Tensor) -> Tensor:
        return self.owner.scale(super().forward(images))


class ReadsByName(Net):
    """Reads an attribute whose name is not in the code."""

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = super().forward(images) * getattr(self, "ga" + "in")
        return scores


class SquashFunction(torch.autograd.Function):
    """A function with a gradient of its own."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor) -> Tensor:  # noqa: ARG004 - torch's signature
        return scores.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
        return gradient.clone()


class Squashed(Net):
    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = SquashFunction.apply(super().forward(images))
        return scores


def with_hidden(value: float) -> nn.Module:
    module = ReadsByName()
    module.gain = value  # type: ignore[assignment]
    return module


@pytest.mark.parametrize(
    ("make", "other"),
    [
        (net, lambda: net(scale=2.0)),
        (net, lambda: net(act=nn.Sigmoid())),
        (lambda: net(act=nn.LeakyReLU(0.1)), lambda: net(act=nn.LeakyReLU(0.2))),
        (net, other_forward),
        (lambda: patched(1), lambda: patched(2)),
        (lambda: hooked(1), lambda: hooked(2)),
        (net, lambda: hooked(1)),
        (net, lambda: net(lambda each: each.fc.weight.data.add_(1e-6))),
        (net, lambda: net(lambda each: each.shift.add_(1))),
        (net, lambda: net().double()),
        (lambda: UsesOwner(1), lambda: UsesOwner(2)),
        (lambda: with_hidden(1.0), lambda: with_hidden(2.0)),
        (
            lambda: net(lambda each: setattr(each, "pool", functools.partial(pooled, by=1))),
            lambda: net(lambda each: setattr(each, "pool", functools.partial(pooled, by=2))),
        ),
        (loaded, lambda: loaded(labels=["a", "b", "c"])),
        (loaded, lambda: loaded(target_layer="features.0")),
        (loaded, lambda: loaded(preprocess=Preprocess(size=32, resize=40, mean=0, std=1))),
        (loaded, lambda: loaded(name="other")),
        (untrained, lambda: untrained(act_layer="gelu")),
        (
            lambda: ModelSpec("resnet18", pretrained=False, options={"norm_layer": nn.BatchNorm2d}),
            lambda: ModelSpec("resnet18", pretrained=False, options={"norm_layer": nn.Identity}),
        ),
        (lambda: built(net), lambda: built(lambda: net(scale=3.0))),
        (lambda: built(net), lambda: built(lambda: net(act=nn.Tanh()))),
        (lambda: built(net), lambda: built(net, options={"scale": 3.0})),
    ],
)
def test_models_that_differ_have_other_identities(
    make: Callable[[], ModelLike], other: Callable[[], ModelLike]
) -> None:
    first = describe(make())
    assert not unidentified(first)
    assert describe(make()) == first
    assert describe(other()) != first


def test_a_constructor_with_a_checkpoint_is_identified_by_what_it_builds(tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    torch.save(Net().state_dict(), file)
    first = describe(built(net, checkpoint=file))
    assert describe(built(net, checkpoint=file)) == first
    assert describe(built(lambda: net(act=nn.Tanh()), checkpoint=file)) != first


def test_functions_that_forward_uses_count(monkeypatch: pytest.MonkeyPatch) -> None:
    first = describe(net())
    monkeypatch.setattr(sys.modules[__name__], "double", triple)
    assert describe(net()) != first


@pytest.mark.parametrize(
    "change",
    [
        lambda module: module.train(),
        lambda module: module.losses.append(0.5),
        lambda module: module.requires_grad_(False),
        lambda module: setattr(module, "trainer", threading.Lock()),
        lambda module: module.to(memory_format=torch.channels_last),
        lambda module: module.fc.register_state_dict_post_hook(lambda *_: None),
    ],
)
def test_what_the_output_does_not_depend_on_is_left_out(change: Callable[[Any], object]) -> None:
    assert describe(net(change)) == describe(net())


def test_the_code_of_the_training_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    first = describe(net())
    monkeypatch.setattr(Net, "training_step", lambda self: self.scale + 2)
    assert describe(net()) == first
    monkeypatch.setattr(Net, "pool", lambda _self, features: features.amax((2, 3)))
    assert describe(net()) != first


def test_copies_are_the_same_model() -> None:
    module = Squashed()
    assert describe(copy.deepcopy(module)) == describe(module)
    module = net()
    traced = torch.fx.symbolic_trace(module)
    assert describe(torch.fx.symbolic_trace(module)) == describe(traced)
    assert describe(torch.fx.symbolic_trace(net(scale=2.0))) != describe(traced)
    assert not unidentified(describe(traced))


def test_shared_layers_are_not_equal_layers() -> None:
    class Twice(nn.Module):
        def __init__(self, *, shared: bool) -> None:
            super().__init__()
            self.one = nn.Conv2d(3, 3, 1)
            self.two = self.one if shared else copy.deepcopy(self.one)

        def forward(self, images: Tensor) -> Tensor:
            scores: Tensor = self.two(self.one(images)).mean((2, 3))
            return scores

    torch.manual_seed(0)
    shared = Twice(shared=True)
    apart = Twice(shared=False)
    apart.load_state_dict(shared.state_dict())
    found = [describe(load_model(each, preprocess=PLAIN))["code"] for each in (shared, apart)]
    assert found[0] != found[1]


def test_what_has_no_content_is_named() -> None:
    class Locked(ConvNet):
        def __init__(self) -> None:
            super().__init__()
            self.lock = threading.Lock()

        def forward(self, images: Tensor) -> Tensor:
            with self.lock:
                return super().forward(images)

    reason = unidentified(describe(load_model(Locked(), preprocess=PLAIN)))
    assert reason == "'lock' of the module has a lock"


@pytest.mark.slow
def test_another_process_finds_the_same_identity() -> None:
    here = Path(__file__)
    program = (
        f"import sys; sys.path[:0] = {[str(here.parent), str(here.parents[2])]!r}\n"
        "from test_identity import describe, net, untrained\n"
        "print(describe(net()), describe(untrained()))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
    ).stdout
    assert found == f"{describe(net())} {describe(untrained())}\n"

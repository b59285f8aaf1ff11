"""Fingerprints of modules, and results that modules of one structure share."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable

import pytest
import timm
import torch
from torch import Tensor, nn

from effcam import load_model
from effcam.models.tracing import trace
from effcam.models.tracing.cache import StructureCache, fingerprint


class Net(nn.Module):
    """A module with an attribute of any kind."""

    def __init__(self, kept: object = None) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 4, 3)
        self.kept = kept

    def forward(self, images: Tensor) -> Tensor:
        return self.body(images).mean((2, 3))


def scale(value: float) -> float:
    return value


def closing_over(value: float) -> Callable[[float], float]:
    return lambda other: value * other


def test_modules_of_one_structure_share_it_whatever_their_weights() -> None:
    one, other = Net(), Net()
    assert fingerprint(one) == fingerprint(other) is not None
    assert fingerprint(copy.deepcopy(one)) == fingerprint(one)
    assert fingerprint(one.train()) == fingerprint(other.eval())


@pytest.mark.parametrize(
    "change",
    [
        lambda net: setattr(net, "kept", 2),
        lambda net: setattr(net, "new", None),
        lambda net: setattr(net, "body", nn.Conv2d(3, 5, 3)),
        lambda net: setattr(net.body, "stride", (2, 2)),
        lambda net: net.add_module("more", nn.ReLU()),
        lambda net: net.register_buffer("more", torch.zeros(1)),
        lambda net: net.to(torch.float64),
        lambda net: net.body.register_forward_hook(scale),
        lambda net: net.body.register_parameter("bias", None),
    ],
)
def test_what_changes_the_pass_changes_it(change: Callable[[nn.Module], object]) -> None:
    net = Net()
    change(net)
    assert fingerprint(net) != fingerprint(Net())


@pytest.mark.parametrize(
    "kept",
    [
        *(1, 1.5, "text", b"bytes", None, True, (1, 2), [1, 2], {"a": [1]}, {1, 2}, nn.ReLU),
        *(torch.float32, scale, len, functools.partial(scale, value=2), torch.zeros(3)),
    ],
)
def test_usual_attributes_are_compared_by_value(kept: object) -> None:
    assert fingerprint(Net(kept)) == fingerprint(Net(copy.deepcopy(kept))) is not None


@pytest.mark.parametrize("kept", [object(), closing_over(2), iter([1]), [object()]])
def test_what_cannot_be_compared_has_none(kept: object) -> None:
    assert fingerprint(Net(kept)) is None


def test_one_module_in_two_places_is_not_two_modules() -> None:
    shared, own = nn.Linear(2, 2), [nn.Linear(2, 2), nn.Linear(2, 2)]
    assert fingerprint(nn.Sequential(shared, shared)) != fingerprint(nn.Sequential(*own))


def test_a_replaced_forward_of_an_instance_or_a_class_is_another_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = fingerprint(Net())
    patched = Net()
    patched.forward = patched.body.forward  # type: ignore[method-assign]
    assert fingerprint(patched) != before
    monkeypatch.setattr(Net, "forward", lambda self, images: self.body(images))
    assert fingerprint(Net()) != before


def test_usual_networks_have_one() -> None:
    for name in ("test_resnet", "test_vit", "test_efficientnet", "test_convnext"):
        with torch.device("meta"):
            assert fingerprint(timm.create_model(name)) is not None, name


# the cache


def test_a_result_is_computed_once() -> None:
    known: StructureCache[int] = StructureCache()
    asked: list[int] = []

    def find() -> int:
        asked.append(1)
        return len(asked)

    assert [known.get(Net(), "a", find) for _ in range(3)] == [1, 1, 1]
    assert known.get(Net(), "b", find) == 2
    assert known.get(Net(7), "a", find) == 3
    assert [known.get(Net(object()), "a", find) for _ in range(2)] == [4, 5]


def test_a_failure_is_not_cached() -> None:
    known: StructureCache[int] = StructureCache()

    def fail() -> int:
        raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="luck"):
        known.get(Net(), None, fail)
    assert known.get(Net(), None, lambda: 3) == 3


def test_the_oldest_findings_are_forgotten() -> None:
    known: StructureCache[int] = StructureCache(most=2)
    for kept in (1, 2, 3):
        known.get(Net(kept), None, lambda kept=kept: kept)  # type: ignore[misc]
    assert known.get(Net(3), None, lambda: 0) == 3
    assert known.get(Net(1), None, lambda: 0) == 0


def test_it_holds_no_module() -> None:
    import gc
    import weakref

    known: StructureCache[int] = StructureCache()
    net = Net()
    known.get(net, None, lambda: 1)
    gone = weakref.ref(net)
    del net
    gc.collect()
    assert gone() is None


def test_a_second_module_of_one_structure_is_not_traced_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    traced: list[str] = []
    original = trace.trace

    def counted(module: nn.Module, *arguments: object, **named: object) -> object:
        traced.append(type(module).__name__)
        return original(module, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr("effcam.models.traced_layers.trace", counted)
    first, second = Net(kept="only here"), Net(kept="only here")
    assert load_model(first).target_layer == load_model(second).target_layer == "body"
    assert traced == ["Net"]
    load_model(Net(kept="another"))
    assert traced == ["Net", "Net"]


def test_a_trainer_does_not_hide_the_structure() -> None:
    """A Lightning module refers to its trainer while it is trained."""
    one, other = nn.Linear(2, 2), nn.Linear(2, 2)
    one._trainer, one._current_fx_name = object(), "on_train_start"  # type: ignore[assignment]
    assert fingerprint(one) == fingerprint(other) is not None
    one.other = object()  # type: ignore[assignment]
    assert fingerprint(one) is None

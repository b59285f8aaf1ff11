"""Compiled parts: which, that their outputs stay, and what runs as it is."""

from __future__ import annotations

import gc
import shutil
import sys
import weakref
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
import timm
import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn
from torch.testing import assert_close

from effcam.errors import ModelError
from effcam.models.compiled_body import compile_body
from effcam.models.folding import fold_norms

SIZE, BATCH = 32, 2
needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("g++", "clang++", "c++"))), reason="there is no C++ compiler"
)


class Block(nn.Module):
    """Several operations; ``reads`` makes one of them depend on a number of the image."""

    def __init__(self, channels: int, *, reads: bool = False) -> None:
        super().__init__()
        self.first, self.act = nn.Conv2d(channels, 8, 3, 2), nn.GELU()
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.reads, self.passes = reads, 0

    def forward(self, features: Tensor) -> Tensor:
        self.passes += 1
        if self.reads and float(features.mean()) > 1e9:
            return features
        found: Tensor = self.second(self.act(self.first(features)))
        return found


class Net(nn.Module):
    """Blocks, of which the last is the target layer, and a head."""

    def __init__(self, *, reads: bool = False, twice: bool = False) -> None:
        super().__init__()
        self.stem = Block(3, reads=reads)
        self.body = Block(8)
        self.last = Block(8)
        self.head = nn.Linear(8, 4)
        self.twice = twice

    def forward(self, images: Tensor) -> Tensor:
        features = self.body(self.stem(images))
        if self.twice:
            features = self.body(features)
        scores: Tensor = self.head(self.last(features).mean((2, 3)))
        return scores


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def pictures(batch: int = BATCH, side: int = SIZE) -> Tensor:
    return torch.randn(batch, 3, side, side)


@needs_compiler
def test_what_runs_before_the_target_layer_is_compiled_and_returns_the_same() -> None:
    net, images = Net().eval(), pictures()
    with torch.no_grad():
        before = net(images)
        found = compile_body(net, images, ["last"])
        assert found.parts == ["stem", "body", "last"]
        assert not found.failed
        passes = net.stem.passes
        assert_close(net(images), before)
        assert net.stem.passes == passes  # its own Python code did not run
        found.undo()
        assert_close(net(images), before)
    assert net.stem.passes == passes + 1


@needs_compiler
def test_other_inputs_and_those_that_need_gradients_run_as_before() -> None:
    net, images = Net().eval(), pictures()
    others = [pictures(BATCH + 1), images.to(memory_format=torch.channels_last)]
    with torch.no_grad():
        before = [net(each) for each in others]
    compile_body(net, images, ["last"])
    passes = net.stem.passes
    with torch.no_grad():
        for each, wanted in zip(others, before, strict=True):
            assert_close(net(each), wanted)
    wanted_gradient = images.clone().requires_grad_()
    net(wanted_gradient).sum().backward()
    assert wanted_gradient.grad is not None
    assert wanted_gradient.grad.abs().sum() > 0
    assert net.stem.passes == passes + 3


@needs_compiler
def test_code_that_reads_numbers_runs_as_it_is_and_the_rest_is_compiled() -> None:
    net, images = Net(reads=True).eval(), pictures()
    with torch.no_grad():
        before = net(images)
    found = compile_body(net, images, ["last"])
    assert found.parts == ["body", "last"]
    assert list(found.failed) == ["stem"]
    with torch.no_grad():
        assert_close(net(images), before)


@needs_compiler
def test_modules_that_run_twice_or_have_hooks_run_as_they_are() -> None:
    net, images, seen = Net(twice=True).eval(), pictures(), []
    net.stem.act.register_forward_hook(lambda *_: seen.append(1))
    found = compile_body(net, images, ["last"])
    assert found.parts == ["last"]
    seen.clear()
    with torch.no_grad():
        net(images)
    assert len(seen) == 1


@needs_compiler
def test_a_target_layer_inside_a_module_is_not_hidden() -> None:
    net, images = Net().eval(), pictures()
    found = compile_body(net, images, ["last.act"])
    assert found.parts == ["stem", "body"]


def inductor(
    monkeypatch: pytest.MonkeyPatch, second: Callable[[Any], Exception] | None = None
) -> None:
    """Let torch's inductor return graphs as they are, but for the second an error of its module."""
    import torch._inductor
    from torch._inductor import exc  # takes seconds
    from torch._inductor.codecache import PyCodeCache

    made: list[str] = []
    monkeypatch.setattr(PyCodeCache, "modules", [])

    def compile_graph(graph: object, *_: object, **__: object) -> object:
        made.append(f"generated_{len(made)}")
        if second is not None and len(made) == 2:
            raise exc.InductorError(second(exc), None)
        PyCodeCache.modules.append(ModuleType(made[-1]))
        monkeypatch.setitem(sys.modules, made[-1], PyCodeCache.modules[-1])
        return graph

    monkeypatch.setattr(torch._inductor, "compile", compile_graph)


def generated() -> list[str]:
    """Return the names of modules that torch keeps for as long as the process runs."""
    from torch._inductor.codecache import PyCodeCache

    names = [*sys.modules, *(each.__name__ for each in PyCodeCache.modules)]
    return [each for each in names if each.startswith("generated_")]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            lambda exc: exc.InvalidCxxCompiler(),
            r"cannot compile here: there is no C\+\+ compiler that works",
        ),
        (
            lambda exc: exc.CppCompileError(
                ["g++"], "In a.cpp:\na.cpp:1: fatal error: no omp.h\n^"
            ),
            r"cannot compile here: the compiler fails: a.cpp:1: fatal error: no omp.h$",
        ),
        (lambda _: OSError(28, "No space left"), r"cannot compile here: OSError: .* No space left"),
    ],
)
def test_what_the_machine_lacks_is_said_in_a_line_and_nothing_is_left(
    monkeypatch: pytest.MonkeyPatch, error: Callable[[Any], Exception], message: str
) -> None:
    inductor(monkeypatch, error)
    net = Net().eval()
    with pytest.raises(ModelError, match=message) as caught:
        compile_body(net, pictures(), ["last"])
    assert "\n" not in str(caught.value)
    assert not [each for each in net.modules() if "forward" in vars(each)]
    assert generated() == []


def test_a_part_that_inductor_cannot_compile_runs_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    inductor(monkeypatch, lambda _: NotImplementedError("aten.odd\n  args[0]: ..."))
    found = compile_body(Net().eval(), pictures(), ["last"])
    assert found.parts == ["stem", "last"]
    assert found.failed == {"body": "InductorError: NotImplementedError: aten.odd"}


def test_too_little_memory_is_no_lack_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    inductor(monkeypatch, lambda _: RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    net = Net().eval()
    with pytest.raises(RuntimeError, match="can't allocate memory") as caught:
        compile_body(net, pictures(), ["last"])
    assert not isinstance(caught.value, ModelError)
    assert not [each for each in net.modules() if "forward" in vars(each)]


def test_undone_parts_of_a_folded_network_stay_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    inductor(monkeypatch)
    net = timm.create_model("test_efficientnet", pretrained=False).eval().requires_grad_(False)
    assert isinstance(net.bn1, BatchNormAct2d)  # of several modules, as a part that is compiled
    net.bn1.running_var.mul_(3)
    images = pictures(BATCH, 64)
    with torch.no_grad():
        assert fold_norms(net, (64, 64), 3, ["conv_head"]) > 0
        before = net(images)
        found = compile_body(net, images, ["conv_head"])
        assert len(generated()) == 2 * len(found.parts) > 0
        assert_close(net(images), before)
        found.undo()
        assert_close(net(images), before)
    assert generated() == []


def test_a_compiled_part_is_freed_with_its_network(monkeypatch: pytest.MonkeyPatch) -> None:
    inductor(monkeypatch)
    net = Net().eval()
    assert compile_body(net, pictures(), ["last"]).parts == ["stem", "body", "last"]
    kept = weakref.ref(net.stem)
    gc.collect()  # what exporting leaves
    gc.disable()  # as if none was collected until the next model is loaded
    try:
        del net
        assert kept() is None
    finally:
        gc.enable()
    assert generated() == []

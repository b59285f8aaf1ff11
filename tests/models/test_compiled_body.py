"""Compiled parts: which, that their outputs stay, and what runs as it is."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from effcam.errors import ModelError
from effcam.models.compiled_body import compile_body

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


def test_without_a_compiler_the_error_says_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch._inductor

    done: list[object] = []

    def refuse_second(graph: object, *_: object, **__: object) -> object:
        done.append(graph)
        if len(done) > 1:
            raise RuntimeError("no compiler")
        return graph

    monkeypatch.setattr(torch._inductor, "compile", refuse_second)
    net = Net().eval()
    with pytest.raises(ModelError, match=r"no compiler.*C\+\+"):
        compile_body(net, pictures(), ["last"])
    assert not [each for each in net.modules() if "forward" in vars(each)]  # nothing is left

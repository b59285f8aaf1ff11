"""A pass without compilation and checkpointing, and torch as it was afterwards."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils import checkpoint

from effcam.models.tracing.plain_pass import REPLACEMENTS, plain_pass

PATIENCE = 60.0


class Counting(nn.Module):
    """Counts how often it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 4)
        self.runs = 0

    def forward(self, rows: Tensor) -> Tensor:
        self.runs += 1
        scores: Tensor = self.linear(rows).tanh()
        return scores


def runs_of(block: Counting, rows: Tensor, *, reentrant: bool) -> int:
    """Return how often a checkpointed block runs, its recomputation included."""
    block.runs = 0
    checkpoint.checkpoint(block, rows, use_reentrant=reentrant).sum().backward()
    return block.runs


@pytest.mark.parametrize("reentrant", [True, False])
def test_nothing_is_recomputed_in_a_plain_pass_only(reentrant: bool) -> None:
    block, rows = Counting(), torch.ones(2, 3, requires_grad=True)
    with plain_pass():
        assert runs_of(block, rows, reentrant=reentrant) == 1
        with plain_pass():
            assert runs_of(block, rows, reentrant=reentrant) == 1
        assert runs_of(block, rows, reentrant=reentrant) == 1
    assert runs_of(block, rows, reentrant=reentrant) == 2


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointing_in_other_threads_goes_on(reentrant: bool) -> None:
    seen: list[int] = []

    def other() -> None:
        rows = torch.ones(2, 3, requires_grad=True)
        seen.append(runs_of(Counting(), rows, reentrant=reentrant))

    with plain_pass():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(PATIENCE)
    assert seen == [2]


def test_torch_is_restored_when_the_last_thread_has_left() -> None:
    before = {name: getattr(checkpoint, name) for name in REPLACEMENTS}
    entered, leave = threading.Event(), threading.Event()

    def other() -> None:
        with plain_pass():
            entered.set()
            leave.wait(PATIENCE)

    def fail() -> None:
        with plain_pass():
            thread.start()
            assert entered.wait(PATIENCE)
            raise ValueError("on purpose")

    thread = threading.Thread(target=other)
    with pytest.raises(ValueError, match="on purpose"):
        fail()
    assert all(getattr(checkpoint, name) is not before[name] for name in REPLACEMENTS)
    leave.set()
    thread.join(PATIENCE)
    assert {name: getattr(checkpoint, name) for name in REPLACEMENTS} == before


def compiles(function: Callable[[Tensor], Tensor], runs: list[object]) -> Any:
    """Return a function that is compiled by a backend which records its runs."""

    def backend(graph: torch.fx.GraphModule, _inputs: object) -> Callable[..., object]:
        def run(*args: object) -> object:
            runs.append(args)
            return graph.forward(*args)

        return run

    return torch.compile(function, backend=backend)


def test_compiled_functions_run_uncompiled_in_a_plain_pass_only() -> None:
    runs: list[object] = []
    double = compiles(lambda rows: rows * 2, runs)
    with plain_pass():
        assert double(torch.ones(2)).tolist() == [2, 2]
    assert runs == []
    assert double(torch.ones(2)).tolist() == [2, 2]
    assert len(runs) == 1

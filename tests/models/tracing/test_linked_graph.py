"""A graph that shows what depends on what, also where the pass cuts it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from effcam.models.tracing.graph import key_of
from effcam.models.tracing.linked_graph import LinkedGraph, _can_be_linked


def under_no_grad(rows: Tensor) -> Tensor:
    with torch.no_grad():
        return rows * 1


def filled_under_no_grad(rows: Tensor) -> Tensor:
    with torch.no_grad():
        filled = torch.zeros(2)
        filled[:] = rows * 1
    return filled


WAYS: dict[str, Callable[[Tensor], Tensor]] = {
    "detach": lambda rows: rows.detach(),
    "torch.detach": torch.detach,
    "data": lambda rows: rows.data,
    "detach_": lambda rows: (rows * 1).detach_(),
    "no_grad": under_no_grad,
    "no_grad, in place": filled_under_no_grad,
}


@pytest.mark.parametrize("way", WAYS)
def test_detached_tensors_stay_linked(way: str) -> None:
    rows = torch.ones(2, requires_grad=True) * 1
    with LinkedGraph() as graph:
        linked = WAYS[way](rows)
    assert torch.autograd.grad(linked.sum(), rows)[0].tolist() == [1, 1]
    assert key_of(linked) in graph.joints
    assert not WAYS[way](rows).requires_grad


def test_weights_can_change_without_gradients() -> None:
    weight = torch.nn.Parameter(torch.zeros(2))
    with LinkedGraph() as graph, torch.no_grad():
        weight.add_(torch.ones(2, requires_grad=True) * 1)
    assert weight.is_leaf
    assert weight.tolist() == [1, 1]
    with graph:
        assert (weight * 1).grad_fn is not None


def test_numbers_can_be_read() -> None:
    rows = torch.ones(2, requires_grad=True)
    with LinkedGraph():
        assert rows.detach().numpy().tolist() == [1, 1]
        assert rows.detach().tolist() == [1, 1]


def test_a_tensor_that_is_freed_is_not_asked_for_its_graph() -> None:
    """Torch may wait for ever for it, as in the blocks of reversible networks."""
    rows = torch.ones(2, requires_grad=True) * 2
    assert _can_be_linked(torch.add, (rows, 1), {})
    assert not _can_be_linked(Tensor.set_, (rows,), {})

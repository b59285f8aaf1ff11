"""A graph that shows what depends on what, also where the pass cuts it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from effcam.models.tracing.linked_graph import LinkedGraph

WAYS: dict[str, Callable[[Tensor], Tensor]] = {
    "detach": lambda rows: rows.detach(),
    "torch.detach": torch.detach,
    "data": lambda rows: rows.data,
    "detach_": lambda rows: (rows * 1).detach_(),
}


@pytest.mark.parametrize("way", WAYS)
def test_detached_tensors_stay_linked(way: str) -> None:
    rows = torch.ones(2, requires_grad=True)
    with LinkedGraph():
        linked = WAYS[way](rows)
    assert torch.autograd.grad(linked.sum(), rows)[0].tolist() == [1, 1]
    assert not WAYS[way](rows).requires_grad


def test_numbers_can_be_read() -> None:
    rows = torch.ones(2, requires_grad=True)
    with LinkedGraph():
        assert rows.detach().numpy().tolist() == [1, 1]
        assert rows.detach().tolist() == [1, 1]

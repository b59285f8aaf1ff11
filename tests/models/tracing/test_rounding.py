"""Which tensors are equal but for rounding."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from effcam.models.tracing.rounding import are_close, is_close

WANTED = torch.tensor([1.0, -100.0])


@pytest.mark.parametrize(
    ("found", "wanted", "close"),
    [
        (WANTED + 0.05, WANTED, True),
        (WANTED + 0.2, WANTED, False),
        (WANTED.bfloat16() + 1, WANTED.bfloat16(), False),
        (WANTED.half(), WANTED, True),
        (
            torch.tensor([6e4]).half(),
            -torch.tensor([6e4]).half(),
            False,
        ),  # the difference overflows
        (WANTED[:1], WANTED, False),
        (WANTED[:1], WANTED[None, :1], False),
        (WANTED[:0], WANTED[:0], True),
        (WANTED.new_empty(0, 4), WANTED.new_empty(0, 5), False),
        (torch.tensor([3, 5000]), torch.tensor([3, 5000]), True),
        (torch.tensor([3, 5001]), torch.tensor([3, 5000]), False),
        (torch.tensor([True]), torch.tensor([False]), False),
        (WANTED * math.nan, WANTED * math.nan, False),
        (WANTED, WANTED * math.inf, False),
        (WANTED * math.inf, WANTED, False),
        (0 * WANTED, 0 * WANTED, True),
        (1e-9 * WANTED, 0 * WANTED, False),
        (WANTED * 1j, WANTED * 1j, True),
        (WANTED * 1j, WANTED * -1j, False),
        ((WANTED * 2).requires_grad_(), WANTED * 2, True),
    ],
)
def test_floats_differ_by_rounding_and_others_not_at_all(
    found: Tensor, wanted: Tensor, *, close: bool
) -> None:
    assert is_close(found, wanted, 1e-3) is close


def test_each_tensor_has_its_own_largest_value_and_a_partner() -> None:
    small, large = WANTED / 1e6, WANTED
    assert are_close([small, large + 0.05], [small, large], 1e-3)
    assert not are_close([small + 0.05, large], [small, large], 1e-3)
    assert not are_close([small], [small, large], 1e-3)
    assert are_close([], [], 1e-3)

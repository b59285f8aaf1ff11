"""Read what a network's output is by its values."""

from __future__ import annotations

import torch
from torch import Tensor

EQUAL = 1e-3


def kind_of_scores(rows: Tensor) -> str:
    """Return what (batch, classes) scores are, by their values."""
    rows = rows.double()
    low, high = float(rows.min()), float(rows.max())
    if rows.shape[1] > 1 and low >= 0 and _is_one(rows.sum(1)):
        return "probabilities"
    if rows.shape[1] > 1 and _is_one(rows.exp().sum(1)):
        return "log-probabilities"
    if low > 0 and high < 1:  # a last ReLU gives exact zeros
        return "independent probabilities"
    return "logits"


def _is_one(values: Tensor) -> bool:
    return float((values - 1).abs().max()) < EQUAL


def probability(row: Tensor) -> float:
    """Return the probability of the predicted class, of the (classes,) logits of an image."""
    row = row.double()
    both = torch.stack([-row[0], row[0]]).sigmoid() if len(row) == 1 else row.softmax(0)
    return float(both.max())

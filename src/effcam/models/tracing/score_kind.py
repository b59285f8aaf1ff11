"""Tell logits from probabilities, their logarithms and embeddings by their values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

Property: TypeAlias = Callable[[Tensor, float], bool]
"""A property of (n, classes) float32 values that holds within a tolerance."""

SINGLE, HALF = 1e-4, 2e-2
"""The tolerance for values of single and of half precision."""
PERCENT = 100.0


@dataclass(frozen=True, slots=True)
class ScoreKind:
    """A kind of outputs that are no logits.

    Attributes:
        name: What the outputs are.
        seen: Their property, in words.
        holds: Their property.
        stays: What is left of the property where the last layer's output is large and random. The
            logits of some networks have the property by chance, but do not keep it then.
        is_certain: Whether logits never have the property by chance.
        remedy: What to give instead.
        least: The least number of classes at which the property means something.
    """

    name: str
    seen: str
    holds: Property
    stays: Property
    remedy: str
    is_certain: bool = False
    least: int = 1


def possible_kinds(values: Tensor) -> list[ScoreKind]:
    """Return the kinds other than logits that a network's outputs may be, the clearest first.

    Args:
        values: (n, classes) outputs for n different images; (n, 1) for a single value each.

    >>> possible_kinds(torch.tensor([[0.1, 0.9], [0.8, 0.2]]))[0].seen
    'all values are at least 0, and those of each image sum to 1'
    >>> possible_kinds(torch.tensor([[-1.0, 2.0], [3.0, 0.5]]))
    []
    """
    rows, tolerance = _rows(values)
    rows = rows[~rows.isnan().any(1)]
    if not len(rows):
        return []
    return [kind for kind in KINDS if rows.shape[1] >= kind.least and kind.holds(rows, tolerance)]


def find_kind(kinds: list[ScoreKind], values: Tensor | None) -> ScoreKind | None:
    """Return the kind of a network's outputs, ``None`` for logits.

    Args:
        kinds: The `possible_kinds` of its outputs.
        values: Its (n, classes) outputs where its last layer's output is large and random;
            ``None`` if that could not be tried.
    """
    if values is None:
        return next((kind for kind in kinds if kind.is_certain), None)
    rows, tolerance = _rows(values)
    return next((kind for kind in kinds if kind.stays(rows, tolerance)), None)


def _rows(values: Tensor) -> tuple[Tensor, float]:
    is_half = values.dtype in (torch.float16, torch.bfloat16)
    return values.detach().float(), HALF if is_half else SINGLE


def _sums_to_one(rows: Tensor, tolerance: float) -> bool:
    return bool((rows >= -tolerance).all() and ((rows.sum(1) - 1).abs() <= tolerance).all())


def _exponentials_sum_to_one(rows: Tensor, tolerance: float) -> bool:
    return bool((rows.logsumexp(1).abs() <= tolerance).all())


def _has_length_one(rows: Tensor, tolerance: float) -> bool:
    return bool(((rows.norm(dim=1) - 1).abs() <= tolerance).all())


def _lies_in(low: float, high: float) -> Property:
    def lies(rows: Tensor, tolerance: float) -> bool:
        slack = tolerance * high
        return bool((rows >= low - slack).all() and (rows <= high + slack).all())

    return lies


def _is_negative(rows: Tensor, tolerance: float) -> bool:
    return bool((rows <= tolerance).all())


def _ends_at_zero(rows: Tensor, tolerance: float) -> bool:
    """Return whether 0 is the largest value, as for logarithms; distances also stay below 0."""
    return bool(rows.amax().abs() <= tolerance)


BEFORE = (
    "effcam explains the scores that they are computed from, and found no layer of whose output "
    "they are the softmax or the sigmoid: give a module that returns these scores"
)
BOUNDED = (
    "Class scores have no bounds: give a module that returns the values before the function that "
    "bounds them, or, for cosines, their product with the scale that the network was trained with"
)
EMBEDDING = ScoreKind(
    "an embedding",
    "each image's values are a vector of length 1",
    _has_length_one,
    _has_length_one,
    remedy="",
    is_certain=True,
    least=2,
)

KINDS = (
    ScoreKind(
        "probabilities",
        "all values are at least 0, and those of each image sum to 1",
        _sums_to_one,
        _sums_to_one,
        BEFORE,
        is_certain=True,
        least=2,
    ),
    ScoreKind(
        "logarithms of probabilities",
        "the exponentials of each image's values sum to 1",
        _exponentials_sum_to_one,
        _exponentials_sum_to_one,
        BEFORE,
        is_certain=True,
        least=2,
    ),
    EMBEDDING,
    ScoreKind("probabilities", "all values lie in [0, 1]", _lies_in(0, 1), _lies_in(0, 1), BEFORE),
    ScoreKind(
        "bounded values", "all values lie in [-1, 1]", _lies_in(-1, 1), _lies_in(-1, 1), BOUNDED
    ),
    ScoreKind(
        "percentages",
        "all values lie in [0, 100]",
        _lies_in(0, PERCENT),
        _lies_in(0, PERCENT),
        BEFORE,
    ),
    ScoreKind(
        "logarithms of probabilities", "no value is above 0", _is_negative, _ends_at_zero, BEFORE
    ),
)

"""The scoreboard of more images than fit into memory: some of them at a time, in flat memory.

Means are the same as in `effcam.metrics.summary.compute`. Intervals are those of the normal
approximation, which of thousands of images are those that drawing images anew would give.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from effcam.cam.map_checks import Tally
from effcam.metrics.bootstrap import CONFIDENCE, FEWEST, Estimate
from effcam.metrics.summary import Summary
from effcam.metrics.summary.compute import (
    Board,
    Samples,
    are_right,
    confidences,
    costs,
    find_comparable,
    focus_figures,
    measure,
    seen_shares,
)
from effcam.metrics.summary.notes import Counted, facts_of_columns, health_notes, notes
from effcam.models.facts import ModelFacts

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEVIATIONS = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
"""How many standard errors an interval reaches to either side."""


class Moments:
    """Means of columns over images, and of the differences of every two, some images at a time.

    >>> import numpy as np
    >>> moments = Moments(2)
    >>> moments.add(np.array([[1.0, 0.0], [0.0, np.nan]]))
    >>> moments.add(np.array([[1.0, 1.0]]))
    >>> moments.estimate().values.round(2).tolist(), moments.estimate().counts.tolist()
    ([0.67, 0.5], [3, 2])
    """

    def __init__(self, columns: int, *, paired: bool = True) -> None:
        """Know no image yet.

        Args:
            columns: How many columns there are.
            paired: Whether the differences of every two are wanted too.
        """
        # Every column, then the difference of every two.
        self._columns = columns
        self._pairs = np.triu_indices(columns if paired else 0, 1)
        self._count, self._mean, self._squares = np.zeros((3, columns + len(self._pairs[0])))

    def add(self, samples: Samples) -> None:
        """Take in (images, columns), NaN where there is no value."""
        first, second = self._pairs
        values = np.hstack([samples, samples[:, first] - samples[:, second]])
        valid = np.isfinite(values)
        count = valid.sum(0)
        total = np.where(valid, values, 0).sum(0)
        mean = np.divide(total, count, out=np.zeros(len(total)), where=count > 0)
        squares = np.where(valid, np.square(values - mean), 0).sum(0)
        # Chan, Golub and LeVeque 1983, doi:10.1080/00031305.1983.10483115: no digits are lost.
        both = self._count + count
        share = np.divide(count, both, out=np.zeros(len(both)), where=both > 0)
        gap = mean - self._mean
        self._squares += squares + np.square(gap) * self._count * share
        self._mean += gap * share
        self._count = both

    def estimate(self) -> Estimate:
        """Return the means of all images taken in, with 95 % intervals of the normal kind."""
        columns, (first, second) = self._columns, self._pairs
        known = self._count >= FEWEST
        error = np.full(len(known), np.nan)
        spread = self._squares[known] / (self._count[known] - 1)
        error[known] = DEVIATIONS * np.sqrt(spread / self._count[known])
        values = np.where(self._count > 0, self._mean, np.nan)
        low, high = values - error, values + error
        return Estimate(
            values[:columns],
            low[:columns],
            high[:columns],
            self._count[:columns].astype(np.int64),
            _square(columns, first, second, low[columns:], high[columns:]),
            _square(columns, first, second, high[columns:], low[columns:]),
        )


def _square(
    columns: int,
    first: NDArray[np.intp],
    second: NDArray[np.intp],
    upper: Samples,
    lower: Samples,
) -> Samples:
    """Return the (columns, columns) matrix of one triangle, and of the other one's negatives."""
    matrix = np.full((columns, columns), np.nan)
    matrix[first, second] = upper
    matrix[second, first] = -lower
    return matrix


class Scores:
    """Measures what `summarize` does of a comparison, some images at a time."""

    def __init__(
        self, columns: Sequence[str], facts: Sequence[ModelFacts], *, labelled: bool, fair: bool
    ) -> None:
        """Know no image yet.

        Args:
            columns: The columns' labels.
            facts: What is known of each column's model.
            labelled: Whether labels are known.
            fair: As in `summarize`, decided.
        """
        self._columns, self._facts = tuple(columns), tuple(facts)
        self._labelled, self._fair = labelled, fair
        self._images = self._used = 0
        self._comparable = True
        self._seen = Moments(len(columns))
        self._moments: dict[str, Moments] = {}
        self._health = [Tally() for _ in columns]

    def add(self, board: Board) -> None:
        """Take some images in.

        Raises:
            TargetError: If a label is no class of a model.
        """
        right = are_right(board)
        comparable = find_comparable(board, right)
        used = comparable if self._fair else np.ones(len(board.rows), bool)
        kept = board.take(used)
        self._images += len(board.rows)
        self._used += len(kept.rows)
        self._comparable &= bool(comparable.all())
        self._seen.add(seen_shares(board))
        for column, tally in enumerate(self._health):
            tally.add(board.column(column))
        found = {"accuracy": right} if self._labelled else {}
        found |= {"confidence": confidences(kept)}
        found |= focus_figures(kept)
        for key, samples in found.items():
            self._moments.setdefault(key, Moments(len(self._columns))).add(samples)

    def summary(self) -> Summary:
        """Return the scoreboard of all images that were taken in."""
        measured = [measure(key, each.estimate()) for key, each in self._moments.items()]
        models = [each for each in measured if each.figure.group == "model"]
        others = [each for each in measured if each.figure.group != "model"]
        seen = np.nan_to_num(self._seen.estimate().values).tolist()
        counted = Counted(self._images, self._used, self._comparable, seen)
        return Summary(
            columns=self._columns,
            images=self._images,
            used=self._used,
            facts=facts_of_columns(self._facts, seen),
            measures=(*models, *costs(self._facts), *others),
            notes=(
                *notes(
                    self._columns, self._facts, counted, fair=self._fair, labelled=self._labelled
                ),
                *(
                    note
                    for label, tally in zip(self._columns, self._health, strict=True)
                    for note in health_notes(label, tally.findings())
                ),
            ),
        )

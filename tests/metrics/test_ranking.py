"""Ranks, the highest values and correlations along the last axis."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from effcam.metrics.ranking import correlation, membership, ranks


def test_ranks_are_scipys_from_zero() -> None:
    values = np.random.default_rng(0).integers(5, size=(4, 3, 20)).astype(float)
    np.testing.assert_array_equal(ranks(values), scipy.stats.rankdata(values, axis=-1) - 1)
    values[1, 2, 3] = np.nan
    assert np.isnan(ranks(values)).all(-1).sum() == 1


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, [0, 1, 0, 0]),
        (2, [0.5, 1, 0.5, 0]),
        (2.5, [0.75, 1, 0.75, 0]),
        (0.25, [0, 0.25, 0, 0]),
        (3.5, [1, 1, 1, 0.5]),
        (4, [1, 1, 1, 1]),
    ],
)
def test_places_are_shared_by_values_that_tie_for_them(count: float, expected: list[float]) -> None:
    found = membership(np.array([[2.0, 3.0, 2.0, 1.0]]), count)
    np.testing.assert_allclose(found, [expected])


def test_nothing_is_among_the_highest_where_these_are_not_numbers() -> None:
    found = membership(np.array([[1.0, np.nan, 3.0], [1.0, 2.0, 3.0]]), 1)
    assert np.isnan(found).all(-1).tolist() == [True, False]


def test_correlation_is_pearsons() -> None:
    one, other = np.random.default_rng(0).random((2, 3, 20))
    found = correlation(one, other)
    expected = [scipy.stats.pearsonr(*pair).statistic for pair in zip(one, other, strict=True)]
    np.testing.assert_allclose(found, expected)
    assert np.isnan(correlation(np.zeros(5), np.arange(5.0)))

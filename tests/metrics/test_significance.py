"""Tests of differences: exact, against scipy, and corrected for the number of pairs."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from effcam.metrics.significance import (
    ENUMERATED,
    FLIPPED,
    fewest_units,
    hits_p,
    holm,
    sign_flip_p,
)


def scipys(values: np.ndarray, flips: float) -> float:
    found = scipy.stats.permutation_test(
        (values,),
        lambda each, axis: each.sum(axis),
        permutation_type="samples",
        n_resamples=flips,
        vectorized=True,
        rng=np.random.default_rng(0),
    )
    return float(found.pvalue)


@pytest.mark.parametrize("units", [6, 9])
def test_few_images_have_scipys_exact_p_value(units: int) -> None:
    values = np.random.default_rng(units).normal(0.4, 1, (units, 4))
    expected = [scipys(column, np.inf) for column in values.T]
    assert sign_flip_p(values) == pytest.approx(expected)


@pytest.mark.parametrize("units", [ENUMERATED + 1, 40, FLIPPED])
def test_more_images_have_nearly_scipys_p_value(units: int) -> None:
    values = np.random.default_rng(1).normal(1.5 / units**0.5, 1, (units, 1))
    assert sign_flip_p(values)[0] == pytest.approx(scipys(values[:, 0], 4999), abs=0.02)


def test_six_images_of_one_sign_are_just_significant() -> None:
    assert sign_flip_p(np.arange(1.0, 7)[:, None]) == pytest.approx([2 / 64])
    assert sign_flip_p(np.arange(1.0, 6)[:, None]) == pytest.approx([2 / 32])


def test_missing_values_count_as_no_difference() -> None:
    values = np.array([[1, 2, np.nan, 3, 0.5, 1.5, np.nan]]).T
    assert sign_flip_p(values) == pytest.approx(sign_flip_p(values[np.isfinite(values)][:, None]))


def test_no_difference_has_a_p_value_of_1() -> None:
    assert sign_flip_p(np.zeros((7, 2))).tolist() == [1, 1]
    assert sign_flip_p(np.zeros((20, 1))).tolist() == [1]


def test_hits_have_mcnemars_exact_p_value_that_flips_have_too() -> None:
    gaps = np.array([1, 1, 1, 1, 1, 1, 1, -1, 0, 0, 0, 0.0])[:, None]
    found = hits_p(gaps.sum(0), np.square(gaps).sum(0))
    assert found == pytest.approx([scipy.stats.binomtest(1, 8).pvalue])
    assert found == pytest.approx(sign_flip_p(gaps))


def test_many_columns_can_be_significant_after_correction() -> None:
    # A thousand flips could not show a p-value below 0.05 / 300.
    values = np.random.default_rng(0).normal(0, 1, (30, 300))
    values[:, 0] += 5
    assert holm(sign_flip_p(values))[0] <= 0.05


# the correction


def test_holm_multiplies_the_smallest_by_the_number_of_tests() -> None:
    found = holm(np.array([0.04, 0.001, 0.02, 0.9]))
    assert found == pytest.approx([0.08, 0.004, 0.06, 0.9])


def test_holm_leaves_out_missing_tests_and_a_single_one_as_it_is() -> None:
    assert holm(np.array([np.nan, 0.03])) == pytest.approx([np.nan, 0.03], nan_ok=True)
    assert holm(np.array([])).shape == (0,)


@pytest.mark.parametrize(("pairs", "units"), [(1, 6), (3, 7), (10, 9), (45, 11)])
def test_the_fewest_images_are_those_of_one_sign_that_suffice(pairs: int, units: int) -> None:
    assert fewest_units(pairs) == units
    for count, significant in ((units, True), (units - 1, False)):
        smallest = sign_flip_p(np.ones((count, 1)))[0]
        assert bool(smallest * pairs <= 0.05) == significant

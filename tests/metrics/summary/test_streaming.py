"""The scoreboard of many images, some at a time: that of all at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from effcam import Comparison, compare, demo
from effcam.images.annotations.truths import find_truths
from effcam.metrics.bootstrap import estimate
from effcam.metrics.summary import Summary
from effcam.metrics.summary.compute import Board, summarize
from effcam.metrics.summary.streaming import Moments, Scores


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return compare(
        demo.scenes(24, seed=3, size=96), ["demo_resnet", "demo_alexnet"], progress=False
    )


def board(comparison: Comparison) -> Board:
    truths = find_truths(comparison.images, None, None, None)
    return Board(comparison.columns, tuple(comparison.rows()), comparison.facts, tuple(truths))


def streamed(comparison: Comparison, at_once: Sequence[int], *, fair: bool) -> Summary:
    whole = board(comparison)
    scores = Scores(comparison.columns, comparison.facts, labelled=True, fair=fair)
    start = 0
    for count in at_once:
        used = np.zeros(len(whole.rows), bool)
        used[start : start + count] = True
        scores.add(whole.take(used))
        start += count
    return scores.summary()


@pytest.mark.parametrize("fair", [False, True])
@pytest.mark.parametrize("at_once", [[24], [7, 1, 16]])
def test_values_are_those_of_all_at_once(
    comparison: Comparison, at_once: list[int], fair: bool
) -> None:
    expected, found = (
        summarize(board(comparison), fair=fair),
        streamed(comparison, at_once, fair=fair),
    )
    assert (found.images, found.used) == (expected.images, expected.used)
    assert found.facts == expected.facts
    assert found.notes == expected.notes
    known = {
        each.figure.key: each for each in expected.measures if each.figure.group != "localisation"
    }
    assert [each.figure.key for each in found.measures] == list(known)
    for each in found.measures:
        assert each.values == pytest.approx(known[each.figure.key].values, nan_ok=True)
        assert each.counts.tolist() == known[each.figure.key].counts.tolist()


def test_intervals_are_nearly_those_of_the_bootstrap() -> None:
    generator = np.random.default_rng(0)
    samples = generator.random((5000, 3)) + np.array([0, 0.01, 0.5])
    samples[:, 1] += samples[:, 0]  # pairs that belong together
    samples[generator.random(samples.shape) < 0.1] = np.nan
    moments = Moments(3)
    for part in np.array_split(samples, 7):
        moments.add(part)
    found, expected = moments.estimate(), estimate(samples)
    width = np.nanmean(expected.high - expected.low)
    assert found.values == pytest.approx(np.nanmean(samples, 0))
    for name in ("low", "high", "difference_low", "difference_high"):
        assert getattr(found, name) == pytest.approx(
            getattr(expected, name), abs=0.1 * width, nan_ok=True
        )
    assert found.counts.tolist() == expected.counts.tolist()


def test_the_variance_survives_a_large_mean() -> None:
    samples = 1e9 + np.random.default_rng(0).standard_normal((10_000, 1))
    moments = Moments(1)
    for part in np.array_split(samples, 10):
        moments.add(part)
    found = moments.estimate()
    assert found.high - found.low == pytest.approx(2 * 1.96 / np.sqrt(10_000), rel=0.05)


def test_too_few_images_have_no_interval() -> None:
    moments = Moments(2)
    moments.add(np.array([[0.5, np.nan]]))
    found = moments.estimate()
    assert found.values.tolist() == pytest.approx([0.5, np.nan], nan_ok=True)
    assert np.isnan([found.low, found.high]).all()
    assert np.isnan(found.difference_low).all()

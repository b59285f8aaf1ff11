"""Figures of images added in parts: they equal those of all images at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from effcam import Comparison, compare, demo
from effcam.images.annotations.truths import find_truths
from effcam.metrics.bootstrap import estimate, estimate_by
from effcam.metrics.pixel_precision import average_precision
from effcam.metrics.summary import Summary
from effcam.metrics.summary.builder import SummaryBuilder, summarize
from effcam.metrics.summary.estimators import (
    IN_MEMORY,
    STREAMED,
    Estimators,
    Moments,
    PoissonSums,
)
from effcam.metrics.summary.rows import ImageRows


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return compare(
        demo.scenes(24, seed=3, size=96), ["demo_resnet", "demo_alexnet"], progress=False
    )


def all_rows(comparison: Comparison) -> ImageRows:
    truths = find_truths(comparison.images, None, None, None)
    return ImageRows(comparison.columns, tuple(comparison.rows()), comparison.facts, tuple(truths))


def in_parts(
    comparison: Comparison, counts: Sequence[int], estimators: Estimators, *, fair: bool
) -> Summary:
    rows = all_rows(comparison)
    builder = SummaryBuilder(
        comparison.columns, comparison.facts, estimators, labelled=True, fair=fair
    )
    start = 0
    for count in counts:
        used = np.zeros(len(rows), bool)
        used[start : start + count] = True
        builder.add(rows.take(used))
        start += count
    return builder.summary()


@pytest.mark.parametrize("fair", [False, True])
@pytest.mark.parametrize("counts", [[24], [7, 1, 16]])
@pytest.mark.parametrize("estimators", [IN_MEMORY, STREAMED])
def test_values_are_those_of_all_at_once(
    comparison: Comparison, counts: list[int], estimators: Estimators, fair: bool
) -> None:
    expected = summarize(all_rows(comparison), fair=fair)
    found = in_parts(comparison, counts, estimators, fair=fair)
    assert (found.images, found.used) == (expected.images, expected.used)
    assert found.facts == expected.facts
    assert found.notes == expected.notes
    known = {each.figure.key: each for each in expected.measures}
    assert {"max_box_acc_v2", "pixel_average_precision"} < known.keys()
    assert [each.figure.key for each in found.measures] == list(known)
    for each in found.measures:
        same = known[each.figure.key]
        assert each.values == pytest.approx(same.values, nan_ok=True)
        assert each.counts.tolist() == same.counts.tolist()
        assert each.baselines == pytest.approx(same.baselines)
        if estimators is IN_MEMORY:
            assert each.low == pytest.approx(same.low, nan_ok=True)


def test_sums_in_constant_memory_have_nearly_the_intervals_of_the_bootstrap() -> None:
    generator = np.random.default_rng(0)
    levels = generator.poisson(3, (400, 2, 2, 16)).astype(np.float64)
    levels[:, :, 1] *= np.linspace(0.5, 1.5, 16)
    sums = PoissonSums(average_precision)
    for part in np.array_split(levels, 7):
        sums.add(part)
    found, expected = sums.estimate(), estimate_by(levels, average_precision)
    width = (expected.high - expected.low).mean()
    assert found.values == pytest.approx(expected.values)
    assert found.counts.tolist() == [400, 400]
    for name in ("low", "high", "difference_low", "difference_high"):
        assert getattr(found, name) == pytest.approx(
            getattr(expected, name), abs=0.15 * width, nan_ok=True
        )


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

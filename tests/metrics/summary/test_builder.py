"""Figures of images added in parts: they equal those of all images at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from effcam import Comparison, compare, demo
from effcam.images.annotations.truths import find_truths
from effcam.metrics.summary import Summary
from effcam.metrics.summary.builder import SummaryBuilder, summarize
from effcam.metrics.summary.rows import ImageRows


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return compare(
        demo.scenes(24, seed=3, size=96), ["demo_resnet", "demo_alexnet"], progress=False
    )


def all_rows(comparison: Comparison) -> ImageRows:
    truths = find_truths(comparison.images, None, None, None)
    return ImageRows(comparison.columns, tuple(comparison.rows()), comparison.facts, tuple(truths))


def in_parts(comparison: Comparison, counts: Sequence[int], *, fair: bool) -> Summary:
    rows = all_rows(comparison)
    builder = SummaryBuilder(comparison.columns, comparison.facts, labelled=True, fair=fair)
    start = 0
    for count in counts:
        used = np.zeros(len(rows), bool)
        used[start : start + count] = True
        builder.add(rows.take(used))
        start += count
    return builder.summary()


@pytest.mark.parametrize("fair", [False, True])
@pytest.mark.parametrize("counts", [[24], [7, 1, 16]])
def test_values_are_those_of_all_at_once(
    comparison: Comparison, counts: list[int], fair: bool
) -> None:
    expected = summarize(all_rows(comparison), fair=fair)
    found = in_parts(comparison, counts, fair=fair)
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
        for name in ("low", "high", "difference_low", "difference_high", "p_values"):
            found_ends, expected_ends = getattr(each, name), getattr(same, name)
            assert found_ends == pytest.approx(expected_ends, nan_ok=True)

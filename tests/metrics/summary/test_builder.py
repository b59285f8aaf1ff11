"""Figures of images added in parts: they equal those of all images at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from effcam import Comparison, ModelSpec, compare, compare_dataset, demo
from effcam.images.annotations.truths import find_truths
from effcam.metrics.summary import Summary
from effcam.metrics.summary.builder import SummaryBuilder, summarize
from effcam.metrics.summary.notes import SHARED_TIME
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


def test_facts_of_columns_are_those_of_their_maps_not_of_the_target_layer(tmp_path: Path) -> None:
    photos = np.random.default_rng(0).integers(0, 255, (2, 64, 64, 3), np.uint8)
    model = ModelSpec(
        "vit_tiny_patch16_224", pretrained=False, options={"depth": 2, "num_classes": 5}
    )
    methods = ["gradcam", "inputxgradient", "legrad"]
    found = compare(photos, {"A": model}, method=methods, resolution=7, size=64, progress=False)
    summary = found.summary()
    by = {each.title: each.texts for each in summary.facts}
    assert by["looked at"] == ("blocks.1.norm1", "input", "2 attention layers")
    assert by["grid"] == ("4 x 4", "7 x 7", "4 x 4")
    past = [each for each in summary.notes if "goes past blocks.1.norm1" in each]
    assert len(past) == 1
    assert past[0].startswith("A gradcam: ")
    assert SHARED_TIME in summary.notes

    for at, photo in enumerate(photos):
        Image.fromarray(photo).save(tmp_path / f"{at}.png")
    run = compare_dataset(
        tmp_path, {"A": model}, tmp_path / "run", method=methods, resolution=7, size=64
    )
    assert run.summary().facts == summary.facts
    assert [each.target_layer for each in run.comparison().facts] == list(by["looked at"])

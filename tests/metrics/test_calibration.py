"""Calibration: the error, what chance makes of it, its interval, and what is refused."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from effcam import Comparison
from effcam.errors import AnnotationError, ArgumentError, ImageWarning
from effcam.images.truth import NamedClass, Truth
from effcam.metrics import Calibration, calibration, calibration_error
from effcam.metrics.calibration_error import put_into_bins, resample
from effcam.metrics.calibration_result import measure_calibration
from tests.metrics.summary.test_compute import build, even, facts


def drawn(count: int, power: float = 1.0, seed: int = 0) -> tuple[Any, Any]:
    """Return probabilities, and answers that are right with probability ``p ** power``."""
    rng = np.random.default_rng(seed)
    p = 1 - 0.9 * rng.beta(0.6, 3, count)
    return p, rng.random(count) < p**power


def reference(p: Any, right: Any, bins: int) -> float:
    """Return the error by sorting and splitting, with a loop."""
    parts = np.array_split(np.argsort(p), bins)
    return sum(len(part) * abs(p[part].mean() - right[part].mean()) for part in parts) / len(p)


@pytest.mark.parametrize("bins", [1, 4, 15])
def test_the_error_is_that_of_bins_of_equally_many_images(bins: int) -> None:
    p, right = drawn(600, 2.0)
    found = calibration(p, right, bins=bins)
    assert found.error == pytest.approx(reference(p, right, bins))
    assert [each.images for each in found.bins] == [600 // bins] * bins
    assert sum(each.images * each.accuracy for each in found.bins) == pytest.approx(right.sum())
    assert found.overconfidence == pytest.approx(p.mean() - right.mean())


def test_equal_probabilities_are_in_one_bin_and_order_does_not_matter() -> None:
    p = np.array([1.0] * 70 + [0.25] * 30)
    right = np.arange(100) % 2 == 0
    found = calibration(p, right, bins=5)
    assert [(each.start, each.stop, each.images) for each in found.bins] == [
        (0.25, 0.25, 30),
        (1.0, 1.0, 70),
    ]
    order = np.random.default_rng(1).permutation(100)
    assert calibration(p[order], right[order], bins=5).bins == found.bins


def test_chance_of_one_bin_is_that_of_a_binomial_distribution() -> None:
    found = calibration(np.full(50, 0.8), np.arange(50) < 40, bins=1)
    hits = np.arange(51)
    weights = np.array([math.comb(50, int(k)) * 0.8**k * 0.2 ** (50 - k) for k in hits])
    exact = (np.abs(0.8 - hits / 50) * weights).sum()
    assert found.error == pytest.approx(0)
    assert found.expected == pytest.approx(exact, rel=0.1)
    assert found.is_chance


def test_a_calibrated_model_is_told_from_one_that_is_too_sure() -> None:
    calibrated, sure = (calibration(*drawn(2000, power)) for power in (1.0, 2.0))
    assert calibrated.is_chance
    assert calibrated.low == 0
    assert not sure.is_chance
    assert sure.expected_high < sure.low < sure.error < sure.high
    assert sure.overconfidence > 0.05
    # The plain error of the calibrated model is what chance makes of it.
    assert calibrated.error == pytest.approx(calibrated.expected, rel=0.5)
    assert calibrated.corrected < calibrated.error


def test_an_error_is_no_smaller_than_the_mean_gap() -> None:
    # 10 points too cautious everywhere; with bins of 20 images, chance alone makes nearly as much.
    rng = np.random.default_rng(0)
    p = rng.uniform(0.7, 0.9, 200)
    found = calibration(p, rng.random(200) < p + 0.1)
    assert found.error <= found.expected_high
    assert 0 < found.low < -found.overconfidence < found.error + 1e-9
    assert not found.is_chance


@pytest.mark.parametrize("right", [True, False])
def test_answers_that_are_all_alike_leave_an_interval(right: bool) -> None:
    p = 0.9 if right else 0.1
    found = calibration([p] * 100, [right] * 100)
    other = 1 - 0.025**0.01  # the exact limit of a share of which 0 in 100 were seen
    assert found.error == pytest.approx(0.1)
    assert (found.low, found.high) == pytest.approx((0.1 - other, 0.1 + other))
    sure = calibration([1.0] * 100, [True] * 100)
    assert (sure.low, sure.high) == pytest.approx((0, other))


def test_the_normal_distribution_of_many_images_gives_the_same_interval(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    p, right = drawn(3000, 1.5)
    exact = calibration(p, right)
    monkeypatch.setattr(calibration_error, "EXACT", 100)
    normal = calibration(p, right)
    assert normal.error == exact.error
    for name in ("low", "high", "corrected", "expected", "expected_high"):
        assert getattr(normal, name) == pytest.approx(getattr(exact, name), abs=0.004), name


def test_draws_in_parts_are_draws() -> None:
    p, right = (np.asarray(each, np.float64) for each in drawn(500, 1.5))
    binned = put_into_bins(p, right, np.arange(500), 5)
    errors, gaps = resample(binned, np.random.default_rng(0))
    assert errors.shape == gaps.shape == (calibration_error.DRAWS,)
    assert gaps.mean() == pytest.approx(p.mean() - right.mean(), abs=0.005)
    assert gaps.std() == pytest.approx((p - right).std() / math.sqrt(500), rel=0.1)


def test_frames_of_a_video_count_as_one_image() -> None:
    p, right = (np.asarray(each, np.float64) for each in drawn(60, 2.0))
    alone = measure_calibration(p, right, np.arange(60))
    many = [np.repeat(each, 10) for each in (p, right)]
    frames = measure_calibration(*many, np.repeat(np.arange(60), 10), 3)
    assert frames.images == 600
    assert frames.high - frames.low == pytest.approx(alone.high - alone.low, rel=0.2)
    assert all(math.isnan(each.low) for each in frames.bins)


def test_below_six_images_there_is_no_interval() -> None:
    found = calibration([0.9, 0.8], [True, False])
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert found.is_chance
    assert isinstance(found, Calibration)


def test_the_same_predictions_have_the_same_interval() -> None:
    p, right = drawn(300)
    assert calibration(p, right) == calibration(p, right)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([0.5],), {}, "give right="),
        (([0.5], [True, False]), {}, "one entry for each image"),
        (([], []), {}, "at least one"),
        (([1.5], [True]), {}, r"must lie in \[0, 1\]"),
        (([math.nan], [True]), {}, r"must lie in \[0, 1\]"),
        (([0.5], [2]), {}, "right must be true or false"),
        (([0.5], ["x"]), {}, "must be numbers"),
        (([0.5], [True]), {"bins": 0}, "bins must be a whole number from 1"),
        (([0.5], [True]), {"labels": [0]}, "labels is for a comparison"),
    ],
)
def test_impossible_arguments_are_refused(arguments: Any, options: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        calibration(*arguments, **options)


def test_of_a_comparison_each_column_is_measured() -> None:
    predicted = [[0, at % 2] for at in range(5)]
    comparison = build([[even(), even()]] * 5, predicted=predicted)
    found = calibration(comparison, labels=[0] * 4 + [None])
    assert list(found) == ["A", "B"]
    assert (found["A"].accuracy, found["B"].accuracy, found["A"].images) == (1, 0.5, 4)
    assert found["A"].confidence == pytest.approx(0.65)
    with pytest.raises(ArgumentError, match="give labels="):
        calibration(comparison)
    with pytest.raises(ArgumentError, match="right is for arrays"):
        calibration(comparison, [True])  # type: ignore[call-overload]
    with pytest.raises(AnnotationError):
        calibration(comparison, labels={"other.png": 0})


def test_classes_of_a_dataset_that_a_model_does_not_know_are_left_out() -> None:
    known = [facts("A"), facts("B")]
    comparison = build([[even(), even()]] * 102, known=known, predicted=[[0, 1]] * 102)

    def of(*names: str) -> Comparison:
        images = tuple(
            replace(image, truth=Truth(label=NamedClass(None, name)))
            for image, name in zip(comparison.images, names, strict=True)
        )
        return replace(comparison, images=images)

    right = str(known[0].labels[0])
    mixed = of(*[right] * 100, "unheard of", "unheard of")
    with pytest.warns(ImageWarning, match="2 images count as without label"):
        found = calibration(mixed)
    summary = mixed.summary().calibration
    for column, own in found.items():
        assert (own.images, own.accuracy) == (100, summary[column].accuracy)
        assert own.error == pytest.approx(summary[column].error, abs=1e-6)
    with pytest.raises(AnnotationError, match="no image has a true class that all models know"):
        calibration(of(*["unheard of"] * 102))


def test_models_of_several_labels_an_image_are_left_out() -> None:
    known = [facts("A", multi_label=True), facts("B")]
    comparison = build([[even(), even()]] * 5, known=known)
    assert list(calibration(comparison, labels=[0] * 5)) == ["B"]
    several = replace(comparison, facts=(known[0], known[0]))
    with pytest.raises(ArgumentError, match="no column predicts one class an image"):
        calibration(several, labels=[0] * 5)


def test_a_plot_has_a_point_for_each_bin() -> None:
    found = calibration(*drawn(200))
    figure = found.plot("net $x$")
    assert isinstance(figure, Figure)
    (axes,) = figure.axes
    (points,) = axes.collections[-1:]
    assert len(points.get_offsets()) == len(found.bins)  # type: ignore[arg-type]
    assert axes.get_title(loc="left") == "net $x$"
    assert "10 bins of 20 images" in axes.texts[0].get_text()
    figure.draw_without_rendering()

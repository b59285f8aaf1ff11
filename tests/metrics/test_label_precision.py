"""Average precision of labels: by hand, and as scikit-learn computes it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from effcam.errors import ArgumentError
from effcam.metrics import label_average_precision
from effcam.metrics.label_precision import weighted_precisions


def test_by_hand() -> None:
    # Ranked: yes, no, yes. Precision 1 for the first half of the label's images, 2/3 for the other.
    found = label_average_precision([[0.9], [0.5], [0.4]], [[1], [0], [1]])
    assert found == pytest.approx([(1 + 2 / 3) / 2])


def test_images_of_one_probability_count_together() -> None:
    truth = [[1], [0], [0], [0]]
    assert label_average_precision([[0.5]] * 4, truth) == pytest.approx([0.25])
    assert label_average_precision([[0.5]] * 4, truth[::-1]) == pytest.approx([0.25])


@pytest.mark.parametrize("levels", [2, 5, 1000])
def test_as_scikit_learn(levels: int) -> None:
    rng = np.random.default_rng(levels)
    values = rng.integers(0, levels, (60, 4)) / levels
    truth = rng.random((60, 4)) < 0.3
    expected = [average_precision_score(truth[:, at], values[:, at]) for at in range(4)]
    assert label_average_precision(values, truth) == pytest.approx(expected, abs=1e-12)


def test_weights_are_repeated_images_and_0_leaves_one_out() -> None:
    rng = np.random.default_rng(0)
    values, truth = rng.integers(0, 6, (20, 2)) / 6, rng.random((20, 2)) < 0.4
    weights = rng.integers(0, 3, (7, 20)).astype(float)
    found = weighted_precisions(values, truth, weights)
    for own, row in zip(weights.astype(int), found, strict=True):
        repeated = [np.repeat(each, own, 0) for each in (values, truth)]
        assert row == pytest.approx(label_average_precision(*repeated), abs=1e-12, nan_ok=True)


def test_large_arrays_go_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    values, truth, weights = rng.random((9, 2)), rng.random((9, 2)) < 0.5, rng.random((5, 9))
    at_once = weighted_precisions(values, truth, weights)
    monkeypatch.setattr("effcam.metrics.label_precision.MOST_NUMBERS", 18)
    assert weighted_precisions(values, truth, weights).tolist() == at_once.tolist()


def test_a_label_that_no_image_has_has_none() -> None:
    assert np.isnan(label_average_precision([[0.2, 0.1]], [[0, 1]])).tolist() == [True, False]
    assert np.isnan(label_average_precision(np.zeros((0, 2)), np.zeros((0, 2)))).all()


@pytest.mark.parametrize(
    ("values", "truth", "message"),
    [([[0.5, 0.1]], [[1]], "of one shape"), ([[np.nan]], [[1]], "finite"), ([0.5], [1], "shape")],
)
def test_bad_arrays(values: object, truth: object, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        label_average_precision(values, truth)  # type: ignore[arg-type]

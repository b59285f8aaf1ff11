"""The summary of models of several labels an image: accuracy, average precision, notes."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import effcam
from effcam import Comparison, Preprocess, Summary, compare, load_model
from effcam.errors import AnnotationError, ArgumentError, TargetError
from effcam.metrics import label_average_precision, label_probabilities
from effcam.models.model import Model
from tests.nets import ColourNet

PREPROCESS = Preprocess(size=(16, 16), resize=(16, 16), mean=(0, 0, 0), std=(1, 1, 1))
LABELS = ("red", "green", "blue")


def colours(count: int = 12) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return (count, 3) colours of images, multiples of 1 / 255."""
    return np.random.default_rng(0).integers(0, 256, (count, 3)) / 255


def images(count: int = 12) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    pixels = np.rint(colours(count) * 255).astype(np.uint8)
    return [np.broadcast_to(each, (16, 16, 3)).copy() for each in pixels]


def model(name: str = "colours", gain: Any = 2.0, scores: Any = "sigmoid") -> Model:
    return load_model(
        ColourNet(gain), name=name, preprocess=PREPROCESS, labels=LABELS, scores=scores
    )


def truth(count: int = 12) -> list[list[str]]:
    """Return the labels of each image: the colours above a half, with some errors."""
    shown = colours(count) + np.random.default_rng(1).normal(0, 0.3, (count, 3))
    return [[name for name, value in zip(LABELS, row, strict=True) if value > 0.5] for row in shown]


def measured(
    models: Mapping[str, Model], labels: Sequence[Any], count: int = 12
) -> tuple[Comparison, Summary]:
    comparison = compare(images(count), models, progress=False)
    found = label_probabilities(comparison, models, progress=False)
    return comparison, comparison.summary(labels=labels, label_probabilities=found, fair=False)


def test_the_probabilities_are_the_sigmoids_of_all_labels() -> None:
    models = {"a": model(), "b": model(scores="softmax")}
    comparison = compare(images(), models, progress=False)
    found = label_probabilities(comparison, models, progress=False)
    expected = torch.tensor(2 * colours()).sigmoid().numpy()
    assert found.values[0] == pytest.approx(expected, abs=1e-6)
    assert found.values[1] is None
    assert found.images == tuple(image.name for image in comparison.images)


def test_average_precision_by_label_and_its_mean() -> None:
    known = truth()
    _, summary = measured({"a": model()}, known)
    has = np.array([[name in row for name in LABELS] for row in known])
    expected = label_average_precision(colours(), has)
    values = [summary["a", f"average_precision:{name}"] for name in LABELS]
    assert values == pytest.approx(expected.tolist(), abs=1e-9)
    mean = summary.measure("mean_average_precision")
    assert mean.values[0] == pytest.approx(expected.mean())
    assert mean.low[0] < mean.values[0] <= mean.high[0] <= 1
    assert mean.counts[0] == 12
    assert mean.baselines["random order"] == pytest.approx(has.mean())


def test_the_interval_comes_from_leaving_out_each_image() -> None:
    known = truth()
    _, summary = measured({"a": model()}, known)
    has = np.array([[name in row for name in LABELS] for row in known])
    without = [
        label_average_precision(np.delete(colours(), at, 0), np.delete(has, at, 0)).mean()
        for at in range(12)
    ]
    error = np.sqrt(11 / 12 * np.square(without - np.mean(without)).sum())
    measure = summary.measure("mean_average_precision")
    low, high = measure.values[0] - measure.low[0], measure.high[0] - measure.values[0]
    # At least Student's, and wider on one side, where values are skewed.
    assert min(low, high) > 1.9 * error or measure.high[0] == 1


def test_models_are_compared_by_the_mean_and_no_label_is_marked() -> None:
    models = {"good": model(), "bad": model(gain=(-1.0, -1.0, -1.0))}
    _, summary = measured(models, truth(40), 40)
    mean = summary.measure("mean_average_precision")
    assert mean.winners() == (0,)
    assert mean.tells_apart(0, 1)
    assert summary.measure("average_precision:red").winners() == ()
    assert any("highest mean (mAP)" in each for each in summary.findings())


def test_every_format_has_them() -> None:
    _, summary = measured({"a": model()}, truth())
    keys = ["mean_average_precision", *(f"average_precision:{name}" for name in sorted(LABELS))]
    document: Any = summary.to_dict()
    assert [each["key"] for each in document["measures"] if "precision" in each["key"]] == keys
    (header, *_) = csv.reader(io.StringIO(summary.to_csv()))
    assert set(keys) <= set(header)
    for text in (str(summary), summary.to_markdown(), summary._repr_html_()):
        assert all(name in text for name in ("mean (mAP)", "green", "random order"))


def test_many_labels_are_left_out_of_tables_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("effcam.metrics.summary.figures.labels.MOST_LISTED", 2)
    _, summary = measured({"a": model()}, truth())
    assert "average_precision:green" in summary.to_csv()
    assert "green" not in str(summary).partition("Notes")[0]
    assert "each of the 3 labels is in summary.measure, to_json and to_csv" in str(summary)


def test_the_predicted_label_is_right_if_the_image_has_it() -> None:
    known = [["green"], ["red", "green", "blue"], [], ["red", "blue"]]
    comparison = compare(images(4), {"a": model()}, progress=False)
    summary = comparison.summary(labels=known)
    right = [
        cell.predicted_label in own for cell, own in zip(comparison, known, strict=True) if own
    ]
    assert summary["a", "accuracy"] == pytest.approx(np.mean(right))
    assert summary.measure("accuracy").counts[0] == 3
    notes = " ".join(summary.notes)
    assert "a: labels do not exclude each other, and each has a probability of its own" in notes
    assert "effcam.metrics.label_probabilities(comparison, models) measures; give its" in notes


def test_labels_that_no_image_has_do_not_count() -> None:
    known = [["red"] if at % 2 else [] for at in range(12)]
    _, summary = measured({"a": model()}, known)
    mean, red = (summary["a", key] for key in ("mean_average_precision", "average_precision:red"))
    assert mean == red
    assert "includes the 1 labels" not in str(summary) or "any image has" in str(summary)


def test_images_of_unknown_labels_do_not_count() -> None:
    known: list[Any] = [each if at < 8 else None for at, each in enumerate(truth())]
    _, summary = measured({"a": model()}, known)
    has = np.array([[name in row for name in LABELS] for row in known[:8]])
    expected = np.nanmean(label_average_precision(colours()[:8], has))
    assert summary["a", "mean_average_precision"] == pytest.approx(expected)
    assert summary.measure("mean_average_precision").counts[0] == 8


def test_names_and_indices_of_one_label_are_one() -> None:
    one, other = (
        measured({"a": model()}, [[name if at % 2 else LABELS.index(name) for name in row]
                                  for at, row in enumerate(truth())])[1]
        if mixed else measured({"a": model()}, truth())[1]
        for mixed in (True, False)
    )  # fmt: skip
    assert one["a", "mean_average_precision"] == other["a", "mean_average_precision"]


class TestRefused:
    def test_several_labels_for_classes_that_exclude_each_other(self) -> None:
        comparison = compare(images(2), {"a": model(scores="softmax")}, progress=False)
        with pytest.raises(AnnotationError, match=r"has 2 labels: red, blue; in a the class"):
            comparison.summary(labels=[["red", "blue"], ["red"]])
        with pytest.raises(AnnotationError, match=r"has 0 labels; in a the classes exclude"):
            comparison.summary(labels=[[], ["red"]])
        assert comparison.summary(labels=[["red"], ["blue"]]).measure("accuracy").counts[0] == 2

    def test_probabilities_of_classes_that_exclude_each_other(self) -> None:
        models = {"a": model(scores="softmax")}
        comparison = compare(images(2), models, progress=False)
        with pytest.raises(ArgumentError, match="none of these models has classes that do not"):
            label_probabilities(comparison, models, progress=False)

    def test_probabilities_of_another_comparison(self) -> None:
        models = {"a": model()}
        comparison = compare(images(2), models, progress=False)
        found = label_probabilities(comparison, models, progress=False)
        other = compare(images(3), models, progress=False)
        with pytest.raises(ArgumentError, match="measured for another comparison: of 2 images"):
            other.summary(labels=[["red"]] * 3, label_probabilities=found)

    def test_a_label_that_the_model_has_not(self) -> None:
        with pytest.raises(TargetError, match="pink"):
            measured({"a": model()}, [["pink"]] * 12)


def test_a_network_that_ends_in_a_sigmoid_is_measured_alike() -> None:
    own = load_model(
        nn.Sequential(ColourNet(2.0), nn.Sigmoid()), preprocess=PREPROCESS, labels=LABELS
    )
    values = [
        measured({"a": each}, truth())[1]["a", "mean_average_precision"] for each in (own, model())
    ]
    assert values[0] == pytest.approx(values[1])


def test_scenes_of_several_objects_have_several_labels() -> None:
    (scene,) = effcam.demo.scenes(1, seed=3, size=64, objects=2)
    truth_of = scene.ref.truth
    assert truth_of is not None
    assert truth_of.labels == tuple(each.label for each in scene.objects)
    assert truth_of.label is None

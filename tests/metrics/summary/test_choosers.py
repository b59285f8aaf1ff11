"""Calibration and confused classes in summaries."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from effcam import Comparison, Summary
from effcam.errors import ArgumentError
from effcam.images.frames import FilmFrame
from effcam.images.truth import Truth
from effcam.metrics import calibration
from effcam.metrics.summary.builder import SummaryBuilder
from effcam.metrics.summary.figures.calibration import LEAST
from effcam.metrics.summary.rows import ImageRows
from effcam.metrics.summary.text_tables import pairs_of_each
from tests.labelled import MAP, confused, labelled
from tests.metrics.summary.test_compute import build, facts, keys, note

KEYS = ["overconfidence", "calibration_error", "expected_calibration_error"]


@pytest.fixture(scope="module")
def many() -> Comparison:
    return confused()


@pytest.fixture(scope="module")
def summary(many: Comparison) -> Summary:
    return many.summary()


# calibration


def test_calibration_is_that_of_the_function(many: Comparison, summary: Summary) -> None:
    found = calibration(many)
    assert list(summary.calibration) == ["A", "B"]
    for at, column in enumerate("AB"):
        # Probabilities are kept in 32 bits.
        assert summary.calibration[column].error == pytest.approx(found[column].error, abs=1e-6)
        assert summary.measure(KEYS[1]).values[at] == summary.calibration[column].error
        assert summary.measure(KEYS[2]).values[at] == summary.calibration[column].expected
        gap = found[column].overconfidence
        assert summary[column, "overconfidence"] == pytest.approx(gap)
    assert summary.measure(KEYS[1]).counts.tolist() == [120, 120]


def test_fewer_than_a_hundred_labelled_images_have_none() -> None:
    few = labelled([[0]] * (LEAST - 1), [0] * (LEAST - 1)).summary()
    assert not set(KEYS) & set(keys(few))
    assert few.calibration == {}
    with pytest.raises(ArgumentError, match="no column has a calibration"):
        few.reliability_plot()
    assert set(KEYS) < set(keys(labelled([[0]] * LEAST, [0] * LEAST).summary()))


def test_images_that_not_all_models_get_right_count(summary: Summary) -> None:
    assert summary.used == 100
    assert str(summary).startswith(
        "120 images; every figure but accuracy, calibration and confusions uses 100 of them."
    )
    assert note(summary, "Figures other than accuracy and calibration use only the 100 of 120")


def test_the_error_is_not_ranked(summary: Summary) -> None:
    assert summary.measure("calibration_error").winners() == ()
    assert not any("ECE" in each for each in summary.findings())


def test_an_error_that_chance_may_make_is_noted() -> None:
    rng = np.random.default_rng(1)
    made = labelled([[0]] * LEAST, [0] * LEAST)
    values = [cell.predicted_probability for cell in made.cells]
    right = rng.random(LEAST) < values
    truths = [0 if each else 1 for each in right]
    calm = made.summary(labels=truths)
    assert calm.calibration["A"].is_chance
    assert note(calm, "ECE of A: no larger than chance often makes it")
    sure = made.summary(labels=[1] * LEAST)
    assert not sure.calibration["A"].is_chance
    assert not any("ECE of" in each for each in sure.notes)


def test_parts_are_as_good_as_all_at_once(many: Comparison, summary: Summary) -> None:
    truths = tuple(image.truth or Truth() for image in many.images)
    rows = ImageRows(many.columns, tuple(many.rows()), many.facts, truths)
    builder = SummaryBuilder(many.columns, many.facts, labelled=True)
    for start in range(0, 120, 50):
        used = np.zeros(120, bool)
        used[start : start + 50] = True
        builder.add(rows.take(used))
    parts = builder.summary()
    assert parts.calibration == summary.calibration
    assert parts.confusions == summary.confusions


def test_models_of_several_labels_an_image_are_left_out(many: Comparison) -> None:
    known = (facts("A", multi_label=True), facts("B"))
    found = replace(many, facts=known).summary()
    assert list(found.calibration) == ["B"]
    assert np.isnan(found.measure("calibration_error").values[0])
    assert np.isnan(found.measure("overconfidence").values[0])
    assert not any(each.column == "A" for each in found.confusions)
    both = replace(many, facts=(known[0], known[0])).summary()
    assert not set(KEYS) & set(keys(both))


def test_frames_of_few_videos_have_no_interval() -> None:
    made = labelled([[0]] * LEAST, [0] * LEAST)
    images = tuple(
        replace(image, source=FilmFrame(Path(f"{at % 5}.mp4"), at, at / 10, "", at, None))
        for at, image in enumerate(made.images)
    )
    cells = tuple(
        replace(cell, image=image) for cell, image in zip(made.cells, images, strict=True)
    )
    found = replace(made, images=images, cells=cells).summary()
    measure = found.measure("calibration_error")
    assert (measure.counts.tolist(), measure.units.tolist()) == ([LEAST], [5])
    assert np.isnan(measure.low).all()


def test_the_plot_has_a_panel_for_each_column(summary: Summary) -> None:
    figure = summary.reliability_plot()
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["A", "B"]
    figure.draw_without_rendering()


# confused classes


def test_pairs_are_counted_among_the_images_of_the_true_class(summary: Summary) -> None:
    (pair,) = summary.confusions
    assert (pair.column, pair.truth, pair.predicted) == ("A", "ant", "bee")
    assert (pair.images, pair.of, pair.share) == (20, 60, pytest.approx(1 / 3))
    assert pair.low < 1 / 3 < pair.high
    assert pair.names[:2] == ("0.png", "3.png")
    assert len(pair.names) == 12


def test_pairs_are_listed_in_every_format(summary: Summary) -> None:
    text = str(summary)
    (line,) = [each for each in text.splitlines() if each.startswith("A ") and "bee" in each]
    assert line.split()[1:6] == ["ant", "bee", "20", "of", "60"]
    assert "33.3 [21.7, 46.7]" in line
    for other in (summary.to_markdown(), summary.to_latex(), summary._repr_html_()):
        assert "most confused" in other
        assert "20 of 60" in other
    assert note(summary, "Confused pairs are the most frequent of many")
    record = json.loads(summary.to_json())
    assert record["confusions"][0]["classes"] == [0, 1]
    assert [each["column"] for each in record["calibration"]] == ["A", "B"]
    assert len(record["calibration"][0]["bins"]) == len(summary.calibration["A"].bins)


def test_a_single_error_is_in_the_records_and_not_in_the_table() -> None:
    found = labelled([[0], [1]], [0, 0]).summary()
    (pair,) = found.confusions
    assert pair.images == 1
    assert np.isnan(pair.low)
    assert "most confused" not in str(found)
    assert not any("Confused" in each for each in found.notes)


def test_the_most_frequent_pairs_come_first_and_three_are_listed() -> None:
    truths = [0] * 9 + [1] * 9 + [2] * 9
    predicted = [*[1] * 4, *[2] * 2, *[0] * 3, *[0] * 3, *[1] * 6, *[0] * 2, *[1] * 5, *[2] * 2]
    found = labelled([[each] for each in predicted], truths).summary()
    counts = [(each.truth, each.predicted, each.images) for each in found.confusions]
    assert counts == [
        ("cow", "bee", 5),
        ("ant", "bee", 4),
        ("bee", "ant", 3),
        ("ant", "cow", 2),
        ("cow", "ant", 2),
    ]
    (table,) = [each for each in found.contents("*").tables if each.group == "most confused"]
    assert len(table.labels) == 3


def test_columns_of_one_model_are_listed_once() -> None:
    found = labelled([[1, 1]] * 6, [0] * 6).summary()
    assert len(found.confusions) == 2
    (table,) = [each for each in found.contents("*").tables if each.group == "most confused"]
    assert table.labels == ("A, B",)


def test_with_many_columns_each_has_one_pair() -> None:
    assert (pairs_of_each(5), pairs_of_each(6)) == (3, 1)


def test_frames_of_a_video_give_no_interval() -> None:
    made = labelled([[1]] * 6, [0] * 6)
    images = tuple(
        replace(image, source=FilmFrame(Path("v.mp4"), at, at / 10, "", at, None))
        for at, image in enumerate(made.images)
    )
    cells = tuple(
        replace(cell, image=image) for cell, image in zip(made.cells, images, strict=True)
    )
    (pair,) = replace(made, images=images, cells=cells).summary().confusions
    assert (pair.images, pair.of) == (6, 6)
    assert np.isnan(pair.low)


def test_without_labels_there_is_neither() -> None:
    found = build([[MAP]] * LEAST).summary()
    assert found.calibration == {}
    assert found.confusions == ()

"""Models of several labels an image: probabilities, captions, and all labels above a threshold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import effcam
from effcam import Comparison, Preprocess, compare, load_model
from effcam.comparison.pictures.marks import Marks
from effcam.comparison.pictures.style import Style
from effcam.errors import ArgumentError, TargetError
from effcam.metrics import faithfulness
from effcam.models.model import Model
from effcam.targets import Above, Sum, TopK, parse
from effcam.targets.plain import plain
from effcam.targets.stored import from_json, to_json
from tests.nets import ColourNet

PREPROCESS = Preprocess(size=(16, 16), resize=(16, 16), mean=(0.5,) * 3, std=(0.5,) * 3)
LABELS = ("red", "green", "blue")
GAIN = 4.0


def model(scores: Any = "sigmoid") -> Model:
    return load_model(ColourNet(GAIN), preprocess=PREPROCESS, labels=LABELS, scores=scores)


def image(left: tuple[int, int, int], right: tuple[int, int, int] | None = None) -> Any:
    """Return an image of two colours side by side."""
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:, :8], pixels[:, 8:] = left, left if right is None else right
    return pixels


def ask(target: Any, *images: Any, **given: Any) -> Comparison:
    return compare(list(images), {"m": model()}, target=target, progress=False, **given)


RED_GREEN = image((255, 128, 0), (128, 255, 0))
"""Mean red and green 0.75, so their scores are 2, and that of blue -4; their sum is even."""
UNEVEN = image((255, 128, 0), (255, 255, 0))
"""The scores are 4, 2 and -4; red is even, and green is on the right."""


class TestAbove:
    def test_it_is_the_sum_of_the_labels_that_are_probable(self) -> None:
        (cell,) = ask(Above(0.5), UNEVEN)
        (expected,) = ask(Sum("red", "green"), UNEVEN)
        assert expected.heatmap[0, 1] == pytest.approx(2 * expected.heatmap[0, 0], rel=0.01)
        np.testing.assert_allclose(cell.heatmap, expected.heatmap, rtol=1e-6)
        assert cell.value == pytest.approx(expected.value)
        assert cell.kind == "sum"
        assert cell.label == "red + green"
        assert f"heat: {cell.label}" in " ".join(cell.caption())

    def test_each_image_has_its_own_labels(self) -> None:
        cells = list(ask(Above(0.9), image((255, 0, 0)), image((255, 255, 255)), image((0, 0, 0))))
        assert [cell.label for cell in cells] == [
            "red",
            "red + green + blue",
            "no label above 90 %",
        ]
        assert cells[0].target == 0
        assert cells[0].probability == pytest.approx(float(torch.tensor(GAIN).sigmoid()))

    def test_without_such_a_label_the_map_is_flat_and_says_so(self) -> None:
        (cell,) = ask(Above(), image((0, 0, 0)))
        assert (cell.state, cell.target, cell.value) == ("flat", None, 0)
        assert np.isnan(cell.probability)
        assert "no label above 50 %" in " ".join(cell.caption())
        assert cell.heatmap.max() == 0

    def test_the_order_and_the_batch_do_not_matter(self) -> None:
        images = [image((255, 0, 0)), RED_GREEN, image((0, 0, 0)), image((0, 200, 255))]
        together = ask(Above(), *images)
        alone = [ask(Above(), each, batch_size=1)[0, 0] for each in images]
        for one, other in zip(together, alone, strict=True):
            assert one.label == other.label
            np.testing.assert_allclose(one.heatmap, other.heatmap, rtol=1e-6)

    @pytest.mark.parametrize("method", ["scorecam", "ablationcam", "hirescam"])
    def test_other_methods_take_it(self, method: str) -> None:
        (cell,) = ask(Above(), UNEVEN, method=method)
        assert cell.state == "ok"

    def test_it_may_be_one_of_several_columns(self) -> None:
        comparison = ask({"red": "red", "all": Above()}, RED_GREEN)
        assert comparison.columns == ("m red", "m all")

    def test_classes_that_exclude_each_other_are_refused(self) -> None:
        with pytest.raises(TargetError, match=r"Above\(0.5\) is for labels that do not exclude"):
            compare(RED_GREEN, model("softmax"), target=Above(), progress=False)

    def test_it_does_not_mix_with_classes_in_a_column(self) -> None:
        with pytest.raises(TargetError, match="must be of one kind, not above and class"):
            plain([Above(), "red"])

    @pytest.mark.parametrize("threshold", [0, 1, -0.5, True, "half", float("nan")])
    def test_an_impossible_threshold_is_refused(self, threshold: Any) -> None:
        with pytest.raises(TargetError, match="a probability between 0 and 1"):
            Above(threshold)

    def test_as_text_and_as_json(self) -> None:
        assert parse("above 25 %") == parse("above 25%") == Above(0.25)
        assert parse(str(Above(0.125))) == Above(0.125)
        assert from_json(to_json(Above(0.3))) == Above(0.3)

    def test_many_labels_are_counted(self) -> None:
        assert Above().named(list("abcdefg")) == "a + b + c + d + e + 2 more"

    def test_faithfulness_refuses_it(self) -> None:
        models = {"m": model()}
        comparison = compare(RED_GREEN, models, target=Above(), progress=False)
        with pytest.raises(TargetError, match="explains a sum, "):
            faithfulness(comparison, models, progress=False)


class TestProbabilities:
    def test_words_say_that_the_label_is_the_most_probable_one(self) -> None:
        (cell,) = ask(None, image((255, 100, 0)))
        assert cell.prediction == "most probable label red 98 %"
        assert "most probable label red 98 %" in repr(cell)
        assert cell.record()["multi_label"] is True
        (plain_cell,) = compare(image((255, 100, 0)), model("softmax"), progress=False)
        assert plain_cell.prediction.startswith("predicts red ")

    def test_a_column_for_each_label_says_how_probable_that_label_is(self) -> None:
        comparison = ask({"red": "red", "green": "green"}, image((255, 200, 0)))
        first, second = (" ".join(cell.caption()) for cell in comparison)
        assert first == "red 98 %"
        green = float(torch.tensor(GAIN * (200 / 255 * 2 - 1)).sigmoid())
        assert second == f"green {100 * green:.0f} % · most probable: red 98 %"

    def test_a_label_that_was_asked_for_has_no_mark(self) -> None:
        target = {"red": "red", "green": "green"}
        comparison = ask(target, image((255, 200, 0))).annotate(labels=[["red", "green"]])
        marks = Marks(comparison, Style())
        assert marks.row(next(iter(comparison.rows()))) == ["✓", ""]
        assert marks.legend() == ["✓ right, ✗ wrong", "no mark: not the most probable label"]
        assert marks.truth(comparison.images[0]) == "red, green"

    def test_the_labels_of_the_highest_scores(self) -> None:
        comparison = ask(TopK(2), image((100, 255, 200)))
        assert [cell.label for cell in comparison] == ["green", "blue"]

    def test_consensus_is_the_label_of_the_highest_mean_sigmoid(self) -> None:
        sure, unsure = (
            load_model(ColourNet(gain), preprocess=PREPROCESS, labels=LABELS, scores="sigmoid")
            for gain in ((8.0, 2.0, 0.0), (-0.5, 2.0, 0.0))
        )
        # Sigmoids: red 1.0 and 0.38, green 0.88 twice: green; by softmax it would be red.
        comparison = compare(
            image((255, 255, 0)), {"a": sure, "b": unsure}, target="consensus", progress=False
        )
        assert {cell.label for cell in comparison} == {"green"}

    def test_insertion_and_deletion_follow_the_sigmoid(self) -> None:
        models = {"m": model()}
        comparison = compare(RED_GREEN, models, target="green", progress=False)
        found = faithfulness(
            comparison, models, figures=["deletion", "insertion", "average_drop"], progress=False
        )
        other = {"m": model("softmax")}
        as_classes = compare(RED_GREEN, other, target="green", progress=False)
        differing = faithfulness(as_classes, other, figures=["deletion"], progress=False)
        # Two equal labels have a softmax of 0.5 each, and sigmoids of 0.88.
        assert comparison[0, 0].probability == pytest.approx(0.88, abs=0.01)
        assert as_classes[0, 0].probability == pytest.approx(0.5, abs=0.01)
        assert found.samples["deletion"][0, 0] > differing.samples["deletion"][0, 0]

    def test_faithfulness_needs_the_same_probabilities(self) -> None:
        comparison = compare(RED_GREEN, {"m": model()}, progress=False)
        with pytest.raises(ArgumentError, match="of labels that do not exclude each other; those"):
            faithfulness(comparison, {"m": model("softmax")}, progress=False)

    def test_the_report_and_parquet_keep_it(self, tmp_path: Any) -> None:
        comparison = ask(None, UNEVEN)
        page = comparison.report(tmp_path / "report.html").read_text(encoding="utf-8")
        assert "most probable label red" in page
        assert "one a label, sigmoid" in page
        table = pytest.importorskip("pyarrow.parquet").read_table(
            comparison.save(tmp_path / "cells.parquet")
        )
        assert table["multi_label"].to_pylist() == [True]


def test_the_demo_model_finds_both_objects() -> None:
    scenes = effcam.demo.scenes(6, seed=77, size=128, objects=2)
    comparison = compare(
        scenes,
        {"m": "demo_multilabel"},
        target={
            "first": [each.objects[0].label for each in scenes],
            "second": [each.objects[1].label for each in scenes],
        },
        progress=False,
    )
    own, other = [], []
    for scene, cells in zip(scenes, comparison.rows(), strict=True):
        for at, cell in enumerate(cells):
            heat = cell.evidence(*cell.size)
            own.append(heat[scene.objects[at].mask].mean() / heat.mean())
            other.append(heat[scene.objects[1 - at].mask].mean() / heat.mean())
    assert np.mean(own) > 3  # chance is 1
    assert np.mean(other) < 1.5

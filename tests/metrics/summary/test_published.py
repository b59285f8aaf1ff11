"""Published results: joined by name, weights and input size, and blank with a reason elsewhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from effcam import Summary
from effcam.images.truth import Truth
from effcam.metrics.summary.builder import summarize
from effcam.metrics.summary.published import PublishedValue
from effcam.metrics.summary.rows import ImageRows
from effcam.models.facts import RANDOM, ModelFacts
from effcam.models.result_tables import ResultTable, parse_results
from tests.metrics.summary.test_compute import build, facts, noise, note

CLASSES = tuple(map(str, range(1000)))
HEADER = "model,img_size,top1,param_count\n"
IMAGENET = "results-imagenet.csv"
SPEED = "benchmark-infer-amp-rtx3090.csv"


def timm(name: str = "resnet18.a1_in1k", **changes: Any) -> ModelFacts:
    """Return facts on a model of timm with its published weights."""
    known = {"weights": name.partition(".")[2], "input_size": (224, 224), "parameters": 11_690_000}
    return facts(f"timm:{name}", CLASSES, **{**known, **changes})


def accuracies(rows: str, file: str = IMAGENET) -> ResultTable:
    return parse_results(HEADER + rows, file)


def speeds(rows: str, file: str = SPEED) -> ResultTable:
    return parse_results("model,infer_img_size,infer_samples_per_sec\n" + rows, file)


def summary_of(known: Sequence[ModelFacts], *tables: ResultTable) -> Summary:
    comparison = build([[noise(at) for at, _ in enumerate(known)]], known=known)
    rows = ImageRows(comparison.columns, tuple(comparison.rows()), tuple(known), (Truth(),))
    return summarize(rows, results=tables)


def value(summary: Summary, key: str = "published_imagenet") -> float:
    return float(summary.measure(key).values[0])


def test_a_network_of_another_cost_has_no_published_speed() -> None:
    table = parse_results(
        "model,infer_img_size,infer_samples_per_sec,infer_gmacs\nresnet18,224,5000,1.82\n", SPEED
    )
    key = "published_speed:amp-rtx3090"
    assert value(summary_of([timm(flops=3_628_000_000)], table), key) == 5000
    # As with options={"output_stride": 8}, which neither name nor parameters show.
    slow = summary_of([timm(flops=18_426_000_000)], table)
    assert np.isnan(value(slow, key))
    assert "takes 1.82 G multiplications with an addition an image, and the" in note(slow, "9.21 G")
    unknown = summary_of([timm(flops=None)], table)
    assert value(unknown, key) == 5000


TWO_SIZES = accuracies("resnet18.a1_in1k,288,73.156,11.69\nresnet18.a1_in1k,224,71.488,11.69\n")


def test_the_result_is_that_of_the_input_size_compared() -> None:
    assert value(summary_of([timm()], TWO_SIZES)) == pytest.approx(0.71488)
    large = summary_of([timm(input_size=(288, 288))], TWO_SIZES)
    assert value(large) == pytest.approx(0.73156)
    assert large.published == (
        PublishedValue("A", "published_imagenet", IMAGENET, "resnet18.a1_in1k", 288, 0.73156),
    )


@pytest.mark.parametrize("size", [(256, 256), (224, 288)])
def test_other_input_sizes_are_left_blank_with_a_reason(size: tuple[int, int]) -> None:
    summary = summary_of([timm(input_size=size)], TWO_SIZES)
    assert np.isnan(value(summary))
    assert note(summary, "measured at") == (
        f"A: {IMAGENET}: resnet18.a1_in1k was measured at 224 px and 288 px, and compared at "
        f"{size[0]} x {size[1]}, so it is left blank; size= (--size) sets the input size."
    )


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        (timm("resnet18", weights="best.pt"), "its weights, 'best.pt', are not timm's published"),
        (timm("resnet18", weights=RANDOM), "random weights, so it has no published accuracy"),
        (timm(weights="best.pt"), "its weights, 'best.pt', are not timm's published"),
        (timm(labels=("a", "b")), "it has 2 classes, not ImageNet's 1000"),
        (replace(timm(), name="torchvision:resnet18.IMAGENET1K_V1"), "not by its name a model of"),
        (replace(timm(), name="resnet18.a1_in1k"), "not by its name a model of timm"),
        (replace(timm(), name="hf-hub:timm/resnet18.a1_in1k"), "not by its name a model of timm"),
        (timm("resnet18.tv_in1k"), f"resnet18.tv_in1k is not in {IMAGENET}"),
        (timm(parameters=5_000_000), "has 11.69 M parameters, and the model compared has 5.00 M"),
    ],
)
def test_other_models_and_weights_get_no_published_accuracy(known: ModelFacts, reason: str) -> None:
    summary = summary_of([known], TWO_SIZES)
    assert np.isnan(value(summary))
    assert summary.published == ()
    assert note(summary, reason).startswith("A: ")


def test_speed_is_that_of_the_architecture_with_any_weights() -> None:
    known = [timm("resnet18", weights=RANDOM), timm(), facts("own")]
    summary = summary_of(known, speeds("resnet18,224,5999.5\n"))
    measure = summary.measure("published_speed:amp-rtx3090")
    assert measure.values[:2].tolist() == [5999.5, 5999.5]
    assert np.isnan(measure.values[2])
    assert measure.figure.title == "images/s (amp-rtx3090)"
    assert SPEED in measure.figure.explains


def test_names_that_timm_replaced_are_found() -> None:
    known = timm("tf_efficientnet_b0.ns_jft_in1k", parameters=5_290_000)
    table = accuracies("tf_efficientnet_b0_ns,224,78.658,5.29\n")
    assert value(summary_of([known], table)) == pytest.approx(0.78658)
    # Which weights a name without a tag had is not known.
    assert np.isnan(value(summary_of([timm()], accuracies("resnet18,224,69.748,11.69\n"))))


def test_reasons_that_several_files_share_are_one_note() -> None:
    other = accuracies("a,224,50,1\n", "results-imagenet-real.csv")
    summary = summary_of([timm()], accuracies("a,224,50,1\n"), other)
    assert note(summary, "is not in") == (
        f"A: resnet18.a1_in1k is not in {IMAGENET}, results-imagenet-real.csv."
    )


@pytest.mark.parametrize(
    ("file", "key", "title"),
    [
        ("results-imagenet-real.csv", "published_imagenet_real", "ImageNet ReaL"),
        ("results-imagenet-a.csv", "published_imagenet_a", "ImageNet-A"),
        ("results-imagenet-r.csv", "published_imagenet_r", "ImageNet-R"),
        ("results-sketch.csv", "published_imagenet_sketch", "ImageNet-Sketch"),
        ("results-imagenet-sketch.csv", "published_imagenet_sketch", "ImageNet-Sketch"),
        ("results-imagenetv2-matched-frequency.csv", "published_imagenet_v2", "ImageNet-V2"),
        ("mine.csv", "published_top1:mine", "top-1 (mine)"),
    ],
)
def test_the_name_of_a_file_says_which_images_it_is_of(file: str, key: str, title: str) -> None:
    figure = summary_of([timm()], accuracies("a,224,50,1\n", file)).measure(key).figure
    assert figure.title == title
    assert file in figure.explains
    assert "measured elsewhere" in figure.explains


def test_published_figures_are_in_every_format_and_neither_marked_nor_found_best() -> None:
    table = accuracies("resnet18.a1_in1k,224,71.488,11.69\nresnet18.b,224,60.1,11.69\n")
    summary = summary_of([timm(), timm("resnet18.b")], table)
    measure = summary.measure("published_imagenet")
    assert measure.winners() == ()
    assert not any("ImageNet" in each for each in summary.findings())
    for text in (str(summary), summary.to_markdown(), summary.to_latex(), summary._repr_html_()):
        assert "published elsewhere" in text
        assert "71.5" in text
        assert "measured elsewhere" in text
    assert "published_imagenet" in summary.to_csv()
    record = json.loads(summary.to_json())
    assert record["published"][0] == {
        "column": "A",
        "key": "published_imagenet",
        "file": IMAGENET,
        "model": "resnet18.a1_in1k",
        "size": 224,
        "value": 0.71488,
    }
    assert summary.plot("published_imagenet").axes[0].get_xlabel() == "ImageNet, % ↑"


def test_unknown_models_have_no_published_figures() -> None:
    comparison = build([[noise(0)]], known=())
    rows = ImageRows(comparison.columns, tuple(comparison.rows()), (), (Truth(),))
    summary = summarize(rows, results=[TWO_SIZES])
    assert np.isnan(value(summary))
    assert note(summary, "it is not known which model this is")

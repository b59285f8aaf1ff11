"""Models of several labels an image on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import effcam
from tests.cli.commands import UNTRAINED, Done

pytestmark = pytest.mark.usefixtures("photos")
MODEL = ("-m", "demo_multilabel")


@pytest.fixture
def labels(photos: Path) -> str:
    """Write scenes of two objects into the folder "scenes", and their labels."""
    folder = photos.parent / "scenes"
    folder.mkdir()
    known = {}
    for at, scene in enumerate(effcam.demo.scenes(4, seed=3, size=96, objects=2)):
        scene.image.save(folder / f"{at}.png")
        known[f"{at}.png"] = [each.label for each in scene.objects]
    Path("labels.json").write_text(json.dumps(known))
    return "labels.json"


def test_average_precision_is_measured_where_images_have_several_labels(
    run: Callable[..., Done], labels: str
) -> None:
    done = run(
        "compare", "scenes", *MODEL, "--labels", labels, "--summary", "--save-summary", "s.json"
    )
    assert done.code == 0, done.err
    assert "mean (mAP), % ↑" in done.out
    measures = json.loads(Path("s.json").read_text(encoding="utf-8"))["measures"]
    (mean,) = (each for each in measures if each["key"] == "mean_average_precision")
    assert mean["counts"] == [4]


@pytest.mark.usefixtures("labels")
def test_all_labels_above_a_threshold(run: Callable[..., Done]) -> None:
    done = run("compare", "scenes", *MODEL, "--target", "above 1 %", "-o", "cells.json")
    assert done.code == 0, done.err
    cells = json.loads(Path("cells.json").read_text(encoding="utf-8"))
    assert " + " in json.dumps(cells)


def test_several_labels_are_refused_for_classes_that_exclude_each_other(
    run: Callable[..., Done], labels: str
) -> None:
    done = run("compare", "scenes", "-m", "demo_alexnet", "--labels", labels, "--summary")
    assert done.code == 1
    assert "the classes exclude each other, so each image has one" in done.err
    assert "Traceback" not in done.err


def test_scores_of_all_models(run: Callable[..., Done]) -> None:
    done = run("compare", "photos", *UNTRAINED, "--scores", "sigmoid", "-o", "a.html")
    assert done.code == 0, done.err
    page = Path("a.html").read_text(encoding="utf-8")
    assert "most probable label" in page
    assert "--scores test_resnet=sigmoid" in page


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            ["--scores", "logits"],
            "scores must be 'softmax' or 'sigmoid' or 'embedding'",
        ),
        (["--scores", "sigmoid", "--scores", "softmax"], "--scores is given twice for all models"),
        (["--scores", "other=sigmoid"], "'other' is not one of the models to compare"),
    ],
)
def test_bad_scores(run: Callable[..., Done], given: list[str], message: str) -> None:
    done = run("compare", "photos", *UNTRAINED, *given, "-o", "a.png")
    assert done.code == 2
    assert message in done.err

"""One annotation in several forms gives one summary."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from effcam import Comparison, compare, load_model
from effcam.errors import TargetError
from tests.nets import ColourNet

WIDTH, HEIGHT = 64, 48
BLUE = "1"
"""The name of class 2, which predicts the photo; class 1 has another name."""
NAMES = ("0", "2", BLUE)


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    photo = np.zeros((HEIGHT, WIDTH, 3))
    photo[:24, :32, 2] = 1
    model = load_model(ColourNet(), name="net", labels=NAMES)
    return compare(photo, model, view="whole", size=32, progress=False)


def coco(**annotation: Any) -> dict[str, Any]:
    return {
        "images": [{"id": 1, "file_name": "image"}],
        "categories": [{"id": 1, "name": BLUE}],
        "annotations": [{"image_id": 1, "category_id": 1, **annotation}],
    }


@pytest.mark.parametrize(
    ("text", "accuracy"),
    [
        (json.dumps({"image": BLUE}), 1),
        (f"image,label\nimage,{BLUE}\n", 1),
        (f"image {BLUE}", 1),
        (json.dumps(coco()), 1),
        (json.dumps({"image": {"class_index": 2, "label": BLUE}}), 1),
        ("image,class_index\nimage,2\n", 1),
        ("image,class_index\nimage,1\n", 0),
        ("image,label\nimage,2\n", 0),
    ],
)
def test_a_class_called_by_a_number_is_that_class_in_every_file(
    comparison: Comparison, tmp_path: Path, text: str, accuracy: float
) -> None:
    assert comparison[0, 0].predicted_label == BLUE
    file = tmp_path / "labels"
    file.write_text(text)
    assert comparison.summary(labels=file)[0, "accuracy"] == accuracy


def test_and_in_folders_and_in_python(comparison: Comparison, tmp_path: Path) -> None:
    (tmp_path / BLUE).mkdir()
    (tmp_path / BLUE / "image.png").touch()
    for labels in (tmp_path, {"image": BLUE}, [BLUE], [2]):
        assert comparison.summary(labels=labels)[0, "accuracy"] == 1
    assert comparison.summary(labels=[1])[0, "accuracy"] == 0


def test_a_number_of_json_with_two_meanings_is_refused(
    comparison: Comparison, tmp_path: Path
) -> None:
    file = tmp_path / "labels.json"
    file.write_text('{"image": 1}')
    with pytest.raises(TargetError, match="label 1 has two meanings in net: the class called '1'"):
        comparison.summary(labels=file)
    file.write_text('{"image": {"class_index": 1, "label": "1"}}')
    with pytest.raises(TargetError, match=r"has two meanings|are different classes"):
        comparison.summary(labels=file)


def test_relative_boxes_give_the_figures_of_pixels_and_a_note(
    comparison: Comparison, tmp_path: Path
) -> None:
    pixels = comparison.summary(boxes=[(0, 0, 32, 24)])
    assert not any("shares" in note for note in pixels.notes)
    file = tmp_path / "boxes.json"
    file.write_text(json.dumps({"image": [0, 0, 0.5, 0.5]}))
    for boxes in (file, {"image": (0, 0, 0.5, 0.5)}):
        relative = comparison.summary(boxes=boxes)
        for key in ("energy_pointing_game", "pointing_game", "mass_area_ratio"):
            assert relative[0, key] == pixels[0, key]
        assert "shares of the width and height of the 1 image, not as px" in str(relative.notes)


def test_boxes_of_yolo_are_those_of_pixels_without_a_note(
    comparison: Comparison, tmp_path: Path
) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "image.txt").write_text("0 0.25 0.25 0.5 0.5\n")
    pixels, yolo = (comparison.summary(boxes=boxes) for boxes in ([(0, 0, 32, 24)], tmp_path))
    assert yolo[0, "energy_pointing_game"] == pixels[0, "energy_pointing_game"]
    assert yolo.notes == pixels.notes

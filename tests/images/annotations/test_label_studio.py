"""Boxes, polygons and brushes from JSON that Label Studio exports, in full and as "JSON-MIN"."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from effcam.errors import AnnotationError
from effcam.images.annotations import Mask, read_boxes, read_masks
from effcam.images.annotations.label_studio import decode
from effcam.images.annotations.objects import RelativeBox
from effcam.images.annotations.truths import find_truths
from effcam.images.geometry import Box
from effcam.images.refs import ImageRef

WIDTH, HEIGHT = 6, 4
# What mask2rle of label_studio_sdk 2.1.2 returns for 6 x 4 px: rows 1 and 2 of columns 2 to 4; and
# the first pixel, the last one, and row 1 of columns 1 to 3.
RUNS = [0, 0, 0, 96, 57, 27, 254, 31, 0, 183, 255, 108, 2, 223, 254, 27, 0, 0]
LITERALS = [0, 0, 0, 96, 57, 27, 252, 127, 248, 92, 2, 222, 70, 51, 0, 143, 252]


def result(kind: str, label: str | None = "cat", **value: Any) -> dict[str, Any]:
    """Return a region as Label Studio writes it."""
    labelled = {kind: [label]} if label else {}
    return {
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "image_rotation": 0,
        "value": {**value, **labelled},
        "id": "x1",
        "from_name": "label",
        "to_name": "image",
        "type": kind,
        "origin": "manual",
    }


def task(
    *results: Any, image: str = "/data/upload/1/3fa85f64-a.jpg", **more: Any
) -> dict[str, Any]:
    annotation = {"id": 1, "was_cancelled": False, "ground_truth": False, "result": list(results)}
    return {"id": 7, "annotations": [annotation], "data": {"image": image}, **more}


def saved(folder: Path, document: object) -> Path:
    path = folder / "export.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


BOX = result("rectanglelabels", x=25, y=50.0, width=50, height=25, rotation=0)
TRIANGLE = result("polygonlabels", points=[[0, 0], [100, 0], [100, 100]], closed=True)
BRUSH = result("brushlabels", format="rle", rle=RUNS)


def test_rectangles_are_in_percent(tmp_path: Path) -> None:
    prediction = {"predictions": [{"result": [result("rectanglelabels", x=0, y=0)]}]}
    path = saved(tmp_path, [task(BOX, **prediction), task(image="b.jpg")])
    assert read_boxes(path) == {"a.jpg": (RelativeBox(0.25, 0.5, 0.75, 0.75),), "b.jpg": ()}
    (truth,) = find_truths([ImageRef("a.jpg", None)], path, None, None, sizes=[(8, 4)])
    assert (truth.boxes, truth.rescaled) == ((Box(2, 2, 6, 3),), False)
    assert read_boxes(path, categories="cat")["a.jpg"] == (RelativeBox(0.25, 0.5, 0.75, 0.75),)


def test_the_short_form(tmp_path: Path) -> None:
    size = {"original_width": WIDTH, "original_height": HEIGHT}
    box = {"x": 25, "y": 50, "width": 50, "height": 25, "rotation": 0, "rectanglelabels": ["cat"]}
    polygon = {"points": [[0, 0], [100, 0], [100, 100]], "polygonlabels": ["dog"]}
    brush = {"format": "rle", "rle": RUNS, "brushlabels": ["dog"]}
    regions = [{**each, **size} for each in (box, polygon, brush)]
    short = {"image": "/data/upload/1/3fa85f64-a.jpg", "id": 1, "label": regions, "annotator": 1}
    boxes = read_boxes(saved(tmp_path, [{**short, "annotation_id": 1}]))["a.jpg"]
    assert boxes == (
        RelativeBox(0.25, 0.5, 0.75, 0.75),
        RelativeBox(0, 0, 1, 1),
        RelativeBox(2 / 6, 1 / 4, 5 / 6, 3 / 4),
    )


def test_a_rotated_rectangle_is_enclosed(tmp_path: Path) -> None:
    # A quarter turn, clockwise around the left upper corner at (3, 1) px: 3 x 2 px become 2 x 3.
    turned = result("rectanglelabels", x=50, y=25, width=50, height=50, rotation=90)
    (box,) = read_boxes(saved(tmp_path, [task(turned)]))["a.jpg"]
    edges = box.left, box.top, box.right, box.bottom
    assert edges == pytest.approx((1 / 6, 1 / 4, 3 / 6, 4 / 4))


def test_an_ellipse_is_enclosed(tmp_path: Path) -> None:
    value = {"x": 50, "y": 50, "radiusX": 50, "radiusY": 25}
    for angle, wide, tall in ((0, 3, 1), (90, 1, 3), (45, math.sqrt(5), math.sqrt(5))):
        ellipse = result("ellipselabels", **value, rotation=angle)
        (box,) = read_boxes(saved(tmp_path, [task(ellipse)]))["a.jpg"]
        expected = (0.5 - wide / 6, 0.5 - tall / 4, 0.5 + wide / 6, 0.5 + tall / 4)
        assert (box.left, box.top, box.right, box.bottom) == pytest.approx(expected)


def test_a_region_and_its_labels_may_be_two_results(tmp_path: Path) -> None:
    plain = result("rectangle", None, x=25, y=50, width=50, height=25)
    labels = result("labels", "dog", x=25, y=50, width=50, height=25)
    sort = result("choices", None, choices=["indoors"])
    path = saved(tmp_path, [task(plain, labels, sort)])
    assert len(read_boxes(path, categories="dog")["a.jpg"]) == 1


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("/data/upload/1/3fa85f64-my%20cat.jpg", "my cat.jpg"),
        ("/data/local-files/?d=photos/my%20cat.jpg", "photos/my cat.jpg"),
        ("s3://bucket/deep/cat.jpg", "deep/cat.jpg"),
        ("https://example.org/a/cat.jpg?token=1", "a/cat.jpg"),
        ("photos/50%25.jpg", "photos/50%25.jpg"),
        ("3fa85f64-cat.jpg", "3fa85f64-cat.jpg"),
    ],
)
def test_images_are_named_by_their_addresses(tmp_path: Path, address: str, name: str) -> None:
    assert list(read_boxes(saved(tmp_path, [task(image=address)]))) == [name]
    other = task()
    other["data"] = {"photo": address, "caption": "a cat"}
    assert list(read_boxes(saved(tmp_path, [other]))) == [name]


def test_the_ground_truth_of_several_annotations_is_read(tmp_path: Path) -> None:
    document = task(BOX)
    (first,) = document["annotations"]
    document["annotations"] = [
        {**first, "result": [TRIANGLE]},
        {**first, "ground_truth": True},
        {**first, "was_cancelled": True},
    ]
    assert read_boxes(saved(tmp_path, [document])) == {
        "a.jpg": (RelativeBox(0.25, 0.5, 0.75, 0.75),)
    }
    document["annotations"][1]["ground_truth"] = False
    with pytest.raises(AnnotationError, match="task 1: it has 2 annotations, which would be added"):
        read_boxes(saved(tmp_path, [document]))


def test_tasks_without_annotations_are_left_out(tmp_path: Path) -> None:
    skipped = task(image="b.jpg")
    skipped["annotations"][0]["was_cancelled"] = True
    unseen = task(image="c.jpg", annotations=[])
    assert list(read_boxes(saved(tmp_path, [task(), skipped, unseen]))) == ["a.jpg"]


def test_polygons_and_brushes_are_masks(tmp_path: Path) -> None:
    documents = [task(BRUSH, result("polygonlabels", points=[[0, 0], [50, 0], [50, 25], [0, 25]]))]
    mask = read_masks(saved(tmp_path, documents))["a.jpg"]
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[1:3, 2:5] = expected[0, :3] = True
    assert isinstance(mask, Mask)
    np.testing.assert_array_equal(mask.inside, expected)


def test_brushes_made_by_label_studios_own_package() -> None:
    runs, literals = np.zeros((HEIGHT, WIDTH)), np.zeros((HEIGHT, WIDTH))
    runs[1:3, 2:5] = 255
    literals[0, 0] = literals[3, 5] = 255
    literals[1, 1:4] = 200
    for data, alpha in ((RUNS, runs), (LITERALS, literals)):
        found = decode(bytes(data), 4 * WIDTH * HEIGHT).reshape(HEIGHT, WIDTH, 4)
        np.testing.assert_array_equal(found[:, :, 3] >= 128, alpha >= 128)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([task(result("keypointlabels", x=1, y=1))], "task 1: result 1: results of type 'keypoint"),
        ([task(), 3], "task 2: expected an object, found 3"),
        ([task(), task()], "task 2: image 'a.jpg' is that of an earlier task too"),
        ([task(annotations={})], "task 1: expected a list 'annotations', found {}"),
        (
            [task(annotations=[{"result": 3}])],
            "task 1: expected a list 'result' of objects, found 3",
        ),
        ([task("box")], "task 1: expected a list 'result' of objects"),
        ([task(image="data:image/png;base64,AA")], "expected one image by its address or path"),
        ([{**task(), "data": {"text": "hello"}}], "expected one image by its address or path"),
        (
            [task({**BOX, "original_width": None})],
            "expected 'original_width' to be int, found None",
        ),
        ([task({**BOX, "original_width": 0})], "result 1: an image cannot be 0 x 4 px"),
        ([task({**BOX, "original_width": 10**9})], "an image cannot be 1000000000 x 4 px"),
        ([task({**BOX, "image_rotation": 90})], "the image was rotated by 90 degrees in Label St"),
        ([task({**BOX, "value": None})], "result 1: expected an object 'value', found None"),
        ([task(result("rectanglelabels", x="1"))], "result 1: expected a number as 'x', found '1'"),
        ([task(result("polygonlabels", points=[[0, 0]]))], "expected three points or more, found"),
        ([task(result("polygonlabels", points=[[0, 0], 1, 2]))], "expected points [x, y] in perce"),
        ([task(result("brushlabels", rle="AA"))], "expected 'rle', a list of bytes, found 'AA'"),
        (
            [task(result("brushlabels", rle=[300]))],
            "expected the run lengths of a brush: bytes must",
        ),
        ([task(result("brushlabels", rle=RUNS[:-4]))], "of a brush: the bytes end too early"),
        ([task(result("brushlabels", rle=[0, 0, 0, 9, 57]))], "9 values instead of 96"),
        ([task(result("brushlabels", rle=[0, 0, 0, 96, 255, 255]))], "bytes end|32 bits instead"),
    ],
)
def test_broken_exports(tmp_path: Path, document: object, message: str) -> None:
    message = message.replace("[", r"\[")
    with pytest.raises(AnnotationError, match=message) as caught:
        read_boxes(saved(tmp_path, document))
    assert "export.json': " in str(caught.value)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([task(BRUSH, BOX)], "image 'a.jpg': a rectangle is no outline; expected polygon or brush"),
        ([task()], "no image has polygons or brushes"),
    ],
)
def test_what_is_no_mask_is_refused(tmp_path: Path, document: object, message: str) -> None:
    with pytest.raises(AnnotationError, match=message):
        read_masks(saved(tmp_path, document))


def test_more_values_than_an_image_has_are_refused() -> None:
    # Nothing larger than the image is allocated, whatever the lengths say.
    bits = f"{8:032b}{7:05b}" + f"{15:04b}" * 4 + "1" + "00" + f"{60000:016b}" + f"{255:08b}"
    data = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
    with pytest.raises(ValueError, match="more than 8 values"):
        decode(data, 8)

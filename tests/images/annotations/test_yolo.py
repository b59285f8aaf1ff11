"""Boxes and polygons from YOLO's text files, as Ultralytics, CVAT and supervision write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from effcam.errors import AnnotationError
from effcam.images.annotations import ByName, read_boxes, read_masks
from effcam.images.annotations.masks import RelativePolygons
from effcam.images.annotations.objects import RelativeBox
from effcam.images.annotations.truths import find_truths
from effcam.images.geometry import Box
from effcam.images.refs import ImageRef

BOX = RelativeBox(0.25, 0.5, 0.75, 1.0)
LINE = "0 0.5 0.75 0.5 0.5"
TRIANGLE = "1 0.25 0.5 0.75 0.5 0.75 1"


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def shapes(folder: Path, line: str, data: str = "names: [cat, dog]") -> tuple[object, ...]:
    """The boxes of one line."""
    write(folder, {"labels/a.txt": f"{line}\n", "data.yaml": data})
    return read_boxes(folder)["images/a"]


@pytest.mark.parametrize("root", [".", "labels", "data.yaml"])
def test_labels_lie_beside_images(tmp_path: Path, root: str) -> None:
    write(
        tmp_path,
        {
            "data.yaml": "path: .\ntrain: images/train\nnames:\n  0: cat\n  1: dog\n",
            "labels/train/sub/1.txt": f"{LINE}\n\n{TRIANGLE}\n",
            "labels/val/1.txt": "",
            "train.txt": "./images/train/sub/1.jpg\n",
            "README.dataset.txt": "10 images in 2 classes\n",
            "images/train/notes.txt": "not labels",
        },
    )
    boxes = read_boxes(tmp_path / root)
    folder = "" if root == "labels" else "images/"
    assert boxes == {f"{folder}train/sub/1": (BOX, BOX), f"{folder}val/1": ()}
    by_name = ByName(boxes)
    assert by_name.find("images/train/sub/1.jpg") == f"{folder}train/sub/1"
    assert by_name.find("val/1.png") == f"{folder}val/1"
    dogs = read_boxes(tmp_path / root, categories="dog")
    assert sum(map(len, dogs.values())) == 1


def test_labels_lie_among_images_with_their_classes(tmp_path: Path) -> None:
    # As labelImg writes them, and CVAT in "YOLO 1.1".
    for names in ("classes.txt", "obj.names"):
        folder = write(
            tmp_path / names, {"data/1.txt": LINE, "data/2.txt": "", names: "cat\ndog\n"}
        )
        (folder / "data" / "1.jpg").touch()
        assert read_boxes(folder, categories="cat") == {"data/1": (BOX,), "data/2": ()}


def test_one_file_is_one_image(tmp_path: Path) -> None:
    write(tmp_path, {"1.txt": f"{LINE}\n3 0.5 0.5 1 1"})
    assert read_boxes(tmp_path / "1.txt", categories="3") == {"1": (RelativeBox(0, 0, 1, 1),)}


@pytest.mark.parametrize(
    "line",
    [
        LINE,
        f"{LINE} 0.9",  # a score
        f"{LINE} 0.9 17",  # a score and a track
        "0.0 .5 .75 5e-1 .5",
        "\t0  0.5 0.75 0.5 0.5 ",
        f"{LINE} 0.1 0.2 2 0.3 0.4 1 0.3",  # keypoints of three numbers, and one more
        "0 0.25 0.5 0.75 0.5 0.75 1 0.25 1",  # a rotated box, or a polygon
        "0 0.25 0.75 0.5 0.5 0.75 0.75 0.5 1",
    ],
)
def test_lines_may_have_more_than_a_box(tmp_path: Path, line: str) -> None:
    assert shapes(tmp_path, line) == (BOX,)


def test_keypoints_follow_a_box_where_the_dataset_has_them(tmp_path: Path) -> None:
    yaml = "names: [cat]\nkpt_shape: [2, 2]\n"
    assert shapes(tmp_path, f"{LINE} 0.1 0.1 0.9 0.9", data=yaml) == (BOX,)


def test_empty_boxes_are_left_out(tmp_path: Path) -> None:
    assert shapes(tmp_path, "0 0.5 0.5 0 0.2\n0 0.1 0.1 0.2 0.1 0.3 0.1") == ()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.5 0.5 0.2", "line 2: expected a class, and x, y, width and height of a box or"),
        ("cat 0.5 0.5 0.2 0.2", "line 2: expected the index of a class, found 'cat'"),
        ("-1 0.5 0.5 0.2 0.2", "line 2: expected the index of a class, found '-1'"),
        ("0.5 0.5 0.5 0.2 0.2", "line 2: expected the index of a class, found '0.5'"),
        ("2 0.5 0.5 0.2 0.2", "line 2: class 2 is not one of the 2 names"),
        ("0 0.5 0.5 x 0.2", "line 2: expected shares of the image's width and .* found 'x'"),
        ("0 0.5 0.5 nan 0.2", "line 2: expected shares .* found 'nan'"),
        ("0 50 60 20 30", "line 2: expected shares of the image's .* from 0 to 1, found '50'"),
        ("0 0.5 0.5 0.2 -0.2", "line 2: expected shares .* found '-0.2'"),
    ],
)
def test_broken_lines_are_named_with_their_file(tmp_path: Path, line: str, message: str) -> None:
    write(tmp_path, {"data.yaml": "names: [cat, dog]", "labels/a.txt": f"{LINE}\n{line}\n"})
    with pytest.raises(AnnotationError, match=rf"file 'labels/a\.txt': {message}"):
        read_boxes(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names: cat", "file 'data.yaml': expected 'names', a list or from index to name, found"),
        ("names: {a: b}", "file 'data.yaml': expected 'names'"),
        ("- 1", "file 'data.yaml': expected 'names'"),
        ("names: [", "file 'data.yaml': it is not valid YAML"),
        (
            "names: !!python/object/apply:os.system [ls]",
            "it is not valid YAML: could not determine",
        ),
        ("[" * 100_000, "its YAML is nested too deeply|it is not valid YAML"),
        ("#" * 2**21, "the file has 2097152 bytes; expected 1048576 at most"),
    ],
)
def test_broken_data_yaml(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path, {"data.yaml": text, "labels/a.txt": LINE})
    with pytest.raises(AnnotationError, match=message):
        read_boxes(tmp_path)


def test_a_dataset_without_labels_and_one_with_xml_too_are_refused(tmp_path: Path) -> None:
    write(tmp_path, {"data.yaml": "names: [cat]"})
    with pytest.raises(AnnotationError, match="the folder has no text files of YOLO's labels"):
        read_boxes(tmp_path)
    write(tmp_path, {"labels/a.txt": LINE, "xml/a.xml": "<annotation/>"})
    with pytest.raises(AnnotationError, match="XML files, and text files of YOLO: give the folder"):
        read_boxes(tmp_path)


def test_polygons_are_masks_of_any_size(tmp_path: Path) -> None:
    write(tmp_path, {"labels/a.txt": "0 0.25 0.5 0.75 0.5 0.75 1 0.25 1\n"})
    (tmp_path / "images").mkdir()
    Image.new("RGB", (8, 4)).save(tmp_path / "images" / "a.png")  # no mask
    masks = read_masks(tmp_path)
    polygons = masks["images/a"]
    assert isinstance(polygons, RelativePolygons)
    expected = np.zeros((4, 8), bool)
    expected[2:, 2:6] = True
    np.testing.assert_array_equal(polygons.draw((8, 4)).inside, expected)
    ref = ImageRef("a.png", tmp_path / "images" / "a.png")
    for sizes in (None, [(8, 4)]):
        (truth,) = find_truths([ref], tmp_path, tmp_path, None, sizes=sizes)
        np.testing.assert_array_equal(truth.mask, expected)
        assert truth.boxes == (Box(2, 2, 6, 4),)
        assert not truth.rescaled


def test_boxes_are_no_masks(tmp_path: Path) -> None:
    write(tmp_path, {"labels/a.txt": f"{TRIANGLE}\n{LINE}\n"})
    message = r"image 'images/a': line 2: expected a polygon, found a box: give the files as boxes"
    with pytest.raises(AnnotationError, match=message):
        read_masks(tmp_path)

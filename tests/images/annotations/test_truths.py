"""What is known of images: every form in which it can be given, and every way it can be wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from effcam.errors import AnnotationError, ArgumentError
from effcam.images.annotations import Mask
from effcam.images.annotations.truths import find_truths
from effcam.images.geometry import Box
from effcam.images.refs import ImageRef
from effcam.images.truth import Truth

NAMES = ("cat.jpg", "dogs/dog.jpg", "elk.jpg")
BOX = Box(1, 2, 5, 7)
OTHER = Box(0, 0, 3, 3)
MASK = np.zeros((8, 9), bool)
MASK[2:7, 1:5] = True


def images(*truths: Truth | None) -> list[ImageRef]:
    known = truths or (None,) * len(NAMES)
    return [
        ImageRef(name, Image.new("RGB", (9, 8)), truth)
        for name, truth in zip(NAMES, known, strict=False)
    ]


def boxes_of(given: Any) -> list[tuple[Box, ...]]:
    return [truth.boxes for truth in find_truths(images(), given, None, None)]


def masks_of(given: Any) -> list[Any]:
    return [truth.mask for truth in find_truths(images(), None, given, None)]


def labels_of(given: Any) -> list[int | str | None]:
    return [truth.label for truth in find_truths(images(), None, None, given)]


# where it comes from


def test_of_images_that_say_nothing_nothing_is_known() -> None:
    for truth in find_truths(images(), None, None, None):
        assert (truth.label, truth.boxes, truth.mask, truth.ignored) == (None, (), None, None)


def test_images_may_bring_their_truth() -> None:
    known = Truth(label=3, boxes=(BOX,), mask=MASK)
    first, second, _ = find_truths(images(known, None, None), None, None, None)
    assert first is known
    assert second.label is None


def test_what_is_given_goes_before_what_the_image_says_and_leaves_the_rest() -> None:
    known = Truth(label=3, boxes=(BOX,), mask=MASK)
    found = find_truths(images(known, known, known), {"cat": OTHER}, None, [None, "dog", None])
    assert [truth.boxes for truth in found] == [(OTHER,), (BOX,), (BOX,)]
    assert [truth.label for truth in found] == [3, "dog", 3]
    assert all(truth.mask is MASK for truth in found)


def test_no_boxes_are_something_that_is_known() -> None:
    known = Truth(boxes=(BOX,))
    found = find_truths(images(known, known, known), [[], None, BOX], None, None)
    assert [truth.boxes for truth in found] == [(), (BOX,), (BOX,)]


# boxes


@pytest.mark.parametrize(
    "entry",
    [
        BOX,
        (1, 2, 5, 7),
        [1.0, 2.0, 5.0, 7.0],
        np.array([1, 2, 5, 7]),
        np.array([1, 2, 5, 7], np.float32),
        [BOX],
        [(1, 2, 5, 7)],
        np.array([[1, 2, 5, 7]]),
    ],
)
def test_a_box_may_be_given_in_any_form(entry: Any) -> None:
    assert boxes_of([entry, None, None]) == [(BOX,), (), ()]
    assert boxes_of({"elk.jpg": entry}) == [(), (), (BOX,)]
    (box,) = boxes_of([entry, None, None])[0]
    assert {type(edge) for edge in box.as_tuple()} == {float}


RELATIVE = (0.25, 0.5, 0.75, 1.0)
SCALED = Box(0.25 * 9, 4, 0.75 * 9, 8)  # images are 9 x 8 px


@pytest.mark.parametrize(
    "given",
    [
        [RELATIVE, None, []],
        [Box(*RELATIVE), None, []],
        {"cat.jpg": np.array([RELATIVE])},
        {"cat.jpg": [[0.25, 0.5, 0.75, 1]], "dog": []},
    ],
)
def test_boxes_between_0_and_1_are_shares_of_the_sides(given: Any) -> None:
    first, second, third = find_truths(images(), given, None, None)
    assert (first.boxes, first.rescaled) == ((SCALED,), True)
    assert [(each.boxes, each.rescaled) for each in (second, third)] == [((), False)] * 2
    (truth, *_) = find_truths(images(), given, None, None, sizes=[(100, 10), (1, 1), (1, 1)])
    assert truth.boxes == (Box(25, 5, 75, 10),)


@pytest.mark.parametrize("kind", ["json", "csv", "coco"])
def test_files_of_boxes_between_0_and_1_are_shares_too(tmp_path: Path, kind: str) -> None:
    coco = {
        "images": [{"id": 1, "file_name": "cat.jpg"}, {"id": 2, "file_name": "dog.jpg"}],
        "annotations": [
            {"image_id": 1, "bbox": [0.25, 0.5, 0.5, 0.5]},
            {"image_id": 2, "bbox": [0, 0, 1, 1]},
        ],
    }
    documents = {
        "csv": "image,x1,y1,x2,y2\ncat,0.25,0.5,0.75,1\ndog,0,0,1,1\n",
        "json": json.dumps({"cat": [0.25, 0.5, 0.75, 1], "dog": [0, 0, 1, 1]}),
        "coco": json.dumps(coco),
    }
    file = tmp_path / "boxes"
    file.write_text(documents[kind])
    first, second, third = find_truths(images(), file, None, None)
    assert (first.boxes, second.boxes) == ((SCALED,), (Box(0, 0, 9, 8),))
    assert (first.rescaled, second.rescaled, third.rescaled) == (True, True, False)


def test_the_box_of_the_first_pixel_alone_is_in_pixels() -> None:
    (truth, *_) = find_truths(images(), [Box(0, 0, 1, 1), None, None], None, None)
    assert (truth.boxes, truth.rescaled) == ((Box(0, 0, 1, 1),), False)


def test_boxes_of_two_units_are_refused(tmp_path: Path) -> None:
    message = r"^the box \(0\.25, .* of image 'cat' looks like shares .* of 'dog' like px: give"
    with pytest.raises(AnnotationError, match=message):
        boxes_of({"cat": RELATIVE, "dog": BOX})
    file = tmp_path / "boxes.json"
    file.write_text(json.dumps({"dog": [1, 2, 5, 7], "cat": RELATIVE}))
    with pytest.raises(AnnotationError, match=r"boxes\.json': the box .* looks like shares"):
        boxes_of(file)


def test_relative_boxes_of_voc_are_not_counted_from_pixel_1(tmp_path: Path) -> None:
    edges = "<xmin>0.25</xmin><ymin>0.5</ymin><xmax>0.75</xmax><ymax>1</ymax>"
    text = f"<annotation><object><bndbox>{edges}</bndbox></object></annotation>"
    (tmp_path / "cat.xml").write_text(text)
    (truth, *_) = find_truths(images(), tmp_path / "cat.xml", None, None)
    assert (truth.boxes, truth.rescaled) == ((SCALED,), True)


def test_an_image_may_have_several_boxes() -> None:
    entries = [[BOX, (0, 0, 3, 3)], np.array([[0, 0, 3, 3], [1, 2, 5, 7]]), None]
    assert boxes_of(entries) == [(BOX, OTHER), (OTHER, BOX), ()]


def test_four_boxes_are_not_taken_for_four_edges() -> None:
    assert boxes_of([[BOX, BOX, OTHER, OTHER], None, None])[0] == (BOX, BOX, OTHER, OTHER)


def test_images_are_found_by_name_with_or_without_folders_and_suffixes() -> None:
    given = {"photos/cat.png": BOX, "dog": OTHER, "owl.jpg": BOX}
    assert boxes_of(given) == [(BOX,), (OTHER,), ()]


def test_boxes_come_from_a_file(tmp_path: Path) -> None:
    table = tmp_path / "boxes.csv"
    table.write_text("image,left,top,right,bottom\ncat.jpg,1,2,5,7\ncat.jpg,0,0,3,3\nelk.jpg,,,,\n")
    assert boxes_of(table) == [(BOX, OTHER), (), ()]
    assert boxes_of(str(table)) == [(BOX, OTHER), (), ()]
    document = tmp_path / "boxes.json"
    document.write_text(json.dumps({"dog": {"boxes": [[1, 2, 5, 7]]}}))
    assert boxes_of(document) == [(), (BOX,), ()]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ((1, 2, 5), r"^image 'cat\.jpg': a box is \(left, top, right, bottom\) in px, not"),
        ((1, 2, 5, 7, 9), r"a box is \(left, top, right, bottom\) in px, not"),
        ([(1, 2, "five", 7)], r"a box is \(left, top, right, bottom\) in px, not"),
        ((5, 2, 1, 7), r"^image 'cat\.jpg': the box \(5\.0, 2\.0, 1\.0, 7\.0\) is e"),
        ((1, 7, 5, 7), "is empty"),
        (Box(1, 2, 1, 7), "is empty"),
        ((1, 2, float("nan"), 7), "is empty"),
        ((1, 2, float("inf"), 7), "is empty"),
    ],
)
def test_an_invalid_box_is_refused_with_its_image(entry: Any, message: str) -> None:
    with pytest.raises(AnnotationError, match=message):
        boxes_of([entry, None, None])


@pytest.mark.parametrize("entry", [5, "1 2 5 7", [1, BOX, 3, 4], {1, 2}, True])
def test_an_entry_that_is_not_a_list_of_boxes_is_an_annotation_error(entry: Any) -> None:
    with pytest.raises(AnnotationError, match=r"^image 'cat\.jpg': a box is"):
        boxes_of([entry, None, None])


# masks


@pytest.mark.parametrize(
    "entry",
    [MASK, MASK.astype(np.uint8) * 255, MASK.astype(float), MASK.tolist(), Mask(MASK)],
)
def test_a_mask_may_be_given_in_any_form(entry: Any) -> None:
    first, second, third = masks_of([None, entry, None])
    assert first is third is None
    assert second.dtype == bool
    np.testing.assert_array_equal(second, MASK)
    np.testing.assert_array_equal(masks_of({"elk": entry})[2], MASK)


def test_what_a_mask_does_not_say_is_ignored() -> None:
    ignored = ~MASK
    given = {"cat": Mask(MASK, ignored), "dog": MASK}
    first, second = find_truths(images(Truth(), Truth(ignored=MASK)), None, given, None)
    assert first.ignored is ignored
    assert second.ignored is None  # that was of another mask


def test_masks_come_from_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "masks" / "dogs"
    folder.mkdir(parents=True)
    Image.fromarray(MASK.astype(np.uint8) * 255).save(folder / "dog.png")
    first, second, third = masks_of(tmp_path / "masks")
    assert first is third is None
    np.testing.assert_array_equal(second, MASK)


@pytest.mark.parametrize("shape", [(8,), (8, 9, 1), (1, 8, 9), ()])
def test_a_mask_of_other_dimensions_is_refused_with_its_image(shape: tuple[int, ...]) -> None:
    with pytest.raises(AnnotationError, match=r"^image 'elk\.jpg': a mask is \(height, width\), n"):
        masks_of([None, None, np.ones(shape)])


# labels


@pytest.mark.parametrize("three", [3, np.int64(3), np.array(3)])
def test_a_label_is_an_index_or_a_name(three: Any) -> None:
    found = labels_of([three, None, "tabby cat"])
    assert found == [3, None, "tabby cat"]
    assert type(found[0]) is int
    assert labels_of({"dog": three, "elk.png": "elk"}) == [None, 3, "elk"]


def test_labels_may_be_an_array() -> None:
    assert labels_of(np.array([2, 0, 1])) == [2, 0, 1]
    assert labels_of(np.array(["ant", "bee", "cow"])) == ["ant", "bee", "cow"]


def test_labels_come_from_a_file(tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("image,label\ncat.jpg,tabby\ndogs/dog.jpg,7\n")
    assert labels_of(table) == labels_of(str(table)) == ["tabby", "7", None]


def test_an_image_may_have_several_labels_or_none() -> None:
    several = [["cat", 3], {"dog", "cat"}, []]
    truths = find_truths(images(), None, None, several)
    assert [truth.labels for truth in truths] == [("cat", 3), ("cat", "dog"), ()]
    assert [truth.label for truth in truths] == [None] * 3
    assert [truth.classes for truth in truths] == [truth.labels for truth in truths]
    (one, *_) = find_truths(images(), None, None, ["cat", None, None])
    assert (one.label, one.labels, one.classes) == ("cat", None, ("cat",))


def test_a_number_for_every_label_is_refused() -> None:
    with pytest.raises(AnnotationError, match="has the label 0 twice: give the labels that the"):
        find_truths(images(), None, None, np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]]))  # type: ignore[arg-type]


@pytest.mark.parametrize("label", [True, 1.5, [1.5], b"cat", ["cat", None]])
def test_an_invalid_label_is_refused_with_its_image(label: Any) -> None:
    with pytest.raises(
        AnnotationError, match=r"^image 'dogs/dog\.jpg': a label is a class index or a name, not"
    ):
        labels_of([None, label, None])


# all of them


@pytest.mark.parametrize("name", ["boxes", "masks", "labels"])
def test_there_must_be_one_entry_an_image(name: str) -> None:
    entry = {"boxes": BOX, "masks": MASK, "labels": 1}[name]
    given: dict[str, Any] = dict.fromkeys(("boxes", "masks", "labels"))
    for count in (0, 2, 4):
        given[name] = [entry] * count
        message = f"^the number of {name} is {count}, that of images 3: give one entry per"
        with pytest.raises(ArgumentError, match=message):
            find_truths(images(), **given)


@pytest.mark.parametrize("name", ["boxes", "masks", "labels"])
def test_anything_but_a_collection_is_refused(name: str) -> None:
    given: dict[str, Any] = dict.fromkeys(("boxes", "masks", "labels"))
    given[name] = 5
    message = f"^{name} must be a file, a mapping by image name, or one entry per image, not int$"
    with pytest.raises(ArgumentError, match=message):
        find_truths(images(), **given)


@pytest.mark.parametrize("name", ["boxes", "masks", "labels"])
def test_a_mapping_of_other_images_shows_both_sides_names(name: str) -> None:
    entry = {"boxes": BOX, "masks": MASK, "labels": 1}[name]
    given: dict[str, Any] = dict.fromkeys(("boxes", "masks", "labels"))
    given[name] = {"1.jpg": entry, "2.jpg": entry, "3.jpg": entry, "4.jpg": entry}
    message = (
        rf"^there are no {name} for any of the 3 images: they are for '1\.jpg', '2\.jpg', "
        r"'3\.jpg', \.\.\.; the images are 'cat\.jpg', 'dogs/dog\.jpg', 'elk\.jpg'$"
    )
    with pytest.raises(AnnotationError, match=message):
        find_truths(images(), **given)


def test_a_file_of_other_images_is_named(tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("image,label\n1.jpg,tabby\n")
    message = (
        r"no labels in '.*labels\.csv' for any of the 3 images: they are for '1\.jpg'; the images"
    )
    with pytest.raises(AnnotationError, match=message):
        labels_of(table)


def test_a_name_that_may_be_two_images_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"image 'cat\.jpg' may be 'a/cat\.jpg' or 'b/cat\.jpg"):
        boxes_of({"a/cat.jpg": BOX, "b/cat.jpg": OTHER})


@pytest.mark.parametrize("name", ["boxes", "masks", "labels"])
def test_a_file_that_is_missing_or_empty_is_named(name: str, tmp_path: Path) -> None:
    given: dict[str, Any] = dict.fromkeys(("boxes", "masks", "labels"))
    given[name] = tmp_path / "gone.csv"
    with pytest.raises(AnnotationError, match=r"gone\.csv': there is no such file or folder"):
        find_truths(images(), **given)
    given[name] = tmp_path / "empty.csv"
    given[name].write_text("")
    with pytest.raises(AnnotationError, match=r"empty\.csv'.*: the file is empty"):
        find_truths(images(), **given)


def test_a_label_is_not_yet_looked_up() -> None:
    # Which classes there are is the models' to say.
    assert labels_of(["no such class", -5, None]) == ["no such class", -5, None]


def test_a_mask_of_ragged_rows_is_refused() -> None:
    with pytest.raises(AnnotationError, match=r"^image 'cat\.jpg': a mask is \(height, width\): "):
        find_truths(images(), None, [[[True], [True, False]], None, None], None)  # type: ignore[list-item]

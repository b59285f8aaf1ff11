"""COCO files of heat, as effcam itself reads them, and what is refused."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from effcam import Comparison
from effcam.errors import AnnotationError, ArgumentError, OutputError
from effcam.images.annotations import read_boxes, read_image_labels, read_masks
from effcam.images.annotations.coco_masks import compress, decompress, run_lengths
from effcam.images.frames import FilmFrame
from effcam.images.refs import ImageRef
from effcam.integrations.coco import save_dataset, save_results


def changed(comparison: Comparison, **changes: Any) -> Comparison:
    return replace(comparison, cells=tuple(replace(each, **changes) for each in comparison))


def test_boxes_and_masks_read_back_are_those_of_the_heat(sample: Any, tmp_path: Path) -> None:
    comparison: Comparison = sample(3, ("one", "two"))
    path = save_dataset(comparison, tmp_path / "heat.json", masks=True)
    boxes, masks = read_boxes(path), read_masks(path)
    for row in comparison.rows():
        own, name = [cell.box() for cell in row], row[0].image.name
        for box, read in zip(own, boxes[name], strict=True):
            assert box is not None
            assert read.as_tuple() == pytest.approx(box.as_tuple())
        either = row[0].mask() | row[1].mask()
        mask = masks[name]
        assert (getattr(mask, "inside", mask) == either).all()
    found = comparison.summary(boxes=path)
    assert found[0, "pointing_game"] == 1


def test_a_category_for_each_class_or_for_each_column(sample: Any, tmp_path: Path) -> None:
    comparison: Comparison = sample(2)
    by_class = json.loads(save_dataset(comparison, tmp_path / "a.json").read_text())
    assert [each["name"] for each in by_class["categories"]] == ["class 0", "class 1"]
    path = save_dataset(comparison, tmp_path / "b.json", categories="column")
    assert read_image_labels(path)["000.jpg"] == ("one", "two", "three")
    with pytest.raises(ArgumentError, match="'class' or 'column', not 'label'"):
        save_dataset(comparison, tmp_path / "b.json", categories="label")  # type: ignore[arg-type]


def test_a_map_without_evidence_has_no_annotation(sample: Any, tmp_path: Path) -> None:
    comparison = changed(sample(2), state="flat")
    written = json.loads(save_dataset(comparison, tmp_path / "a.json", masks=True).read_text())
    assert (len(written["images"]), written["annotations"]) == (2, [])
    assert json.loads(save_results(comparison, tmp_path / "b.json").read_text()) == []


def test_names_map_classes_to_categories(sample: Any, tmp_path: Path) -> None:
    comparison: Comparison = sample(2)
    truth = save_dataset(changed(comparison, label="cat"), tmp_path / "truth.json")
    with pytest.raises(ArgumentError, match=r"explains class 0, class 1, and the categories are c"):
        save_results(comparison, tmp_path / "r.json", ground_truth=truth)
    found = save_results(
        comparison, tmp_path / "r.json", ground_truth=truth, names={"class 1": "cat"}
    )
    assert [each["image_id"] for each in json.loads(found.read_text())] == [2]
    with pytest.raises(ArgumentError, match="'dog', which is no category"):
        save_results(comparison, found, ground_truth=truth, names={"class 1": "dog"})
    with pytest.raises(ArgumentError, match="which is not given"):
        save_results(comparison, found, names={"class 1": "cat"})


def test_a_ground_truth_of_other_images_is_refused(sample: Any, tmp_path: Path) -> None:
    truth = save_dataset(sample(2), tmp_path / "truth.json")
    with pytest.raises(AnnotationError, match=r"truth\.json': it has no image '002\.jpg'"):
        save_results(sample(3), tmp_path / "r.json", ground_truth=truth)
    turned = changed(sample(2), size=(80, 120))
    with pytest.raises(AnnotationError, match="is 120 x 80 px in it, and 80 x 120 px upright"):
        save_results(turned, tmp_path / "r.json", ground_truth=truth)


def test_files_of_one_name_in_two_folders_are_told_apart(sample: Any, tmp_path: Path) -> None:
    plain = changed(sample(2, ("one",)), size=(120, 80))
    one, other = str(tmp_path / "a" / "1.jpg"), str(tmp_path / "b" / "1.jpg")

    def named(*names: tuple[str, str]) -> Comparison:
        images = tuple(ImageRef(name, Path(path)) for name, path in names)
        pairs = zip(plain.cells, images, strict=True)
        cells = tuple(replace(cell, image=image) for cell, image in pairs)
        return replace(plain, images=images, cells=cells)

    def ids(truth: Path, *names: tuple[str, str]) -> list[int]:
        found = save_results(
            named(*names), tmp_path / "r.json", ground_truth=truth, names=dict(both)
        )
        return [each["image_id"] for each in json.loads(found.read_text())]

    both = {cell.label: plain.cells[0].label for cell in plain.cells}
    # As effcam names the files of two folders: the second by its path.
    truth = save_dataset(named(("1.jpg", one), (other, other)), tmp_path / "truth.json")
    assert ids(truth, ("1.jpg", one), (other, other)) == [1, 2]
    with pytest.raises(ArgumentError, match=r"may be '1.jpg' or"):
        ids(truth, ("1.jpg", other), (one, one))
    single = tmp_path / "single.json"
    document = json.loads(truth.read_text())
    less = {"images": document["images"][:1], "annotations": []}
    single.write_text(json.dumps(document | less))
    with pytest.raises(AnnotationError, match=r"'1.jpg' would be both '1.jpg' and"):
        ids(single, ("1.jpg", one), (other, other))


def test_what_coco_has_no_place_for_is_refused(sample: Any, tmp_path: Path) -> None:
    comparison: Comparison = sample(1)
    frame = FilmFrame(Path("clip.mp4"), 0, 0.0, "0:00.000", 0, None)
    film = replace(comparison, images=(ImageRef("clip.mp4 @ 0:00.000", frame),))
    with pytest.raises(ArgumentError, match="a frame of a video, and COCO has files"):
        save_dataset(film, tmp_path / "a.json")
    with pytest.raises(ArgumentError, match="has no probability, and COCO results have a score"):
        save_results(changed(comparison, probability=math.nan), tmp_path / "a.json")
    with pytest.raises(OutputError, match=r"unknown suffix '\.txt'"):
        save_dataset(comparison, tmp_path / "a.txt")
    with pytest.raises(OutputError, match="holds no images"):
        save_dataset(comparison.take([]), tmp_path / "a.json")
    without = save_dataset(changed(comparison, probability=math.nan), tmp_path / "a.json")
    assert "score" not in json.loads(without.read_text())["annotations"][0]


@pytest.mark.parametrize("seed", range(4))
def test_run_lengths_are_compressed_without_loss(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = np.repeat(rng.random((3, 5)) < 0.5, 40 * seed + 1, axis=0)
    lengths = run_lengths(mask)
    assert (decompress(compress(lengths)) == lengths).all()
    values = np.arange(len(lengths)) % 2 == 1
    assert (mask == np.repeat(values, lengths).reshape(mask.shape[::-1]).T).all()

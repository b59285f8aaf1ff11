"""COCO files of heat, read back by pycocotools and by effcam."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from effcam import Comparison
from effcam.integrations.coco import save_dataset, save_results

pytestmark = [
    pytest.mark.integrations,
    # The arrays of pycocotools 2.0 do not know NumPy 2's argument `copy`.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't:DeprecationWarning"),
]


def read(path: Path) -> Any:
    from pycocotools.coco import COCO

    return COCO(str(path))


def test_a_dataset_is_read_with_its_boxes_and_masks(sample: Any, tmp_path: Path) -> None:
    comparison: Comparison = sample(4)
    found = read(save_dataset(comparison, tmp_path / "heat.json", masks=True))
    assert sorted(found.anns) == list(range(1, 13))
    assert [found.imgs[at]["file_name"] for at in range(1, 5)] == [
        image.name for image in comparison.images
    ]
    for number, cell in enumerate(comparison, 1):
        entry = found.anns[number]
        box = cell.box()
        assert box is not None
        assert entry["bbox"] == [box.left, box.top, box.width, box.height]
        assert found.cats[entry["category_id"]]["name"] == cell.label
        assert entry["column"] == cell.column
        mask = found.annToMask(entry)
        assert (mask == cell.mask()).all()
        assert mask.sum() == entry["area"] > 0


def test_results_are_evaluated_against_a_ground_truth(sample: Any, tmp_path: Path) -> None:
    from pycocotools.cocoeval import COCOeval

    comparison: Comparison = sample(6)
    truth = save_dataset(comparison.take([5, 2, 1, 0, 4, 3]), tmp_path / "truth.json", masks=True)
    found = read(truth)
    results = save_results(
        comparison, tmp_path / "one.json", column="one", ground_truth=truth, masks=True
    )
    loaded = found.loadRes(str(results))
    assert sorted(loaded.anns) == list(range(1, 7))
    for kind in ("bbox", "segm"):
        # Every box of the first column is one of the truth's, among those of two other columns.
        run = COCOeval(found, loaded, kind)
        run.evaluate()
        run.accumulate()
        recall = run.eval["recall"][0, :, 0, -1]
        assert recall[recall >= 0] == pytest.approx(1 / 3, abs=0.01)
        matched = [each["dtMatches"][-1] for each in run.evalImgs if each and each["dtIds"]]
        assert matched
        assert np.concatenate(matched).all()


def test_ids_of_results_are_those_of_the_dataset(sample: Any, tmp_path: Path) -> None:
    comparison: Comparison = sample(3)
    found = read(save_dataset(comparison, tmp_path / "heat.json"))
    results = json.loads(save_results(comparison, tmp_path / "r.json", column=1).read_text())
    for entry, cell in zip(results, comparison.column(1), strict=True):
        assert found.imgs[entry["image_id"]]["file_name"] == cell.image.name
        assert found.cats[entry["category_id"]]["name"] == cell.label
        assert entry["score"] == cell.probability
    assert len(found.loadRes(results).anns) == 3

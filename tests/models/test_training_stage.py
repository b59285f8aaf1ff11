"""At which point of training weights were saved: checked, stored, a fact of a column."""

from __future__ import annotations

import json
import math
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import effcam
from effcam import ModelSpec, Preprocess
from effcam.comparison.report.wording import facts_of_columns
from effcam.errors import ArgumentError
from effcam.models.training_stage import TrainingStage
from tests.nets import ColourNet

STAGE = TrainingStage(3, 1200, {"val_acc": 0.8125, "val_loss": math.nan})
PREPROCESS = Preprocess(size=(32, 32), resize=(32, 32), mean=(0.0,) * 3, std=(1.0,) * 3)
SPEC = ModelSpec(
    "blocks",
    constructor=ColourNet,
    preprocess=PREPROCESS,
    labels=["red", "green", "blue"],
)
PHOTOS = np.random.default_rng(0).random((2, 32, 32, 3))


def test_a_stage_in_words_has_plain_numbers() -> None:
    assert str(STAGE) == "epoch 3, step 1200, val_acc 0.8125, val_loss nan"
    assert str(TrainingStage(np.float64(0.5))) == "epoch 0.5"
    assert str(TrainingStage(2.0)) == "epoch 2"
    assert repr(TrainingStage(np.int64(2)).epoch) == "2"
    assert str(TrainingStage()) == "unknown"


def test_a_stage_is_read_only_and_can_be_pickled_and_hashed() -> None:
    given = {"acc": 0.5}
    stage = TrainingStage(1, 2, given)
    given["acc"] = 0.0
    copied = pickle.loads(pickle.dumps(stage))  # noqa: S301 - its own
    assert copied == stage == TrainingStage(1, 2, {"acc": 0.5})
    assert len({stage, TrainingStage(1, 2, {"acc": 0.5})}) == 1
    with pytest.raises(TypeError, match="item assignment"):
        stage.metrics["acc"] = 1.0  # type: ignore[index]


def test_a_record_is_json_and_is_read_again() -> None:
    record = json.loads(json.dumps(STAGE.record(), allow_nan=False))
    assert record == {"epoch": 3, "step": 1200, "metrics": {"val_acc": 0.8125, "val_loss": None}}
    found = TrainingStage.from_record(record)
    assert str(found) == str(STAGE)
    with pytest.raises(ArgumentError, match="has an epoch, a step and metrics"):
        TrainingStage.from_record({"epoch": 1})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epoch": "three"}, "epoch must be a number, not 'three'"),
        ({"epoch": True}, "epoch must be a number, not True"),
        ({"epoch": math.inf}, "epoch must be finite, not inf"),
        ({"step": 1.5}, "step must be a whole number from 0, not 1.5"),
        ({"metrics": {"acc": "0.5"}}, "acc must be a number, not '0.5'"),
        ({"metrics": [0.5]}, r"metrics must be numbers by name, not \[0.5\]"),
    ],
)
def test_what_is_no_number_is_refused(given: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        TrainingStage(**given)


def test_a_spec_and_a_model_carry_their_stage_into_a_comparison(tmp_path: Path) -> None:
    model = replace(effcam.load_model(ColourNet(), preprocess=PREPROCESS), training=STAGE)
    models: dict[str, Any] = {"spec": replace(SPEC, training=STAGE), "model": model, "none": SPEC}
    found = effcam.compare(PHOTOS, models, device="cpu", progress=False)
    assert [each.training for each in found.facts] == [STAGE, STAGE, None]
    saved = json.loads(found.save(tmp_path / "c.json").read_text())["models"]
    assert [each["training"] for each in saved] == [STAGE.record(), STAGE.record(), None]
    shown = facts_of_columns([each.record() for each in found.facts])
    assert [each["training"] for each in shown] == [str(STAGE), str(STAGE), "-"]
    assert "val_acc 0.8125" in found.save(tmp_path / "c.html").read_text("utf-8")
    assert "training" not in facts_of_columns([found.facts[2].record()])[0]
    with pytest.raises(ArgumentError, match="training must be a TrainingStage, not 3"):
        ModelSpec("a", training=3)  # type: ignore[arg-type]


def test_other_weights_are_of_another_stage(tmp_path: Path) -> None:
    file = tmp_path / "other.pt"
    torch.save(ColourNet().state_dict(), file)
    spec = replace(SPEC, training=STAGE)
    assert effcam.load_model(spec, device="cpu").training == STAGE
    assert effcam.load_model(spec, checkpoint=file, device="cpu").training is None


def test_a_run_on_disk_keeps_the_stage_and_one_without_it_opens(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    models = {"a": replace(SPEC, training=STAGE), "b": SPEC}
    for at, photo in enumerate(PHOTOS):
        Image.fromarray((photo * 255).astype(np.uint8)).save(tmp_path / f"{at}.png")
    run = effcam.compare_dataset(
        tmp_path / "*.png", models, tmp_path / "run", device="cpu", progress=False
    )
    assert [str(each.training) for each in run.facts] == [str(STAGE), "None"]
    stored = [json.loads(each.read_text()) for each in sorted(tmp_path.glob("run/models/*.json"))]
    assert [each.get("training") for each in stored] == [STAGE.record(), None]
    assert "training" not in stored[1]  # as runs before it, which are read alike
    assert str(run.comparison().facts[0].training) == str(STAGE)
    broken = tmp_path / "run" / "models" / "00.json"
    broken.write_text(json.dumps(stored[0] | {"training": 7}))
    with pytest.raises(effcam.errors.OutputError, match="is broken: a stage of training"):
        _ = effcam.open_run(tmp_path / "run").facts

"""Columns of a training, kept and read again."""

from __future__ import annotations

import io
import json
import math

import numpy as np
import pytest

import effcam
from effcam.images.discovery import iter_images
from effcam.images.refs import ImageRef
from effcam.integrations.history import History, label_of
from effcam.models.training_stage import TrainingStage

REFS = tuple(iter_images(effcam.demo.scenes(2, seed=3, size=48)))


@pytest.fixture(scope="module")
def made() -> effcam.Comparison:
    return effcam.compare(REFS, {"epoch 0": "demo_resnet"}, size=48, progress=False)


def filled(made: effcam.Comparison, columns: int = 3) -> History:
    history = History(REFS)
    for epoch in range(columns):
        stage = TrainingStage(epoch, 10 * (epoch + 1), {"loss": math.nan if epoch else 0.5})
        column = History(REFS)
        column.add(made, stage, {})
        renamed = column.latest(label_of(stage, steps=False))
        history.add(renamed, stage, {"gini": 0.25})
    return history


def test_columns_become_a_comparison(made: effcam.Comparison) -> None:
    whole = filled(made).comparison()
    assert whole.columns == ("epoch 0", "epoch 1", "epoch 2")
    assert whole.images == REFS
    assert [facts.training.step for facts in whole.facts if facts.training] == [10, 20, 30]
    assert whole[1, "epoch 2"].image is REFS[1]
    assert whole[1, "epoch 2"].model_label == "epoch 2"
    np.testing.assert_array_equal(whole[1, "epoch 1"].heatmap, made[1, 0].heatmap)
    assert whole.facts[2].labels is whole.facts[0].labels


def test_a_column_of_the_same_label_is_replaced(made: effcam.Comparison) -> None:
    history = filled(made)
    history.add(history.latest("epoch 1"), TrainingStage(1, 99), {})
    assert history.comparison().columns == ("epoch 0", "epoch 2", "epoch 1")


def test_some_columns_are_evenly_spaced(made: effcam.Comparison) -> None:
    chosen = filled(made, 9).comparison(3)
    assert chosen.columns == ("epoch 0", "epoch 4", "epoch 8")
    assert filled(made, 2).comparison(3).columns == ("epoch 0", "epoch 1")


def test_packing_keeps_everything(made: effcam.Comparison) -> None:
    history, again = filled(made), History(REFS)
    assert again.unpack(history.pack()) == ""
    before, after = history.comparison(), again.comparison()
    assert after.settings == before.settings
    assert after.facts == before.facts
    assert str(again.records()) == str(history.records())  # NaN is not equal to itself
    for one, other in zip(before, after, strict=True):
        assert one.record() == other.record()
        assert (one.region, one.canvas, one.frame) == (other.region, other.canvas, other.frame)
        np.testing.assert_array_equal(one.heatmap, other.heatmap)
    assert again.difference(made) == ""


def test_packing_is_small(made: effcam.Comparison) -> None:
    # One map has 6 x 6 numbers; 40 columns of two are 11.5 kB, the names of classes once.
    assert len(filled(made, 40).pack()) < 60_000


def test_later_columns_are_left_out(made: effcam.Comparison) -> None:
    again = History(REFS)
    assert again.unpack(filled(made).pack(), most_steps=20) == ""
    assert again.comparison().columns == ("epoch 0", "epoch 1")


def test_another_history_is_not_taken(made: effcam.Comparison) -> None:
    others = [ImageRef("other", REFS[0].source), REFS[1]]
    assert History(others).unpack(filled(made).pack()) == "it is of other images"
    with np.load(io.BytesIO(filled(made).pack())) as archive:
        content = dict(archive)
    meta = json.loads(content["meta"].tobytes())
    content["meta"] = np.frombuffer(json.dumps(meta | {"format": 0}).encode(), np.uint8)
    stream = io.BytesIO()
    np.savez(stream, **content)
    assert "another release" in History(REFS).unpack(stream.getvalue())


def test_another_network_does_not_belong(made: effcam.Comparison) -> None:
    history = filled(made)
    other = effcam.compare(REFS, "demo_alexnet", size=48, progress=False)
    assert history.difference(other) == "its network has another target layer"
    other = effcam.compare(REFS, "demo_resnet", size=48, method="layercam", progress=False)
    assert history.difference(other) == "it was made with other settings"


def test_labels() -> None:
    assert label_of(TrainingStage(3, 12), steps=False) == "epoch 3"
    assert label_of(TrainingStage(2.0, 12), steps=False) == "epoch 2"
    assert label_of(TrainingStage(2.5, 12), steps=False) == "epoch 2.5"
    assert label_of(TrainingStage(3, 12), steps=True) == "step 12"
    assert label_of(TrainingStage(None, 12), steps=False) == "step 12"

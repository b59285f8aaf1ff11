"""Comparisons in TensorBoard's logs, read back by its own reader."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import effcam

pytestmark = pytest.mark.integrations


@pytest.fixture(scope="module")
def comparison() -> effcam.Comparison:
    models = {"demo_resnet": "demo_resnet", "b0 = 7/7 é": "demo_efficientnet_b0"}
    return effcam.compare(effcam.demo.scenes(3), models, progress=False)


def read(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    everything = {"images": 0, "scalars": 0, "tensors": 0}
    return EventAccumulator(str(folder), size_guidance=everything).Reload()


def pixels(event: Any) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(event.encoded_image_string)))


def text(log: Any, tag: str) -> str:
    return str(log.Tensors(f"{tag}/text_summary")[-1].tensor_proto.string_val[0].decode())


def test_a_folder_has_pictures_curves_texts_and_the_report(
    comparison: effcam.Comparison, tmp_path: Path
) -> None:
    folder = tmp_path / "runs" / "x"
    for step in range(3):
        comparison.log(folder, step=step)
    log, summary = read(folder), comparison.summary()
    assert np.array_equal(pixels(log.Images("effcam/grid")[1]), np.asarray(comparison.grid()))
    for measure in summary.measures:
        for column, value in zip(summary.columns, measure.values, strict=True):
            events = log.Scalars(f"effcam/{measure.figure.key}/{column}")
            assert [event.step for event in events] == [0, 1, 2]
            assert events[2].value == pytest.approx(value)

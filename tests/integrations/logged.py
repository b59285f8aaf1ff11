"""What tests of trackers share: a comparison, and readers of what was logged of it."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

import effcam

if TYPE_CHECKING:
    from numpy.typing import NDArray

LABELS = ("demo_resnet", "b0 = 7/7 é")

MLFLOW_WARNS = (
    # MLflow 3.17 with SQLAlchemy 2.1.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated"),
    # MLflow 3.17 with pandas 3.
    pytest.mark.filterwarnings("ignore:For backward compatibility, 'str' dtypes are included"),
)
"""Marks of tests that use MLflow."""


@cache
def comparison() -> effcam.Comparison:
    """Two networks on three scenes; a label that no tracker but TensorBoard takes as it is."""
    models = dict(zip(LABELS, ("demo_resnet", "demo_efficientnet_b0"), strict=True))
    return effcam.compare(effcam.demo.scenes(3), models, progress=False)


def figures() -> Iterator[tuple[str, int, float]]:
    """The key, the position of the column and the value of every figure of the summary."""
    for measure in comparison().summary().measures:
        for column, value in enumerate(measure.values):
            assert np.isfinite(value)
            yield measure.figure.key, column, float(value)


def pixels(source: bytes | Path) -> NDArray[np.uint8]:
    image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
    assert image.mode == "RGB"
    return np.asarray(image)


def drawn() -> NDArray[np.uint8]:
    return np.asarray(comparison().grid())


def frames() -> list[NDArray[np.uint8]]:
    return [np.asarray(frame) for frame in comparison().frames(theme="light")]


def tensorboard_log(folder: Path) -> Any:
    """A log folder, read by TensorBoard's reader with all its steps."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    everything = {"images": 0, "scalars": 0, "tensors": 0}
    return EventAccumulator(str(folder), size_guidance=everything).Reload()


def tensorboard_text(log: Any, tag: str) -> str:
    event = log.Tensors(f"{tag}/text_summary")[-1]
    return str(event.tensor_proto.string_val[0].decode())


def wandb_records(folder: Path) -> Iterator[Any]:
    """The records of the only offline run below a folder.

    The file is a log as LevelDB has it, behind a header of its own: blocks of 32 KiB with records
    of a checksum, a length and a type, which are in parts where they cross a block. wandb ships
    the messages that it holds, but since 0.31 no reader in Python.
    See https://github.com/google/leveldb/blob/main/doc/log_format.md
    """
    import wandb
    from wandb.proto.wandb_internal_pb2 import Record

    # Offline, the end of a run does not wait for its file; the end of the service does.
    wandb.teardown()
    (path,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    content, at, parts = path.read_bytes(), 7, b""
    assert content[:4] == b":W&B"
    while at + 7 <= len(content):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack("<IHB", content[at : at + 7])
        parts += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in {1, 4}:  # a whole record, or its last part
            yield Record.FromString(parts)
            parts = b""


def wandb_history(folder: Path) -> list[dict[str, Any]]:
    """The rows of the history of the only offline run below a folder."""
    records = wandb_records(folder)
    return [_row(each.history) for each in records if each.HasField("history")]


def _row(history: Any) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for item in history.item:
        *above, last = item.nested_key or [item.key]
        place = row
        for key in above:
            place = place.setdefault(key, {})
        place[last] = json.loads(item.value_json)
    return row


def wandb_file(folder: Path, path: str) -> Path:
    (found,) = folder.glob(f"wandb/offline-run-*/files/{path}")
    return found

"""Epochs, steps and metrics of checkpoints, in the shapes that training programs write."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from effcam.errors import WeightsError
from effcam.models.checkpoint_stage import read_stage
from effcam.models.stage_content import MOST_METRICS, to_number

STATE = {"fc.weight": torch.ones(2, 3), "fc.bias": torch.zeros(2)}


def write(folder: Path, content: object, name: str = "last.ckpt") -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, file)
    return file


def watcher(folder: str, monitor: str | None, **scores: float) -> dict[str, object]:
    """Return the state of a ModelCheckpoint of Lightning; ``current_score`` is never to be read."""
    best = {f"{folder}/{name}": torch.tensor(score) for name, score in scores.items()}
    state: dict[str, object] = {"monitor": monitor, "best_k_models": best, "dirpath": folder}
    return state | {"current_score": torch.tensor(0.125), "best_model_score": torch.tensor(0.25)}


def lightning(epoch: int, *watchers: dict[str, object]) -> dict[str, object]:
    return {
        "epoch": epoch,
        "global_step": 100 * (epoch + 1),
        "pytorch-lightning_version": "2.6.6",
        "state_dict": {f"model.{name}": value for name, value in STATE.items()},
        "callbacks": {f"ModelCheckpoint{at}": each for at, each in enumerate(watchers)},
        "optimizer_states": [{"state": {0: {"step": torch.tensor(7.0)}}}],
        "lr_schedulers": [{"last_epoch": 9, "_step_count": 10}],
    }


def test_lightning_states_the_metric_of_this_very_file(tmp_path: Path) -> None:
    own = watcher("/runs", "val_acc", **{"epoch=2.ckpt": 0.5, "epoch=3.ckpt": 0.75})
    other = watcher(
        "/all", "val_loss", **{"epoch=3-step=400.ckpt": 1.5, "epoch=2-step=300.ckpt": 2}
    )
    content = lightning(3, watcher("/x", None), other, own)
    stage = read_stage(write(tmp_path, content, "epoch=3.ckpt"))
    assert (stage.epoch, stage.step) == (3, 400)
    # That of the callback that wrote the file is first.
    assert list(stage.metrics.items()) == [("val_acc", 0.75), ("val_loss", 1.5)]


def test_scores_that_may_be_those_of_another_epoch_are_left_out(tmp_path: Path) -> None:
    # In epoch 3 another callback has measured nothing yet, and its current score is of epoch 2.
    stale = watcher("/runs", "val_acc", **{"epoch=2-step=300.ckpt": 0.5})
    # Within one epoch a model may be measured several times.
    unclear = watcher("/runs", "val_f1", **{"epoch=3.ckpt": 0.5})
    stage = read_stage(write(tmp_path, lightning(3, stale, unclear)))
    assert str(stage) == "epoch 3, step 400"


def test_metrics_with_slashes_are_found_by_the_folder_that_they_make(tmp_path: Path) -> None:
    names = {"epoch=0-val/acc=0.5.ckpt": 0.25, "epoch=1-val/acc=0.5.ckpt": 0.5}
    file = write(tmp_path, lightning(1, watcher("/r", "val/acc", **names)), list(names)[1])
    assert dict(read_stage(file).metrics) == {"val/acc": 0.5}


SHAPES: dict[str, tuple[dict[str, Any], str]] = {
    "timm": (
        {
            "epoch": 12,
            "arch": "resnet18",
            "state_dict": STATE,
            "args": argparse.Namespace(eval_metric="top1", lr=0.1),
            "metric": 71.5,
        },
        "epoch 12, top1 71.5",
    ),
    "torchvision": ({"model": STATE, "epoch": 5, "lr_scheduler": {"last_epoch": 9}}, "epoch 5"),
    "tutorial": (
        {"epoch": 3, "model_state_dict": STATE, "loss": torch.tensor(0.5), "accuracy": 0.75},
        "epoch 3, loss 0.5, accuracy 0.75",
    ),
    "imagenet example": (
        {"epoch": 9, "state_dict": STATE, "best_acc1": torch.tensor(70.0)},
        "epoch 9",
    ),
    "mmengine": ({"meta": {"epoch": 4, "iter": 800}, "state_dict": STATE}, "epoch 4, step 800"),
    "detectron": ({"iteration": 999, "model": STATE}, "step 999"),
    "ultralytics": (
        {"epoch": -1, "model": STATE, "train_metrics": {"val/box_loss": 0.5, "fitness": 0.25}},
        "train_val/box_loss 0.5, train_fitness 0.25",
    ),
    "metrics": (
        {"epoch": 1, "net": STATE, "val_metrics": {"acc": 0.5, "runtime": 3.0}, "lr": 0.1},
        "epoch 1, val_acc 0.5",
    ),
    "nan": ({"epoch": 1, "net": STATE, "loss": math.nan}, "epoch 1, loss nan"),
    "bare": (dict(STATE), "unknown"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_files_of_other_programs(tmp_path: Path, shape: str) -> None:
    content, expected = SHAPES[shape]
    assert str(read_stage(write(tmp_path, content))) == expected


def test_a_file_of_torch_before_zip_archives(tmp_path: Path) -> None:
    file = tmp_path / "old.pth"
    content = {"epoch": 3, "state_dict": STATE, "loss": torch.tensor(0.5)}
    torch.save(content, file, _use_new_zipfile_serialization=False)
    assert str(read_stage(file)) == "epoch 3, loss 0.5"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("epoch=3-val_acc=0.81.ckpt", "epoch 3, val_acc 0.81"),
        ("epoch=3-step=120-val_loss=1e-05-v1.ckpt", "epoch 3, step 120, val_loss 1e-05"),
        ("resnet_epoch_07.pth", "epoch 7"),
        ("ep12.pt", "epoch 12"),
        ("model-step-2000.pt", "step 2000"),
        ("checkpoint-500/pytorch_model.bin", "step 500"),
        ("deep3.pt", "unknown"),
        ("checkpoint-12.pth.tar", "unknown"),
    ],
)
def test_what_only_the_name_states(tmp_path: Path, name: str, expected: str) -> None:
    assert str(read_stage(write(tmp_path, dict(STATE), name))) == expected


def test_what_the_file_holds_goes_before_its_name(tmp_path: Path) -> None:
    content = {"epoch": 4, "state_dict": STATE, "loss": 0.5}
    stage = read_stage(write(tmp_path, content, "epoch=3-step=9-loss=0.6.ckpt"))
    assert str(stage) == "epoch 4, step 9, loss 0.5"


def test_safetensors_have_texts_in_their_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "weights.safetensors"
    save_file(STATE, file, {"epoch": "3", "global_step": "40", "val_acc": "0.5", "format": "pt"})
    monkeypatch.setattr("safetensors.torch.load_file", lambda *_: pytest.fail("read the weights"))
    assert str(read_stage(file)) == "epoch 3, step 40, val_acc 0.5"


def trainer(folder: Path, step: int, **changes: object) -> Path:
    """Write a folder of transformers' Trainer."""
    folder.mkdir(parents=True)
    save_file(STATE, folder / "model.safetensors", {"format": "pt"})
    log = [
        {"epoch": 1.0, "loss": 2.0, "grad_norm": 9.0, "learning_rate": 5e-05, "step": step},
        {"epoch": 0.5, "eval_accuracy": 0.1, "step": step - 1},
        {"epoch": 1.0, "eval_accuracy": 0.5, "eval_runtime": 2.0, "step": step},
    ]
    state = {"epoch": 1.0, "global_step": step, "log_history": log, "best_metric": 0.9, **changes}
    (folder / "trainer_state.json").write_text(json.dumps(state))
    return folder / "model.safetensors"


def test_transformers_trainer_writes_its_state_beside_the_weights(tmp_path: Path) -> None:
    file = trainer(tmp_path / "checkpoint-500", 500)
    assert str(read_stage(file)) == "epoch 1, step 500, eval_accuracy 0.5, loss 2"


def test_the_final_folder_may_hold_the_weights_of_an_earlier_step(tmp_path: Path) -> None:
    assert str(read_stage(trainer(tmp_path / "out", 500))) == "unknown"
    assert str(read_stage(trainer(tmp_path / "checkpoint-400", 500))) == "step 400"


def test_a_broken_state_of_the_trainer_is_named(tmp_path: Path) -> None:
    file = trainer(tmp_path / "checkpoint-500", 500)
    file.with_name("trainer_state.json").write_text("{")
    with pytest.raises(WeightsError, match=r"trainer_state\.json' cannot be read: Expecting"):
        read_stage(file)


def test_tensors_are_mapped_and_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, asked = write(tmp_path, {"epoch": 3, "state_dict": STATE}), []
    load = torch.load

    def spy(*given: Any, **options: Any) -> Any:
        asked.append(options)
        return load(*given, **options)

    monkeypatch.setattr(torch, "load", spy)
    assert read_stage(file).epoch == 3
    assert [(each["mmap"], each["weights_only"]) for each in asked] == [(True, True)]


class _Own:
    """A class of a training script, kept beside the weights."""


def test_objects_of_other_classes_are_not_created(tmp_path: Path) -> None:
    content = {"epoch": 3, "state_dict": STATE, "hyper_parameters": {"net": _Own()}, "loss": _Own()}
    assert str(read_stage(write(tmp_path, content))) == "epoch 3"


@pytest.mark.parametrize(
    "content",
    [
        {"epoch": "three", "global_step": -2, "loss": torch.ones(3), "acc": True},
        {"epoch": math.inf, "global_step": 2.5, "callbacks": [1], "metrics": 3},
        {"epoch": [3], "callbacks": {"a": 1, "b": {"monitor": 3}, "c": watcher("", "x")}},
        {"epoch": 10**400, "meta": {"epoch": {}}, "loss": torch.zeros((), dtype=torch.complex64)},
        {"metric": "high", "args": {"eval_metric": 3}},
    ],
)
def test_values_of_other_kinds_are_left_out(tmp_path: Path, content: dict[str, Any]) -> None:
    assert str(read_stage(write(tmp_path, content | {"state_dict": STATE}))) == "unknown"


def test_numbers_are_plain() -> None:
    assert to_number(torch.tensor([2.5])) == 2.5
    for other in (torch.ones(2), torch.tensor(True), torch.empty((), device="meta"), True, None):
        assert to_number(other) is None


def test_a_flood_of_metrics_is_cut(tmp_path: Path) -> None:
    content = {"state_dict": STATE, "metrics": {f"m{'x' * 300}{n}": 1.0 for n in range(99)}}
    found = read_stage(write(tmp_path, content)).metrics
    assert len(found) <= MOST_METRICS
    assert max(map(len, found)) < 250


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.ckpt", b"no weights", "cannot be read: it is damaged"),
        ("a.safetensors", b"no weights", "cannot be read: "),
        ("none.ckpt", None, "does not exist"),
    ],
)
def test_files_that_cannot_be_read(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        read_stage(tmp_path / name)


def test_files_without_tensors(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="holds no state dict: 'epoch'"):
        read_stage(write(tmp_path, {"epoch": 3}))
    save_file({}, tmp_path / "a.safetensors")
    with pytest.raises(WeightsError, match="holds no tensors"):
        read_stage(tmp_path / "a.safetensors")

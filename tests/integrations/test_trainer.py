"""The callback in the loop of transformers' Trainer."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import effcam
from effcam.errors import ArgumentError, TargetError
from tests.integrations.training import (
    IMAGES,
    NAMES,
    SIDE,
    Pictures,
    assert_same,
    everything,
    seed_all,
)

pytestmark = [
    pytest.mark.integrations,
    # transformers' and accelerate's own use of torch, and their hints.
    pytest.mark.filterwarnings("ignore::FutureWarning:transformers|accelerate|torch"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:transformers|accelerate|torch"),
    pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning"),
]

Train = Callable[..., tuple[Any, Any]]


class Items(Pictures):
    """Pictures as the Trainer takes them."""

    def __getitem__(self, at: int) -> Any:
        image, label = super().__getitem__(at)
        return {"pixel_values": image, "labels": label}


@pytest.fixture(scope="module")
def transformers() -> Any:
    return pytest.importorskip("transformers")


def network(transformers: Any) -> nn.Module:
    """A small ResNet with dropout before its head, one norm and the stem frozen."""
    config = transformers.ResNetConfig(
        embedding_size=4, hidden_sizes=[4, 6], depths=[1, 1], layer_type="basic",
        num_labels=len(NAMES), id2label=dict(enumerate(NAMES)),
    )  # fmt: skip
    made: nn.Module = transformers.ResNetForImageClassification(config)
    made.classifier = nn.Sequential(nn.Flatten(), nn.Dropout(0.3), nn.Linear(6, len(NAMES)))
    made.resnet.embedder.requires_grad_(False)  # type: ignore[union-attr]
    return made


@pytest.fixture
def train(transformers: Any, tmp_path: Path) -> Train:
    processor = transformers.ViTImageProcessor(
        size={"height": SIDE, "width": SIDE}, image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    )  # fmt: skip

    def run(*callbacks: Any, resume: Any = None, **options: Any) -> tuple[Any, Any]:
        seed_all()
        model = network(transformers)
        usual: dict[str, Any] = {
            "output_dir": str(tmp_path / "out"), "num_train_epochs": 3,
            "per_device_train_batch_size": 4, "report_to": [], "use_cpu": True,
            "disable_tqdm": True, "save_strategy": "no", "logging_strategy": "epoch",
            "eval_strategy": "epoch", "dataloader_pin_memory": False,
        }  # fmt: skip
        trainer = transformers.Trainer(
            model, transformers.TrainingArguments(**(usual | options)), train_dataset=Items(),
            eval_dataset=Items(8), callbacks=list(callbacks), processing_class=processor,
        )  # fmt: skip
        trainer.train(resume_from_checkpoint=resume)
        return model, trainer

    return run


def callback(**options: Any) -> Any:
    from effcam.integrations.transformers import CompareCallback

    return CompareCallback(IMAGES, **options)


def left(model: Any, trainer: Any) -> list[tuple[str, Any]]:
    return list(everything(model, trainer.optimizer.optimizer))


@pytest.mark.parametrize(
    "options",
    [
        {"num_train_epochs": 9},
        {"num_train_epochs": 9, "bf16": True, "gradient_accumulation_steps": 2},
    ],
    ids=["fp32", "bf16"],
)
def test_training_is_left_as_it_is(train: Train, options: dict[str, Any]) -> None:
    shown = callback(every_n_epochs=4)
    assert_same(left(*train(shown, **options)), left(*train(**options)))
    assert shown.comparison.columns == ("epoch 1", "epoch 5", "epoch 9")


def test_training_is_left_as_it_is_between_steps(train: Train) -> None:
    shown = callback(every_n_steps=25)
    options = {"num_train_epochs": 9}
    assert_same(left(*train(shown, **options)), left(*train(**options)))
    assert shown.comparison.columns == ("step 25", "step 50", "step 54")


def test_stages_files_and_names(train: Train, tmp_path: Path) -> None:
    shown = callback(every_n_epochs=1)
    train(shown)
    stages = [facts.training for facts in shown.comparison.facts]
    assert [(each.epoch, each.step) for each in stages] == [(1, 6), (2, 12), (3, 18)]
    assert all({"loss", "eval_loss"} <= each.metrics.keys() for each in stages)
    assert not any("runtime" in name or "train_" in name for name in stages[-1].metrics)
    facts = shown.comparison.facts[0]
    assert facts.labels == NAMES
    assert facts.input_size == (SIDE, SIDE)
    folder = tmp_path / "out" / "effcam"
    assert (folder / "epochs.gif").is_file()
    assert (folder / "timeline.png").is_file()
    with (folder / "figures.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["eval_loss"] != "" for row in rows] == [True] * 3


def test_maps_under_mixed_precision_are_those_of_fp32(transformers: Any, train: Train) -> None:
    shown = callback(every_n_epochs=1)
    model, trainer = train(shown, bf16=True)
    plain = network(transformers)
    plain.load_state_dict(model.state_dict())
    side = (SIDE, SIDE)
    preprocess = effcam.Preprocess(size=side, resize=side, mode="squash", rounding="down")
    now = effcam.compare(IMAGES, effcam.load_model(plain, preprocess=preprocess), progress=False)
    last = shown.comparison[0, "epoch 3"]
    assert torch.equal(torch.tensor(last.heatmap), torch.tensor(now[0, 0].heatmap))
    # A model that accelerate has prepared runs in fp32 for `compare` too.
    prepared = trainer.model
    assert "_original_forward" in vars(prepared)
    own = effcam.compare(IMAGES, effcam.load_model(prepared, preprocess=preprocess), progress=False)
    assert torch.equal(torch.tensor(own[0, 0].heatmap), torch.tensor(now[0, 0].heatmap))
    assert prepared(torch.rand(1, 3, SIDE, SIDE)).logits.dtype == torch.float32


def test_logs_to_the_trackers_of_the_trainer(train: Train, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(callback(every_n_epochs=1), report_to=["tensorboard"])
    (folder,) = (tmp_path / "out" / "runs").iterdir()
    log = EventAccumulator(str(folder), size_guidance={"images": 0}).Reload()
    assert [event.step for event in log.Images("effcam/grid")] == [6, 12, 18]
    assert "train/loss" in log.Tags()["scalars"]
    assert [event.step for event in log.Images("effcam/training/grid")] == [18]


def test_a_training_that_stops_early_shows_its_last_epoch(
    transformers: Any, train: Train, tmp_path: Path
) -> None:
    class Stop(transformers.TrainerCallback):  # type: ignore[misc,name-defined]
        weights: Tensor

        def on_evaluate(self, args: Any, state: Any, control: Any, **named: Any) -> Any:
            del args
            control.should_training_stop = state.epoch == 3
            self.weights = named["model"].classifier[-1].weight.detach().clone()
            return control

    usual = {"num_train_epochs": 30}
    shown = callback(every_n_epochs=10)
    train(shown, Stop(), **usual)
    assert shown.comparison.columns == ("epoch 1", "epoch 3")
    # Other weights are loaded at the end: the last epoch is shown before.
    shown = callback(every_n_epochs=10, folder=tmp_path / "best")
    train(shown, Stop(), **usual, load_best_model_at_end=True, save_strategy="epoch")
    assert shown.comparison.columns == ("epoch 1", "epoch 3")


def test_a_training_ended_by_steps(train: Train) -> None:
    shown = callback()
    train(shown, max_steps=15)
    assert shown.comparison.columns == ("epoch 1", "epoch 2.5")


def test_a_training_goes_on(train: Train, tmp_path: Path) -> None:
    first = callback(every_n_epochs=1)
    train(first, save_strategy="epoch")
    second = callback(every_n_epochs=1)
    train(
        second, save_strategy="epoch", num_train_epochs=4,
        resume=str(tmp_path / "out" / "checkpoint-12"),
    )  # fmt: skip
    assert second.comparison.columns == ("epoch 1", "epoch 2", "epoch 3", "epoch 4")
    one, other = (each.comparison[0, "epoch 1"] for each in (first, second))
    assert torch.equal(torch.tensor(one.heatmap), torch.tensor(other.heatmap))


def test_wrong_arguments_stop_before_the_first_epoch(train: Train) -> None:
    with pytest.raises(ArgumentError, match="exclude each other"):
        callback(every_n_epochs=1, every_n_steps=1)
    with pytest.raises(TargetError, match="class 10 is out of range"):
        train(callback(target=10))


def test_an_error_of_it_does_not_end_the_training(
    train: Train, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("effcam.integrations.results.Results.animate", fail)
    shown = callback(every_n_epochs=1)
    assert_same(left(*train(shown)), left(*train()))
    warned = [each.getMessage() for each in caplog.records if each.name == "effcam"]
    assert sum("could not write epochs.gif" in line for line in warned) == 1


def test_metrics_of_the_last_step_of_an_epoch(train: Train) -> None:
    shown = callback(every_n_epochs=1)
    train(shown, num_train_epochs=2, eval_strategy="steps", eval_steps=6, logging_strategy="steps",
          logging_steps=4)  # fmt: skip
    first, last = (each.training for each in shown.comparison.facts)
    assert set(first.metrics) == {"eval_loss"}
    assert {"eval_loss", "loss"} <= set(last.metrics)


def test_callbacks_of_one_name_are_refused(train: Train) -> None:
    with pytest.raises(ArgumentError, match="2 callbacks of this trainer are called 'effcam'"):
        train(callback(), callback())
    one, other = callback(), callback(name="layers")
    train(one, other, num_train_epochs=1)
    assert one.comparison.columns == other.comparison.columns == ("epoch 1",)

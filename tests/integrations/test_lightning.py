"""The callback in the loop of Lightning."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

import effcam
from effcam.errors import ArgumentError, TargetError
from tests.integrations.training import (
    IMAGES,
    NAMES,
    TRANSFORM,
    Net,
    Pictures,
    assert_same,
    everything,
    loader,
    seed_all,
)

pytestmark = [
    pytest.mark.integrations,
    # Lightning's hints on how to make trainings faster, and on folders that are there already.
    pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*number of training batches:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*in eval mode at the start of training:UserWarning"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*GPU available but not used:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*`tensorboardX` has been removed:UserWarning"),
    # Lightning's own use of torch.
    pytest.mark.filterwarnings("ignore:.*is deprecated:FutureWarning:torch|lightning"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*:Warning"),
]

USUAL = {"preprocess": TRANSFORM, "class_names": NAMES}
Fit = Callable[..., tuple[Any, Any]]


def module_class(package: Any) -> type[Any]:
    """A Lightning module whose forward logs, with a frozen part."""

    class Classifier(package.LightningModule):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.model = Net()

        def forward(self, images: Tensor) -> Tensor:
            scores = self.model(images)
            self.log("mean_score", scores.mean())
            return scores  # type: ignore[no-any-return]

        def training_step(self, batch: tuple[Tensor, Tensor], _index: int) -> Tensor:
            loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
            self.log("loss", loss)
            return loss

        def validation_step(self, batch: tuple[Tensor, Tensor], _index: int) -> None:
            right = self.model(batch[0]).argmax(1) == batch[1]
            self.log("val_acc", right.float().mean())

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW([each for each in self.parameters() if each.requires_grad])

    return Classifier


@pytest.fixture(params=["lightning.pytorch"])
def package(request: pytest.FixtureRequest) -> Any:
    return pytest.importorskip(request.param)


@pytest.fixture
def fit(package: Any, tmp_path: Path) -> Fit:
    def run(*callbacks: Any, module: Any = None, **options: Any) -> tuple[Any, Any]:
        seed_all()
        trained = module or module_class(package)()
        path = options.pop("ckpt_path", None)
        usual: dict[str, Any] = {
            "max_epochs": 3, "logger": False, "enable_checkpointing": False, "accelerator": "cpu",
            "enable_progress_bar": False, "enable_model_summary": False, "log_every_n_steps": 1,
            "default_root_dir": tmp_path,
        }  # fmt: skip
        trainer = package.Trainer(callbacks=list(callbacks), **(usual | options))
        trainer.fit(trained, loader(), DataLoader(Pictures(8), 4), ckpt_path=path)
        return trained, trainer

    return run


def callback(**options: Any) -> Any:
    from effcam.integrations.lightning import CompareCallback

    return CompareCallback(IMAGES, **(USUAL | options))


def left(module: Any, trainer: Any) -> list[tuple[str, Any]]:
    return list(everything(module, trainer.optimizers[0]))


@pytest.mark.parametrize(
    "options",
    [
        {"max_epochs": 9},
        {"max_epochs": 9, "precision": "bf16-mixed", "accumulate_grad_batches": 2},
    ],
    ids=["fp32", "bf16"],
)
def test_training_is_left_as_it_is(fit: Fit, options: dict[str, Any]) -> None:
    shown = callback(every_n_epochs=4)
    with_it, without = fit(shown, **options), fit(**options)
    assert_same(left(*with_it), left(*without))
    assert with_it[1].callback_metrics.keys() == without[1].callback_metrics.keys()
    for name, value in without[1].callback_metrics.items():
        assert torch.equal(value, with_it[1].callback_metrics[name]), name
    assert shown.comparison.columns == ("epoch 0", "epoch 4", "epoch 8")


def test_training_is_left_as_it_is_between_steps(fit: Fit) -> None:
    options = {"accumulate_grad_batches": 3, "max_epochs": 9}
    shown = callback(every_n_steps=7)
    assert_same(left(*fit(shown, **options)), left(*fit(**options)))
    assert shown.comparison.columns == ("step 7", "step 14", "step 18")


def test_stages_and_folder(fit: Fit, tmp_path: Path) -> None:
    shown = callback(every_n_epochs=1)
    module, _ = fit(shown)
    stages = [facts.training for facts in shown.comparison.facts]
    assert [(each.epoch, each.step) for each in stages] == [(0, 6), (1, 12), (2, 18)]
    assert all({"loss", "val_acc"} <= each.metrics.keys() for each in stages)
    assert (tmp_path / "effcam" / "epochs.gif").is_file()
    # The network in training is in bits what is compared afterwards.
    model = effcam.load_model(module.model, **_for_load())
    now = effcam.compare(IMAGES, model, progress=False)
    last = shown.comparison[1, "epoch 2"]
    assert torch.equal(torch.tensor(last.heatmap), torch.tensor(now[1, 0].heatmap))


def _for_load() -> dict[str, Any]:
    return {"preprocess": TRANSFORM, "labels": NAMES}


def test_maps_under_mixed_precision_are_those_of_fp32(fit: Fit) -> None:
    shown = callback(every_n_epochs=1)
    module, _ = fit(shown, precision="bf16-mixed")
    now = effcam.compare(IMAGES, effcam.load_model(module.model, **_for_load()), progress=False)
    last = shown.comparison[0, "epoch 2"]
    assert torch.equal(torch.tensor(last.heatmap), torch.tensor(now[0, 0].heatmap))


def test_only_training_shows_it(fit: Fit) -> None:
    states: list[str] = []

    class Keep(type(callback())):  # type: ignore[misc]
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            states.append(str(trainer.state.stage))
            super().on_train_epoch_end(trainer, pl_module)

    shown = Keep(IMAGES, every_n_epochs=1, **USUAL)
    module, trainer = fit(shown, num_sanity_val_steps=2)
    assert len(states) == 3
    trainer.validate(module, DataLoader(Pictures(8), 4), verbose=False)
    assert len(states) == 3
    assert len(shown.comparison.columns) == 3


def test_the_default_keeps_to_first_and_last(fit: Fit, caplog: pytest.LogCaptureFixture) -> None:
    shown = callback()
    fit(shown, max_epochs=6)
    assert shown.comparison.columns == ("epoch 0", "epoch 5")
    told = [each.getMessage() for each in caplog.records if each.name == "effcam"]
    assert any("effcam shows the last epoch next" in line for line in told)


def test_a_training_that_stops_early_shows_its_last_epoch(package: Any, fit: Fit) -> None:
    class Stop(package.Callback):  # type: ignore[misc,name-defined]
        def on_validation_end(self, trainer: Any, module: Any) -> None:
            del module
            trainer.should_stop = trainer.current_epoch == 2

    shown = callback(every_n_epochs=10)
    fit(Stop(), shown, max_epochs=30)
    assert shown.comparison.columns == ("epoch 0", "epoch 2")


def test_a_training_ended_by_steps(fit: Fit) -> None:
    shown = callback()
    fit(shown, max_epochs=-1, max_steps=20)
    assert shown.comparison.columns == ("epoch 0", "epoch 3")


@pytest.mark.parametrize(
    ("options", "own", "measured"),
    [
        ({"check_val_every_n_epoch": 2}, {"every_n_epochs": 1}, {12}),
        ({"val_check_interval": 5}, {"every_n_epochs": 1}, set()),
        ({}, {"every_n_steps": 4}, {12, 18}),
        ({"val_check_interval": 4}, {"every_n_steps": 4}, {4, 16}),
    ],
    ids=["each second epoch", "before the end", "steps", "after a step"],
)
def test_metrics_of_other_weights_are_left_out(
    package: Any, fit: Fit, options: dict[str, Any], own: dict[str, Any], measured: set[int]
) -> None:
    class Classifier(module_class(package)):  # type: ignore[misc]
        def validation_step(self, batch: Any, index: int) -> None:
            super().validation_step(batch, index)
            self.log("val_step", float(self.trainer.global_step))

    shown = callback(**own)
    fit(shown, module=Classifier(), **options)
    stages = [each.training for each in shown.comparison.facts]
    assert all("loss" in stage.metrics for stage in stages)
    found = {each.step: each.metrics["val_step"] for each in stages if "val_step" in each.metrics}
    assert found == {step: step for step in measured}


def test_a_further_fit_goes_on(fit: Fit) -> None:
    shown = callback(every_n_epochs=1)
    module, trainer = fit(shown, max_epochs=2)
    trainer.fit_loop.max_epochs = 3
    trainer.fit(module, loader(), DataLoader(Pictures(8), 4))
    assert shown.comparison.columns == ("epoch 0", "epoch 1", "epoch 2")
    assert [each.training.step for each in shown.comparison.facts] == [6, 12, 18]


def test_a_new_training_removes_what_an_earlier_one_left(
    fit: Fit, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "effcam"
    fit(callback(every_n_epochs=1), max_epochs=2)
    assert (folder / "timeline.png").is_file()
    assert "replaces" not in caplog.text
    fit(callback(), max_epochs=1)
    assert "replaces what an earlier training left" in caplog.text
    assert not (folder / "timeline.png").exists()


def test_several_callbacks_have_names(package: Any, fit: Fit, tmp_path: Path) -> None:
    board = package.loggers.TensorBoardLogger(tmp_path / "logs")
    keeper = package.callbacks.ModelCheckpoint(tmp_path / "kept")
    one, other = callback(), callback(name="layers", method="layercam")
    fit(one, other, keeper, enable_checkpointing=True, logger=board, max_epochs=2)
    for name, each in {"effcam": one, "layers": other}.items():
        table = (Path(board.log_dir) / name / "predictions.csv").read_text()
        assert each.comparison[0, 0].method in table
    again, second = callback(), callback(name="layers", method="layercam")
    keeper = package.callbacks.ModelCheckpoint(tmp_path / "kept")
    (file,) = (tmp_path / "kept").glob("*.ckpt")
    fit(
        again, second, keeper, enable_checkpointing=True, max_epochs=3, ckpt_path=file,
        module=module_class(package)(),
    )  # fmt: skip
    for new, old in ((again, one), (second, other)):
        assert new.comparison[0, "epoch 0"].method == old.comparison[0, "epoch 0"].method
        assert len(new.comparison.columns) == 3


def test_each_run_has_a_folder_of_its_own(package: Any, fit: Fit, tmp_path: Path) -> None:
    class Board(package.loggers.logger.DummyLogger):  # type: ignore[misc,name-defined]
        """A logger with one folder for all runs, as those of MLflow and W&B."""

        save_dir, name, version = str(tmp_path / "runs"), "mine", "a1"
        log_dir = None

    fit(callback(log=False), logger=Board(), max_epochs=1)
    assert (tmp_path / "runs" / "mine" / "a1" / "effcam" / "latest.png").is_file()


def test_checkpoints_keep_the_columns(package: Any, fit: Fit, tmp_path: Path) -> None:
    def checkpoints() -> Any:
        return package.callbacks.ModelCheckpoint(tmp_path / "kept", save_top_k=-1)

    first = callback(every_n_epochs=1)
    fit(first, checkpoints(), enable_checkpointing=True)
    files = sorted((tmp_path / "kept").glob("*.ckpt"))
    assert len(files) == 3
    second = callback(every_n_epochs=1, folder=tmp_path / "second")
    fit(
        second, checkpoints(), enable_checkpointing=True, max_epochs=4, ckpt_path=files[1],
        module=module_class(package)(),
    )  # fmt: skip
    assert second.comparison.columns == ("epoch 0", "epoch 1", "epoch 2", "epoch 3")
    for epoch in (0, 1):
        one, other = (each.comparison[0, f"epoch {epoch}"] for each in (first, second))
        assert torch.equal(torch.tensor(one.heatmap), torch.tensor(other.heatmap))


def test_logs_to_the_loggers_of_the_trainer(package: Any, fit: Fit, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = package.loggers.TensorBoardLogger(tmp_path / "logs")
    table = package.loggers.CSVLogger(tmp_path / "logs")
    fit(callback(every_n_epochs=1), logger=[board, table])
    log = EventAccumulator(board.log_dir, size_guidance={"images": 0, "scalars": 0}).Reload()
    assert [event.step for event in log.Images("effcam/grid")] == [6, 12, 18]
    curves = [tag for tag in log.Tags()["scalars"] if tag.startswith("effcam/gini")]
    assert [event.step for event in log.Scalars(curves[0])] == [6, 12, 18]
    assert (Path(board.log_dir) / "effcam" / "latest.png").is_file()


def test_a_part_is_chosen(package: Any, fit: Fit) -> None:
    base = module_class(package)

    class NoForward(base):  # type: ignore[misc,valid-type]
        forward = package.LightningModule.forward

        def training_step(self, batch: tuple[Tensor, Tensor], _index: int) -> Tensor:
            return nn.functional.cross_entropy(self.model(batch[0]), batch[1])

    shown = callback(every_n_epochs=1)
    fit(shown, module=NoForward())
    assert shown.comparison[0, 0].model == "NoForward.model"
    chosen = callback(every_n_epochs=1, module=lambda module: module.model)
    fit(chosen)
    assert chosen.comparison[0, 0].model == "Net"


def test_wrong_arguments_stop_before_the_first_epoch(fit: Fit) -> None:
    with pytest.raises(ArgumentError, match="exclude each other"):
        callback(every_n_epochs=1, every_n_steps=1)
    with pytest.raises(TypeError, match="every_n_epoch"):
        callback(every_n_epoch=1)
    with pytest.raises(TargetError, match="class 10 is out of range"):
        fit(callback(target=10))
    with pytest.raises(ArgumentError, match="has no part 'net'"):
        fit(callback(module="net"))


def test_an_error_of_it_does_not_end_the_training(
    fit: Fit, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("effcam.integrations.results.Results.draw", fail)
    shown = callback(every_n_epochs=1)
    assert_same(left(*fit(shown)), left(*fit()))
    warned = [
        each.getMessage()
        for each in caplog.records
        if each.name == "effcam" and each.levelno >= logging.WARNING
    ]
    assert len(warned) == 1
    assert "could not write latest.png at epoch 0; the training goes on" in warned[0]
    assert len(shown.comparison.columns) == 3


def test_an_interrupted_training_writes_what_there_is(
    package: Any, fit: Fit, tmp_path: Path
) -> None:
    class Fail(package.Callback):  # type: ignore[misc,name-defined]
        def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
            del module
            if trainer.current_epoch == 2:
                raise RuntimeError("the training's own error")

    shown = callback(every_n_epochs=1)
    with pytest.raises(RuntimeError, match="the training's own error"):
        fit(shown, Fail())
    assert shown.comparison.columns == ("epoch 0", "epoch 1")
    assert (tmp_path / "effcam" / "epochs.gif").is_file()


@pytest.mark.parametrize("package", ["pytorch_lightning"], indirect=True)
def test_the_other_package_of_lightning(package: Any, fit: Fit) -> None:
    from effcam.integrations.pytorch_lightning import CompareCallback

    assert issubclass(CompareCallback, package.Callback)
    shown = CompareCallback(IMAGES, every_n_epochs=1, **USUAL)
    assert_same(left(*fit(shown)), left(*fit()))
    assert shown.comparison.columns == ("epoch 0", "epoch 1", "epoch 2")


SCRIPT = """
import sys
import lightning.pytorch as package
import torch
from torch.utils.data import DataLoader
from tests.integrations.training import IMAGES, NAMES, TRANSFORM, Pictures, seed_all
from tests.integrations.test_lightning import module_class
from effcam.integrations.lightning import CompareCallback

folder, kind = sys.argv[1:]
seed_all()
module = module_class(package)()
shown = CompareCallback(
    IMAGES, preprocess=TRANSFORM, class_names=NAMES, every_n_epochs=1, folder=folder + "/effcam",
    target=99 if kind == "wrong" else None,
)
trainer = package.Trainer(
    max_epochs=9, accelerator="cpu", devices=2, strategy="ddp", logger=False,
    enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    callbacks=[] if kind == "without" else [shown], default_root_dir=folder,
)
trainer.fit(module, DataLoader(Pictures(), 4, shuffle=True), DataLoader(Pictures(8), 4))
if trainer.global_rank == 0:
    torch.save(module.state_dict(), f"{folder}/{kind}.pt")
print("columns", trainer.global_rank, len(shown.comparison.columns), flush=True)
"""


def run_ddp(tmp_path: Path, kind: str) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "train.py"
    script.write_text(textwrap.dedent(SCRIPT))
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root), str(root / "src"), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-W", "ignore", str(script), str(tmp_path), kind],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_the_first_of_two_processes_shows_it(tmp_path: Path) -> None:
    found = run_ddp(tmp_path, "with")
    assert found.returncode == 0, found.stderr
    assert "columns 0 9" in found.stdout
    assert "columns 1 0" in found.stdout
    assert run_ddp(tmp_path, "without").returncode == 0
    with_it, without = (torch.load(tmp_path / f"{kind}.pt") for kind in ("with", "without"))
    assert all(torch.equal(value, with_it[name]) for name, value in without.items())


@pytest.mark.slow
def test_all_processes_stop_at_a_wrong_argument(tmp_path: Path) -> None:
    found = run_ddp(tmp_path, "wrong")
    assert found.returncode != 0
    assert "class 99 is out of range" in found.stderr
    assert "the first process cannot show the network" in found.stderr

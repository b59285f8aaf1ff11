"""A training with all that shows it: the callback, two trackers, and the checkpoints afterwards."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import effcam
from effcam.demo import LOOK_ALIKE_LABELS, look_alike_scenes
from tests.integrations import logged

pytestmark = [
    pytest.mark.integrations,
    *logged.MLFLOW_WARNS,
    # Lightning's hints on faster trainings, and its own use of torch.
    pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*number of training batches:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*in eval mode at the start of training:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*GPU available but not used:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*is deprecated:FutureWarning:torch|lightning"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*:Warning"),
]

EPOCHS, BATCHES = 5, 3
NAME = "demo_resnet"
WATCHED = look_alike_scenes(3, seed=3, size=128)
PART, WIDTH = "FineTuning.network", 160


@dataclass(frozen=True)
class Shown:
    """What a training left.

    Attributes:
        columns: The comparison of the callback.
        checkpoints: The comparison of the checkpoints.
        run: The folder of TensorBoard's logger.
        client: The client of MLflow.
        run_id: The run of MLflow.
        accuracies: What the training measured in each epoch.
    """

    columns: effcam.Comparison
    checkpoints: effcam.Comparison
    run: Path
    client: Any
    run_id: str
    accuracies: list[float]

    def logged(self) -> Iterator[tuple[str, int, effcam.Comparison]]:
        """The name and the step under which each comparison was logged."""
        facts = [each for each in self.columns.facts if each.training is not None]
        for at, fact in enumerate(facts):
            cells = [
                replace(cell, column=PART, model_label=PART) for cell in self.columns.column(at)
            ]
            yield (
                "effcam",
                BATCHES * (at + 1),
                replace(self.columns, columns=(PART,), cells=tuple(cells), facts=(fact,)),
            )
        yield "effcam/training", BATCHES * EPOCHS, self.columns


def new_network() -> torch.nn.Module:
    network = effcam.load_model(NAME).module.requires_grad_(True)
    network.fc = torch.nn.Linear(network.fc.in_features, len(LOOK_ALIKE_LABELS))
    return network


def batches(count: int, seed: int, transform: Any, *, shuffle: bool) -> Any:
    scenes = look_alike_scenes(count, seed=seed, size=128)
    inputs = torch.stack([transform(scene.image)[0] for scene in scenes])
    classes = torch.tensor([LOOK_ALIKE_LABELS.index(scene.label) for scene in scenes])
    pairs = torch.utils.data.TensorDataset(inputs, classes)
    return torch.utils.data.DataLoader(pairs, batch_size=16, shuffle=shuffle)


def module_class(lightning: Any, accuracies: list[float]) -> Any:
    class FineTuning(lightning.LightningModule):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.network = new_network()

        def training_step(self, batch: Any) -> Any:
            return torch.nn.functional.cross_entropy(self.network(batch[0]), batch[1])

        def validation_step(self, batch: Any) -> None:
            right = (self.network(batch[0]).argmax(1) == batch[1]).float().mean()
            self.log("val_acc", right)
            if not self.trainer.sanity_checking:
                accuracies.append(float(right))

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.01, momentum=0.9)

    return FineTuning


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    lightning = pytest.importorskip("lightning")
    mlflow = pytest.importorskip("mlflow")
    from lightning.pytorch.callbacks import ModelCheckpoint
    from lightning.pytorch.loggers import MLFlowLogger, TensorBoardLogger

    from effcam.integrations.lightning import CompareCallback

    folder, before = tmp_path_factory.mktemp("training"), mlflow.get_tracking_uri()
    address = f"sqlite:///{folder}/mlflow.db"
    mlflow.set_tracking_uri(address)
    transform = effcam.load_model(NAME).preprocess
    torch.manual_seed(0)
    callback = CompareCallback(
        WATCHED, preprocess=transform, class_names=LOOK_ALIKE_LABELS, every_n_epochs=1
    )
    board = TensorBoardLogger(folder, name="run")
    # Artifacts lie where the database is made.
    with contextlib.chdir(folder):
        tracker = MLFlowLogger(tracking_uri=address)
        trainer = lightning.Trainer(
            max_epochs=EPOCHS, logger=[board, tracker], accelerator="cpu",
            enable_progress_bar=False, enable_model_summary=False,
            callbacks=[callback, ModelCheckpoint(folder / "ckpt", "{epoch}", save_top_k=-1)],
        )  # fmt: skip
        accuracies: list[float] = []
        trainer.fit(
            module_class(lightning, accuracies)(),
            batches(16 * BATCHES, 1, transform, shuffle=True),
            batches(16, 2, transform, shuffle=False),
        )
    spec = effcam.ModelSpec(
        "fine-tuned", constructor=new_network, preprocess=transform, labels=LOOK_ALIKE_LABELS
    )
    saved = effcam.checkpoints(folder / "ckpt", spec)
    again = effcam.compare(WATCHED, saved, progress=False)
    columns = callback.comparison
    client = mlflow.MlflowClient(address)
    yield Shown(columns, again, Path(board.log_dir), client, tracker.run_id, accuracies)
    mlflow.set_tracking_uri(before)


def test_columns_equal_the_checkpoints_of_their_epochs(shown: Shown) -> None:
    assert shown.columns.columns == shown.checkpoints.columns
    assert shown.columns.columns == tuple(f"epoch {at}" for at in range(EPOCHS))
    for one, other in zip(shown.columns.cells, shown.checkpoints.cells, strict=True):
        assert (one.label, one.target, one.predicted) == (
            other.label,
            other.target,
            other.predicted,
        )
        assert one.probability == pytest.approx(other.probability, abs=1e-5)
        np.testing.assert_allclose(one.heatmap, other.heatmap, atol=1e-4)
    for at, (mine, theirs) in enumerate(
        zip(shown.columns.facts, shown.checkpoints.facts, strict=True)
    ):
        assert mine.training is not None
        assert theirs.training is not None
        assert mine.training.epoch == theirs.training.epoch == at
        assert mine.training.step == theirs.training.step == BATCHES * (at + 1)
        assert mine.training.metrics["val_acc"] == pytest.approx(shown.accuracies[at])


def test_epochs_differ(shown: Shown) -> None:
    first, last = (shown.columns.column(at) for at in (0, -1))
    assert any(not np.allclose(a.heatmap, b.heatmap) for a, b in zip(first, last, strict=True))


def figures(made: effcam.Comparison) -> Iterator[tuple[str, float]]:
    """The name and the value of each figure, as trackers have them."""
    for measure in made.summary(fair=False).measures:
        for column, value in zip(made.columns, measure.values, strict=True):
            if np.isfinite(value):
                yield f"{measure.figure.key}/{column}", float(value)


def pictures(made: effcam.Comparison) -> Iterator[tuple[str, Any]]:
    """The name and the pixels of each picture, as trackers have them."""
    yield "grid", np.asarray(made.grid(width=WIDTH).convert("RGB"))
    drawn = made.frames(width=WIDTH, theme="light")
    for image, frame in zip(made.images, drawn, strict=True):
        yield f"pictures/{image.name}", np.asarray(frame.convert("RGB"))


def test_tensorboard_holds_the_columns(shown: Shown) -> None:
    log = logged.tensorboard_log(shown.run)
    for name, step, made in shown.logged():
        for key, value in figures(made):
            at_step = {each.step: each.value for each in log.Scalars(f"{name}/{key}")}
            assert at_step[step] == pytest.approx(value, rel=1e-6), (name, key)
        for key, pixels in pictures(made):
            (found,) = (each for each in log.Images(f"{name}/{key}") if each.step == step)
            np.testing.assert_array_equal(logged.pixels(found.encoded_image_string), pixels)
    steps = [each.step for each in log.Images("effcam/grid")]
    assert steps == [BATCHES * (at + 1) for at in range(EPOCHS)]
    # What Lightning itself logs is of the same epochs.
    accuracies = [each.value for each in log.Scalars("val_acc")]
    assert accuracies == pytest.approx(shown.accuracies)


def test_mlflow_holds_the_columns(shown: Shown, tmp_path: Path) -> None:
    files = Path(shown.client.download_artifacts(shown.run_id, "images", str(tmp_path)))
    for name, step, made in shown.logged():
        for key, value in figures(made):
            history = shown.client.get_metric_history(shown.run_id, f"{name}/{key}")
            assert {each.step: each.value for each in history}[step] == value
        for key, pixels in pictures(made):
            start = f"{name}/{key}".replace("/", "~")
            (file,) = files.glob(f"{start}+step+{step}+*.png")
            np.testing.assert_array_equal(logged.pixels(file), pixels)


def test_files_hold_the_columns(shown: Shown) -> None:
    with Image.open(shown.run / "effcam" / "epochs.gif") as animation:
        assert animation.n_frames == EPOCHS
    with (shown.run / "effcam" / "figures.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["column"] for row in rows] == list(shown.columns.columns)
    assert [float(row["val_acc"]) for row in rows] == pytest.approx(shown.accuracies)
    for at, row in enumerate(rows):
        for measure in shown.columns.summary(fair=False).measures:
            value = measure.values[at]
            if np.isfinite(value):
                assert float(row[measure.figure.key]) == pytest.approx(value)

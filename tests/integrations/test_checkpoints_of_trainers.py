"""Checkpoints that Lightning and transformers' Trainer themselves write, as columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import effcam
from effcam import ModelSpec, Preprocess
from effcam.errors import WeightsError
from effcam.models.checkpoint_stage import read_stage
from tests.nets import ConvNet

pytestmark = [
    pytest.mark.integrations,
    # lightning.pytorch.utilities._pytree uses a class that torch has replaced.
    pytest.mark.filterwarnings(
        "ignore:`isinstance.treespec, LeafSpec.` is deprecated:FutureWarning"
    ),
]

CLASSES, EPOCHS = 3, 3
PREPROCESS = Preprocess(size=(32, 32), resize=(32, 32), mode="squash")
SPEC = ModelSpec("mine", constructor=ConvNet, preprocess=PREPROCESS, options={"classes": CLASSES})
PHOTOS = np.random.default_rng(0).random((2, 32, 32, 3))


def data() -> torch.utils.data.DataLoader[Any]:
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    pairs = torch.utils.data.TensorDataset(images, torch.arange(8) % CLASSES)
    return torch.utils.data.DataLoader(pairs, batch_size=4)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, float]], Any]:
    """Return a training's folder, what it measured in each epoch, and its module."""
    pytest.importorskip("lightning")
    import lightning
    from lightning.pytorch.callbacks import Callback, ModelCheckpoint

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.save_hyperparameters({"lr": 0.1})
            self.model = ConvNet(CLASSES)
            self.loss = nn.CrossEntropyLoss(weight=torch.ones(CLASSES))

        def training_step(self, batch: Any, _: int) -> Any:
            return self.loss(self.model(batch[0]), batch[1])

        def validation_step(self, batch: Any, _: int) -> None:
            scores = self.model(batch[0])
            self.log("val_loss", self.loss(scores, batch[1]))
            self.log("val/acc", (scores.argmax(1) == batch[1]).float().mean())

        def configure_optimizers(self) -> Any:
            return torch.optim.AdamW(self.parameters(), lr=0.01)

    class Watch(Callback):
        def on_validation_end(self, trainer: Any, _: Any) -> None:
            if not trainer.sanity_checking:
                measured.append({k: float(v) for k, v in trainer.callback_metrics.items()})

    measured: list[dict[str, float]] = []
    folder = tmp_path_factory.mktemp("lightning")
    keep: dict[str, Any] = {"save_top_k": -1}
    callbacks = [
        ModelCheckpoint(
            folder / "loss", "{epoch}-{val_loss:.2f}", "val_loss", save_last=True, **keep
        ),
        ModelCheckpoint(folder / "acc", "{epoch}-{val/acc:.3f}", "val/acc", mode="max", **keep),
        ModelCheckpoint(folder / "mid", every_n_train_steps=1, **keep),
        Watch(),
    ]
    torch.manual_seed(0)
    module = Module()
    trainer = lightning.Trainer(
        max_epochs=EPOCHS, callbacks=callbacks, logger=False, enable_progress_bar=False,
        enable_model_summary=False, accelerator="cpu", default_root_dir=folder,
    )  # fmt: skip
    trainer.fit(module, data(), data())
    return folder, measured, module


def test_lightnings_epochs_steps_and_metrics(trained: tuple[Path, list[Any], Any]) -> None:
    folder, measured, _ = trained
    for where, key in {"loss": "val_loss", "acc": "val/acc"}.items():
        found = effcam.checkpoints(folder / where, SPEC)
        assert list(found)[:EPOCHS] == ["epoch 0", "epoch 1", "epoch 2"]
        for epoch, spec in enumerate(list(found.values())[:EPOCHS]):
            assert spec.training is not None
            assert (spec.training.epoch, spec.training.step) == (epoch, 2 * epoch + 2)
            name, value = next(iter(spec.training.metrics.items()))
            assert (name, value) == (key, pytest.approx(measured[epoch][key]))
    # What other callbacks measured is that of the file's own epoch, or left out.
    for file in folder.rglob("*.ckpt"):
        stage = read_stage(file)
        for name, value in stage.metrics.items():
            assert value == pytest.approx(measured[int(stage.epoch or 0)][name])


def test_last_and_steps_within_an_epoch(trained: tuple[Path, list[Any], Any]) -> None:
    folder = trained[0]
    assert list(effcam.checkpoints(folder / "loss", SPEC))[-2:] == ["epoch 2", "epoch 2 (last)"]
    assert list(effcam.checkpoints(folder / "mid", SPEC))[:3] == [
        "epoch 0, step 1",
        "epoch 0, step 2",
        "epoch 1, step 3",
    ]


def test_lightnings_weights_are_those_of_the_network(trained: tuple[Path, list[Any], Any]) -> None:
    folder, _, module = trained
    columns = effcam.checkpoints(folder / "loss", SPEC)
    found = effcam.compare(PHOTOS, columns, device="cpu", progress=False)
    own = effcam.load_model(module.model.eval(), preprocess=PREPROCESS)
    expected = effcam.compare(PHOTOS, own, device="cpu", progress=False)
    for image in range(len(PHOTOS)):
        heatmap = found[image, "epoch 2"].heatmap
        np.testing.assert_allclose(heatmap, expected[image, 0].heatmap, atol=1e-5)
    assert [row["epoch"] for row in found.timeline_table()] == [0, 1, 2, 2]


def test_folders_of_transformers_trainer(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], num_labels=CLASSES,
        layer_type="basic",
    )  # fmt: skip
    make = transformers.ResNetForImageClassification
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    pairs = [{"pixel_values": each, "labels": at % CLASSES} for at, each in enumerate(images)]
    arguments = transformers.TrainingArguments(
        str(tmp_path / "out"), num_train_epochs=2, per_device_train_batch_size=4,
        save_strategy="epoch", eval_strategy="epoch", report_to=[], use_cpu=True,
        disable_tqdm=True,
    )  # fmt: skip
    trainer = transformers.Trainer(
        make(config),
        arguments,
        train_dataset=pairs,
        eval_dataset=pairs,
        compute_metrics=lambda p: {
            "accuracy": float((p.predictions.argmax(-1) == p.label_ids).mean())
        },
    )
    trainer.train()
    spec = ModelSpec("mine", constructor=lambda: make(config), preprocess=PREPROCESS)
    found = effcam.checkpoints(tmp_path / "out", spec)
    assert list(found) == ["epoch 1", "epoch 2"]
    logged = [each for each in trainer.state.log_history if "eval_accuracy" in each]
    for each, log in zip(found.values(), logged, strict=True):
        assert each.training is not None
        assert each.training.step == log["step"]
        assert each.training.metrics["eval_accuracy"] == log["eval_accuracy"]
        assert next(iter(each.training.metrics)).startswith("eval_")
    compared = effcam.compare(PHOTOS, found, device="cpu", progress=False)
    assert [each.training and each.training.epoch for each in compared.facts] == [1, 2]


def test_layers_that_transformers_saves_under_other_names(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        image_size=32, patch_size=8, num_labels=CLASSES,
    )  # fmt: skip

    def build() -> Any:
        return transformers.ViTForImageClassification(config)

    networks = [build().eval() for _ in range(2)]
    for at, network in enumerate(networks):
        network.save_pretrained(tmp_path / f"checkpoint-{10 * (at + 1)}")
    spec = ModelSpec("vit", constructor=build, preprocess=PREPROCESS)
    columns = effcam.checkpoints(tmp_path, spec)
    assert list(columns) == ["step 10", "step 20"]
    for network, column in zip(networks, columns.values(), strict=True):
        own = effcam.load_model(column).module.state_dict()
        assert all(torch.equal(own[name], each) for name, each in network.state_dict().items())
    small = transformers.ViTConfig(**{**config.to_dict(), "num_hidden_layers": 1})
    odd = ModelSpec("vit", constructor=lambda: transformers.ViTForImageClassification(small))
    with pytest.raises(WeightsError, match="does not fit vit"):
        effcam.compare(PHOTOS, effcam.checkpoints(tmp_path, odd), progress=False)

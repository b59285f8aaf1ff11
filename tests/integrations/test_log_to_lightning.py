"""Loggers of Lightning, as trainers have them, log comparisons to the tracker inside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from effcam.errors import ArgumentError
from tests.integrations import logged

pytestmark = pytest.mark.integrations


def test_tensorboard(tmp_path: Path) -> None:
    from lightning.pytorch.loggers import TensorBoardLogger

    logger = TensorBoardLogger(tmp_path)
    logger.log_metrics({"loss": 1.0}, 0)
    logger.finalize("success")
    logged.comparison().log(logger, step=3, pictures=1)
    log = logged.tensorboard_log(Path(logger.log_dir))
    assert log.Images("effcam/grid")[0].step == 3
    assert Path(logger.log_dir, "effcam", "step_000003", "report.html").is_file()


def test_wandb_keeps_the_axis_of_lightning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import wandb
    from lightning.pytorch.loggers import WandbLogger

    # The logger sets this, which wandb reads once in a process.
    monkeypatch.setenv("WANDB_MODE", "offline")
    wandb.teardown()
    logger = WandbLogger(save_dir=tmp_path, offline=True, project="test")
    try:
        for batch in range(5):
            logger.log_metrics({"loss": 1.0}, batch)
        logged.comparison().log(logger, step=3, report=False, pictures=0)
    finally:
        wandb.finish()
    rows = logged.wandb_history(tmp_path)
    assert [row["trainer/global_step"] for row in rows] == [0, 1, 2, 3, 4, 3]
    assert "effcam/gini/demo_resnet" in rows[-1]
    assert "effcam/step" not in rows[-1]


@logged.MLFLOW_WARNS[0]
@logged.MLFLOW_WARNS[1]
def test_mlflow(tmp_path: Path) -> None:
    from lightning.pytorch.loggers import MLFlowLogger

    logger = MLFlowLogger(
        tracking_uri=f"sqlite:///{tmp_path}/mlflow.db",
        artifact_location=(tmp_path / "artifacts").as_uri(),
    )
    logged.comparison().log(logger, step=3, report=False, pictures=0)
    client: Any = logger.experiment
    history = client.get_metric_history(logger.run_id, "effcam/gini/demo_resnet")
    assert [each.step for each in history] == [3]


def test_other_loggers_are_refused_without_a_trace(tmp_path: Path) -> None:
    from lightning.pytorch.loggers import CSVLogger

    with pytest.raises(ArgumentError, match="Lightning's TensorBoardLogger, WandbLogger or MLFlow"):
        logged.comparison().log(CSVLogger(tmp_path))
    assert not list(tmp_path.iterdir())


def test_only_the_first_process_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lightning.pytorch.loggers import TensorBoardLogger
    from lightning.pytorch.utilities.rank_zero import rank_zero_only

    monkeypatch.setattr(rank_zero_only, "rank", 1, raising=False)
    logged.comparison().log(TensorBoardLogger(tmp_path), step=3)
    assert not list(tmp_path.iterdir())

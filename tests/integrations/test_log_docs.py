"""The code of the page on trackers runs, beside the real packages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.integrations import logged
from tests.project.test_docs_code import PAGES, code

pytestmark = [pytest.mark.integrations, *logged.MLFLOW_WARNS]


def test_every_block_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_SILENT", "true")
    page = PAGES["docs/howto/trackers.md"]
    page = replace(page, blocks=[replace(block, skip="") for block in page.blocks])
    code.run(page, tmp_path / "page")
    made = {path.name for path in (tmp_path / "page").iterdir()}
    assert {"runs", "wandb", "mlflow.db", "lightning_logs"} <= made
    log = logged.tensorboard_log(tmp_path / "page" / "runs" / "exp1")
    assert [event.step for event in log.Images("effcam/grid")] == [0, 1, 2]

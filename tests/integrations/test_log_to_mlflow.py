"""Comparisons in runs of MLflow on a local database, read back by its client."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from effcam.errors import ArgumentError, OutputError
from tests.integrations import logged

pytestmark = [pytest.mark.integrations, *logged.MLFLOW_WARNS]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Yield ``mlflow`` with a database of its own, whose tables take seconds to make."""
    import mlflow

    folder, before = tmp_path_factory.mktemp("mlflow"), mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    # Artifacts lie where the database is made.
    with contextlib.chdir(folder):
        mlflow.search_experiments()
    yield mlflow
    mlflow.set_tracking_uri(before)


def artifacts(client: Any, run_id: str, folder: str | None = None) -> list[str]:
    found = []
    for each in client.list_artifacts(run_id, folder):
        found += artifacts(client, run_id, each.path) if each.is_dir else [each.path]
    return found


def test_a_run_has_images_curves_a_table_and_pages(server: Any, tmp_path: Path) -> None:
    comparison, labels = logged.comparison(), ("demo_resnet", "b0 _ 7_7 é")
    with server.start_run() as run:
        for step in range(3):
            comparison.log(server, step=step)
    client, run_id = server.MlflowClient(), run.info.run_id
    for key, column, value in logged.figures():
        history = client.get_metric_history(run_id, f"effcam/{key}/{labels[column]}")
        assert [(each.step, each.value) for each in history] == [(s, value) for s in range(3)]
    paths = artifacts(client, run_id)
    expected = dict(
        zip(
            ["grid", *(f"pictures~{image.name}" for image in comparison.images)],
            [logged.drawn(), *logged.frames()],
            strict=True,
        )
    )
    for name, picture in expected.items():
        (path,) = (
            path
            for path in paths
            if path.startswith(f"images/effcam~{name}+step+1+") and path.endswith(".png")
        )
        local = Path(client.download_artifacts(run_id, path, str(tmp_path)))
        assert np.array_equal(logged.pixels(local), picture)
    folder = Path(client.download_artifacts(run_id, "effcam/step_000001", str(tmp_path)))
    files = {"notes.txt", "report.html", "summary.html", "summary.md", "table.json"}
    assert {path.name for path in folder.iterdir()} == files
    notes = (folder / "notes.txt").read_text()
    assert all(note in notes for note in comparison.summary().notes)
    assert "'b0 = 7/7 é' is 'b0 _ 7_7 é'" in notes
    table = server.load_table("effcam/step_000001/table.json", run_ids=[run_id])
    assert_table(table, comparison.table())


def assert_table(table: Any, rows: list[dict[str, object]]) -> None:
    assert list(table) == list(rows[0])
    for name in table:
        for found, row in zip(table[name], rows, strict=True):
            value = row[name]
            same = found == value or (isinstance(value, float) and math.isclose(found, value))
            assert same or (value is None and math.isnan(found)), name


def test_a_table_logged_again_is_replaced(server: Any) -> None:
    comparison = logged.comparison()
    with server.start_run() as run:
        comparison.log(run, report=False, pictures=0)
        comparison.take([2]).log(run, report=False, pictures=0)
    run_id = run.info.run_id
    table = server.load_table("effcam/table.json", run_ids=[run_id])
    assert_table(table, comparison.take([2]).table())
    tags = server.get_run(run_id).data.tags
    assert json.loads(tags["mlflow.loggedArtifacts"]) == [
        {"path": "effcam/table.json", "type": "table"}
    ]


def test_a_run_that_has_ended_takes_more_by_client_and_id(server: Any) -> None:
    with server.start_run() as run:
        pass
    client, run_id = server.MlflowClient(), run.info.run_id
    logged.comparison().log((client, run_id), step=4, report=False, pictures=0)
    assert client.get_metric_history(run_id, "effcam/gini/demo_resnet")[0].step == 4
    assert client.get_run(run_id).info.status == "FINISHED"


def test_what_has_no_run_is_refused(server: Any) -> None:
    comparison, client = logged.comparison(), server.MlflowClient()
    with pytest.raises(OutputError, match="mlflow has no active run"):
        comparison.log(server)
    with pytest.raises(ArgumentError, match=r"give \(client, run_id\)"):
        comparison.log(client)
    with pytest.raises(OutputError, match="cannot log to the MLflow run 0123"):
        comparison.log((client, "0123"))
    with server.start_run() as run:
        pass
    client.delete_run(run.info.run_id)
    with pytest.raises(OutputError, match="it was deleted"):
        comparison.log(run)

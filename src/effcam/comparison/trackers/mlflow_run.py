"""MLflow: image charts, metrics, a table and pages among the artifacts of a run."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from effcam.comparison.trackers import texts
from effcam.comparison.trackers.entry import Entry
from effcam.comparison.trackers.names import accepted
from effcam.errors import OutputError, reason_of
from effcam.text import json_value

TRACKER = "MLflow"
PATHS = r"^[. ]+|[. ]+$"
"""What may make another path of a name, as a point alone does."""
REFUSED = rf"[^\w. -]|{PATHS}"
"""What is not accepted in the names of metrics on every system, and ``/``, at which MLflow opens a
folder."""
REFUSED_IN_IMAGES = rf"[^A-Za-z0-9_. -]|{PATHS}"
"""The same for the names of images."""
BATCH = 1000
"""The most metrics that MLflow takes at once."""


def is_run(to: object) -> bool:
    """Return whether an object is a run of MLflow, active or fetched."""
    return _is_mlflow(to) and hasattr(getattr(to, "info", None), "run_id")


def is_client(to: object) -> bool:
    """Return whether an object is a client of MLflow."""
    return _is_mlflow(to) and callable(getattr(to, "log_batch", None))


def active_run(module: Any) -> tuple[Any, str]:
    """Return a client and the id of the run of ``mlflow`` that is active.

    Raises:
        OutputError: If there is none.
    """
    run = module.active_run()
    if run is None:
        raise OutputError("mlflow has no active run: start one with mlflow.start_run()")
    return of_run(run)


def of_run(run: Any) -> tuple[Any, str]:
    """Return a client of the current tracking server and the id of a run."""
    from mlflow.tracking import MlflowClient

    return MlflowClient(), run.info.run_id


def check_run(client: Any, run_id: str) -> None:
    """Check that a run exists. MLflow accepts what is logged after the end of a run.

    Raises:
        OutputError: If there is no such run, it was deleted, or pandas is not installed.
    """
    if find_spec("pandas") is None:
        raise OutputError("tables of MLflow need pandas: pip install 'effcam[mlflow]'")
    with _failures(run_id):
        stage = client.get_run(run_id).info.lifecycle_stage
    if stage == "deleted":
        raise OutputError(
            f"cannot log to the MLflow run {run_id}: it was deleted. MlflowClient().restore_run"
            f"({run_id!r}) brings it back."
        )


def write(client: Any, run_id: str, entry: Entry) -> None:
    """Write an entry to a run.

    Raises:
        OutputError: If MLflow refuses what is logged.
    """
    columns = accepted(entry.summary.columns, REFUSED, kind="column", tracker=TRACKER)
    images = accepted(tuple(entry.pictures), REFUSED_IN_IMAGES, kind="image", tracker=TRACKER)
    notes = [*entry.notes, *columns.notes, *images.notes]
    with _failures(run_id):
        _write_metrics(client, run_id, entry, columns.texts)
        step = entry.step or 0
        if entry.grid is not None:
            client.log_image(run_id, entry.grid, key=f"{entry.name}/grid", step=step)
        for name, picture in zip(images.texts, entry.pictures.values(), strict=True):
            client.log_image(run_id, picture, key=f"{entry.name}/pictures/{name}", step=step)
        _write_files(client, run_id, entry, notes)


def _write_metrics(client: Any, run_id: str, entry: Entry, columns: tuple[str, ...]) -> None:
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    metrics = [
        Metric(f"{entry.name}/{key}/{columns[column]}", value, now, entry.step or 0)
        for key, column, value in entry.figures()
    ]
    for at in range(0, len(metrics), BATCH):
        client.log_batch(run_id, metrics=metrics[at : at + BATCH])


def _write_files(client: Any, run_id: str, entry: Entry, notes: list[str]) -> None:
    """Write the table, the summary, the notes and the report, in a folder of the step's own."""
    folder = "/".join(filter(None, [entry.name, texts.step_name(entry.step)]))
    pages = {
        "summary.html": texts.summary_page(entry, notes),
        "summary.md": texts.summary_markdown(entry),
        "notes.txt": "\n".join(notes) + "\n",
        "report.html": entry.page,
    }
    for name, text in pages.items():
        if text is not None:
            client.log_text(run_id, text, f"{folder}/{name}")
    _write_table(client, run_id, entry.table, folder)


def _write_table(client: Any, run_id: str, rows: list[dict[str, object]], folder: str) -> None:
    """Write a table, or replace the one of the same step."""
    path, heads = f"{folder}/table.json", list(rows[0])
    if path in {file.path for file in client.list_artifacts(run_id, folder)}:
        # MLflow itself would add the rows to those that it has.
        data = json_value([[row[head] for head in heads] for row in rows])
        client.log_text(run_id, json.dumps({"columns": heads, "data": data}), path)
    else:
        client.log_table(run_id, {head: [row[head] for row in rows] for head in heads}, path)


def _is_mlflow(to: object) -> bool:
    return type(to).__module__.partition(".")[0] == "mlflow"


@contextlib.contextmanager
def _failures(run_id: str) -> Iterator[None]:
    """Raise what MLflow refuses as an OutputError."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        raise OutputError(f"cannot log to the MLflow run {run_id}: {reason_of(error)}") from error

"""Weights & Biases: images, a table, pages and scalars in the history of a run.

W&B drops what is logged at a step below that of its history. So the step given is also logged as a
figure of its own, and is the horizontal axis of the curves: nothing is lost if W&B's own counter
is ahead, as it is of epochs where every batch is logged.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from effcam.comparison.trackers import texts
from effcam.comparison.trackers.entry import Entry
from effcam.comparison.trackers.names import accepted
from effcam.errors import OutputError, reason_of

TRACKER = "W&B"
REFUSED = r"[^A-Za-z0-9_]"
"""What W&B cannot sort and filter by, and ``/``, at which it opens another group.

See https://docs.wandb.ai/support/models/articles/why-cant-i-sort-or-filter-metrics-with-c
"""
MOST_ROWS = 10_000
"""The rows of a table beyond which W&B drops them, with a line in a log at most."""


def is_run(to: object) -> bool:
    """Return whether an object is a run of W&B."""
    kind = type(to)
    return kind.__module__.partition(".")[0] == "wandb" and hasattr(kind, "define_metric")


def active_run(module: Any) -> Any:
    """Return the run of ``wandb`` that is active.

    Raises:
        OutputError: If there is none.
    """
    if module.run is None:
        raise OutputError("wandb has no active run: start one with wandb.init()")
    return module.run


def check_run(run: Any) -> None:
    """Check that a run has not ended.

    Raises:
        OutputError: If it has.
    """
    # Asking an ended run for its step waits for half a minute.
    if getattr(run, "_is_finished", False):
        raise OutputError(
            f"cannot log to the W&B run {run.id}: it has ended. Log before run.finish(), or resume "
            f"it: wandb.init(id={run.id!r}, resume='must')"
        )


def write(run: Any, entry: Entry, *, axis: str | None = None) -> None:
    """Write an entry to a run.

    Args:
        run: The run.
        entry: What to write.
        axis: The name of the figure that holds the step, if the run has one; ``None`` defines one
            and gives the step to W&B too, unless its history is beyond it.

    Raises:
        OutputError: If the run has ended, or W&B refuses what is logged.
    """
    if getattr(run, "disabled", False):
        return
    with _failures(run):
        values = _values(entry)
        if entry.step is None:
            run.log(values)
        elif axis is not None:
            run.log(values | {axis: entry.step})
        else:
            axis = f"{entry.name}/step"
            run.define_metric(axis, hidden=True)
            run.define_metric(f"{entry.name}/*", step_metric=axis)
            run.log(values | {axis: entry.step}, step=_history_step(run, entry.step))


def _history_step(run: Any, step: int) -> int | None:
    """Return the step for W&B itself; ``None`` for its next one, if it would drop this one."""
    if run.settings.mode == "shared":
        # The history is on the server, where other processes write to it.
        return None
    return step if step >= run.step else None


def _values(entry: Entry) -> dict[str, object]:
    import wandb

    columns = accepted(entry.summary.columns, REFUSED, kind="column", tracker=TRACKER)
    notes = [*entry.notes, *columns.notes]
    heads = list(entry.table[0])
    rows = [[row[head] for head in heads] for row in entry.table[:MOST_ROWS]]
    if len(rows) < len(entry.table):
        notes.append(f"The table has the first {len(rows):,} of {len(entry.table):,} rows.")
    values: dict[str, object] = {
        f"{key}/{columns.texts[column]}": value for key, column, value in entry.figures()
    }
    if entry.grid is not None:
        values["grid"] = wandb.Image(entry.grid)
        values["pictures"] = [
            wandb.Image(picture, caption=name) for name, picture in entry.pictures.items()
        ]
    values["table"] = wandb.Table(columns=heads, data=rows)
    values["notes"] = "\n".join(notes)
    pages = {"summary": texts.summary_page(entry, notes), "report": entry.page}
    values |= {
        key: wandb.Html(page, inject=False, data_is_not_path=True)
        for key, page in pages.items()
        if page is not None
    }
    return {f"{entry.name}/{key}": value for key, value in values.items()}


@contextlib.contextmanager
def _failures(run: Any) -> Iterator[None]:
    """Raise what W&B refuses as an OutputError."""
    import wandb

    try:
        yield
    except (wandb.Error, OSError) as error:
        raise OutputError(f"cannot log to the W&B run {run.id}: {reason_of(error)}") from error

"""TensorBoard: images, text and scalars; report and whole table are files in the log folder.

Writers of torch and of tensorboardX are taken, or the path of a log folder. TensorBoard groups by
the part of a name before the first ``/``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from effcam.comparison.trackers import texts
from effcam.comparison.trackers.entry import Entry
from effcam.comparison.trackers.names import Names, accepted
from effcam.errors import ArgumentError, OutputError, reason_of
from effcam.files import atomic
from effcam.text import listed

TRACKER = "TensorBoard"
CLEANED = r"[^\w/.-]"
"""What tensorboardX itself replaces, without regard to names that become equal."""
OTHERS = ("", "mlflow", "wandb")
SERVERS = ("databricks", "file", "http", "https", "mssql", "mysql", "postgresql", "sqlite")
FIELDS = (
    *("image", "column", "label", "probability", "value", "predicted_label"),
    *("predicted_probability", "state", "flags"),
)
"""The fields of the table that fit a browser's window: those that differ from cell to cell."""
MOST_ROWS = 100
NAMES = {"table.csv": "The whole table", "report.html": "The report"}


def is_writer(to: object) -> bool:
    """Return whether an object offers what a SummaryWriter does."""
    return all(
        callable(getattr(to, name, None))
        for name in ("add_image", "add_text", "add_scalar", "flush", "close")
    )


def require_tensorboard() -> None:
    """Check that TensorBoard is installed.

    Raises:
        OutputError: If it is not.
    """
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError as error:
        raise OutputError(
            "a TensorBoard log needs tensorboard: pip install 'effcam[tensorboard]'"
        ) from error


def check_folder(path: str | PathLike[str]) -> str:
    """Check that a path can be a log folder, and return it.

    Raises:
        ArgumentError: If it is meant for another tracker: the name of one, or a server's address.
        OutputError: If TensorBoard is not installed, or the path is a file.
    """
    text = str(path)
    if path in OTHERS:
        raise ArgumentError(
            f"cannot log to {path!r}: expected the folder of a TensorBoard log, or a run or the "
            "module of W&B or MLflow. For a folder of this name, give a pathlib.Path"
        )
    if text.partition("://")[0] in SERVERS:
        raise ArgumentError(
            f"cannot log to {text!r}: expected the folder of a TensorBoard log, not an address. A "
            "run of MLflow on a server is (MlflowClient(address), run_id)"
        )
    require_tensorboard()
    if _is_remote(text):
        return text
    folder = Path(text).expanduser()
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"cannot log to {text!r}: it is a file, not a folder")
    return str(folder)


def write_folder(folder: str, entry: Entry) -> None:
    """Write an entry to a log folder, which is made if need be.

    Raises:
        OutputError: If it cannot be written to.
    """
    from torch.utils.tensorboard import SummaryWriter

    with _failures(folder), SummaryWriter(folder) as writer:
        write(writer, entry)


def write(writer: Any, entry: Entry) -> None:
    """Write an entry by a SummaryWriter of torch or tensorboardX.

    A writer that was closed opens a new file in its folder, as for all calls, and is closed again.

    Raises:
        OutputError: If the writer cannot write.
    """
    folder = str(getattr(writer, "log_dir", None) or getattr(writer, "logdir", ""))
    closed = getattr(writer, "all_writers", ()) is None
    with _failures(folder):
        _write(writer, entry, folder)
        writer.flush()
        if closed:
            writer.close()


def _write(writer: Any, entry: Entry, folder: str) -> None:
    columns = _accepted(writer, entry.summary.columns, "column")
    images = _accepted(writer, tuple(entry.pictures), "image")
    notes = [*entry.notes, *columns.notes, *images.notes]
    name, step = entry.name, entry.step
    if entry.grid is not None:
        writer.add_image(f"{name}/grid", np.asarray(entry.grid), step, dataformats="HWC")
    for tag, picture in zip(images.texts, entry.pictures.values(), strict=True):
        writer.add_image(f"{name}/pictures/{tag}", np.asarray(picture), step, dataformats="HWC")
    for key, column, value in entry.figures():
        writer.add_scalar(f"{name}/{key}/{columns.texts[column]}", value, step)
    notes += _write_files(entry, folder)
    writer.add_text(f"{name}/summary", texts.summary_markdown(entry), step)
    writer.add_text(f"{name}/table", _table(entry, notes), step)
    writer.add_text(f"{name}/notes", texts.notes_markdown(notes), step)


def _accepted(writer: object, names: Sequence[str], kind: str) -> Names:
    if type(writer).__module__.partition(".")[0] == "tensorboardX":
        return accepted(names, CLEANED, kind=kind, tracker="tensorboardX")
    return Names(tuple(names), ())


def _table(entry: Entry, notes: list[str]) -> str:
    """Return the table, of as many rows and fields as are read in a browser."""
    rows = [{name: row[name] for name in FIELDS} for row in entry.table[:MOST_ROWS]]
    if len(rows) < len(entry.table):
        notes.append(f"This table has the first {len(rows):,} of {len(entry.table):,} rows.")
    return texts.table_markdown(rows)


def _write_files(entry: Entry, folder: str) -> Iterator[str]:
    """Write what TensorBoard cannot show into the log folder, and yield notes on where it is."""
    files = {"table.csv": texts.table_csv(entry.table), "report.html": entry.page}
    wanted = {name: text for name, text in files.items() if text is not None}
    if not folder or _is_remote(folder):
        yield f"The log folder is not on this machine: {listed(list(wanted))} are not written."
        return
    path = Path(folder, entry.name, texts.step_name(entry.step))
    path.mkdir(parents=True, exist_ok=True)
    for name, text in wanted.items():
        with atomic(path / name) as partial:
            partial.write_text(text, encoding="utf-8", newline="\n")
        yield f"{NAMES[name]} is the file {path / name}."


def _is_remote(folder: str) -> bool:
    return "://" in folder


@contextlib.contextmanager
def _failures(folder: str) -> Iterator[None]:
    """Raise what cannot be written as an OutputError."""
    # A bucket's package has exceptions of its own.
    kinds: type[Exception] = Exception if _is_remote(folder) else OSError
    try:
        yield
    except OutputError:
        raise
    except kinds as error:
        raise OutputError(
            f"cannot write to the TensorBoard log {folder!r}: {reason_of(error)}"
        ) from error

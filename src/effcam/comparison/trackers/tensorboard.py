"""TensorBoard: images, text and scalars; the report is a file in the log folder.

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
from effcam.errors import OutputError, reason_of
from effcam.files import atomic

TRACKER = "TensorBoard"
CLEANED = r"[^\w/.-]"
"""What tensorboardX itself replaces, without regard to names that become equal."""


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
        OutputError: If TensorBoard is not installed, or the path is a file.
    """
    require_tensorboard()
    text = str(path)
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
    if entry.page is not None:
        notes.append(_write_page(entry.page, folder, entry))
    writer.add_text(f"{name}/summary", texts.summary_markdown(entry), step)
    writer.add_text(f"{name}/table", _table(entry, notes), step)
    writer.add_text(f"{name}/notes", texts.notes_markdown(notes), step)


def _accepted(writer: object, names: Sequence[str], kind: str) -> Names:
    if type(writer).__module__.partition(".")[0] == "tensorboardX":
        return accepted(names, CLEANED, kind=kind, tracker="tensorboardX")
    return Names(tuple(names), ())


def _table(entry: Entry, notes: list[str]) -> str:
    """Return the table of the images that are drawn: a text of a thousand rows helps nobody."""
    rows = [row for row in entry.table if row["image"] in entry.pictures]
    if len(rows) < len(entry.table):
        notes.append(f"The table has the first {len(rows):,} of {len(entry.table):,} rows.")
    return texts.table_markdown(rows) if rows else ""


def _write_page(page: str, folder: str, entry: Entry) -> str:
    """Write the report as a file of the log folder, and return a note on where it is."""
    if not folder or _is_remote(folder):
        return "The report is not logged: the log folder is not on this machine."
    path = Path(folder, entry.name, _page_name(entry))
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as partial:
        partial.write_text(page, encoding="utf-8", newline="\n")
    return f"TensorBoard shows no pages: the report is {path}."


def _page_name(entry: Entry) -> str:
    return "_".join(filter(None, ["report", texts.step_name(entry.step)])) + ".html"


def _is_remote(folder: str) -> bool:
    return "://" in folder


@contextlib.contextmanager
def _failures(folder: str) -> Iterator[None]:
    """Raise what cannot be written as an OutputError."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(
            f"cannot write to the TensorBoard log {folder!r}: {reason_of(error)}"
        ) from error

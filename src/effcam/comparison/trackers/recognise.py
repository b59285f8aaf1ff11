"""Recognise the tracker that an object belongs to, without importing any."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from os import PathLike
from typing import TypeAlias

from effcam.comparison.trackers import tensorboard
from effcam.comparison.trackers.entry import Entry
from effcam.errors import ArgumentError
from effcam.text import quote

Write: TypeAlias = Callable[[Entry], None]

TAKEN = "a folder for TensorBoard or a SummaryWriter"


def find_tracker(to: object) -> Write:
    """Return what writes an entry to a tracker.

    Raises:
        ArgumentError: If an object belongs to no tracker that is known.
        OutputError: If a package is not installed, or the tracker accepts no more.
    """
    if isinstance(to, str | PathLike):
        return partial(tensorboard.write_folder, tensorboard.check_folder(to))
    if tensorboard.is_writer(to):
        return partial(tensorboard.write, to)
    raise ArgumentError(f"cannot log to {quote(to)}: expected {TAKEN}")

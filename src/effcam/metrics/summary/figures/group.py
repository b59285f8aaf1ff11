"""What every group of figures does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from effcam.metrics.summary.records import Measure
from effcam.metrics.summary.rows import Selection


class Measured(NamedTuple):
    """The measures of a group, and notes for the reader in whole sentences."""

    measures: Sequence[Measure]
    notes: Sequence[str] = ()


class Group(Protocol):
    """A group of figures, measured over images that come some at a time."""

    def add(self, selection: Selection) -> None:
        """Measure some images."""

    def finish(self) -> Measured:
        """Return the measures of all images added; none where the group does not apply."""

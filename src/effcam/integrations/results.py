"""The files that a training leaves: pictures, tables, and the columns themselves."""

from __future__ import annotations

import csv
import math
import time
from pathlib import Path

from effcam.comparison.comparison import Comparison
from effcam.files import atomic
from effcam.integrations.history import History

HISTORY = "history.npz"
"""The file with all columns, from which a training that goes on takes them."""
DRAWN = 6
"""The most columns of the picture that is drawn each time."""
LOGGED = 12
"""The most columns of what is logged at the end."""


class Results:
    """Write what was shown of a training into a folder.

    Attributes:
        drawing: How long it took to draw a column the last time, in s.
    """

    def __init__(self, folder: Path) -> None:
        """Write nothing yet.

        Args:
            folder: The folder.
        """
        self._folder = folder
        self.drawing = 0.0

    def draw(self, history: History) -> None:
        """Write ``latest.png``: the photos, and columns from the first to the latest one."""
        begin = time.perf_counter()
        shown = history.comparison(DRAWN)
        shown.save(self._folder / "latest.png")
        self.drawing = (time.perf_counter() - begin) / len(shown.columns)

    def tabulate(self, history: History) -> None:
        """Write ``predictions.csv`` and ``figures.csv``."""
        history.comparison().save(self._folder / "predictions.csv")
        rows = history.records()
        names = list(dict.fromkeys(name for row in rows for name in row))
        with (
            atomic(self._folder / "figures.csv") as partial,
            partial.open("w", newline="", encoding="utf-8") as stream,
        ):
            writer = csv.DictWriter(stream, names)
            writer.writeheader()
            writer.writerows(rows)

    def keep(self, history: History) -> None:
        """Write ``history.npz``, from which a training that goes on takes the columns."""
        with atomic(self._folder / HISTORY) as partial:
            partial.write_bytes(history.pack())

    def kept(self) -> bytes | None:
        """Return what `keep` wrote; ``None`` if there is nothing."""
        file = self._folder / HISTORY
        return file.read_bytes() if file.is_file() else None

    def animate(self, history: History) -> None:
        """Write ``epochs.gif``, with a frame for each column."""
        history.comparison().save(self._folder / "epochs.gif", rows="models")

    def draw_timeline(self, history: History) -> None:
        """Write ``timeline.png``: focus, localisation and agreement over the training."""
        history.comparison().timeline().save(self._folder / "timeline.png")


def figures_of(made: Comparison) -> dict[str, float]:
    """Return what `effcam.Summary` measures on all images of one column, by name.

    Each is followed by the ends of its 95 % interval, ``_low`` and ``_high``, and by the number of
    images, ``_n``. Figures that need annotations which the images do not have are left out.
    """
    found: dict[str, float] = {}
    for measure in made.summary(fair=False).measures:
        key = measure.figure.key
        values = (float(each[0]) for each in (measure.values, measure.low, measure.high))
        found |= dict(zip((key, f"{key}_low", f"{key}_high"), values, strict=True))
        found[f"{key}_n"] = int(measure.counts[0])
        if not math.isfinite(found[key]):
            for name in (key, f"{key}_low", f"{key}_high", f"{key}_n"):
                del found[name]
    return found

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
ANIMATION, TIMELINE = AT_THE_END = ("epochs.gif", "timeline.png")
"""The files that are written at the end."""
DRAWN = 6
"""The most columns of the picture that is drawn each time."""
WIDTH = 160
"""The width of a cell in pictures that are drawn again and again, px."""
LOGGED = 12
"""The most columns of what is logged at the end."""


class Results:
    """Write what was shown of a training into a folder.

    Attributes:
        folder: The folder.
        drawing: How long it took to draw a column the last time, in s.
    """

    def __init__(self, folder: Path) -> None:
        """Write nothing yet.

        Args:
            folder: The folder.
        """
        self.folder = folder
        self.drawing = 0.0

    def clear(self) -> None:
        """Remove what an earlier training wrote at its end: it would pass for this one's."""
        for name in AT_THE_END:
            (self.folder / name).unlink(missing_ok=True)

    def draw(self, history: History) -> None:
        """Write ``latest.png``: the photos, and columns from the first to the latest one."""
        begin = time.perf_counter()
        shown = history.comparison(DRAWN)
        shown.save(self.folder / "latest.png", width=WIDTH)
        self.drawing = (time.perf_counter() - begin) / len(shown.columns)

    def tabulate(self, history: History) -> None:
        """Write ``predictions.csv`` and ``figures.csv``."""
        history.comparison().save(self.folder / "predictions.csv")
        rows = history.records()
        names = list(dict.fromkeys(name for row in rows for name in row))
        with (
            atomic(self.folder / "figures.csv") as partial,
            partial.open("w", newline="", encoding="utf-8") as stream,
        ):
            writer = csv.DictWriter(stream, names)
            writer.writeheader()
            writer.writerows(rows)

    def keep(self, history: History) -> None:
        """Write ``history.npz``, from which a training that goes on takes the columns."""
        with atomic(self.folder / HISTORY) as partial:
            partial.write_bytes(history.pack())

    def kept(self) -> bytes | None:
        """Return what `keep` wrote; ``None`` if there is nothing."""
        file = self.folder / HISTORY
        return file.read_bytes() if file.is_file() else None

    def animate(self, history: History) -> None:
        """Write ``epochs.gif``, with a frame for each column."""
        history.comparison().save(self.folder / ANIMATION, rows="models")

    def draw_timeline(self, history: History) -> None:
        """Write ``timeline.png``: focus, localisation and agreement over the training."""
        drawn = history.comparison().timeline()
        with atomic(self.folder / TIMELINE) as partial:
            drawn.savefig(partial)


def figures_of(made: Comparison) -> dict[str, float]:
    """Return what `effcam.Summary` measures on all images of one column, by name.

    Each is followed by the ends of its 95 % interval, ``_low`` and ``_high``, and by the number of
    images, ``_n``. Figures that need annotations which the images do not have are left out.
    """
    found: dict[str, float] = {}
    for measure in made.summary(fair=False).measures:
        key, count = measure.figure.key, int(measure.counts[0])
        value, *ends = (float(each[0]) for each in (measure.values, measure.low, measure.high))
        if not math.isfinite(value):
            continue
        found[key] = value
        if all(map(math.isfinite, ends)):
            found |= {f"{key}_low": ends[0], f"{key}_high": ends[1]}
        if count:  # not for what the network has without images, as its parameters
            found[f"{key}_n"] = count
    return found

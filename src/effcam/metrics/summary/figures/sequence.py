"""The group "sequence": how steady maps are from one frame of a video to the next."""

from __future__ import annotations

from collections.abc import Sequence

from effcam.metrics.estimates import Means
from effcam.metrics.inference import CORRELATION, SHARE
from effcam.metrics.summary.figures.group import Measured, measure
from effcam.metrics.summary.notes import sequence_note
from effcam.metrics.summary.records import Figure
from effcam.metrics.summary.rows import Selection
from effcam.metrics.temporal import find_pairs, pair_figures
from effcam.models.facts import ModelFacts

FIGURES = (
    Figure(
        "temporal_stability",
        "stability",
        "sequence",
        None,
        "",
        3,
        "The mean rank correlation of the maps of two frames that follow each other.",
        CORRELATION,
    ),
    Figure(
        "centre_shift",
        "centre shift",
        "sequence",
        None,
        "%",
        2,
        "How far the heat's centre of mass moves from one frame to the next, as a share of the "
        "image's diagonal, the mean.",
        SHARE,
    ),
)


class SequenceFigures:
    """Means over pairs of frames; the frames of a video must come in one part."""

    def __init__(self, columns: int, facts: Sequence[ModelFacts]) -> None:
        del facts
        self._means = {each.key: Means(columns) for each in FIGURES}
        self._count = 0

    def add(self, selection: Selection) -> None:
        """Measure the pairs of frames of which both count."""
        pairs = [
            pair for pair in find_pairs(selection.rows.images) if selection.used[list(pair)].all()
        ]
        if not pairs:
            return
        units = selection.units[[first for first, _ in pairs]]
        for key, samples in pair_figures(selection.rows.cells, pairs).items():
            self._means[key].add(samples, units)
        self._count += len(pairs)

    def finish(self) -> Measured:
        """Return the measures; none without pairs of frames."""
        if not self._count:
            return Measured([])
        measures = [measure(each, self._means[each.key]) for each in FIGURES]
        return Measured(measures, [sequence_note(self._count)])

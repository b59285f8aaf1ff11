"""The group "sequence": how steady maps are from one frame of a video to the next."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from effcam.metrics.bootstrap import block_length, estimate
from effcam.metrics.summary.estimators import Estimators, to_measure
from effcam.metrics.summary.figures.group import Measured
from effcam.metrics.summary.notes import sequence_notes
from effcam.metrics.summary.records import Figure
from effcam.metrics.summary.rows import Samples, Selection
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
    ),
)


class SequenceFigures:
    """Means over pairs of frames; the frames of a video must come in one part."""

    def __init__(self, columns: int, facts: Sequence[ModelFacts], estimators: Estimators) -> None:
        # Pairs of a video overlap: their interval draws blocks, whatever the estimators.
        del columns, facts, estimators
        self._pairs: list[dict[str, Samples]] = []

    def add(self, selection: Selection) -> None:
        """Measure the pairs of frames of which both count."""
        pairs = [
            pair for pair in find_pairs(selection.rows.images) if selection.used[list(pair)].all()
        ]
        if pairs:
            self._pairs.append(pair_figures(selection.rows.cells, pairs))

    def finish(self) -> Measured:
        """Return the measures; none without pairs of frames."""
        if not self._pairs:
            return Measured([])
        found = {
            each.key: np.concatenate([part[each.key] for part in self._pairs]) for each in FIGURES
        }
        count = len(found[FIGURES[0].key])
        block = block_length(count)
        return Measured(
            [to_measure(each, estimate(found[each.key], block=block)) for each in FIGURES],
            sequence_notes(count, block),
        )

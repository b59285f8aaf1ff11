"""What a report is made of: the cells, and what is measured and known of them, image by image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from effcam.cam.cells import Cells
from effcam.cam.explanation import Explanation
from effcam.comparison.report.reproduce import Call, calls_of
from effcam.errors import ArgumentError, OutputError
from effcam.images.truth import Truth
from effcam.metrics.agreement import agreement_matrix, mean_agreements, pair_agreements
from effcam.metrics.faithfulness_result import Faithfulness
from effcam.metrics.summary import Summary
from effcam.metrics.summary.builder import summarize
from effcam.metrics.summary.figures.focus import measure_focus
from effcam.metrics.summary.rows import ImageRows, are_right

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Material:
    """What a report is made of.

    Attributes:
        content: The cells that it shows.
        truths: What is known of each image.
        summary: The scoreboard.
        agreement: (columns, columns) how far the columns' maps agree, NaN where that is unknown.
        pairs: (images, columns, columns) the same of each image shown.
        right: (images, columns) 1 where a column is right, 0 where it is wrong, else NaN.
        focus: (images, columns) the effective area in [0, 1], NaN where there is no heat.
        calls: What makes this report again.
        scope: Which images are shown, in a sentence, where these are not all; else empty.
    """

    content: Cells
    truths: Sequence[Truth]
    summary: Summary
    agreement: NDArray[np.float64]
    pairs: NDArray[np.float64]
    right: NDArray[np.float64]
    focus: NDArray[np.float64]
    calls: Sequence[Call]
    scope: str = ""

    def disagreement(self) -> NDArray[np.float64]:
        """Return how far each image's maps differ: 1 - their mean correlation, NaN if unknown."""
        means = mean_agreements(self.pairs)
        return np.asarray(np.where(np.isfinite(means), 1 - means, np.nan))

    def one_set_of_classes(self) -> bool:
        """Return whether all columns' models number one set of classes alike."""
        return len({facts.labels for facts in self.content.facts}) <= 1

    def kind(self, cell: Explanation) -> str:
        """Return what a column predicts, in words that are the same for all columns."""
        return str(cell.predicted) if self.one_set_of_classes() else cell.predicted_label.casefold()


def gather(
    content: Cells,
    *,
    truths: Sequence[Truth] | None = None,
    summary: Summary | None = None,
    agreement: NDArray[np.float64] | None = None,
    fair: bool | None = None,
    faithfulness: Faithfulness | None = None,
    calls: Sequence[Call] | None = None,
    scope: str = "",
) -> Material:
    """Return what a report is made of; what is not given is measured.

    Args:
        content: The cells that it shows.
        truths: What is known of each image; ``None`` is what the images themselves say.
        summary: The scoreboard, where it is of more images than these.
        agreement: How far the columns' maps agree, likewise.
        fair: As in `effcam.Comparison.summary`.
        faithfulness: As in `effcam.Comparison.summary`.
        calls: What makes this report again; ``None`` is told from the content.
        scope: Which images are shown, in a sentence, where these are not all.

    Raises:
        OutputError: If there are no images.
        ArgumentError: If what was given of the images is not one each.
        AnnotationError: If boxes or masks do not fit their image.
        TargetError: If a label is no class of a model.
    """
    if not content.cells:
        raise OutputError("there is nothing to report: the comparison holds no images")
    rows = tuple(content.rows())
    known = (
        tuple(truths)
        if truths is not None
        else tuple(each.truth or Truth() for each in content.images)
    )
    if len(known) != len(rows):
        raise ArgumentError(f"there are {len(known)} truths for {len(rows)} images: give one each")
    cells = ImageRows(content.columns, rows, content.facts, known)
    pairs = pair_agreements(rows, "spearman")
    return Material(
        content=content,
        truths=known,
        summary=summary or summarize(cells, fair=fair, faithfulness=faithfulness),
        agreement=agreement_matrix(pairs, len(content.columns)) if agreement is None else agreement,
        pairs=pairs,
        right=are_right(cells),
        focus=measure_focus(cells)["effective_area"],
        calls=calls_of(content, known) if calls is None else calls,
        scope=scope,
    )

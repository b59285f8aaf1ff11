"""The content of a report: the cells, and what is measured and known about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from effcam.cam.cells import Cells
from effcam.cam.explanation import Explanation
from effcam.comparison.report.reproduce import Snippet, snippets_for
from effcam.errors import ArgumentError, OutputError
from effcam.images.truth import Truth
from effcam.metrics.agreement import agreement_matrix, mean_agreements, pair_agreements
from effcam.metrics.faithfulness_result import Faithfulness
from effcam.metrics.summary import Summary
from effcam.metrics.summary.builder import summarize
from effcam.metrics.summary.figures.focus import measure_focus
from effcam.metrics.summary.foreign_labels import without_foreign_labels
from effcam.metrics.summary.published import GROUP as PUBLISHED
from effcam.metrics.summary.rows import ImageRows, are_right
from effcam.models.result_tables import ResultTable

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Material:
    """The content of a report.

    Attributes:
        content: The cells to show.
        truths: The annotation of each image.
        summary: The scoreboard.
        agreement: (columns, columns) how much the columns' maps agree, NaN if unknown.
        pairs: (images, columns, columns) the agreement in each image shown.
        right: (images, columns) 1 if a column is right, 0 if it is wrong, NaN if unknown.
        focus: (images, columns) the effective area in [0, 1], NaN without heat.
        snippets: Code that makes this report again.
        scope: A sentence on which images are shown, if not all; else empty.
    """

    content: Cells
    truths: Sequence[Truth]
    summary: Summary
    agreement: NDArray[np.float64]
    pairs: NDArray[np.float64]
    right: NDArray[np.float64]
    focus: NDArray[np.float64]
    snippets: Sequence[Snippet]
    scope: str = ""

    def disagreement(self) -> NDArray[np.float64]:
        """Return how much each image's maps differ: 1 - their mean correlation, NaN if unknown."""
        means = mean_agreements(self.pairs)
        return np.asarray(np.where(np.isfinite(means), 1 - means, np.nan))

    def one_set_of_classes(self) -> bool:
        """Return whether all columns' models have the same classes in the same order."""
        return len({facts.labels for facts in self.content.facts}) <= 1

    def kind(self, cell: Explanation) -> str:
        """Return the class that a column predicts, comparable between columns, or what it shows."""
        if cell.predicted is None:
            return cell.label
        return str(cell.predicted) if self.one_set_of_classes() else cell.predicted_label.casefold()


def gather(
    content: Cells,
    *,
    truths: Sequence[Truth] | None = None,
    summary: Summary | None = None,
    agreement: NDArray[np.float64] | None = None,
    fair: bool | None = None,
    faithfulness: Faithfulness | None = None,
    results: Sequence[ResultTable] = (),
    snippets: Sequence[Snippet] | None = None,
    scope: str = "",
) -> Material:
    """Return the content of a report, and measure what is not given.

    Args:
        content: The cells to show.
        truths: The annotation of each image; ``None`` takes the images' own.
        summary: The scoreboard, if it covers more images than these.
        agreement: How much the columns' maps agree, if that covers more images than these.
        fair: As in `effcam.Comparison.summary`.
        faithfulness: As in `effcam.Comparison.summary`.
        results: Published results of models, for a summary that is measured here.
        snippets: Code that makes this report again; ``None`` writes it for the content.
        scope: A sentence on which images are shown, if not all.

    Raises:
        OutputError: If there are no images.
        ArgumentError: If the number of truths is not that of images.
        AnnotationError: If boxes or masks do not fit their image.
        TargetError: If a label is not a class of every model.
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
        raise ArgumentError(
            f"there are {len(known)} truths for {len(rows)} images: give one for each"
        )
    cells = ImageRows(content.columns, rows, content.facts, known)
    pairs = pair_agreements(rows, "spearman")
    if summary is None:
        summary = summarize(cells, fair=fair, faithfulness=faithfulness, results=results)
    has_results = any(each.figure.group == PUBLISHED for each in summary.measures)
    return Material(
        content=content,
        truths=known,
        summary=summary,
        agreement=agreement_matrix(pairs, len(content.columns)) if agreement is None else agreement,
        pairs=pairs,
        right=are_right(without_foreign_labels(cells)[0]),
        focus=measure_focus(cells)["effective_area"],
        snippets=snippets_for(content, known, results=has_results)
        if snippets is None
        else snippets,
        scope=scope,
    )

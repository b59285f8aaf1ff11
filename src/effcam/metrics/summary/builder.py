"""The one builder of summaries, for comparisons in memory and for dataset runs on disk.

To add a figure, add it to the group that it belongs to, in `effcam.metrics.summary.figures`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from effcam.cam.map_checks import Tally
from effcam.cam.map_facts import facts_of_maps
from effcam.metrics.faithfulness_result import Faithfulness
from effcam.metrics.label_result import LabelProbabilities
from effcam.metrics.sampling import grids_differ
from effcam.metrics.summary import Summary
from effcam.metrics.summary.confusions import ConfusionFigures
from effcam.metrics.summary.definitions import GROUPS
from effcam.metrics.summary.figures.faithfulness import FaithfulnessFigures
from effcam.metrics.summary.figures.group import Group
from effcam.metrics.summary.figures.labels import LabelFigures
from effcam.metrics.summary.foreign_labels import without_foreign_labels
from effcam.metrics.summary.notes import (
    FOCUS_GRIDS_DIFFER,
    Counted,
    chooser_notes,
    facts_of_columns,
    health_notes,
    label_notes,
    notes,
    rescaling_notes,
    statistics_notes,
)
from effcam.metrics.summary.published import PublishedFigures
from effcam.metrics.summary.rows import ImageRows, Samples, select
from effcam.metrics.unit_counter import UnitCounter
from effcam.models.facts import ModelFacts
from effcam.models.result_tables import ResultTable


class SummaryBuilder:
    """Builds a summary from rows, some images at a time."""

    def __init__(
        self,
        columns: Sequence[str],
        facts: Sequence[ModelFacts],
        *,
        labelled: bool,
        fair: bool | None = None,
        faithfulness: Faithfulness | None = None,
        label_probabilities: LabelProbabilities | None = None,
        results: Sequence[ResultTable] = (),
    ) -> None:
        """Start without images.

        Args:
            columns: The columns' labels.
            facts: Facts of each column's model; empty if unknown.
            labelled: Whether the class of any image is known.
            fair: Whether figures include only the images that every model gets right and explains
                by one class; without labels, those on which all models predict alike. ``None`` is
                whether labels are known.
            faithfulness: Figures that were measured by running the models again.
            label_probabilities: The probability of every label, for average precision.
            results: Published results of models, to join by their names.
        """
        self._columns, self._facts = tuple(columns), tuple(facts)
        # Without classes nothing is right or wrong.
        self._labelled = labelled and (not facts or any(each.labels for each in facts))
        self._fair = self._labelled if fair is None else fair
        self._groups: list[Group] = [make(len(self._columns), self._facts) for make in GROUPS]
        if results:
            # Beside the other figures of models.
            self._groups.insert(2, PublishedFigures(self._columns, self._facts, results))
        self._groups.append(ConfusionFigures(self._columns, self._facts))
        self._asks_labels = label_probabilities is None
        self._several_labels = self._located_labels = False
        if label_probabilities is not None:
            self._groups.append(LabelFigures(self._columns, self._facts, label_probabilities))
        if faithfulness is not None:
            self._groups.append(FaithfulnessFigures(self._columns, faithfulness))
        self._units = UnitCounter()
        self._images = self._used = self._rescaled = 0
        self._one_grid = True
        self._comparable = True
        self._predicts = False
        self._seen = np.zeros(len(self._columns))
        self._checks = [Tally() for _ in self._columns]

    def add(self, rows: ImageRows) -> None:
        """Add the rows of some images.

        Raises:
            TargetError: If a label is no class of a model.
            AnnotationError: If boxes or masks do not fit their image.
        """
        if len(rows):
            self._facts = facts_of_maps(self._facts, rows.cells[0])
        units = self._units.number(rows.images)
        selection = select(rows, units, labelled=self._labelled, fair=self._fair)
        self._images += len(rows)
        self._used += len(selection.kept)
        self._rescaled += sum(truth.rescaled for truth in rows.truths)
        several = [truth for truth in rows.truths if truth.labels is not None]
        self._several_labels |= bool(several)
        self._located_labels |= any(
            len(truth.labels or ()) > 1 and (truth.boxes or truth.mask is not None)
            for truth in several
        )
        self._comparable &= bool(selection.comparable.all())
        self._predicts |= rows.predicts
        self._seen += _seen_shares(rows).sum(0)
        self._one_grid &= not any(grids_differ(row).any() for row in selection.kept.cells)
        for column, check in enumerate(self._checks):
            check.add(rows.column(column))
        for group in self._groups:
            group.add(selection)

    def summary(self) -> Summary:
        """Return the summary of all images added.

        Raises:
            ArgumentError: If the faithfulness is that of another comparison.
        """
        measured = [group.finish() for group in self._groups]
        measures = tuple(measure for each in measured for measure in each.measures)
        seen = [float(share) for share in self._seen / max(self._images, 1)]
        calibration = {
            self._columns[at]: found
            for each in measured
            for at, found in sorted(each.calibration.items())
        }
        confusions = tuple(pair for each in measured for pair in each.confusions)
        counted = Counted(
            self._images,
            self._used,
            self._comparable,
            seen,
            self._predicts,
            calibrated=bool(calibration),
        )
        return Summary(
            columns=self._columns,
            images=self._images,
            used=self._used,
            facts=facts_of_columns(self._facts, seen),
            measures=measures,
            calibration=calibration,
            confusions=confusions,
            published=tuple(origin for each in measured for origin in each.published),
            notes=(
                *notes(
                    self._columns, self._facts, counted, fair=self._fair, labelled=self._labelled
                ),
                *rescaling_notes(self._rescaled),
                *label_notes(
                    self._columns,
                    self._facts,
                    labelled=self._labelled,
                    unmeasured=self._asks_labels and self._several_labels,
                    located=self._located_labels,
                ),
                *([] if self._one_grid else [FOCUS_GRIDS_DIFFER]),
                *statistics_notes(measures, len(self._units.videos)),
                *chooser_notes(calibration, confusions),
                *(note for each in measured for note in each.notes),
                *self._health_notes(),
            ),
        )

    def _health_notes(self) -> list[str]:
        return [
            note
            for label, check in zip(self._columns, self._checks, strict=True)
            for note in health_notes(label, check.findings())
        ]


def summarize(
    rows: ImageRows,
    *,
    fair: bool | None = None,
    faithfulness: Faithfulness | None = None,
    label_probabilities: LabelProbabilities | None = None,
    results: Sequence[ResultTable] = (),
) -> Summary:
    """Return the summary of a comparison in memory.

    Args:
        rows: All rows of the comparison.
        fair: As in `SummaryBuilder`.
        faithfulness: As in `SummaryBuilder`.
        label_probabilities: As in `SummaryBuilder`.
        results: As in `SummaryBuilder`.

    Raises:
        TargetError: If a label is no class of a model.
        AnnotationError: If boxes or masks do not fit their image.
        ArgumentError: If the faithfulness is that of another comparison.
    """
    rows, foreign = without_foreign_labels(rows)
    builder = SummaryBuilder(
        rows.columns,
        rows.facts,
        labelled=rows.labelled,
        fair=fair,
        faithfulness=faithfulness,
        label_probabilities=label_probabilities,
        results=results,
    )
    builder.add(rows)
    found = builder.summary()
    return replace(found, notes=(*found.notes, *foreign.notes()))


def _seen_shares(rows: ImageRows) -> Samples:
    """Return the share of each image that each model saw."""
    return rows.each(
        lambda cell: cell.region.width * cell.region.height / (cell.size[0] * cell.size[1])
    )

"""How figures change over a training: the columns in order of their epochs, and each figure there.

The figures are those of the summary; the agreement with the last column is added to them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from effcam.errors import ArgumentError, CellError, did_you_mean
from effcam.metrics.agreement import pair_agreements
from effcam.metrics.estimates import estimate
from effcam.metrics.inference import CORRELATION
from effcam.metrics.summary.builder import summarize
from effcam.metrics.summary.figures.group import measure_of
from effcam.metrics.summary.records import Figure, Measure
from effcam.metrics.summary.rows import ImageRows, Samples, Selection, select
from effcam.metrics.unit_counter import UnitCounter
from effcam.models.training_stage import TrainingStage
from effcam.text import json_value

if TYPE_CHECKING:
    from numpy.typing import NDArray

Axis: TypeAlias = Literal["epoch", "step", "column"]

AGREEMENT = Figure(
    "agreement_with_last",
    "rank correlation with the last",
    "agreement",
    None,
    "",
    3,
    "The mean rank correlation of a model's maps with those of the last one on the same images.",
    CORRELATION,
)
DEFAULT = ("effective_area", "energy_pointing_game", "accuracy", AGREEMENT.key)
"""The figures that are shown by default, as far as they have values."""
LOGGED = "logged_"
"""Begins the names of metrics that training programs stored."""


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Columns of one method and target, in order of training.

    Attributes:
        name: The method and the target, as far as several are compared; else empty.
        columns: The positions of the columns.
        places: (columns,) float64, their places along the axis, none smaller than the one before.
    """

    name: str
    columns: tuple[int, ...]
    places: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """Figures over a training.

    Attributes:
        labels: The columns' labels.
        axis: What the columns are in order of: epochs or steps; or their own order, where one has
            neither.
        series: The columns of each method and target.
        measures: The figures to show, over all columns.
        stages: What each column's weights state of their training.
        images: The number of images that figures other than accuracy include.
        one_class: Whether all columns of a series explain one class in each of these.
    """

    labels: tuple[str, ...]
    axis: Axis
    series: tuple[Series, ...]
    measures: tuple[Measure, ...]
    stages: tuple[TrainingStage, ...]
    images: int
    one_class: bool

    def table(self) -> list[dict[str, object]]:
        """Return one row a column, in order, with unrounded values; ``None`` where there is none.

        Each figure has its value, the ends of its 95 % interval, and its number of images.
        """
        logged = dict.fromkeys(name for stage in self.stages for name in stage.metrics)
        return [self._row(at, list(logged)) for each in self.series for at in each.columns]

    def _row(self, at: int, logged: Sequence[str]) -> dict[str, object]:
        stage = self.stages[at]
        found: dict[str, object] = {
            "column": self.labels[at],
            "epoch": stage.epoch,
            "step": stage.step,
            **{f"{LOGGED}{name}": stage.metrics.get(name) for name in logged},
        }
        for measure in self.measures:
            key = measure.figure.key
            found[key] = float(measure.values[at])
            found[f"{key}_low"], found[f"{key}_high"] = map(
                float, (measure.low[at], measure.high[at])
            )
            found[f"{key}_n"] = int(measure.counts[at])
        return {name: json_value(value) for name, value in found.items()}


def timeline(rows: ImageRows, *, figures: Sequence[str] | None, fair: bool) -> Timeline:
    """Return how figures change from column to column.

    Args:
        rows: All rows of the comparison.
        figures: The keys of the figures to show; ``None`` for the usual ones that have values.
        fair: As in `SummaryBuilder`.

    Raises:
        ArgumentError: If there are fewer than two models, or no figures.
        CellError: If there is no figure of a key.
        TargetError: If a label is no class of a model.
        AnnotationError: If boxes or masks do not fit their image.
    """
    stages = tuple(each.training or TrainingStage() for each in rows.facts)
    stages = stages or (TrainingStage(),) * len(rows.columns)
    axis, places = _axis(rows, stages)
    series = _series(rows, places)
    known = {each.figure.key: each for each in summarize(rows, fair=fair).measures}
    units = UnitCounter().number(rows.images)
    used = select(rows, units, labelled=rows.labelled, fair=fair)
    known[AGREEMENT.key] = _agreement(used, series)
    measures = _chosen(known, figures)
    one_class = _explain_one_class(used.kept, series)
    return Timeline(rows.columns, axis, series, measures, stages, len(used.kept), one_class)


def _axis(rows: ImageRows, stages: Sequence[TrainingStage]) -> tuple[Axis, NDArray[np.float64]]:
    """Return what orders the columns, and the place of each: (columns,) float64.

    Epochs do so if no two columns of one series have the same one, or steps are not known. Columns
    of one epoch or step that differ are of several trainings, which have no common axis.
    """
    groups = _groups(rows)
    known: dict[Axis, list[float | None]] = {
        "epoch": [each.epoch for each in stages],
        "step": [each.step for each in stages],
    }
    complete = [axis for axis, values in known.items() if None not in values]
    differ = [
        axis
        for axis in complete
        if all(len({known[axis][at] for at in group}) == len(group) for group in groups.values())
    ]
    alike = [
        axis
        for axis in complete
        if all(_are_alike(rows, group, known[axis]) for group in groups.values())
    ]
    for axis in [*differ, *alike]:
        return axis, np.array(known[axis], np.float64)
    place = {at: order for group in groups.values() for order, at in enumerate(group)}
    return "column", np.array([place[at] for at in range(len(stages))], np.float64)


def _are_alike(rows: ImageRows, group: Sequence[int], places: Sequence[float | None]) -> bool:
    """Return whether columns of one place show the same network, as of a file kept twice."""
    first: dict[float | None, int] = {}
    for at in group:
        before = first.setdefault(places[at], at)
        for row in rows.cells:
            if not np.array_equal(row[before].heatmap, row[at].heatmap):
                return False
    return True


def _groups(rows: ImageRows) -> dict[tuple[str, str], list[int]]:
    """Return the columns of each method and target.

    Raises:
        ArgumentError: If there are fewer than two models, or no images.
    """
    if not len(rows):
        raise ArgumentError("there are no images")
    found: dict[tuple[str, str], list[int]] = {}
    for at, cell in enumerate(rows.cells[0]):
        found.setdefault((cell.method, cell.asked), []).append(at)
    if min(map(len, found.values())) < 2:
        raise ArgumentError(
            "a timeline needs two or more models, such as the checkpoints of a training: "
            "effcam.compare(images, effcam.checkpoints('runs/*.ckpt', 'resnet50'))"
        )
    return found


def _series(rows: ImageRows, places: NDArray[np.float64]) -> tuple[Series, ...]:
    groups = _groups(rows)
    varies = [len(set(each)) > 1 for each in zip(*groups, strict=True)]
    found = []
    for names, columns in groups.items():
        order = sorted(columns, key=lambda at: places[at])
        name = " ".join(each for each, shown in zip(names, varies, strict=True) if shown)
        found.append(Series(name, tuple(order), places[order]))
    return tuple(found)


def _agreement(selection: Selection, series: Sequence[Series]) -> Measure:
    """Return the agreement of each column with the last of its series, which has none."""
    samples = selection.kept.empty_samples()
    for each in series:
        last = each.columns[-1]
        for at in each.columns[:-1]:
            samples[:, at] = _with(selection.kept, at, last)
    return measure_of(AGREEMENT, estimate(samples, CORRELATION, selection.kept_units))


def _with(rows: ImageRows, one: int, other: int) -> Samples:
    """Return the agreement of two columns in each image, (images,)."""
    if not len(rows):
        return np.zeros(0)
    pairs = pair_agreements([(row[one], row[other]) for row in rows.cells], "spearman")
    return np.asarray(pairs[:, 0, 1])


def _explain_one_class(rows: ImageRows, series: Sequence[Series]) -> bool:
    return all(
        len({(row[at].target, row[at].label) for at in each.columns}) == 1
        for row in rows.cells
        for each in series
    )


def _chosen(known: Mapping[str, Measure], keys: Sequence[str] | None) -> tuple[Measure, ...]:
    """Return the measures to show.

    Raises:
        CellError: If there is no figure of a key.
        ArgumentError: If there is none to show.
    """
    if isinstance(keys, str):
        keys = [keys]
    for key in keys or ():
        if key not in known:
            raise CellError(
                f"no figure is called {key!r}.{did_you_mean(str(key), known)} The figures here are "
                f"{', '.join(known)}"
            )
    chosen = [known[key] for key in (DEFAULT if keys is None else keys) if key in known]
    shown = [each for each in chosen if np.isfinite(each.values).any()]
    missing = [each.figure.key for each in chosen if keys is not None and each not in shown]
    if missing or not shown:
        names = ", ".join(missing) or "any figure"
        raise ArgumentError(f"no column has a value of {names}: no image counts for it")
    return tuple(shown)

"""The summary of a comparison: one row a model, every figure with its interval and baselines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from effcam.cam.explanation import Explanation
from effcam.cam.map_checks import column_findings
from effcam.errors import ArgumentError
from effcam.images.refs import ImageRef
from effcam.images.truth import Truth
from effcam.metrics.bootstrap import Estimate, block_length, estimate, estimate_by
from effcam.metrics.concentration import effective_area, gini, half_mass_area
from effcam.metrics.faithfulness_result import GRID_FIGURE, Faithfulness
from effcam.metrics.localisation import average_precision
from effcam.metrics.localisation_eval import Localised, localise
from effcam.metrics.sampling import Object, focus_samples, place_object
from effcam.metrics.summary import Measure, Summary
from effcam.metrics.summary.definitions import FIGURES
from effcam.metrics.summary.notes import (
    Counted,
    facts_of_columns,
    health_notes,
    notes,
    sequence_notes,
)
from effcam.metrics.temporal import find_pairs, pair_figures
from effcam.models.facts import ModelFacts

if TYPE_CHECKING:
    from numpy.typing import NDArray

Samples: TypeAlias = "NDArray[np.float64]"
"""(images, columns), NaN where there is no value."""


@dataclass(frozen=True, slots=True, eq=False)
class Board:
    """The cells of a comparison, and what is known of its images and columns.

    Attributes:
        columns: The columns' labels.
        rows: The cells of each image.
        facts: What is known of each column's model; empty if nothing is.
        truths: What is known of each image.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Explanation, ...], ...]
    facts: tuple[ModelFacts, ...]
    truths: tuple[Truth, ...]

    def take(self, used: NDArray[np.bool_]) -> Board:
        """Return the board of some of the images."""
        picked = np.flatnonzero(used)
        return Board(
            self.columns,
            tuple(self.rows[at] for at in picked),
            self.facts,
            tuple(self.truths[at] for at in picked),
        )

    @property
    def images(self) -> list[ImageRef]:
        """The images, in order."""
        return [row[0].image for row in self.rows]

    def column(self, index: int) -> list[Explanation]:
        """Return the cells of a column."""
        return [row[index] for row in self.rows]

    def each(self, value: Callable[[Explanation], float]) -> Samples:
        """Return a value of every cell, (images, columns)."""
        found = np.array([[value(cell) for cell in row] for row in self.rows], np.float64)
        return found.reshape(len(self.rows), len(self.columns))


def summarize(
    board: Board,
    *,
    fair: bool | None = None,
    faithfulness: Faithfulness | None = None,
) -> Summary:
    """Return the summary of a comparison.

    Args:
        board: What was compared.
        fair: Whether figures are of those images alone that every model gets right and explains by
            one class; without labels, that all predict alike. ``None`` is where labels are known.
        faithfulness: What was measured by running the models again.

    Raises:
        TargetError: If a label is no class of a model.
        AnnotationError: If boxes or masks do not fit their image.
    """
    right = are_right(board)
    labelled = bool(np.isfinite(right).any())
    chosen = labelled if fair is None else fair
    comparable = find_comparable(board, right)
    used = comparable if chosen else np.ones(len(board.rows), bool)
    kept = board.take(used)
    objects = [
        place_object(truth, row[0].size, row[0].image.name)
        for truth, row in zip(kept.truths, kept.rows, strict=True)
    ]
    pairs = [pair for pair in find_pairs(board.images) if used[list(pair)].all()]
    measures = [
        *_model_measures(board, kept, right),
        *_focus(kept),
        *_localisation(kept, objects),
        *_sequence(board, pairs),
        *(_faithfulness(board, faithfulness, used) if faithfulness else []),
    ]
    return Summary(
        columns=board.columns,
        images=len(board.rows),
        used=int(used.sum()),
        facts=facts_of_columns(board.facts, _seen(board)),
        measures=tuple(measures),
        notes=(
            *notes(
                board.columns,
                board.facts,
                Counted(len(board.rows), int(used.sum()), bool(comparable.all()), _seen(board)),
                fair=chosen,
                labelled=labelled,
            ),
            *sequence_notes(len(pairs), block_length(len(pairs))),
            *(faithfulness.notes if faithfulness else ()),
            *(
                note
                for column, label in enumerate(board.columns)
                for note in health_notes(label, column_findings(board.column(column)))
            ),
        ),
    )


# which images count


def are_right(board: Board) -> Samples:
    """Return whether each model is right on each image, 1 or 0; NaN where no label is known."""
    found = np.full((len(board.rows), len(board.columns)), np.nan)
    indices: dict[tuple[int, int | str], int] = {}
    for at, (row, truth) in enumerate(zip(board.rows, board.truths, strict=True)):
        if truth.label is None:
            continue
        for column, cell in enumerate(row):
            key = column, truth.label
            if key not in indices:
                indices[key] = _index(board, column, truth.label)
            found[at, column] = cell.predicted == indices[key]
    return found


def _index(board: Board, column: int, label: int | str) -> int:
    if board.facts:
        return board.facts[column].find_class(label)
    if isinstance(label, int):
        return label
    raise ArgumentError(
        f"label {label!r} is a name, but this comparison does not know its models' classes: give "
        "indices"
    )


def find_comparable(board: Board, right: Samples) -> NDArray[np.bool_]:
    """Return on which images all models are right, or agree, and are explained by one class."""
    same = np.array([_alike(row, board.facts) for row in board.rows], bool)
    if np.isfinite(right).any():
        # What is NaN is not 1.
        return np.asarray(same & (right == 1).all(1))
    return same


def _alike(row: Sequence[Explanation], facts: Sequence[ModelFacts]) -> bool:
    """Return whether all cells of an image predict one class, and explain one class."""
    if len({len(each.labels) for each in facts}) <= 1:
        return len({(cell.predicted, cell.target) for cell in row}) == 1
    # Models of other sets of classes share names at best.
    names = {(cell.predicted_label.casefold(), cell.label.casefold()) for cell in row}
    return len(names) == 1


# what is measured


def measure(key: str, found: Estimate, baselines: Mapping[str, float] | None = None) -> Measure:
    """Return a figure with its intervals.

    Args:
        key: Which of `FIGURES`.
        found: Its values and how sure they are.
        baselines: What it is for something that looks at nothing.
    """
    return Measure(
        figure=FIGURES[key],
        values=found.values,
        low=found.low,
        high=found.high,
        counts=found.counts,
        baselines=baselines or {},
        difference_low=found.difference_low,
        difference_high=found.difference_high,
    )


def _model_measures(board: Board, kept: Board, right: Samples) -> list[Measure]:
    measures = []
    if np.isfinite(right).any():
        measures.append(measure("accuracy", estimate(right)))
    measures.append(measure("confidence", estimate(confidences(kept))))
    return measures + costs(board.facts)


def confidences(board: Board) -> Samples:
    """Return how probable each model holds what it predicts."""
    return board.each(lambda cell: cell.predicted_probability)


def costs(facts: Sequence[ModelFacts]) -> list[Measure]:
    """Return what is known of how large and how slow each column's model is."""
    measures = []
    for key in ("parameters", "flops", "seconds"):
        values = [getattr(each, key) for each in facts]
        if any(value is not None for value in values):
            known = np.array([np.nan if value is None else value for value in values], np.float64)
            measures.append(Measure(figure=FIGURES[key], values=known))
    return measures


def _focus(board: Board) -> list[Measure]:
    if not board.rows:
        return []
    return [measure(key, estimate(values)) for key, values in focus_figures(board).items()]


def focus_figures(board: Board) -> dict[str, Samples]:
    """Return how concentrated each map is, at the resolution of the coarsest of its image."""
    coarsest = [_coarsest(row) for row in board.rows]
    found = {
        key: np.full((len(board.rows), len(board.columns)), np.nan)
        for key in ("effective_area", "gini", "half_mass_area")
    }
    for column in range(len(board.columns)):
        cells = board.column(column)
        sound = [at for at, cell in enumerate(cells) if cell.state == "ok"]
        if not sound:
            continue
        samples, areas = focus_samples([cells[at] for at in sound], [coarsest[at] for at in sound])
        for key, figure in (
            ("effective_area", effective_area),
            ("gini", gini),
            ("half_mass_area", half_mass_area),
        ):
            found[key][sound, column] = figure(samples, area=areas)
    return found


def _coarsest(row: Sequence[Explanation]) -> tuple[float, float]:
    """Return height and width of the coarsest of the cells that an image's maps have, px."""
    return (
        max(cell.canvas.height / cell.heatmap.shape[0] for cell in row),
        max(cell.canvas.width / cell.heatmap.shape[1] for cell in row),
    )


def _localisation(board: Board, objects: Sequence[Object | None]) -> list[Measure]:
    if not any(objects):
        return []
    found: Localised = localise(board.rows, objects)
    measures = [
        measure(key, estimate(values), found.baselines[key])
        for key, values in found.samples.items()
    ]
    if len(found.levels):
        measures.append(
            measure(
                "pixel_average_precision",
                estimate_by(found.levels.astype(np.float64), average_precision),
                found.baselines["pixel_average_precision"],
            )
        )
    return measures


def _sequence(board: Board, pairs: Sequence[tuple[int, int]]) -> list[Measure]:
    """Return how steady maps are, over pairs of frames that follow each other in a film."""
    if not pairs:
        return []
    block = block_length(len(pairs))
    return [
        measure(key, estimate(values, block=block))
        for key, values in pair_figures(board.rows, pairs).items()
    ]


def _faithfulness(board: Board, found: Faithfulness, used: NDArray[np.bool_]) -> list[Measure]:
    images = tuple(row[0].image.name for row in board.rows)
    if (found.images, found.columns) != (images, board.columns):
        raise ArgumentError(
            "this faithfulness was measured for another comparison: of "
            f"{len(found.images)} images and the columns {', '.join(found.columns)}"
        )
    measures = []
    for key, values in found.samples.items():
        # Mosaics are made of images that were chosen for them.
        kept = used if key != GRID_FIGURE else slice(None)
        random = found.random.get(key)
        means = {"random map": _mean(random[kept])} if random is not None else {}
        measures.append(measure(key, estimate(values[kept]), {**means, **found.known.get(key, {})}))
    return measures


def _mean(values: Samples) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else float("nan")


# what is told


def seen_shares(board: Board) -> Samples:
    """Return the share of each image that each model saw."""
    return board.each(
        lambda cell: cell.region.width * cell.region.height / (cell.size[0] * cell.size[1])
    )


def _seen(board: Board) -> list[float]:
    shares = seen_shares(board)
    return [float(share) for share in shares.mean(0)] if len(shares) else [0.0] * shares.shape[1]

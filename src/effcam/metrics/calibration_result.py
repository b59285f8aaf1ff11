"""How well the probabilities of predicted classes hold: the public function and its result."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, overload

import numpy as np

from effcam.cam.cells import Cells
from effcam.cam.explanation import Explanation
from effcam.drawing.reliability_plot import Panel, Point, draw_reliability
from effcam.errors import AnnotationError, ArgumentError, ImageWarning, check_number
from effcam.images.annotations.truths import Labels, find_truths
from effcam.images.truth import Truth
from effcam.metrics.calibration_error import Binned, error_range, put_into_bins, usual_bins
from effcam.metrics.foreign_labels import ForeignLabels, known_truths
from effcam.metrics.intervals import share_interval
from effcam.metrics.true_classes import right_answers
from effcam.metrics.unit_counter import UnitCounter
from effcam.models.facts import ModelFacts
from effcam.text import count

if TYPE_CHECKING:
    import matplotlib.figure
    from numpy.typing import ArrayLike, NDArray

SEED = 0
"""So that the same predictions have the same interval."""


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """The predictions whose probability is in one range.

    Attributes:
        start: The lowest probability among them, in [0, 1].
        stop: The highest.
        images: The number of images.
        confidence: The mean probability.
        accuracy: The share that is right, in [0, 1].
        low: The lower end of its exact 95 % interval; NaN where images are not independent.
        high: The upper end.
    """

    start: float
    stop: float
    images: int
    confidence: float
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How well the probability of the predicted class agrees with how often it is right.

    Attributes:
        images: The number of images.
        confidence: The mean probability of the predicted class, in [0, 1].
        accuracy: The share of images whose predicted class is the true one, in [0, 1].
        error: The expected calibration error (ECE) over the bins, in [0, 1]; too large by chance.
        low: The lower end of its 95 % interval; NaN with fewer than six images.
        high: The upper end.
        corrected: The error without most of what chance adds to it.
        expected: The error that a model without any would have on as many images, with the same
            probabilities: the mean over simulated answers.
        expected_low: The 2.5th percentile of that.
        expected_high: The 97.5th percentile of that.
        bins: The bins, each of about as many images, from the lowest probability.
    """

    images: int
    confidence: float
    accuracy: float
    error: float
    low: float
    high: float
    corrected: float
    expected: float
    expected_low: float
    expected_high: float
    bins: tuple[ReliabilityBin, ...] = field(repr=False)

    @property
    def overconfidence(self) -> float:
        """The mean probability minus the accuracy; below 0 if the model is too cautious."""
        return self.confidence - self.accuracy

    @property
    def is_chance(self) -> bool:
        """Whether a model without any error might have one as large on these images."""
        return self.error <= self.expected_high and not self.low > 0

    def plot(self, title: str = "") -> matplotlib.figure.Figure:
        """Return a reliability plot: the share that is right over the probability, bin by bin.

        Args:
            title: A line at the top.

        Raises:
            OutputError: If matplotlib is not installed.
        """
        return draw_reliability([panel_of(self, title)])


def merge_equal(found: Mapping[str, Calibration]) -> list[tuple[str, Calibration]]:
    """Return calibrations with the labels of their columns.

    Columns of one model under several methods have one calibration, and are named together.
    """
    owners: dict[str, list[str]] = {}
    for column, each in found.items():
        # By their text: an interval that is unknown is NaN, which is not equal to itself.
        owners.setdefault(repr((each, each.bins)), []).append(column)
    return [(", ".join(columns), found[columns[0]]) for columns in owners.values()]


def panel_of(found: Calibration, title: str) -> Panel:
    """Return a calibration as a panel of a reliability plot."""
    sizes = [each.images for each in found.bins]
    in_each = f"{min(sizes):,}" + (f" to {max(sizes):,}" if max(sizes) > min(sizes) else "")
    caption = (
        f"{count(len(sizes), 'bin')} of {in_each} images\n"
        f"ECE {percent_of(found.error)} %, {percent_of(found.expected)} % if calibrated"
    )
    points = tuple(
        Point(each.confidence, each.accuracy, each.low, each.high, each.images)
        for each in found.bins
    )
    return Panel(title, caption, points)


def percent_of(share: float) -> str:
    """Return a share in per cent with one decimal, without the sign."""
    return f"{100 * share:z.1f}"


@overload
def calibration(
    probabilities: ArrayLike, right: ArrayLike, *, labels: None = None, bins: int | None = None
) -> Calibration: ...
@overload
def calibration(
    probabilities: Cells, right: None = None, *, labels: Labels = None, bins: int | None = None
) -> dict[str, Calibration]: ...


def calibration(
    probabilities: ArrayLike | Cells,
    right: ArrayLike | None = None,
    *,
    labels: Labels = None,
    bins: int | None = None,
) -> Calibration | dict[str, Calibration]:
    """Return how well the probabilities of predicted classes hold, from arrays or a comparison.

    The expected calibration error (Guo et al. 2017, arXiv:1706.04599) is estimated in bins of
    equally many images (Nixon et al. 2019, arXiv:1904.01685), with what chance alone makes of it
    (Kumar et al. 2019, arXiv:1909.10155). It is about the predicted class only: the other classes'
    probabilities may be wrong all the same.

    Args:
        probabilities: (images,) the probability of each image's predicted class, in [0, 1]; or a
            comparison, of which all images with a known class count. As in a summary, those whose
            class in their dataset some model does not know are left out, with a warning.
        right: (images,) whether that is the true class; for arrays only.
        labels: As in `effcam.Comparison.summary`; for a comparison only.
        bins: The number of bins, at most; ``None`` takes one for every 20 images, up to 15.

    Returns:
        The result of arrays. Of a comparison, the results by column, without columns that do not
        predict one class an image: models of several labels an image, or of embeddings.

    Raises:
        ArgumentError: If an argument is impossible, there are no images, or no column predicts
            one class an image.
        AnnotationError: If labels are broken, or no image has one that all models know.
        TargetError: If a label of ``labels`` is no class of a model.

    >>> found = calibration([0.9, 0.8, 0.7, 0.6] * 50, [True, True, True, False] * 50, bins=4)
    >>> round(found.error, 3), round(found.overconfidence, 3)
    (0.3, 0.0)
    """
    if bins is not None:
        check_number("bins", bins)
    if isinstance(probabilities, Cells):
        if right is not None:
            raise ArgumentError("right is for arrays: a comparison has its own labels, or labels=")
        return _of_comparison(probabilities, labels, bins)
    if labels is not None:
        raise ArgumentError("labels is for a comparison: with arrays, right says what is right")
    values, hits = _checked(probabilities, right)
    return measure_calibration(values, hits, np.arange(len(values)), bins)


def measure_calibration(
    probabilities: NDArray[np.float64],
    right: NDArray[np.float64],
    units: NDArray[np.int64],
    bins: int | None = None,
) -> Calibration:
    """Return the calibration of at least one prediction.

    Args:
        probabilities: (images,) in [0, 1].
        right: (images,) 0 or 1.
        units: (images,) the unit of each image.
        bins: The number of bins, at most; ``None`` is that of `usual_bins`.
    """
    binned = put_into_bins(probabilities, right, units, bins or usual_bins(len(right)))
    around = error_range(binned, SEED)
    return Calibration(
        images=len(right),
        confidence=float(probabilities.mean()),
        accuracy=float(right.mean()),
        error=binned.error(),
        low=around.low,
        high=around.high,
        corrected=around.corrected,
        expected=around.expected,
        expected_low=around.expected_low,
        expected_high=around.expected_high,
        bins=_bins(binned),
    )


def _bins(binned: Binned) -> tuple[ReliabilityBin, ...]:
    counts = binned.counts
    hits = binned.sums(binned.right)
    low, high = share_interval(hits, counts.astype(np.float64))
    if len(np.unique(binned.units)) < len(binned.right):
        low, high = (np.full(len(counts), np.nan) for _ in range(2))
    last = binned.starts + counts - 1
    columns = (
        binned.probabilities[binned.starts],
        binned.probabilities[last],
        counts,
        binned.sums(binned.probabilities) / counts,
        hits / counts,
        low,
        high,
    )
    return tuple(
        ReliabilityBin(*row) for row in zip(*(each.tolist() for each in columns), strict=True)
    )


def _checked(
    probabilities: ArrayLike, right: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if right is None:
        raise ArgumentError("give right=, whether each predicted class is the true one")
    try:
        values, hits = (np.asarray(each, np.float64) for each in (probabilities, right))
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"probabilities and right must be numbers: {error}") from error
    if values.ndim != 1 or values.shape != hits.shape or not len(values):
        raise ArgumentError(
            "probabilities and right must have one entry for each image, at least one; they have "
            f"the shapes {values.shape} and {hits.shape}"
        )
    if not ((values >= 0) & (values <= 1)).all():
        raise ArgumentError("probabilities must lie in [0, 1]")
    if not np.isin(hits, (0, 1)).all():
        raise ArgumentError("right must be true or false for each image")
    return values, hits


class _Rows(NamedTuple):
    """What `right_answers` needs of a comparison."""

    columns: tuple[str, ...]
    cells: tuple[tuple[Explanation, ...], ...]
    facts: tuple[ModelFacts, ...]
    truths: tuple[Truth, ...]


def _of_comparison(cells: Cells, labels: Labels, bins: int | None) -> dict[str, Calibration]:
    rows = tuple(cells.rows())
    truths = find_truths(cells.images, None, None, labels, sizes=[row[0].size for row in rows])
    if not any(truth.classes for truth in truths):
        raise ArgumentError("calibration needs the true class of images: give labels=")
    # As in a summary.
    known_classes, foreign = known_truths(_Rows(cells.columns, rows, cells.facts, tuple(truths)))
    _say_foreign(foreign, none=not any(truth.classes for truth in known_classes))
    right = right_answers(_Rows(cells.columns, rows, cells.facts, known_classes))
    units = UnitCounter().number(cells.images)
    found = {}
    for at in one_class_columns(cells.columns, cells.facts):
        known = np.isfinite(right[:, at])
        values = np.array([row[at].predicted_probability for row in rows])
        if known.any():
            found[cells.columns[at]] = measure_calibration(
                values[known], right[known, at], units[known], bins
            )
    if not found:
        raise ArgumentError(
            "no column predicts one class an image, so there is no calibration: labels that do "
            "not exclude each other have a probability each, of which only the highest is kept"
        )
    return found


def _say_foreign(foreign: ForeignLabels, *, none: bool) -> None:
    """Warn of images that are left out, since the models do not know their datasets' classes.

    Raises:
        AnnotationError: If none are left.
    """
    for note in foreign.notes():
        if none:
            raise AnnotationError(f"no image has a true class that all models know: {note}")
        warnings.warn(note, ImageWarning, stacklevel=4)


def one_class_columns(columns: Sequence[str], facts: Sequence[ModelFacts]) -> list[int]:
    """Return the positions of the columns whose classes exclude each other."""
    return [at for at in range(len(columns)) if not (facts and facts[at].multi_label)]

"""What every group of figures does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Protocol

from effcam.metrics.estimates import Means, Sums
from effcam.metrics.inference import Estimate
from effcam.metrics.summary.records import Figure, Measure
from effcam.metrics.summary.rows import Selection

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from effcam.metrics.calibration_result import Calibration
    from effcam.metrics.summary.confusions import Confusion
    from effcam.metrics.summary.published import PublishedValue


class Measured(NamedTuple):
    """The measures of a group, and notes for the reader in whole sentences.

    ``calibration`` is by the column's position; ``published`` are the origins of values.
    """

    measures: Sequence[Measure]
    notes: Sequence[str] = ()
    calibration: Mapping[int, Calibration] = MappingProxyType({})
    confusions: Sequence[Confusion] = ()
    published: Sequence[PublishedValue] = ()


class Group(Protocol):
    """A group of figures, measured over images that come some at a time."""

    def add(self, selection: Selection) -> None:
        """Measure some images."""

    def finish(self) -> Measured:
        """Return the measures of all images added; none where the group does not apply."""


def measure(
    figure: Figure,
    estimator: Means | Sums,
    baselines: Mapping[str, float] | None = None,
    apart: NDArray[np.bool_] | None = None,
) -> Measure:
    """Return the measure of a figure from the images that its estimator was fed.

    Args:
        figure: The figure.
        estimator: The means or sums over images.
        baselines: The value of each baseline.
        apart: (columns, columns) which two columns are not to be compared.
    """
    return measure_of(figure, estimator.estimate(figure.possible, apart), baselines)


def measure_of(
    figure: Figure, found: Estimate, baselines: Mapping[str, float] | None = None
) -> Measure:
    """Return the measure of a figure that was estimated.

    Args:
        figure: The figure.
        found: Its values, with intervals and tests.
        baselines: The value of each baseline.
    """
    return Measure(
        figure=figure,
        values=found.values,
        low=found.low,
        high=found.high,
        counts=found.counts,
        units=found.units,
        baselines=baselines or {},
        difference_low=found.difference_low,
        difference_high=found.difference_high,
        p_values=found.p_values,
    )

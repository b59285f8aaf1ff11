"""The group "average precision": how well models of several labels an image rank the images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from effcam.errors import ArgumentError
from effcam.metrics.estimates import Places, from_jackknife
from effcam.metrics.inference import SHARE
from effcam.metrics.label_precision import weighted_precisions
from effcam.metrics.label_result import LabelProbabilities
from effcam.metrics.summary.figures.group import Measured, measure_of
from effcam.metrics.summary.records import Figure, Measure
from effcam.metrics.summary.rows import Selection
from effcam.models.facts import ModelFacts

if TYPE_CHECKING:
    from numpy.typing import NDArray

GROUP = "average precision"
RANDOM_ORDER = "random order"
"""The baseline: the share of the images that have a label."""
MEAN = Figure(
    "mean_average_precision",
    "mean (mAP)",
    GROUP,
    "higher",
    "%",
    1,
    "The mean over labels of the average precision, on all labelled images.",
    SHARE,
)
LABEL = Figure(
    "average_precision",
    "label",
    GROUP,
    None,
    "%",
    1,
    "How well a label's probabilities rank the images that have it before those that do not.",
    SHARE,
)
"""The figure of one label; its key is followed by a colon and the label. None is marked as best:
of many labels, some would be by chance."""
FIGURES = (MEAN,)
MOST_LISTED = 20
"""The most labels in tables."""


class LabelFigures:
    """Average precision over all images whose labels are known."""

    def __init__(
        self, columns: tuple[str, ...], facts: Sequence[ModelFacts], found: LabelProbabilities
    ) -> None:
        self._columns, self._facts, self._found = columns, facts, found
        self._images: list[str] = []
        self._known: list[bool] = []
        self._units: list[int] = []
        self._labels: dict[tuple[int, ...], set[int]] = {}
        self._multi = [at for at, values in enumerate(found.values) if values is not None]

    def add(self, selection: Selection) -> None:
        """Note the labels of some images.

        Raises:
            TargetError: If a model has no such label.
        """
        units = selection.units.tolist()
        for image, truth, unit in zip(
            selection.rows.images, selection.rows.truths, units, strict=True
        ):
            for label in truth.classes or ():
                # Names of one label are one label.
                indices = tuple(self._facts[at].find_class(label) for at in self._multi)
                self._labels.setdefault(indices, set()).add(len(self._images))
            self._images.append(image.name)
            self._known.append(truth.classes is not None)
            self._units.append(unit)

    def finish(self) -> Measured:
        """Return the measures; none where no image has a label.

        Raises:
            ArgumentError: If the probabilities are those of another comparison.
        """
        found = self._found
        if (found.images, found.columns) != (tuple(self._images), self._columns):
            raise ArgumentError(
                "these label_probabilities were measured for another comparison: of "
                f"{len(found.images)} images and the columns {', '.join(found.columns)}"
            )
        if not self._labels:
            return Measured([], ["No image has a label, so there is no average precision."])
        names = [self._facts[self._multi[0]].labels[each[0]] for each in self._labels]
        values, without, single = self._precisions()
        share = self._truth().mean(0)
        counts = np.zeros(len(self._columns))
        counts[self._multi] = sum(self._known)

        def measure(figure: Figure, own: slice | int, chance: float) -> Measure:
            mean = np.nanmean if isinstance(own, slice) else _first
            estimate = from_jackknife(
                mean(values[:, own], -1), mean(without[:, :, own], -1), counts, SHARE, single=single
            )
            return measure_of(figure, estimate, {RANDOM_ORDER: chance})

        listed = len(names) <= MOST_LISTED
        measures = [measure(MEAN, slice(None), float(share.mean()))]
        order = sorted(range(len(names)), key=lambda at: names[at].casefold())
        for at in order:
            figure = replace(LABEL, key=f"{LABEL.key}:{names[at]}", title=names[at], listed=listed)
            measures.append(measure(figure, at, float(share[at])))
        return Measured(measures, self._notes(len(names), listed))

    def _truth(self) -> NDArray[np.bool_]:
        """Return (labelled images, labels), which labels each has."""
        truth = np.zeros((len(self._images), len(self._labels)), bool)
        for at, members in enumerate(self._labels.values()):
            truth[list(members), at] = True
        return np.asarray(truth[np.array(self._known)])

    def _precisions(self) -> tuple[NDArray[np.float64], NDArray[np.float64], bool]:
        """Return the average precisions, and those without each unit.

        Returns:
            (columns, labels); (units, columns, labels); and whether each image is a unit.
        """
        known = np.array(self._known)
        places = Places()
        place = places.of(int(known.sum()), np.array(self._units)[known])
        used = np.unique(place)
        weights = np.concatenate([np.ones((1, len(place))), place != used[:, None]])
        truth = self._truth()
        results = np.full((len(weights), len(self._columns), truth.shape[1]), np.nan)
        for at, column in enumerate(self._multi):
            probabilities = self._found.values[column]
            if probabilities is not None:
                own = [indices[at] for indices in self._labels]
                values = probabilities[known][:, own].astype(np.float64)
                results[:, column] = weighted_precisions(values, truth, weights)
        return results[0], results[1:], places.single

    def _notes(self, labels: int, listed: bool) -> list[str]:
        opening = (
            "Average precision takes a label that is not given for an image as absent from it, and "
            f"its mean includes the {labels} labels that any image has."
        )
        notes = [opening]
        if not listed:
            notes.append(
                f"The average precision of each of the {labels} labels is in summary.measure, "
                "to_json and to_csv, and not in the tables."
            )
        left = [
            label
            for label, values in zip(self._columns, self._found.values, strict=True)
            if values is None
        ]
        if left:
            notes.append(
                f"{', '.join(left)}: the classes exclude each other, so there is no average "
                "precision of labels."
            )
        return notes


def _first(values: NDArray[np.float64], _axis: int) -> NDArray[np.float64]:
    return values

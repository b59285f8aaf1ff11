"""The group "localisation": whether heat lies on the object, given boxes or masks.

To add a figure of single images, add it to `PER_IMAGE` with its function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from effcam.cam.explanation import Explanation
from effcam.metrics.estimates import Means, Sums
from effcam.metrics.inference import HITS, SHARE, Range
from effcam.metrics.localisation import centre_map, energy_pointing_game, hits, reachable
from effcam.metrics.pixel_precision import average_precision, pixel_levels
from effcam.metrics.sampling import Object, grids_differ, place_object
from effcam.metrics.summary.figures.box_accuracy import BOX_FIGURES, BoxAccuracy
from effcam.metrics.summary.figures.group import Measured, measure
from effcam.metrics.summary.notes import GRIDS_DIFFER
from effcam.metrics.summary.records import Figure, Measure
from effcam.metrics.summary.rows import ImageRows, Samples, Selection, Units
from effcam.models.facts import ModelFacts

if TYPE_CHECKING:
    from numpy.typing import NDArray

BASELINES = ("centre", "uniform")
"""The maps that do not depend on the image; they come after the columns."""


@dataclass(frozen=True, slots=True, eq=False)
class Located:
    """The maps of an image, and where its object is.

    Attributes:
        maps: (columns + baselines, height, width) float32 heat over the image, >= 0.
        sound: (columns + baselines,) whether the map has evidence.
        object: Where the object is.
    """

    maps: NDArray[np.float32]
    sound: NDArray[np.bool_]
    object: Object


def locate(row: Sequence[Explanation], thing: Object) -> Located:
    """Return the maps of an image at the size at which localisation is measured."""
    width, height = thing.width, thing.height
    maps = [cell.evidence(width, height) for cell in row]
    maps += [centre_map(width, height), np.ones((height, width), np.float32)]
    sound = np.array([*(cell.state == "ok" for cell in row), True, True])
    return Located(np.stack(maps), sound, thing)


def _pointing(image: Located) -> NDArray[np.float64]:
    thing = image.object
    where = {"boxes": thing.boxes} if thing.boxes else {"mask": thing.inside >= 0.5}
    near = reachable(thing.width, thing.height, **where)
    pointing = (hits(image.maps, near) & image.sound).astype(np.float64)
    # A uniform map has no hottest pixel; its baseline points at random.
    pointing[-1] = near.mean()
    return np.asarray(pointing)


def _energy(image: Located) -> NDArray[np.float64]:
    share = energy_pointing_game(image.maps, mask=image.object.inside)
    return np.where(image.sound, share, np.nan)


def _mass_area_ratio(image: Located) -> NDArray[np.float64]:
    return np.asarray(_energy(image) / image.object.inside.mean())


PER_IMAGE: tuple[tuple[Figure, Callable[[Located], NDArray[np.float64]]], ...] = (
    (
        Figure(
            "pointing_game",
            "pointing game",
            "localisation",
            "higher",
            "%",
            1,
            "How often the hottest point is on the object, or within 3 % of the image's longer "
            "side of it (15 px of 500).",
            HITS,
        ),
        _pointing,
    ),
    (
        Figure(
            "energy_pointing_game",
            "energy pointing game",
            "localisation",
            "higher",
            "%",
            1,
            "The share of the heat that is on the object.",
            SHARE,
        ),
        _energy,
    ),
    (
        Figure(
            "mass_area_ratio",
            "mass / area",
            "localisation",
            "higher",
            "",
            2,
            "How many times denser heat is on the object than over the whole image.",
            Range(0),
        ),
        _mass_area_ratio,
    ),
)
"""Each figure with its function, which returns one value a map; NaN is no value."""
PRECISION = Figure(
    "pixel_average_precision",
    "PxAP",
    "localisation",
    "higher",
    "%",
    1,
    "The average precision of heat as a guess at the object's pixels.",
    SHARE,
)
FIGURES = (*(figure for figure, _ in PER_IMAGE), *BOX_FIGURES, PRECISION)


class LocalisationFigures:
    """Figures over the images whose boxes or masks are known.

    A map without evidence is a miss where hits are counted, and has no value where the share of
    its heat on the object is asked for.
    """

    def __init__(self, columns: int, facts: Sequence[ModelFacts]) -> None:
        del facts
        self._columns = columns
        self._objects = 0
        self._apart = np.zeros((columns, columns), bool)
        self._means = {each.key: _Means(columns) for each in FIGURES}
        self._boxes = BoxAccuracy()
        self._precision = _Precision()

    def add(self, selection: Selection) -> None:
        """Measure some images.

        Raises:
            AnnotationError: If boxes or masks do not fit their image.
        """
        kept, units = selection.kept, selection.kept_units
        shape = len(kept), self._columns + len(BASELINES)
        samples = {figure.key: np.full(shape, np.nan) for figure, _ in PER_IMAGE}
        levels, masked, boxed = [], [], []
        for at, image in _located(kept):
            self._objects += 1
            self._apart |= grids_differ(kept.cells[at])
            for figure, function in PER_IMAGE:
                samples[figure.key][at] = function(image)
            thing = image.object
            if thing.mask is not None:
                levels.append(pixel_levels(image.maps, thing.mask, thing.ignored))
                masked.append(at)
            if thing.boxes:
                boxed.append((at, thing.outline))
        for key, values in samples.items():
            self._means[key].add(values, units)
        self._boxes.add(kept.cells, self._columns, boxed, units)
        if levels:
            self._precision.add(np.stack(levels), units[masked])

    def finish(self) -> Measured:
        """Return the measures that the known boxes and masks allow; none without any."""
        if not self._objects:
            return Measured([])
        figures = [figure for figure, _ in PER_IMAGE]
        for units, part in self._boxes.samples():
            for key, values in part.items():
                self._means[key].add(values, units)
        if self._boxes.enough:
            figures += BOX_FIGURES
        measures = [self._means[each.key].measure(each, self._apart) for each in figures]
        measures += self._precision.measures(self._apart)
        return Measured(measures, [GRIDS_DIFFER] if self._apart.any() else [])


def _located(kept: ImageRows) -> Iterator[tuple[int, Located]]:
    """Yield the position and the maps of each image whose object is known."""
    for at, (row, truth) in enumerate(zip(kept.cells, kept.truths, strict=True)):
        thing = place_object(truth, row[0].size, row[0].image.name)
        if thing is not None:
            yield at, locate(row, thing)


class _Means:
    """Means of columns with intervals, and the means of the baselines after them."""

    def __init__(self, columns: int) -> None:
        self._estimator = Means(columns)
        self._total, self._count = np.zeros((2, columns + len(BASELINES)))

    def add(self, samples: Samples, units: Units) -> None:
        """Add (images, columns + baselines), NaN where there is no value, and the units."""
        valid = np.isfinite(samples)
        self._total += np.where(valid, samples, 0).sum(0)
        self._count += valid.sum(0)
        self._estimator.add(samples[:, : -len(BASELINES)], units)

    def measure(self, figure: Figure, apart: NDArray[np.bool_]) -> Measure:
        means = np.full(self._total.shape, np.nan)
        np.divide(self._total, self._count, out=means, where=self._count > 0)
        return measure(figure, self._estimator, _baselines(means), apart)


class _Precision:
    """Pixel average precision over the images with a mask."""

    def __init__(self) -> None:
        self._estimator = Sums(average_precision)
        self._total: NDArray[np.int64] | None = None

    def add(self, levels: NDArray[np.int64], units: Units) -> None:
        """Add (images, columns + baselines, 2, levels) counts of pixels off and on the object."""
        total = levels.sum(0)
        self._total = total if self._total is None else self._total + total
        self._estimator.add(levels[:, : -len(BASELINES)].astype(np.float64), units)

    def measures(self, apart: NDArray[np.bool_]) -> list[Measure]:
        if self._total is None:
            return []
        baselines = _baselines(average_precision(self._total))
        return [measure(PRECISION, self._estimator, baselines, apart)]


def _baselines(values: NDArray[np.float64]) -> dict[str, float]:
    return dict(zip(BASELINES, map(float, values[-len(BASELINES) :]), strict=True))

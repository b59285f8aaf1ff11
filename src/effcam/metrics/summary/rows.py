"""Rows of a comparison: the cells of some images, and which images all models can share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from effcam.cam.explanation import Explanation
from effcam.images.refs import ImageRef
from effcam.images.truth import Truth
from effcam.metrics.true_classes import right_answers
from effcam.models.facts import ModelFacts

if TYPE_CHECKING:
    from numpy.typing import NDArray

Units: TypeAlias = "NDArray[np.int64]"
"""(images,) the number of each image's unit: the image itself, or the video that it is from."""
Samples: TypeAlias = "NDArray[np.float64]"
"""(images, columns), NaN where there is no value."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageRows:
    """The cells of some images, and what is known of the images and the models.

    Attributes:
        columns: The columns' labels.
        cells: One row an image, each with one cell a column.
        facts: Facts of each column's model; empty if unknown.
        truths: The annotations of each image.
    """

    columns: tuple[str, ...]
    cells: tuple[tuple[Explanation, ...], ...]
    facts: tuple[ModelFacts, ...]
    truths: tuple[Truth, ...]

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.cells)

    def take(self, used: NDArray[np.bool_]) -> ImageRows:
        """Return the rows of some of the images, chosen by (images,) bool."""
        picked = np.flatnonzero(used)
        return ImageRows(
            self.columns,
            tuple(self.cells[at] for at in picked),
            self.facts,
            tuple(self.truths[at] for at in picked),
        )

    @property
    def images(self) -> list[ImageRef]:
        """The images, in order."""
        return [row[0].image for row in self.cells]

    def column(self, index: int) -> list[Explanation]:
        """Return the cells of a column."""
        return [row[index] for row in self.cells]

    def each(self, value: Callable[[Explanation], float]) -> Samples:
        """Return a value of every cell, (images, columns)."""
        found = np.array([[value(cell) for cell in row] for row in self.cells], np.float64)
        return found.reshape(len(self.cells), len(self.columns))

    @property
    def predicts(self) -> bool:
        """Whether a model predicts a class in any of the images."""
        return any(cell.predicted is not None for row in self.cells for cell in row)

    def empty_samples(self) -> Samples:
        """Return (images, columns) of NaN."""
        return np.full((len(self.cells), len(self.columns)), np.nan)

    @property
    def labelled(self) -> bool:
        """Whether the class of any image is known."""
        return any(truth.classes is not None for truth in self.truths)


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """Rows, and which of them count.

    Attributes:
        rows: All of them.
        right: (images, columns) 1 where the model is right, 0 where it is wrong, NaN where the
            label is unknown.
        comparable: (images,) whether the models' maps answer one question.
        used: (images,) whether figures other than accuracy include the image.
        kept: The rows of the images used.
        units: (images,) the unit of each image; the frames of one video are alike.
    """

    rows: ImageRows
    right: Samples
    comparable: NDArray[np.bool_]
    used: NDArray[np.bool_]
    kept: ImageRows
    units: Units

    @property
    def kept_units(self) -> Units:
        """The units of the images used."""
        return self.units[self.used]


def select(rows: ImageRows, units: Units, *, labelled: bool, fair: bool) -> Selection:
    """Choose the images that figures other than accuracy include.

    Args:
        rows: The rows to choose from.
        units: The unit of each image.
        labelled: Whether the class of any image of the comparison is known.
        fair: Whether to keep only images in which the models' maps answer one question.

    Raises:
        TargetError: If a label is no class of a model.
    """
    right = are_right(rows)
    comparable = _find_comparable(rows, right if labelled else None)
    used = comparable if fair else np.ones(len(rows), bool)
    return Selection(rows, right, comparable, used, rows.take(used), units)


def are_right(rows: ImageRows) -> Samples:
    """Return `right_answers` of the rows: 1 for right, 0 for wrong, NaN for unknown.

    Raises:
        TargetError: If a label is no class of a model.
        AnnotationError: If an image has several labels or none, and a model has one class an image.
    """
    return right_answers(rows)


def _find_comparable(rows: ImageRows, right: Samples | None) -> NDArray[np.bool_]:
    """Return in which images the models predict and explain one class, the right one if known."""
    same = np.array([_predict_alike(row, rows.facts) for row in rows.cells], bool)
    if right is None:
        return same
    answers = np.array([[cell.predicted is not None for cell in row] for row in rows.cells], bool)
    # NaN, an unknown label, is not 1.
    return np.asarray(same & ((right == 1) | ~answers).all(1))


def _predict_alike(row: Sequence[Explanation], facts: Sequence[ModelFacts]) -> bool:
    # Indices of different sets of classes do not compare, their names do.
    one_set = len({len(each.labels) for each in facts}) <= 1
    predicted = {
        cell.predicted if one_set else cell.predicted_label.casefold()
        for cell in row
        if cell.predicted is not None
    }
    explained = {
        (cell.asked, *((cell.target, cell.label) if one_set else (cell.label.casefold(),)))
        for cell in row
    }
    return len(predicted) <= 1 and len(explained) == len({cell.asked for cell in row})

"""The true classes of images as each model numbers them, and which predictions are right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from effcam.cam.explanation import Explanation
from effcam.errors import AnnotationError, ArgumentError
from effcam.images.truth import NamedClass, Truth
from effcam.models.class_names import NUMBER
from effcam.models.facts import ModelFacts

if TYPE_CHECKING:
    from numpy.typing import NDArray

Label: TypeAlias = int | str | NamedClass


class Rows(Protocol):
    """The cells of some images, and what is known of the images and the models."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns' labels."""

    @property
    def cells(self) -> tuple[tuple[Explanation, ...], ...]:
        """One row an image, each with one cell a column."""

    @property
    def facts(self) -> tuple[ModelFacts, ...]:
        """Facts of each column's model; empty if unknown."""

    @property
    def truths(self) -> tuple[Truth, ...]:
        """The annotations of each image."""


def true_classes(rows: Rows) -> list[list[frozenset[int]]]:
    """Return the indices of the true classes, for each image and column; empty if unknown.

    They are unknown, too, where the model predicts no class.

    Raises:
        TargetError: If a label is no class of a model.
        AnnotationError: If an image has several labels or none, and a model has one class an image.
    """
    known: dict[tuple[int, tuple[Label, ...]], frozenset[int]] = {}
    found = []
    for row, truth in zip(rows.cells, rows.truths, strict=True):
        own: list[frozenset[int]] = []
        for column, cell in enumerate(row):
            if truth.classes is None or cell.predicted is None:
                own.append(frozenset())
                continue
            key = column, _labels_for(rows, column, truth, cell)
            if key not in known:
                known[key] = frozenset(_class_index(rows, column, label) for label in key[1])
            own.append(known[key])
        found.append(own)
    return found


def right_answers(rows: Rows) -> NDArray[np.float64]:
    """Return 1 where a model is right, 0 where it is wrong, and NaN where that is unknown.

    A model of several labels an image is right if the one of the highest probability is among the
    image's. It is unknown for an image without labels.

    Returns:
        (images, columns).

    Raises:
        TargetError: If a label is no class of a model.
        AnnotationError: If an image has several labels or none, and a model has one class an image.
    """
    found = np.full((len(rows.cells), len(rows.columns)), np.nan)
    for at, (row, known) in enumerate(zip(rows.cells, true_classes(rows), strict=True)):
        for column, (cell, classes) in enumerate(zip(row, known, strict=True)):
            if classes:
                found[at, column] = cell.predicted in classes
    return found


def _labels_for(rows: Rows, column: int, truth: Truth, cell: Explanation) -> tuple[Label, ...]:
    """Return the labels of an image that a column may predict.

    Raises:
        AnnotationError: If the model has one class an image, and the image has not.
    """
    labels: Sequence[Label] = truth.classes or ()
    if len(labels) == 1 or (rows.facts and rows.facts[column].multi_label):
        return tuple(labels)
    names = ": " + ", ".join(map(str, labels[:5])) if labels else ""
    raise AnnotationError(
        f"image {cell.image.name!r} has {len(labels)} labels{names}; in {rows.columns[column]} the "
        "classes exclude each other, so each image has one. For a model of several labels an "
        "image, give scores='sigmoid' when it is loaded (--scores sigmoid)"
    )


def _class_index(rows: Rows, column: int, label: Label) -> int:
    if rows.facts:
        return rows.facts[column].find_class(label)
    if isinstance(label, NamedClass) and label.index is not None:
        return label.index
    if isinstance(label, int):
        return label
    if isinstance(label, str) and NUMBER.fullmatch(label):
        return int(label)
    raise ArgumentError(
        f"label {str(label)!r} is a name, but the classes of this comparison's models are unknown: "
        "give indices"
    )

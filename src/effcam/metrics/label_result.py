"""The result of `effcam.metrics.label_probabilities`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class LabelProbabilities:
    """The probability of every label in every image of a comparison.

    Attributes:
        images: The names of the images.
        columns: The columns' labels.
        values: For each column, (images, labels) float32 in [0, 1]; ``None`` for a model of
            classes that exclude each other. Columns of one model share an array.
    """

    images: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[NDArray[np.float32] | None, ...] = field(repr=False)

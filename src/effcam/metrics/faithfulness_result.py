"""The result of `effcam.metrics.faithfulness`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


GRID_FIGURE = "grid_pointing_game"
"""The figure that is measured on mosaics, not on single images."""


@dataclass(frozen=True, slots=True, eq=False)
class Faithfulness:
    """How much the models' predictions depend on what their maps show.

    Attributes:
        images: The names of the images.
        columns: The columns' labels.
        samples: By figure, (images, columns) or, for mosaics, (mosaics, columns) float64; NaN where
            there is no value.
        random: The same figures for random maps.
        known: By figure, the values of baselines that need no measurement.
        notes: Notes for the reader, in whole sentences.
    """

    images: tuple[str, ...]
    columns: tuple[str, ...]
    samples: Mapping[str, NDArray[np.float64]] = field(repr=False)
    random: Mapping[str, NDArray[np.float64]] = field(repr=False)
    known: Mapping[str, Mapping[str, float]] = field(default_factory=dict, repr=False)
    notes: tuple[str, ...] = ()

"""Measure how far the cells of a map are from where they would lie around the input's middle.

Uneven padding moves the receptive fields of cells, at most by half a cell each way; training moves
back what the network looks at, so arithmetic cannot tell the rest (Alsallakh et al., 2021,
arXiv:2010.02178, on uneven padding). So it is measured on the weights: a stripe of a picture is
replaced, and the centre of the cells that change, weighted by the energy of their change, is
compared with the middle of the stripe.

Each picture has four stripes, two across and two down, at places that lie opposite to each other
around the middle, so that a cell's own width does not matter; and it is turned by 180 degrees, so
that most of its influence on the centre is cancelled. The least change of all rows (or columns) of
cells is taken off, since a network that mixes all places changes everywhere, and cells near the
border are fewer on one side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from effcam.images.preprocess import Preprocess
from effcam.models.tracing.isolation import untouched
from effcam.models.tracing.layer_run import run_layers, to_floats
from effcam.models.tracing.probe import probe_inputs
from effcam.models.tracing.runners import device_of, dtype_of
from effcam.models.tracing.score_source import ScoreSource
from effcam.models.tracing.target_layer import TargetLayer

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

PICTURES = 5
"""Each takes ten passes of one image in two batches, the time of about eight single ones."""
STRIPE = 0.25
"""The width of a stripe in cells. Wider ones give the same means with larger errors."""
DIGITS = 3
"""Decimals of an offset in px, more than its error allows."""
SURE = 0.125
"""The largest standard error, in cells, of an offset that is used."""


class Offset(NamedTuple):
    """How far a grid is from the middle of the input, px of the input: (down, across) each.

    Attributes:
        shift: Negative is up and left.
        error: The standard error.
    """

    shift: tuple[float, float]
    error: tuple[float, float]


def measure_offset(
    module: nn.Module,
    layer: TargetLayer,
    preprocess: Preprocess,
    pitch: tuple[float, float],
    source: ScoreSource,
) -> Offset | None:
    """Return how far a layer's cells are from the middle of the input, the same each time.

    It is ``None`` if it cannot be told: the map has one row or column, it does not change, or its
    change says too little (`SURE`).

    Args:
        module: The network, which stays unchanged.
        layer: The layer to look at.
        preprocess: The network's transform.
        pitch: The distance of neighbouring cells' centres, down and across, px of the input.
        source: Where the network's class scores are read.

    Raises:
        ModelError: If the network fails.
    """
    if min(layer.grid) < 2:
        return None
    measure = _Measure(module, layer, preprocess, pitch, source)
    with untouched(module), torch.inference_mode(False), torch.no_grad():
        module.eval()
        shifts = np.array([measure.by_picture(seed) for seed in range(1, PICTURES + 1)])
    found = [_mean(each[np.isfinite(each)]) for each in shifts.T]
    if any(error > SURE * each for (_, error), each in zip(found, pitch, strict=True)):
        return None
    (down, down_error), (across, across_error) = (
        tuple(round(each, DIGITS) for each in axis) for axis in found
    )
    return Offset((down, across), (down_error, across_error))


@dataclass(frozen=True, slots=True, eq=False)
class _Measure:
    """Measures the offset of a layer's cells, by one picture each time."""

    module: nn.Module
    layer: TargetLayer
    preprocess: Preprocess
    pitch: tuple[float, float]
    source: ScoreSource

    def by_picture(self, seed: int) -> NDArray[np.float64]:
        """Return (2,) offsets down and across by one picture and the same one turned.

        One is NaN if no stripe changes the map, as where a network skips most pixels.
        """
        pair = probe_inputs(self.preprocess, seed=seed)
        pair = pair.to(device_of(self.module), dtype_of(self.module))
        away = np.random.default_rng(seed).uniform(-0.5, 0.5, 2) * self.pitch
        stripes = [
            _Stripe(axis, self.preprocess.size[axis], self.pitch[axis], sign * away[axis])
            for axis in (0, 1)
            for sign in (1, -1)
        ]
        found = np.array([self._offsets(stripes, *each) for each in (pair, pair.flip(2, 3))])
        by_axis = found.reshape(2, 2, 2).swapaxes(0, 1).reshape(2, 4)
        return np.array([_mean(each[np.isfinite(each)])[0] for each in by_axis])

    def _offsets(self, stripes: Sequence[_Stripe], picture: Tensor, other: Tensor) -> list[float]:
        images = torch.stack([picture, *(stripe.put(picture, other) for stripe in stripes)])
        _, (output,) = run_layers(self.module, [self.layer], images, self.source)
        before, *after = self.layer.to_map(to_floats(output))
        return [
            stripe.offset((cells - before).square().sum(0))
            for stripe, cells in zip(stripes, after, strict=True)
        ]


def _mean(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the mean and its standard error: NaN without values, infinite for one."""
    count = len(values)
    if count == 0:
        return math.nan, math.inf
    return float(values.mean()), float(values.std(ddof=1)) / count**0.5 if count > 1 else math.inf


class _Stripe:
    """A stripe over the whole width or height of a picture, near its middle."""

    def __init__(self, axis: int, pixels: int, pitch: float, away: float) -> None:
        """Place it across (axis 0) or down (axis 1), ``away`` px from the middle, roughly."""
        self._axis, self._pixels, self._pitch = axis, pixels, pitch
        self._width = max(round(STRIPE * pitch), 1)
        self._start = round(pixels / 2 + away - self._width / 2)

    def put(self, picture: Tensor, other: Tensor) -> Tensor:
        """Return a copy of a (C, H, W) picture with this part of another one."""
        copy, axis = picture.clone(), 1 + self._axis
        part = other.narrow(axis, self._start, self._width)
        copy.narrow(axis, self._start, self._width).copy_(part)
        return copy

    def offset(self, change: Tensor) -> float:
        """Return how far the cells that it changed lie from it, by (rows, columns) energies.

        A cell that lies at the middle of a grid, and changes most for a stripe above the middle of
        the picture, looks upwards: negative.
        """
        along = change.sum(1 - self._axis, dtype=torch.float64).cpu().numpy()
        along = along - along.min()
        if not along.sum() > 0:
            return np.nan
        cells = len(along)
        centre = float(along @ (np.arange(cells) - (cells - 1) / 2) / along.sum())
        return self._start + self._width / 2 - self._pixels / 2 - centre * self._pitch

"""Find out whether a tensor's cells lie over the image, by what changes where."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.probes import PLACES

IN_PLACE = 0.6
"""The least share of the change that must lie where the object is; by chance it is 0.25."""
DIFFERENT = 0.05
"""The least share of the change that must depend on where the object is."""
SHIFT_COUNTS = 0.2
MOST_EXTRA = 16
"""The most tokens that stand for no cell, before the cells or after them."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A way to read a tensor as a map: its layout, its side in cells, and its prefix tokens."""

    layout: str
    side: int
    prefix: int = 0

    def to_map(self, value: Tensor) -> Tensor:
        """Return the (batch, channels, side, side) map in a tensor."""
        if self.layout == "NCHW":
            return value
        if self.layout == "NHWC":
            return value.permute(0, 3, 1, 2)
        cells = value[:, self.prefix : self.prefix + self.side**2]
        return cells.transpose(1, 2).reshape(len(value), -1, self.side, self.side)

    def put_cells(self, value: Tensor, held: Tensor) -> Tensor:
        """Return a tensor whose cells are those of another, and its other tokens its own."""
        if self.layout != "tokens":
            return held.clone()
        end = self.prefix + self.side**2
        return torch.cat([value[:, : self.prefix], held[:, self.prefix : end], value[:, end:]], 1)


def readings(shape: torch.Size, size: int) -> Iterator[Reading]:
    """Yield the ways to read a tensor of a shape as a map of a square image."""
    if len(shape) == 4:
        if shape[2] == shape[3] and 2 <= shape[2] <= size // 2:
            yield Reading("NCHW", shape[2])
        if shape[1] == shape[2] and 2 <= shape[1] <= size // 2:
            yield Reading("NHWC", shape[1])
    if len(shape) == 3:
        for extra in range(MOST_EXTRA + 1):
            side = math.isqrt(max(shape[1] - extra, 0))
            if side**2 == shape[1] - extra and 2 <= side <= size // 2:
                yield from (Reading("tokens", side, prefix) for prefix in {0, extra})


def _changes(maps: Tensor) -> Tensor:
    """Return the (places, side, side) lengths of the changes of the cells, double precision."""
    maps = maps.detach().double()
    return (maps[1:] - maps[:1]).square().sum(1).sqrt()


def in_place(maps: Tensor) -> float:
    """Return the share of the change that lies in the quarter in which the object is.

    Args:
        maps: (1 + places, channels, side, side), of the pictures of `probes.with_object`.
    """
    change = _changes(maps)
    totals = change.sum((1, 2), keepdim=True)
    if not bool(change.isfinite().all()) or float(totals.min()) <= 0:
        return 0.0
    change = change / totals
    side = maps.shape[-1]
    quarter = torch.tensor([PLACES.index((r, c)) for r in (0, 1) for c in (0, 1)])
    line = torch.arange(side)
    half = (line >= (side + 1) // 2).long()
    middle = (line == side // 2) & (side % 2 == 1)
    owner = quarter[half[:, None] * 2 + half[None, :]]
    weight = change.amax(0) * ~(middle[:, None] | middle[None, :])
    right = change.argmax(0) == owner
    return float((weight * right).sum() / weight.sum().clamp(min=1e-30))


def differs(maps: Tensor) -> float:
    """Return the share of the change that depends on where the object is.

    Args:
        maps: (1 + places, channels, side, side), of the pictures of `probes.with_object`.
    """
    change = _changes(maps)
    change = change / change.sum((1, 2), keepdim=True).clamp(min=1e-300)
    return float((change - change.mean(0)).abs().sum((1, 2)).mean()) / 2


def shift(maps: Tensor) -> float:
    """Return how far the change lies from the object, in cells, on average over the places.

    A class token after the cells, taken for one before them, shifts them by one cell. Attention
    spreads a change over the map; over the four places this cancels out.

    Args:
        maps: (1 + places, channels, side, side), of the pictures of `probes.with_object`.
    """
    change = _changes(maps).pow(4)
    change = change / change.sum((1, 2), keepdim=True).clamp(min=1e-300)
    line = torch.arange(maps.shape[-1], dtype=torch.float64) + 0.5
    rows, columns = (change.sum(each) @ line for each in (2, 1))
    off = torch.stack([rows.mean(), columns.mean()]) - maps.shape[-1] / 2
    return float(off.norm())


def best_readings(values: Sequence[Tensor], size: int) -> list[tuple[Reading, float] | None]:
    """Return for each tensor the reading whose cells lie over the image best, and how well.

    Sequences of one length have their tokens in one order: what lies best in all of them decides.
    """
    found: list[dict[Reading, float]] = []
    fit: defaultdict[tuple[int, Reading], float] = defaultdict(float)
    for value in values:
        found.append({})
        for each in readings(value.shape, size):
            maps = each.to_map(value)
            found[-1][each] = in_place(maps)
            fit[value.shape[1], each] += found[-1][each] - SHIFT_COUNTS * min(shift(maps), 1.0)
    best = []
    for value, places in zip(values, found, strict=True):
        reading = max(places, key=lambda each: fit[value.shape[1], each], default=None)
        best.append(None if reading is None else (reading, places[reading]))
    return best

"""Checks of maps: flags for what is unusual, and its usual causes.

A flag of a cell is about one map; a finding of a column is about all maps of a model together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import numpy as np

from effcam.images.geometry import Box

if TYPE_CHECKING:
    from numpy.typing import NDArray

State: TypeAlias = Literal["ok", "flat", "nan"]

FLAT, NAN, PADDING, BORDER, SAME = "flat", "nan", "padding", "border", "same"

PADDED_SHARE = 0.1
"""The share of heat on padding above which a cell is flagged."""
SMALLEST_SIDE = 5
"""Grids with fewer rows or columns get no border flag: most of their cells are at the border."""
ALIKE = 0.9
"""The mean correlation of different images' maps above which a column is flagged."""
FEWEST = 5
"""The fewest maps for a finding about all of a column."""

MEANING = {
    FLAT: "has no positive evidence",
    NAN: "is not a number",
    PADDING: "has heat on padding, where there is no image",
    BORDER: "peaks at the border",
    SAME: "is nearly the same for every image",
}
"""The meaning of each flag, as the predicate of a sentence about a map."""
PLURALS = {"has": "have", "is": "are", "peaks": "peak"}
SHORT = {
    FLAT: "no positive evidence",
    NAN: "not a number",
    PADDING: "heat on padding",
    BORDER: "peaks at the border",
    SAME: "same map throughout",
}
"""The meaning of each flag in few words."""
CAUSES = {
    FLAT: "Usually the class is very improbable for the model, its score bypasses this layer, the "
    "weights are untrained, or what was asked for has nothing to raise it: as the similarity of an "
    "image and itself, or labels or a box of which none reaches the threshold.",
    NAN: "Usually half precision overflows, the weights contain NaN, or an embedding is 0, without "
    "a direction.",
    PADDING: "Usually the model was trained without such padding and reacts to its edge.",
    BORDER: "Usually the convolutions' own padding causes it, the crop cuts the object, or another "
    "target layer is needed.",
    SAME: "Usually the map does not depend on the image, because of another normalisation than in "
    "training, untrained weights or a layer that mixes all places; or all objects are in one "
    "place.",
}
"""The usual causes of each flag."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is unusual about the maps of a column.

    Attributes:
        flag: One of the flags.
        count: How many maps have it.
        total: How many maps there are.
    """

    flag: str
    count: int
    total: int

    def __str__(self) -> str:
        """Return the finding in words, with its usual causes."""
        if self.flag == SAME:
            return f"the map {MEANING[SAME]}. {CAUSES[SAME]}"
        of = f"{self.count} of {self.total} maps" if self.total > 1 else "the map"
        verb, rest = MEANING[self.flag].split(maxsplit=1)
        if self.total > 1 and self.count != 1:
            verb = PLURALS[verb]
        return f"{of} {verb} {rest}. {CAUSES[self.flag]}"


def flags(
    heatmap: NDArray[np.float32],
    state: State,
    canvas: Box,
    frame: Box,
    size: tuple[int, int],
) -> tuple[str, ...]:
    """Return the flags of one map: ``"flat"``, ``"nan"``, ``"padding"``, ``"border"``.

    Args:
        heatmap: (h, w), >= 0.
        state: The state that the method found.
        canvas: What the map's cells cover, px of the image.
        frame: What the model's input covers, px of the image.
        size: Width and height of the image in px.
    """
    if state != "ok":
        return (state,)
    found = []
    if padded_share(heatmap, canvas, frame, size) > PADDED_SHARE:
        found.append(PADDING)
    if min(heatmap.shape) >= SMALLEST_SIDE and heatmap[1:-1, 1:-1].max() < heatmap.max():
        found.append(BORDER)
    return tuple(found)


def padded_share(
    heatmap: NDArray[np.float32], canvas: Box, frame: Box, size: tuple[int, int]
) -> float:
    """Return the share of the heat outside of the image, in [0, 1].

    Args:
        heatmap: (h, w), >= 0.
        canvas: What its cells cover, px of the image. The part of a cell that lies in the input
            holds its heat.
        frame: What the model's input covers, px of the image.
        size: Width and height of the image in px.
    """
    region = frame.clip(*size)
    if region == frame:
        return 0.0
    rows, columns = (
        _covered(cells, *(box.as_tuple()[first::2] for box in (canvas, frame, region)))
        for cells, first in zip(heatmap.shape, (1, 0), strict=True)
    )
    total = float(heatmap.sum())
    return 1 - float(rows @ heatmap @ columns) / total if total > 0 else 0.0


class Flagged(Protocol):
    """A cell's map and flags."""

    @property
    def heatmap(self) -> NDArray[np.float32]:
        """(h, w), >= 0."""

    @property
    def flags(self) -> tuple[str, ...]:
        """The flags of the map."""


def column_findings(cells: Sequence[Flagged]) -> list[Finding]:
    """Return what is unusual about the maps of a column, all of one grid.

    Maps without evidence and maps that are not numbers are always reported. Heat on padding is
    reported if most maps have it, and peaks at the border if most maps have them and clearly more
    than by chance.

    Args:
        cells: The column's maps, each with its `flags`.
    """
    tally = Tally()
    tally.add(cells)
    return tally.findings()


class Tally:
    """Counts the flags of a column's maps, all of one grid, some maps at a time."""

    def __init__(self) -> None:
        """Start without any map."""
        self._counts = dict.fromkeys(MEANING, 0)
        self._total = self._sound = 0
        self._grid: tuple[int, ...] = (1, 1)
        self._sum: NDArray[np.float64] = np.zeros(1)

    def add(self, cells: Sequence[Flagged]) -> None:
        """Add maps, each with its `flags`."""
        flagged = [cell.flags for cell in cells]
        self._total += len(cells)
        for flag in MEANING:
            self._counts[flag] += sum(flag in own for own in flagged)
        sound = [
            cell.heatmap
            for cell, own in zip(cells, flagged, strict=True)
            if not {FLAT, NAN} & set(own)
        ]
        if sound:
            self._sound += len(sound)
            self._grid = sound[0].shape
            self._sum = self._sum + _unit_vectors(np.stack(sound)).sum(0)

    def findings(self) -> list[Finding]:
        """Return what `column_findings` returns for all maps added so far."""
        counts, total, sound = self._counts, self._total, self._sound
        found = [Finding(flag, counts[flag], total) for flag in (NAN, FLAT) if counts[flag]]
        if sound < FEWEST:
            return found
        if counts[PADDING] > total / 2:
            found.append(Finding(PADDING, counts[PADDING], total))
        if counts[BORDER] / sound > (1 + border_share(self._grid)) / 2:
            found.append(Finding(BORDER, counts[BORDER], total))
        if _mean_product(self._sum, sound) > ALIKE:
            found.append(Finding(SAME, sound, total))
        return found


def border_share(grid: tuple[int, ...]) -> float:
    """Return the share of a grid's cells at its border."""
    rows, columns = grid
    return 1 - max(rows - 2, 0) * max(columns - 2, 0) / (rows * columns)


def _unit_vectors(heatmaps: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return (n, h * w) maps whose products are their correlations; zeros for constant maps."""
    flat = heatmaps.reshape(len(heatmaps), -1).astype(np.float64)
    flat = flat - flat.mean(1, keepdims=True)
    lengths = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.asarray(np.divide(flat, lengths, out=np.zeros_like(flat), where=lengths > 0))


def _mean_product(total: NDArray[np.float64], count: int) -> float:
    """Return the mean product of every two of ``count`` unit vectors, given their sum."""
    # The squared length of a sum of n unit vectors is n plus twice the product of every pair.
    return float((np.square(total).sum() - count) / (count * (count - 1)))


def _covered(
    cells: int, canvas: Sequence[float], frame: Sequence[float], region: Sequence[float]
) -> NDArray[np.float64]:
    """Return the share of each cell's part in the frame that lies in the region, along one axis.

    Args:
        cells: The number of cells.
        canvas: From where to where they lie.
        frame: From where to where the input lies, into which the region fits.
        region: From where to where the image lies.
    """
    edges = np.linspace(canvas[0], canvas[1], cells + 1).clip(frame[0], frame[1])
    inside, whole = np.diff(edges.clip(region[0], region[1])), np.diff(edges)
    return np.asarray(np.divide(inside, whole, out=np.ones(cells), where=whole > 0))

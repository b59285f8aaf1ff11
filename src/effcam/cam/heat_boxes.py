"""Boxes around the hot parts of maps, to a fraction of a cell.

A map is the surface that interpolates its cells bilinearly. The part of it above a threshold
consists of connected parts, whose edges are found exactly: along a line of cells the surface is
linear, and between two lines it is nowhere higher than on both. So no map has to be drawn large,
and a box does not depend on the number of px. One rule is approximate: two hot cells that touch
only at a corner are one part if the middle between them is hot, and always on grids of 12 and more
cells a side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from effcam.images.geometry import Box

if TYPE_CHECKING:
    from numpy.typing import NDArray

AT_ONCE = 2**22
"""The most samples to label at once."""
COARSE = 12
"""Grids with fewer rows or columns get two samples a cell, to find connected diagonal cells."""
APART = np.stack([np.zeros((3, 3)), np.ones((3, 3)), np.zeros((3, 3))])
"""Which samples of a stack of areas touch: the eight neighbours in the same area."""


@dataclass(frozen=True, slots=True, eq=False)
class _Parts:
    """The connected hot parts of n maps at several thresholds.

    Attributes:
        area: (parts,) the map times the number of thresholds, plus the threshold.
        edges: (parts, 4) left, top, right, bottom as shares of what the map covers; beyond 0
            or 1 where heat falls off past its edges.
        size: (parts,) the number of samples of a part.
    """

    area: NDArray[np.intp]
    edges: NDArray[np.float64]
    size: NDArray[np.intp]


def part_ious(
    heats: NDArray[np.floating],
    canvases: Sequence[Box],
    boxes: Sequence[Sequence[Box]],
    thresholds: NDArray[np.floating],
    regions: Sequence[Box],
) -> NDArray[np.float64]:
    """Return how well boxes around hot parts fit given boxes: (n, 2, thresholds), in [0, 1].

    The first is the best intersection over union of any part's box with any given box, the second
    that of the largest part.

    Args:
        heats: (n, h, w), scaled to their own ranges, in [0, 1].
        canvases: What the cells of each map cover, px of its image.
        boxes: The boxes to fit, of each image, px.
        thresholds: (n, thresholds), in [0, 1].
        regions: What the model saw of each image, px; parts are clipped to it.
    """
    chunk = max(1, AT_ONCE // (heats[0].size * thresholds.shape[1] * 4))
    found = []
    for start in range(0, len(heats), chunk):
        some = slice(start, start + chunk)
        parts = _find(heats[some], thresholds[some])
        image = parts.area // thresholds.shape[1]
        edges = _on_images(parts.edges, image, canvases[some], regions[some])
        overlaps = _overlaps(edges, image, boxes[some])
        found.append(_best(parts, overlaps, thresholds[some].shape))
    return np.concatenate(found)


@dataclass(frozen=True, slots=True, eq=False)
class _Areas:
    """The hot areas of n maps, each at several thresholds, in one stack.

    Attributes:
        surface: (n, rows, columns) samples of the maps.
        thresholds: (n, thresholds).
        hot: (n * thresholds, rows, columns), whether a sample is at or above the threshold.
        parts: (n * thresholds, rows, columns), the part that it belongs to, from 1; 0 if cold.
        count: The number of parts.
    """

    surface: NDArray[np.floating]
    thresholds: NDArray[np.floating]
    hot: NDArray[np.bool_]
    parts: NDArray[np.int32]
    count: int


def hottest_part(heat: NDArray[np.floating], threshold: float, canvas: Box) -> Box:
    """Return the box around the hot part that holds a map's hottest cell.

    Args:
        heat: (h, w), scaled to its own range, in [0, 1]; not constant.
        threshold: In (0, 1].
        canvas: What its cells cover, px of the image. A part at their edge goes on past it, to
            where the heat falls to the threshold.
    """
    areas, step = _areas(heat[None], np.array([[threshold]], heat.dtype))
    part = areas.parts.ravel()[areas.surface[0].argmax()] - 1
    edges = _edges(areas, step, heat[None].shape)[[part]]
    return Box(*_place(edges, np.array([canvas.as_tuple()]))[0].tolist())


def hottest_pixels(values: NDArray[np.floating], threshold: float) -> NDArray[np.bool_]:
    """Return the connected pixels above a threshold that hold the largest value: (h, w) bool.

    Args:
        values: (h, w).
        threshold: Below the largest value.
    """
    from scipy import ndimage  # pictures do not need it

    parts, _ = ndimage.label(values >= threshold, structure=np.ones((3, 3)))
    return np.asarray(parts == parts.ravel()[values.argmax()])


def scale(values: NDArray[np.floating], top: float = 1) -> NDArray[np.floating]:
    """Scale each of (..., height, width) maps to [0, top]; a constant map becomes 0."""
    low = values.min((-2, -1), keepdims=True)
    extent = values.max((-2, -1), keepdims=True) - low
    scaled = values - low
    scaled *= top / np.where(extent > 0, extent, 1)
    return np.asarray(scaled)


def _find(heats: NDArray[np.floating], thresholds: NDArray[np.floating]) -> _Parts:
    areas, step = _areas(heats, thresholds)
    where = np.flatnonzero(areas.hot)
    own = areas.parts.ravel()[where] - 1
    area = np.zeros(areas.count, np.intp)
    area[own] = where // areas.hot[0].size
    size = np.bincount(own, minlength=areas.count)
    return _Parts(area, _edges(areas, step, heats.shape), size)


def _areas(heats: NDArray[np.floating], thresholds: NDArray[np.floating]) -> tuple[_Areas, float]:
    """Return the hot areas of maps, and the distance of their samples in cells."""
    surface, step = _sample(heats)
    hot = (surface[:, None] >= thresholds[:, :, None, None]).reshape(-1, *surface.shape[1:])
    from scipy import ndimage  # pictures without boxes do not need it

    # One call labels all areas, since parts never connect across two areas.
    parts, count = ndimage.label(hot, structure=APART)
    return _Areas(surface, thresholds, hot, parts, count), step


def _edges(areas: _Areas, step: float, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return (parts, 4) left, top, right, bottom as shares of what the (n, h, w) maps cover.

    They are beyond 0 or 1 for a part that touches the edge.
    """
    edges = [
        _shares(_reach(areas, step, axis, end), step, shape[axis], end)
        for end in (0, 1)
        for axis in (2, 1)
    ]
    return np.stack(edges, axis=1)


def _sample(heats: NDArray[np.floating]) -> tuple[NDArray[np.floating], float]:
    """Return samples of the surfaces along lines of cells, and their distance in cells."""
    count, rows, columns = heats.shape
    if min(rows, columns) >= COARSE:
        return heats, 1.0
    finer = np.empty((count, 2 * rows - 1, 2 * columns - 1), heats.dtype)
    finer[:, ::2, ::2] = heats
    finer[:, 1::2, ::2] = (heats[:, :-1] + heats[:, 1:]) / 2
    finer[:, :, 1::2] = (finer[:, :, :-1:2] + finer[:, :, 2::2]) / 2
    return finer, 0.5


def _reach(areas: _Areas, step: float, axis: int, end: int) -> NDArray[np.float64]:
    """Return the distance of each part from the beginning of an axis, or from its end, in samples.

    It is negative for a part that touches the edge: past the cells their heat falls to 0 over
    one cell.
    """
    order = slice(None, None, -1 if end else 1)
    hot = np.moveaxis(areas.hot, axis, -1)[..., order]
    first = hot.copy(order="C")
    first[..., 1:] &= ~hot[..., :-1]
    # The same as nonzero, in a third of the time.
    area, row, column = np.unravel_index(np.flatnonzero(first), first.shape)
    image, level = np.divmod(area, areas.thresholds.shape[1])
    surface = np.moveaxis(areas.surface, axis, -1)[..., order]
    value = surface[image, row, column]
    before = surface[image, row, np.maximum(column - 1, 0)]
    # Between a cold sample and a hot one the surface passes the threshold.
    threshold = areas.thresholds[image, level]
    share = np.zeros(len(column))
    np.divide(value - threshold, value - before, out=share, where=column > 0)
    beyond = np.full(len(column), np.inf)  # nothing is below a threshold of 0
    np.divide(value - threshold, value, out=beyond, where=threshold > 0)
    part = np.moveaxis(areas.parts, axis, -1)[..., order][area, row, column] - 1
    reach = np.full(areas.count, np.inf)
    np.minimum.at(reach, part, np.where(column > 0, column - share, -(beyond + 0.5) / step))
    return reach


def _shares(reach: NDArray[np.float64], step: float, cells: int, end: int) -> NDArray[np.float64]:
    """Return distances in samples as shares of what the map covers, from its beginning."""
    share = (reach * step + 0.5) / cells
    return 1 - share if end else share


def _on_images(
    edges: NDArray[np.float64],
    image: NDArray[np.intp],
    canvases: Sequence[Box],
    regions: Sequence[Box],
) -> NDArray[np.float64]:
    """Return (parts, 4) edges in px, within the regions."""
    placed, seen = (
        np.array([box.as_tuple() for box in boxes])[image] for boxes in (canvases, regions)
    )
    return np.asarray(
        np.clip(_place(edges, placed), np.tile(seen[:, :2], 2), np.tile(seen[:, 2:], 2))
    )


def _place(edges: NDArray[np.float64], canvases: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (parts, 4) edges in px, given (parts, 4) canvases."""
    start, extent = canvases[:, :2], canvases[:, 2:] - canvases[:, :2]
    return np.asarray(np.tile(start, 2) + edges * np.tile(extent, 2))


def _overlaps(
    edges: NDArray[np.float64], image: NDArray[np.intp], boxes: Sequence[Sequence[Box]]
) -> NDArray[np.float64]:
    """Return each part's best intersection over union with a box of its image: (parts,)."""
    wanted = np.zeros((len(boxes), max(map(len, boxes)), 4))
    for at, own in enumerate(boxes):
        wanted[at, : len(own)] = [box.as_tuple() for box in own]
    one, other = edges[:, None], wanted[image]
    left_top = np.maximum(one[..., :2], other[..., :2])
    right_bottom = np.minimum(one[..., 2:], other[..., 2:])
    common = np.clip(right_bottom - left_top, 0, None).prod(-1)
    first, second = ((each[..., 2:] - each[..., :2]).prod(-1) for each in (one, other))
    union = first + second - common
    return np.asarray(np.divide(common, union, out=np.zeros_like(common), where=union > 0).max(-1))


def _best(
    parts: _Parts, overlaps: NDArray[np.float64], shape: tuple[int, ...]
) -> NDArray[np.float64]:
    best = np.zeros((2, shape[0] * shape[1]))
    np.maximum.at(best[0], parts.area, overlaps)
    order = np.lexsort((-parts.size, parts.area))
    largest = order[np.unique(parts.area[order], return_index=True)[1]]
    best[1, parts.area[largest]] = overlaps[largest]
    return best.reshape(2, *shape).transpose(1, 0, 2)

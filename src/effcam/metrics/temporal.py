"""How steady maps are over the frames of a film: from each frame to the next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from effcam.cam.explanation import Explanation
from effcam.errors import ArgumentError
from effcam.images.refs import ImageRef
from effcam.metrics.agreement import spearman
from effcam.metrics.sampling import on_common_region

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def temporal_stability(maps: ArrayLike) -> NDArray[np.float64]:
    """Return how alike each map is to the next, the mean over a sequence, in [-1, 1].

    Two maps are compared by Spearman's rank correlation, as the maps of two models are: it takes
    maps of any scale, and heat compares within a map alone. Pairs of which one map is the same
    everywhere do not count; NaN where no pair does.

    Args:
        maps: (..., frames, height, width), >= 0.

    Raises:
        ArgumentError: If there are fewer than two maps.

    >>> still = [[[0, 1], [2, 3]]] * 3
    >>> float(temporal_stability(still))
    1.0
    """
    values = _check(maps)
    return _mean(spearman(values[..., :-1, :, :], values[..., 1:, :, :]))


def centre_shift(maps: ArrayLike) -> NDArray[np.float64]:
    """Return how far the heat's centre of mass moves from each map to the next, the mean.

    Distances are shares of the maps' diagonal, in [0, 1). Pairs of which one map has no heat do
    not count; NaN where no pair does.

    Args:
        maps: (..., frames, height, width), >= 0.

    Raises:
        ArgumentError: If there are fewer than two maps.

    >>> float(centre_shift([[[1, 0, 0, 0]], [[0, 0, 0, 1]]])) == 3 / 17**0.5
    True
    """
    values = _check(maps)
    height, width = values.shape[-2:]
    steps = np.diff(_centres(values), axis=-2)
    return _mean(np.hypot(steps[..., 0], steps[..., 1]) / np.hypot(width, height))


def find_pairs(images: Sequence[ImageRef]) -> list[tuple[int, int]]:
    """Return the positions of every two images that follow each other in a film.

    Frames of a film that were left out do not part those around them.
    """
    films: dict[object, dict[int, int]] = {}
    for at, image in enumerate(images):
        if image.frame is not None:
            films.setdefault(image.frame.path, {})[image.frame.index] = at
    return [
        pair
        for positions in films.values()
        for pair in pairwise(positions[index] for index in sorted(positions))
    ]


def pair_figures(
    rows: Sequence[Sequence[Explanation]], pairs: Sequence[tuple[int, int]]
) -> dict[str, NDArray[np.float64]]:
    """Return the figures of each pair of frames, (pairs, columns), NaN where there is none.

    Args:
        rows: The cells of each image.
        pairs: Positions of images that follow each other in a film.
    """
    columns = len(rows[0])
    found = {
        key: np.full((len(pairs), columns), np.nan)
        for key in ("temporal_stability", "centre_shift")
    }
    for at, (first, second) in enumerate(pairs):
        for column, pair in enumerate(zip(rows[first], rows[second], strict=True)):
            for key, value in _compare(pair):
                found[key][at, column] = value
    return found


def _compare(pair: tuple[Explanation, Explanation]) -> Iterator[tuple[str, float]]:
    """Yield the figures of one model's maps of two frames, none where they cannot be compared."""
    if pair[0].size != pair[1].size:
        return
    for one, other in on_common_region(pair).values():
        both = np.stack([one, other])
        region, size = pair[0].region, pair[0].size
        yield "temporal_stability", float(temporal_stability(both))
        # The samples are of the region, the distance of the image.
        step = np.diff(_centres(both.astype(np.float64)), axis=0)[0] / one.shape[::-1]
        across, down = step * (region.width, region.height)
        yield "centre_shift", float(np.hypot(across, down) / np.hypot(*size))


def _centres(maps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (..., 2) x and y of the heat's centre of mass, in samples; NaN without heat."""
    total = maps.sum((-2, -1))
    height, width = maps.shape[-2:]
    with np.errstate(invalid="ignore", divide="ignore"):
        across = maps.sum(-2) @ (np.arange(width) + 0.5) / total
        down = maps.sum(-1) @ (np.arange(height) + 0.5) / total
    return np.stack([across, down], axis=-1)


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over the last axis without NaN; NaN where there is nothing else."""
    valid = np.isfinite(values)
    count = valid.sum(-1)
    means = np.full(count.shape, np.nan)
    np.divide(np.where(valid, values, 0).sum(-1), count, out=means, where=count > 0)
    return means


def _check(maps: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(maps, np.float64)
    if values.ndim < 3 or values.shape[-3] < 2 or not values.size:
        raise ArgumentError(
            "a sequence of maps is (..., frames, height, width) with two frames or more, not "
            f"{values.shape}"
        )
    return values

"""The stability of maps from each frame of a video to the next."""

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
    """Return the mean similarity of each map to the next in a sequence, in [-1, 1].

    The similarity is Spearman's rank correlation, as for the maps of two models, since heat
    compares only within a map. Pairs with a constant map do not count; NaN if no pair counts.

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
    """Return the mean distance of the heat's centre of mass in each map from that in the next.

    Distances are shares of the maps' diagonal, in [0, 1). Pairs with a map without heat do not
    count; NaN if no pair counts.

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
    """Return the positions of every two images that follow each other in a video.

    Two frames are a pair even if the frames between them were left out.
    """
    videos: dict[object, dict[int, int]] = {}
    for at, image in enumerate(images):
        if image.frame is not None:
            videos.setdefault(image.frame.path, {})[image.frame.index] = at
    return [
        pair
        for positions in videos.values()
        for pair in pairwise(positions[index] for index in sorted(positions))
    ]


def pair_figures(
    rows: Sequence[Sequence[Explanation]], pairs: Sequence[tuple[int, int]]
) -> dict[str, NDArray[np.float64]]:
    """Return the figures of each pair of frames, (pairs, columns), NaN where there is no value.

    Args:
        rows: The cells of each image.
        pairs: Positions of images that follow each other in a video.
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
    """Yield the figures of one model's maps of two frames; none if they cannot be compared."""
    if pair[0].size != pair[1].size:
        return
    for one, other in on_common_region(pair).values():
        both = np.stack([one, other])
        region, size = pair[0].region, pair[0].size
        yield "temporal_stability", float(temporal_stability(both))
        # Samples divide the region; the distance is relative to the image.
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
    """Return the mean over the last axis, ignoring NaN; NaN if all values are."""
    valid = np.isfinite(values)
    count = valid.sum(-1)
    means = np.full(count.shape, np.nan)
    np.divide(np.where(valid, values, 0).sum(-1), count, out=means, where=count > 0)
    return means


def _check(maps: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(maps, np.float64)
    if values.ndim < 3 or values.shape[-3] < 2 or not values.size:
        raise ArgumentError(
            "a sequence of maps must be (..., frames, height, width) with at least two frames, not "
            f"{values.shape}"
        )
    return values

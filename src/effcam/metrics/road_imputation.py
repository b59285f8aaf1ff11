"""ROAD: remove pixels by order of heat, and fill them in from their neighbours.

Each missing pixel is the weighted mean of its eight neighbours, missing ones included: a sparse
system of linear equations. The weights are those of Rong et al. 2022 (ROAD), arXiv:2202.00449. The
system is symmetric and positive definite, so that a special solver takes a fraction of the time
of a general one; and its pixels lie on a grid, for which a good order of elimination is known:
nested dissection (George 1973, doi:10.1137/0710032).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import splu
from torch import Tensor

from effcam.errors import ArgumentError
from effcam.metrics.perturbation import (
    SEED,
    Predict,
    check_targets,
    rank,
    target_probabilities,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

DIRECT, DIAGONAL = 1 / 6, 1 / 12
NEIGHBOURS = tuple(
    (down, across, DIAGONAL if down and across else DIRECT)
    for down in (-1, 0, 1)
    for across in (-1, 0, 1)
    if down or across
)
"""Each neighbour of a pixel by its offset, with its weight; 0 outside the image."""
PANEL = 8
"""How many columns the solver works on at once; its default is slower here."""
SMALL = 4
"""The side in px of a part of an image that is not divided further."""
REMOVED = (0.2, 0.5)
"""The shares of the pixels that ROAD removes."""
NOISE = 0.01
"""The standard deviation of the noise that ROAD adds to filled-in pixels, normalised units."""


def fill_in(image: NDArray[np.floating], missing: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the (channels, height, width) float32 image with its missing pixels filled in.

    Args:
        image: (channels, height, width).
        missing: (height, width) bool.

    Raises:
        ArgumentError: If all pixels are missing, or the shapes do not fit.
    """
    if image.ndim != 3 or missing.shape != image.shape[1:] or missing.all():
        raise ArgumentError(
            f"an image is (channels, height, width), not {image.shape}, and some but not all of "
            f"its pixels may be missing, not {int(missing.sum())} of {missing.shape}"
        )
    filled = image.astype(np.float32)
    rows, columns = np.nonzero(missing)
    count = len(rows)
    if not count:
        return filled
    order = np.argsort(_elimination_order(*missing.shape)[missing])
    rows, columns = rows[order], columns[order]
    number = np.full(tuple(side + 2 for side in missing.shape), -1)
    number[rows + 1, columns + 1] = np.arange(count)
    known = np.where(missing, 0, image).astype(np.float64)
    constants = _weigh_neighbours(known)[:, rows, columns].T
    own = _weigh_neighbours(np.ones((1, *missing.shape)))[0, rows, columns]
    entries = [(np.arange(count), np.arange(count), own)]
    for down, across, weight in NEIGHBOURS:
        other = number[rows + 1 + down, columns + 1 + across]
        unknown = np.flatnonzero(other >= 0)
        entries.append((unknown, other[unknown], np.full(len(unknown), -weight)))
    at, of, value = (np.concatenate(each) for each in zip(*entries, strict=True))
    system = sparse.csc_matrix((value, (at, of)), shape=(count, count))
    solver = splu(
        system,
        permc_spec="NATURAL",
        panel_size=PANEL,
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True, "Equil": False},
    )
    filled[:, rows, columns] = solver.solve(constants).T
    return filled


def _weigh_neighbours(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weighted sum of each pixel's neighbours: (channels, height, width)."""
    height, width = values.shape[1:]
    around = np.pad(values, ((0, 0), (1, 1), (1, 1)))
    total = np.zeros_like(values)
    for down, across, weight in NEIGHBOURS:
        top, left = 1 + down, 1 + across
        total += weight * around[:, top : top + height, left : left + width]
    return total


@lru_cache(maxsize=8)
def _elimination_order(height: int, width: int) -> NDArray[np.int64]:
    """Return the place of each pixel of a grid in the order of nested dissection.

    A line of pixels through the middle divides the image into halves that have no neighbours in
    each other. It comes last, after the halves, each of which is divided likewise.

    Returns:
        (height, width) int64, read-only.
    """
    order = np.empty((height, width), np.int64)
    parts, left = [(0, 0, height, width)], height * width
    while parts:
        top, start, bottom, end = parts.pop()
        tall, wide = bottom - top, end - start
        if tall <= SMALL and wide <= SMALL:
            line = order[top:bottom, start:end]
        elif tall >= wide:
            middle = (top + bottom) // 2
            line = order[middle, start:end]
            parts += [(top, start, middle, end), (middle + 1, start, bottom, end)]
        else:
            middle = (start + end) // 2
            line = order[top:bottom, middle]
            parts += [(top, start, bottom, middle), (top, middle + 1, bottom, end)]
        left -= line.size
        line[...] = np.arange(left, left + line.size).reshape(line.shape)
    order.flags.writeable = False
    return order


def road(
    predict: Predict,
    images: Tensor,
    heats: Tensor,
    targets: Sequence[int],
    *,
    removed: Sequence[float] = REMOVED,
    noise: float = NOISE,
) -> NDArray[np.float64]:
    """Return how much more the target depends on the hottest pixels than on the coldest.

    It is half the difference between its probability without the coldest pixels and without the
    hottest, averaged over the shares removed; removed pixels are filled in from their neighbours.
    Random maps have a mean of 0. Source: Rong et al. 2022 (ROAD), arXiv:2202.00449, summed as in
    grad-cam's ``ROADCombined``.

    Args:
        predict: Returns the probabilities of images.
        images: (B, channels, height, width).
        heats: (B, height, width).
        targets: (B,) the class of each image.
        removed: Shares of the pixels, in (0, 1).
        noise: The standard deviation of the noise in filled-in pixels, normalised units.

    Returns:
        (B,) in [-0.5, 0.5].

    Raises:
        ArgumentError: If an argument is impossible.
    """
    if not removed or not all(0 < share < 1 for share in removed):
        raise ArgumentError(f"removed must be shares between 0 and 1, not {removed!r}")
    picked = check_targets(images, heats, targets)
    generator = torch.Generator().manual_seed(SEED)
    total = torch.zeros(len(images), dtype=torch.float64)
    ranks, pixels = rank(heats), heats[0].numel()
    for share in removed:
        count = round(share * pixels)
        for gone, sign in ((ranks < count, -1), (ranks >= pixels - count, 1)):
            without = _fill_all(images, gone, noise, generator)
            total += sign * target_probabilities(predict, without, picked)
    return np.asarray((total / (2 * len(removed))).numpy())


def _fill_all(images: Tensor, gone: Tensor, noise: float, generator: torch.Generator) -> Tensor:
    holes = gone.cpu().numpy()
    arrays = images.detach().float().cpu().numpy()
    # The solver releases the interpreter lock.
    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        filled = np.stack(list(threads.map(fill_in, arrays, holes)))
    added = noise * torch.randn(images.shape, generator=generator) * gone[:, None].cpu()
    return (torch.from_numpy(filled) + added).to(images)

"""Pixels taken out of an image and filled in from around them, so that no edge tells of it.

Each missing pixel is the weighted mean of its eight neighbours, missing ones included: a sparse
system of linear equations. Source: Rong et al. 2022 (ROAD), arXiv:2202.00449, whose weights these
are. It is symmetric and positive definite, so that it is solved in a fraction of the time that a
general solver takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from effcam.errors import ArgumentError

if TYPE_CHECKING:
    from numpy.typing import NDArray

DIRECT, DIAGONAL = 1 / 6, 1 / 12
NEIGHBOURS = tuple(
    (down, across, DIAGONAL if down and across else DIRECT)
    for down in (-1, 0, 1)
    for across in (-1, 0, 1)
    if down or across
)
"""Each neighbour of a pixel by its place, with its weight. Those outside the image have none."""


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
    number = np.full(tuple(side + 2 for side in missing.shape), -1)
    number[1:-1, 1:-1][missing] = np.arange(count)
    known = np.pad(np.where(missing, 0, image).astype(np.float64), ((0, 0), (1, 1), (1, 1)))
    within = np.pad(np.ones(missing.shape), 1)
    constants, own = np.zeros((count, len(image))), np.zeros(count)
    entries = [(np.arange(count), np.arange(count), own)]
    for down, across, weight in NEIGHBOURS:
        place = rows + 1 + down, columns + 1 + across
        other = number[place]
        unknown = np.flatnonzero(other >= 0)
        entries.append((unknown, other[unknown], np.full(len(unknown), -weight)))
        constants += weight * known[:, place[0], place[1]].T
        own += weight * within[place]
    at, of, value = (np.concatenate(each) for each in zip(*entries, strict=True))
    system = sparse.csc_matrix((value, (at, of)), shape=(count, count))
    solver = splu(
        system,
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True, "Equil": False},
    )
    filled[:, missing] = solver.solve(constants).T
    return filled

"""Effect of a map's grid on the figures of focus, before and after matching.

    python benchmarks/focus_resolution.py [--width 0.7] [--blobs 200]

A blob of heat, a Gaussian at a random place in the middle of the image, is averaged over the cells
of seven grids. Only the grid differs between the rows, so no figure should. The second table shows
by how much the largest value of a column exceeds the smallest, by width of the blob.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import numpy as np

from effcam.metrics.concentration import effective_area, gini, half_mass_area, match

if TYPE_CHECKING:
    from numpy.typing import NDArray

GRIDS = (6, 7, 9, 12, 14, 16, 24)
FINE = 1008  # every grid divides it
FIGURES = {"effective area": effective_area, "Gini": gini, "half-mass": half_mass_area}
WIDTHS = (0.3, 0.5, 0.7, 1.0, 1.4)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--width", type=float, default=0.7, help="sigma in cells of the coarsest")
    parser.add_argument("--blobs", type=int, default=200)
    options = parser.parse_args()
    heading = "".join(f"{name:>15}" for name in FIGURES)
    print(f"{'':9}{'as they are':>45}{'matched':>45}\n{'grid':9}{heading}{heading}")
    for cells, row in zip(GRIDS, measure(options.width, options.blobs), strict=True):
        print(f"{f'{cells} x {cells}':9}" + "".join(f"{value:15.3f}" for value in row))
    print(f"\n{'width':9}{heading}{heading}")
    for width in WIDTHS:
        found = measure(width, options.blobs)
        apart = found.max(0) / found.min(0) - 1
        print(f"{width:<9}" + "".join(f"{value:15.1%}" for value in apart))


def measure(width: float, count: int) -> NDArray[np.float64]:
    """Return (grids, 6): the mean of each figure of the maps, then of the matched maps."""
    coarsest = 1 / min(GRIDS)
    rows = []
    for cells in GRIDS:
        maps = blobs(cells, width * coarsest, count)
        ways = maps, match(maps, (coarsest, coarsest))
        rows.append([figure(way).mean() for way in ways for figure in FIGURES.values()])
    return np.array(rows)


def blobs(cells: int, width: float, count: int) -> NDArray[np.float64]:
    """Return (count, cells, cells) averages over cells, of the same blobs for every grid."""
    middle = np.random.default_rng(0).uniform(0.25, 0.75, (count, 2, 1))
    place = (np.arange(FINE) + 0.5) / FINE
    lines = np.exp(-(((place - middle) / width) ** 2) / 2)
    down, across = lines.reshape(count, 2, cells, -1).mean(-1).transpose(1, 0, 2)
    return np.asarray(down[:, :, None] * across[:, None, :])


if __name__ == "__main__":
    main()

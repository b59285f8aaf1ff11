"""Every figure of localisation for the cells of a comparison, and for maps that know nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from effcam.cam.explanation import Explanation
from effcam.cam.heat_boxes import part_ious, scale
from effcam.images.geometry import Box
from effcam.metrics.localisation import (
    OVERLAPS,
    THRESHOLDS,
    average_precision,
    centre_map,
    energy_pointing_game,
    hits,
    pixel_levels,
    reachable,
)
from effcam.metrics.sampling import Object

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEED = 0
BLIND = ("centre", "uniform")
"""The maps that know nothing, which stand behind the columns' own."""
CENTRE_GRID = 16
TRIALS = ((True, 0.5), *((False, overlap) for overlap in OVERLAPS))
"""What a threshold is chosen for: whether the largest part alone counts, and which overlap."""
PIXELS = "pixel_average_precision"


@dataclass(frozen=True, slots=True, eq=False)
class Localised:
    """Figures of localisation.

    Attributes:
        samples: By figure, (images, columns), NaN where nothing is known. A map without heat is a
            miss where hits are counted, and NaN where its share on the object is asked for.
        levels: (images with a mask, columns, 2, 128) counts for pixel average precision.
        baselines: By figure, what the maps that know nothing reach.
    """

    samples: dict[str, NDArray[np.float64]]
    levels: NDArray[np.int64]
    baselines: dict[str, dict[str, float]]


def localise(rows: Sequence[Sequence[Explanation]], objects: Sequence[Object | None]) -> Localised:
    """Return every figure of localisation that boxes or masks allow.

    Args:
        rows: The cells of each image.
        objects: Where the object of each image is, ``None`` where that is not known.
    """
    columns = len(rows[0]) + len(BLIND)
    known = [(at, thing) for at, thing in enumerate(objects) if thing is not None]
    samples = {
        key: np.full((len(rows), columns), np.nan)
        for key in ("pointing_game", "energy_pointing_game", "mass_area_ratio")
    }
    counts = []
    for at, thing in known:
        maps, told = _maps(rows[at], thing)
        for key, values in _measure(maps, told, thing).items():
            samples[key][at] = values
        if thing.mask is not None:
            counts.append(pixel_levels(maps, thing.mask, thing.ignored))
    levels = np.stack(counts) if counts else np.zeros((0, columns, 2, 1), np.int64)
    boxed = [(at, thing) for at, thing in known if thing.boxes]
    for key, found in _box_hits([rows[at] for at, _ in boxed], [each for _, each in boxed]).items():
        samples[key] = np.full((len(rows), columns), np.nan)
        samples[key][[at for at, _ in boxed]] = found
    means = {key: _means(values) for key, values in samples.items()}
    if len(levels):
        means[PIXELS] = average_precision(levels.sum(0))
    return Localised(
        {key: values[:, : -len(BLIND)] for key, values in samples.items()},
        levels[:, : -len(BLIND)],
        {
            key: dict(zip(BLIND, map(float, values[-len(BLIND) :]), strict=True))
            for key, values in means.items()
        },
    )


def _maps(
    row: Sequence[Explanation], thing: Object
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return (columns, height, width) maps over an image, the blind ones last; who has heat."""
    width, height = thing.width, thing.height
    maps = [cell.evidence(width, height) for cell in row]
    maps += [centre_map(width, height), np.ones((height, width), np.float32)]
    told = np.array([*(cell.state == "ok" for cell in row), True, True])
    return np.stack(maps), told


def _measure(
    maps: NDArray[np.float32], told: NDArray[np.bool_], thing: Object
) -> dict[str, NDArray[np.float64]]:
    """Return the figures of each map that need no other image."""
    where = {"boxes": thing.boxes} if thing.boxes else {"mask": thing.inside >= 0.5}
    near = reachable(thing.width, thing.height, **where)
    pointing = (hits(maps, near) & told).astype(np.float64)
    # An even map points nowhere; what knows nothing points at random.
    pointing[-1] = near.mean()
    energy = np.where(told, energy_pointing_game(maps, mask=thing.inside), np.nan)
    return {
        "pointing_game": pointing,
        "energy_pointing_game": energy,
        "mass_area_ratio": energy / thing.inside.mean(),
    }


def _box_hits(
    rows: Sequence[Sequence[Explanation]], objects: Sequence[Object]
) -> dict[str, NDArray[np.float64]]:
    """Return whether boxes around each map's heat are right, (images, columns), by figure.

    The images are halved at random; the threshold that serves one half best is used on the other.
    """
    if len(rows) < 2:
        return {}
    ious = np.stack(
        [
            *(_ious([row[at] for row in rows], objects) for at in range(len(rows[0]))),
            _blind_ious(centre_map(CENTRE_GRID, CENTRE_GRID), objects),
            _blind_ious(np.ones((1, 1), np.float32), objects),
        ],
        axis=1,
    )
    half = np.random.default_rng(SEED).permutation(len(rows)) % 2
    found = []
    for largest, overlap in TRIALS:
        right = ious[:, :, int(largest)] >= overlap
        best = np.stack([_best_thresholds(right[half != side]) for side in (0, 1)])
        found.append(np.take_along_axis(right, best[half][..., None], axis=2)[..., 0])
    return {
        "max_box_acc": found[0].astype(np.float64),
        "max_box_acc_v2": np.mean(found[1:], axis=0),
    }


def _ious(cells: Sequence[Explanation], objects: Sequence[Object]) -> NDArray[np.float64]:
    """Return (images, 2, thresholds) overlaps of a column's heat, 0 where there is none."""
    found = np.zeros((len(cells), 2, len(THRESHOLDS)))
    by_grid: dict[tuple[int, ...], list[int]] = {}
    for at, cell in enumerate(cells):
        if cell.state == "ok":
            by_grid.setdefault(cell.heatmap.shape, []).append(at)
    for members in by_grid.values():
        things = [objects[at] for at in members]
        canvases = [
            cells[at].canvas.scale(
                thing.width / cells[at].size[0], thing.height / cells[at].size[1]
            )
            for at, thing in zip(members, things, strict=True)
        ]
        found[members] = _overlaps(
            np.stack([cells[at].heatmap for at in members]), canvases, things
        )
    return found


def _blind_ious(heatmap: NDArray[np.float32], objects: Sequence[Object]) -> NDArray[np.float64]:
    canvases = [Box(0, 0, thing.width, thing.height) for thing in objects]
    return _overlaps(np.broadcast_to(heatmap, (len(objects), *heatmap.shape)), canvases, objects)


def _overlaps(
    heatmaps: NDArray[np.float32], canvases: Sequence[Box], objects: Sequence[Object]
) -> NDArray[np.float64]:
    return part_ious(
        scale(heatmaps),
        canvases,
        [thing.boxes for thing in objects],
        np.tile(np.array(THRESHOLDS, np.float32), (len(objects), 1)),
        [(thing.width, thing.height) for thing in objects],
    )


def _best_thresholds(right: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the position of each column's best threshold, given (images, columns, thresholds).

    Of several that are as good it is the middle one.
    """
    rates = right.mean(0)
    best = rates == rates.max(-1, keepdims=True)
    return np.array([np.flatnonzero(each)[(each.sum() - 1) // 2] for each in best])


def _means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each column's mean without its NaN; NaN if it has nothing else."""
    valid = np.isfinite(values)
    total = np.where(valid, values, 0).sum(0)
    means = np.full(total.shape, np.nan)
    np.divide(total, valid.sum(0), out=means, where=valid.any(0))
    return means

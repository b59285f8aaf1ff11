"""The grid pointing game: whether the heat for a class is on the right image of a mosaic.

Source: Boehle et al. 2021 (CoDA-Nets), arXiv:2104.00032. It needs no annotation: a
mosaic joins images that the models classify with confidence, and the heat for the class of each
image should be on that image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch

from effcam.cam.explain import compute_cams
from effcam.cam.explanation import Explanation
from effcam.cam.job import Job, naming
from effcam.cam.methods.table import name_of, reads_layer
from effcam.errors import LayerError, ModelError
from effcam.images.geometry import Box
from effcam.images.preprocess import Preprocess
from effcam.images.refs import ImageRef, cached_opener
from effcam.models.built_module import ChangePreprocess
from effcam.models.loading import load
from effcam.models.model import Model

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

Opener: TypeAlias = "Callable[[ImageRef], Image.Image]"

SIDE = 2
"""The number of images of a mosaic in each direction."""
MOST = 32
"""The largest number of mosaics; they use the images of the highest confidence."""
NO_MOSAICS = (
    "GridPG is missing: it needs four images of different classes that all models predict with "
    "confidence."
)
MOSAICS_AT_ONCE = 4
SAMPLES = 64
CONFIDENT = 0.5
"""The smallest probability of a class for its image to be used in mosaics."""


def grid_pointing_game(heat: NDArray[np.floating], tile: int, *, side: int = SIDE) -> float:
    """Return the share of the heat that is on one tile of a mosaic, in [0, 1]; NaN without heat.

    Source: Boehle et al. 2021, arXiv:2104.00032.

    Args:
        heat: (h, w), >= 0, over the whole mosaic.
        tile: The position of the tile, from 0, in reading order.
        side: The number of tiles in each direction.

    >>> corner = np.zeros((4, 4))
    >>> corner[0, 0] = 1
    >>> grid_pointing_game(corner, 0), grid_pointing_game(corner, 3)
    (1.0, 0.0)
    """
    return _share(heat, tile, Box(0, 0, SAMPLES * side, SAMPLES * side), side)


def _share(heat: NDArray[np.floating], tile: int, canvas: Box, side: int = SIDE) -> float:
    """Return the `grid_pointing_game` of a map that covers a box of a mosaic, in samples."""
    samples = SAMPLES * side
    mosaic = Box(0, 0, samples, samples)
    values, _ = canvas.spread(np.asarray(heat, np.float32), samples, samples, mosaic)
    tiles = values.reshape(side, SAMPLES, side, SAMPLES).sum((1, 3), dtype=np.float64)
    total = float(tiles.sum())
    return float(tiles.ravel()[tile] / total) if total > 0 else float("nan")


def point_in_mosaics(
    job: Job, rows: Sequence[Sequence[Explanation]], columns: Sequence[str]
) -> tuple[NDArray[np.float64] | None, list[str]]:
    """Return the (mosaics, columns) shares of heat on the right tile, and notes for the reader.

    Args:
        job: The models and their settings.
        rows: The cells of each image.
        columns: The columns' labels.
    """
    mosaics = choose(rows)
    if not mosaics:
        return None, [NO_MOSAICS]
    found = np.full((len(mosaics), len(columns)), np.nan)
    count = "one mosaic" if len(mosaics) == 1 else f"{len(mosaics)} mosaics"
    notes = [f"GridPG uses {count} of four images that all models predict with confidence."]
    opener = cached_opener()
    for label in job.models:
        try:
            model = load(job.models[label], device=job.device, change_preprocess=_twice(job))
        except (ModelError, LayerError):
            notes.append(f"{label} takes no input of twice its size, so it has no GridPG.")
            continue
        at = [columns.index(column) for column in job.settings.columns_of(label)]
        with naming(model):
            found[:, at] = _point(job, opener, model, rows, mosaics, columns=at)
        del model
    return found, notes


def choose(rows: Sequence[Sequence[Explanation]]) -> list[tuple[int, ...]]:
    """Return groups of four images of different classes, in order of confidence.

    Each image is in one group at most.
    """
    least = [min(cell.probability for cell in row) for row in rows]
    good = [
        at
        for at, row in enumerate(rows)
        if least[at] >= CONFIDENT and all(cell.target == cell.predicted for cell in row)
    ]
    waiting = sorted(good, key=lambda at: -least[at])
    groups: list[tuple[int, ...]] = []
    while waiting and len(groups) < MOST:
        group: list[int] = []
        for at in waiting:
            if len(group) < SIDE**2 and all(_differ(rows[at], rows[other]) for other in group):
                group.append(at)
        if len(group) < SIDE**2:
            break
        groups.append(tuple(group))
        waiting = [at for at in waiting if at not in group]
    return groups


def _differ(one: Sequence[Explanation], other: Sequence[Explanation]) -> bool:
    return all(cell.target != another.target for cell, another in zip(one, other, strict=True))


def _twice(job: Job) -> ChangePreprocess:
    """Return a function that doubles a transform's input size."""

    def see(preprocess: Preprocess) -> Preprocess:
        height, width = job.see(preprocess).size
        return job.see(preprocess).with_size((SIDE * height, SIDE * width))

    return see


def _tile(preprocess: Preprocess) -> Preprocess:
    height, width = preprocess.size
    return preprocess.with_size((height // SIDE, width // SIDE))


def _point(
    job: Job,
    opener: Opener,
    model: Model,
    rows: Sequence[Sequence[Explanation]],
    mosaics: Sequence[Sequence[int]],
    *,
    columns: Sequence[int],
) -> NDArray[np.float64]:
    """Return (mosaics, methods): the mean share over the tiles."""
    preprocess = _tile(model.preprocess)
    shares = np.full((len(mosaics), SIDE**2, len(columns)), np.nan)
    frame = Box(0, 0, SAMPLES * SIDE, SAMPLES * SIDE)
    canvas = model.placed(job.settings.placement).on(frame)
    for start in range(0, len(mosaics), MOSAICS_AT_ONCE):
        some = mosaics[start : start + MOSAICS_AT_ONCE]
        images = torch.stack([_lay(job, opener, preprocess, each) for each in some])
        cells = [rows[at][columns[0]] for each in some for at in each]
        targets = [cell.target for cell in cells if cell.target is not None]
        cams = compute_cams(
            model, images.repeat_interleave(SIDE**2, 0), job.methods, targets, job.settings.options
        )
        for column, method in zip(range(len(columns)), cycle(job.methods), strict=False):
            for at, heat in enumerate(cams.maps[name_of(method)]):
                mosaic, tile = divmod(at, SIDE**2)
                covered = canvas if reads_layer(name_of(method)) else frame
                shares[start + mosaic, tile, column] = _share(heat, tile, covered)
    valid = np.isfinite(shares)
    means = np.full((len(mosaics), len(columns)), np.nan)
    np.divide(np.where(valid, shares, 0).sum(1), valid.sum(1), out=means, where=valid.any(1))
    return means


def _lay(job: Job, opener: Opener, preprocess: Preprocess, images: Sequence[int]) -> torch.Tensor:
    """Return the (channels, height, width) mosaic of four images, each as the model sees it."""
    tiles = [preprocess(opener(job.images[at]))[0] for at in images]
    lines = [torch.cat(tiles[start : start + SIDE], 2) for start in range(0, SIDE**2, SIDE)]
    return torch.cat(lines, 1)

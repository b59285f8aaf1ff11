"""Methods that cover parts of the input, and see what becomes of the score.

What is covered has the value 0, the mean colour that a model's transform subtracts; black for a
model that subtracts nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from effcam.cam.methods.copies import (
    COPIES_AT_ONCE,
    Change,
    Read,
    portions_of,
    samples_of,
    score_copies,
    without_rounding,
)
from effcam.cam.methods.input_cells import INPUT, grid_of, pool_mean
from effcam.cam.methods.subject import MethodMap, Subject
from effcam.cam.methods.table import default_samples
from effcam.cam.scores import ClassScore, Score
from effcam.errors import ArgumentError

SEED = 0
MASK_CELLS = 7
"""Rows and columns of a random mask before it is enlarged, as in the paper."""
SHARE_SEEN = 0.5
"""The probability that a cell of a random mask is seen, as in the paper."""
WINDOW, STRIDE = 3 / 14, 1 / 14
"""The sides of the occluding window, and its steps, as shares of the input's sides: 48 and 16 of
224 pixels."""


def rise(subject: Subject) -> MethodMap:
    """Petsiuk et al. 2018, arXiv:1806.07421: by how much the score is higher where a cell is seen.

    It is the mean score of masked copies, each weighted by how far it shows the cell, less the mean
    score of all copies. The paper's map is the same but for this constant, without which 0 would
    not mean that a cell does not matter. As in the paper, the score of a class is its probability.

    Raises:
        ArgumentError: If masks are so few that some cell is seen in none.
    """
    images, grid = subject.images, grid_of(subject)
    portions, read = portions_of(subject, COPIES_AT_ONCE), _probability(subject.score)
    scores: list[Tensor] = []
    seen: list[Tensor] = []
    for masks in _random_masks(images, samples_of(subject, "rise")):
        scores.append(score_copies(subject, len(masks), _masking(images, masks), portions, read))
        seen.append(pool_mean(masks, grid))
    values, weights = torch.cat(scores, 1).to(images.device), torch.cat(seen)
    shown = weights.sum(0)
    if not bool((shown > 0).all()):
        raise ArgumentError(
            "rise cannot map parts of the image that none of its masks shows: "
            f"samples={len(weights)} is too few (default: {default_samples('rise'):,})"
        )
    centred = without_rounding(values - values.mean(1, keepdim=True), values)
    return MethodMap(torch.einsum("bn,nhw->bhw", centred, weights) / shown, INPUT)


def occlusion(subject: Subject) -> MethodMap:
    """Zeiler and Fergus 2014, arXiv:1311.2901: by how much the score drops without a pixel.

    A window slides over the input in even steps, from border to border. A pixel's value is the
    mean drop over the windows that cover it.
    """
    images = subject.images
    down, across = (_windows(side, images.device) for side in images.shape[2:])
    copies = len(down) * len(across)

    def change(rows: Tensor, at: Tensor) -> Tensor:
        covered = down[at // len(across), :, None] & across[at % len(across), None, :]
        return images[rows].masked_fill(covered[:, None], 0)

    portions = portions_of(subject, COPIES_AT_ONCE)
    covered = score_copies(subject, copies, change, portions)
    whole = score_copies(subject, 1, lambda rows, _: images[rows], portions)
    drops = without_rounding(whole - covered, whole).to(images.device)
    down, across = down.float(), across.float()
    mean = (down.T @ drops.reshape(-1, len(down), len(across)) @ across) / torch.outer(
        down.sum(0), across.sum(0)
    )
    return MethodMap(pool_mean(mean, grid_of(subject)), INPUT)


def _probability(score: Score) -> Read:
    """Return what reads the probability where the score is that of a class, else the score."""
    return score.probabilities_of_copies if isinstance(score, ClassScore) else score.of_copies


def _masking(images: Tensor, masks: Tensor) -> Change:
    return lambda rows, at: images[rows] * masks[at, None]


def _random_masks(images: Tensor, count: int) -> Iterator[Tensor]:
    """Yield (n, height, width) float32 masks in [0, 1], drawn from a seed, some at a time.

    They depend on nothing but the input's size and their number. A random grid is enlarged to one
    cell more than the input has, and cut at a random place.
    """
    size = images.shape[2:]
    cell = [math.ceil(side / MASK_CELLS) for side in size]
    generator = torch.Generator().manual_seed(SEED)
    draws = torch.rand(count, 1, MASK_CELLS, MASK_CELLS, generator=generator)
    shifts = [torch.randint(side, (count,), generator=generator) for side in cell]
    grids = (draws < SHARE_SEEN).float().to(images.device)
    larger = [(MASK_CELLS + 1) * side for side in cell]
    for part in torch.arange(count).split(COPIES_AT_ONCE):
        enlarged = nn.functional.interpolate(grids[part], size=larger, mode="bilinear")[:, 0]
        cuts = zip(enlarged, shifts[0][part].tolist(), shifts[1][part].tolist(), strict=True)
        yield torch.stack(
            [mask[top : top + size[0], left : left + size[1]] for mask, top, left in cuts]
        )


def _windows(side: int, device: torch.device) -> Tensor:
    """Return (windows, pixels) bool: which pixels of a side each place of the window covers."""
    width, stride = max(1, round(side * WINDOW)), max(1, round(side * STRIDE))
    steps = math.ceil((side - width) / stride)
    # Where the stride does not divide the way, places are rounded alike from both borders; there is
    # none in the middle, if the middle is between pixels.
    steps += (side - width) % 2 * (1 - steps % 2)
    way = [(side - width) * step / max(1, steps) for step in range(steps + 1)]
    half = len(way) // 2
    begins = [math.floor(each) for each in way[: len(way) - half]]
    begins += [side - width - each for each in begins[:half][::-1]]
    at = torch.arange(side, device=device)
    start = torch.tensor(begins, device=device)[:, None]
    return (at >= start) & (at < start + width)

"""Judge whether the cells of a map show places of the image: whether they follow a patch.

A patch is put in four places of a picture. The change of the cells, summed to 1, moves with the
patch: by some mass, and over some distance. In a map of the image the distance fits the mass,
whether a network mixes places little or much. Where little mass moves, several pictures are needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from effcam.models.tracing.target_layer import TargetLayer

Moves: TypeAlias = Tensor
"""(2, 3): for a patch that moves down and for one that moves to the right by half the image, the
mass that moves, in [0, 1], and how far its centre moves along with the patch and across, in halves
of the image."""

ROUNDING = 1e-5
"""Scores and cells that differ by less, relative to their size, count as equal."""
IN_PLACE = 0.5
"""How far the change must move along with the patch for what moves of it: for the maps of some 70
untrained architectures of timm and torchvision it is from 0.97 to 1.26."""
MOVED = 0.2
"""The mass that must move for an answer by one picture: of 102 untrained architectures, less moves
in the maps of four."""
LEAST_MOVED = 0.01
"""The mass that must move for an answer at all."""
SURE = 3.0
"""The number of standard errors from `IN_PLACE` for an answer by several pictures."""
FEWEST_CELLS = 4
"""Of fewer cells in a row each may see the whole image, and none shows a place."""


def add_patches(picture: Tensor, other: Tensor) -> Tensor:
    """Return four copies of a picture with a part of another one in each corner.

    Args:
        picture: (C, H, W).
        other: (C, H, W).

    Returns:
        (4, C, H, W): top left, top right, bottom left, bottom right.
    """
    height, width = picture.shape[1:]
    copies = picture.repeat(4, 1, 1, 1)
    for index, (top, left) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        rows = slice(height // 2, None) if top else slice(0, height // 2)
        columns = slice(width // 2, None) if left else slice(0, width // 2)
        copies[index, :, rows, columns] = other[:, rows, columns]
    return copies


def find_moves(layer: TargetLayer, whole: Tensor, patched: Tensor) -> Moves | None:
    """Return how the cells that change move with a patch; ``None`` if they do not change.

    Args:
        layer: The layer, whose output tensors these are.
        whole: Its output for the picture.
        patched: Its outputs for the picture with a patch in each of the four quarters.
    """
    before = layer.to_map(_to_floats(whole))
    change = (layer.to_map(_to_floats(patched)) - before).norm(dim=1)
    total, size = change.sum((1, 2), keepdim=True), before.norm(dim=1).sum()
    if min(layer.grid) < FEWEST_CELLS or not bool((total > ROUNDING * size).all()):
        return None
    change = change / total
    return torch.tensor(
        [_move(change[:2], change[2:]), _move(change[::2].mT, change[1::2].mT)],
        dtype=torch.float64,
    )


def is_unsure(moves: Moves | None) -> bool:
    """Return whether one picture is too few for an answer, and others may give one."""
    return moves is not None and bool(moves[:, 0].min() < MOVED)


def follows(moves: Sequence[Moves | None]) -> bool | None:
    """Return whether cells follow a patch; ``None`` if that cannot be told.

    Args:
        moves: How they move in each of several pictures, or in one.
    """
    known = [each for each in moves if each is not None]
    if not known:
        return None
    if not is_unsure(known[0]):
        mass, along, across = known[0].unbind(1)
        return bool((along > torch.maximum(IN_PLACE * mass, across.abs())).all())
    mass, along, _ = torch.stack(known).unbind(2)
    if len(known) < 2 or bool((mass.mean(0) < LEAST_MOVED).any()):
        return None
    excess = along - IN_PLACE * mass
    sure = SURE * excess.std(0) / len(known) ** 0.5
    mean = excess.mean(0)
    if bool((mean > sure).all()):
        return True
    return False if bool((mean < -sure).any()) else None


def _to_floats(output: Tensor) -> Tensor:
    return output.dequantize() if output.is_quantized else output.float()


def _move(before: Tensor, after: Tensor) -> tuple[float, float, float]:
    """Return how a change of cells moves when a patch moves down by half the image.

    Args:
        before: (n, h, w) changes with a patch above, each of sum 1.
        after: (n, h, w) changes with a patch below.

    Returns:
        The mass that moves, in [0, 1]; how far its centre moves down, and to the right, in halves
        of the image.
    """
    moved = after.mean(0) - before.mean(0)
    down, right = _centre(moved.sum(1)), _centre(moved.sum(0))
    return float(moved.abs().sum() / 2), 2 * down, 2 * right


def _centre(weights: Tensor) -> float:
    """Return the centre of (cells,) weights, where the image is from 0 to 1."""
    cells = len(weights)
    return float(weights @ ((torch.arange(cells, device=weights.device) + 0.5) / cells))

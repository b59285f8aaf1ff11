"""Judge whether the cells of a map show places of the image: whether they follow a patch.

A patch is put in each quarter of a picture, and the change of all cells scaled to the sum 1 each
time. In a map of the image, each cell changes most for the patch in its own quarter, whether a
network mixes places little or much. Where changes are almost the same for all patches, as in some
untrained networks, nothing can be told.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from effcam.models.tracing.layer_run import to_floats
from effcam.models.tracing.target_layer import TargetLayer

ROUNDING = 1e-5
"""Scores and cells that differ by less, relative to their size, count as equal."""
CLEAR = 0.7
"""The share of the change in place that is enough by one picture."""
IN_PLACE = 0.6
"""The least share in place by several pictures: by chance it is 0.25, if transposed 0.5."""
SURE = 3.0
"""The number of standard errors from `IN_PLACE` for an answer by several pictures."""
LEAST_MOVED = 0.035
"""The share of the change that must differ between patches to say that cells lie elsewhere: it is
about 0.02 in untrained EfficientNets, and 0.2 or more in most others."""
FEWEST_CELLS = 2
"""Fewer cells in a row show no place."""


class Place(NamedTuple):
    """How the cells of a layer follow a patch in one picture.

    Attributes:
        share: The share of the change that is in cells that change most for the patch over them.
        moved: The share of the change that differs between patches.
    """

    share: float
    moved: float


def add_patches(picture: Tensor, other: Tensor) -> Tensor:
    """Return four copies of a picture with the same part of another one in each quarter.

    It is the same for all, so that its influence on the whole map is about the same too.

    Args:
        picture: (C, H, W).
        other: (C, H, W).

    Returns:
        (4, C, H, W): top left, top right, bottom left, bottom right.
    """
    height, width = picture.shape[1:]
    tall, wide = max(height // 4, 1), max(width // 4, 1)
    top, left = (height - tall) // 2, (width - wide) // 2
    patch = other[:, top : top + tall, left : left + wide]
    copies = picture.repeat(4, 1, 1, 1)
    for copy, (row, column) in zip(copies, ((0, 0), (0, 1), (1, 0), (1, 1)), strict=True):
        top = row * (height // 2) + (height // 2 - tall) // 2
        left = column * (width // 2) + (width // 2 - wide) // 2
        copy[:, top : top + tall, left : left + wide] = patch
    return copies


def find_place(layer: TargetLayer, whole: Tensor, patched: Tensor) -> Place | None:
    """Return how the cells that change follow a patch; ``None`` if they do not change.

    Args:
        layer: The layer, whose output tensors these are.
        whole: Its output for the picture.
        patched: Its outputs for the picture with a patch in each of the four quarters.
    """
    before = layer.to_map(to_floats(whole))
    change = (layer.to_map(to_floats(patched)) - before).norm(dim=1)
    total, size = change.sum((1, 2), keepdim=True), before.norm(dim=1).sum()
    if min(layer.grid) < FEWEST_CELLS or not bool((total > ROUNDING * size).all()):
        return None
    change = change / total
    (row, no_row), (column, no_column) = (_halves(count, change) for count in layer.grid)
    counted = change.amax(0) * ~(no_row[:, None] | no_column[None])
    right = change.argmax(0) == 2 * row[:, None] + column[None]
    moved = (change - change.mean(0)).abs().sum((1, 2)).mean() / 2
    return Place(float((counted * right).sum() / counted.sum()), float(moved))


def is_unsure(place: Place | None) -> bool:
    """Return whether one picture is too few for an answer, and others may give one."""
    return place is not None and place.share < CLEAR and place.moved > LEAST_MOVED / 2


def follows(places: Sequence[Place | None]) -> bool | None:
    """Return whether cells follow a patch; ``None`` if that cannot be told.

    Args:
        places: How they follow it in one picture, and in others if that is unsure.
    """
    known = [each for each in places if each is not None]
    if not known:
        return None
    if known[0].share >= CLEAR:
        return True
    shares = torch.tensor([each.share for each in known])
    if len(known) < 2 or sum(each.moved for each in known) < LEAST_MOVED * len(known):
        return None
    mean, sure = float(shares.mean()), SURE * float(shares.std()) / len(known) ** 0.5
    if mean + sure < IN_PLACE:
        return False
    return True if mean - sure > IN_PLACE else None


def _halves(count: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return for each of some cells whether it is in the second half, and whether in neither."""
    cells = torch.arange(count, device=like.device)
    return (cells >= (count + 1) // 2).long(), (cells == count // 2) & (count % 2 == 1)

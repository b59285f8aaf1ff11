"""Changed copies of images, whose maps are averaged for ``aug_smooth=True``.

They are those of grad-cam: an image and its mirror image, each with the network's inputs multiplied
by 0.9, 1 and 1.1.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import TypeAlias

from torch import Tensor

Change: TypeAlias = Callable[[Tensor], Tensor]
FACTORS = (0.9, 1.0, 1.1)


def _change(images: Tensor, *, mirrored: bool, factor: float) -> Tensor:
    return _restore(images, mirrored=mirrored) * factor


def _restore(maps: Tensor, *, mirrored: bool) -> Tensor:
    return maps.flip(-1) if mirrored else maps


COPIES: tuple[tuple[Change, Change], ...] = tuple(
    (
        partial(_change, mirrored=mirrored, factor=factor),
        partial(_restore, mirrored=mirrored),
    )
    for mirrored, factor in product((False, True), FACTORS)
    if mirrored or factor != 1
)
"""What makes each copy of the inputs but the unchanged one, and what undoes it on the maps."""

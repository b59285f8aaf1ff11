"""Targets: the class to explain in each image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch

from effcam.errors import TargetError, _index

Target: TypeAlias = int | str | Sequence[int | str] | None
PlainTarget: TypeAlias = int | str | tuple[int | str, ...] | None
CONSENSUS = "consensus"
"""The class with the highest mean probability over the models."""


def plain_target(target: object) -> PlainTarget:
    """Return a target in Python's own types, whatever array or tensor it came in.

    Raises:
        TargetError: If it is not a target.
    """
    if target is None or isinstance(target, str):
        return target
    listed = target.tolist() if isinstance(target, np.ndarray | torch.Tensor) else target
    if isinstance(listed, Sequence):
        return tuple(each if isinstance(each, str) else _class(each) for each in listed)
    return _class(listed)


def _class(target: object) -> int:
    index = _index(target)
    if index is None:
        raise TargetError(
            "a target is a class index, a label, a sequence with one of these for each image, "
            f"'consensus' or None, not {target!r}"
        )
    return index


def target_per_image(target: PlainTarget, images: int) -> tuple[int | str, ...] | None:
    """Return one target for each image, ``None`` for each model's own top-1.

    Raises:
        TargetError: If the number of targets is not that of the images.
    """
    if target is None:
        return None
    if not isinstance(target, tuple):
        return (target,) * images
    if len(target) != images:
        raise TargetError(f"there are {len(target)} targets for {images} images: give one for each")
    return target

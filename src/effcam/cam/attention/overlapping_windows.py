"""Find the keys of each position in windows that overlap, as in HaloNet."""

from __future__ import annotations

import torch
from torch import Tensor

from effcam.cam.attention.token_map import Reader, Source

MOST_WINDOWS = 256


def find_overlapping(target: Tensor, source: Source) -> tuple[int, Tensor] | None:
    """Return the dimension of windows, and all keys of each position; ``None`` without windows.

    Within one window, each position feeds one key.

    Args:
        target: (2, ..., n, d) values.
        source: What they were computed from.

    Returns:
        The dimension, and (N, k) int64, window * n + index, -1 for none after the first.
    """
    for dimension in range(1, target.ndim - 2):
        if 1 < target.shape[dimension] <= MOST_WINDOWS:
            found = _keys(target, source, dimension)
            if found is not None:
                return dimension, _packed(found)
    return None


def _keys(target: Tensor, source: Source, dimension: int) -> Tensor | None:
    """Return (N, windows) int64, the key of each position in each window, -1 for none."""
    windows, count = target.shape[dimension], target.shape[-2]
    rest = [each for each in range(1, target.ndim - 2) if each != dimension]
    found = []
    for window in range(windows):
        shape = [-1 if each == dimension else 1 for each in range(1, target.ndim - 1)]
        counted = (torch.arange(windows) == window).reshape(shape)
        reader = Reader(target, source, counted)
        token = reader.tokens()
        if token is None:
            return None
        if window == 0 and not all(_is_of_heads(reader, each) for each in rest):
            return None
        found.append(torch.where(token < 0, -1, token + window * count))
    keys = torch.stack(found, 1)
    return keys if bool((keys >= 0).any(1).all()) else None


def _is_of_heads(reader: Reader, dimension: int) -> bool:
    """Return whether each position feeds all indices of a dimension."""
    if reader.target.shape[dimension] == 1:
        return True
    index = reader.parts(dimension)
    return index is not None and len(index) == 0


def _packed(keys: Tensor) -> Tensor:
    """Return (N, k) keys, the largest first, without columns that are -1 alone."""
    ordered = keys.sort(1, descending=True).values
    return ordered[:, : int((keys >= 0).sum(1).max())]

"""Find which part of the image each key stands for that is pooled from cells that overlap."""

from __future__ import annotations

import torch
from torch import Tensor

from effcam.cam.attention.token_map import Reader, Source
from effcam.models.tracing.map_layout import Grid

LOCAL = 0.9
"""The least share of a pooled key's gradient that is near its cell."""
MOST_PREFIX = 16


def find_pooled(target: Tensor, source: Source, places: Tensor, grid: Grid) -> Tensor | None:
    """Return (N,) the token of each token of a source, if cells that overlap make the tokens.

    Convolutions that pool may overlap by a few positions. Tokens are taken for even cells of the
    image, in rows, if those that are looked at lie where these cells are.

    Args:
        target: (B, ..., n, d), of one window.
        source: What the tokens were computed from.
        places: (rows * columns,) int64, the source's token at each position.
        grid: Rows and columns of positions.
    """
    reader = Reader(target, source)
    dimension = target.ndim - 2
    coarse = _coarse_grid(target.shape[dimension], grid)
    if coarse is None:
        return None
    prefix, (rows, columns) = coarse
    tried = (0, rows * columns // 2 + columns // 3, rows * columns - 1)
    for pair in (tried[:2], tried[1:]):
        first, second = (prefix + index for index in pair)
        for index, share in zip(pair, reader.shares(first, second), strict=True):
            if not _lies_at(share[places].reshape(grid), index, (rows, columns)):
                return None
    if not all(_is_of_heads(target, source, each, prefix) for each in range(1, dimension)):
        return None
    down = torch.arange(grid[0], device=places.device) * rows // grid[0]
    across = torch.arange(grid[1], device=places.device) * columns // grid[1]
    cells = (down[:, None] * columns + across + prefix).flatten()
    token = torch.full((source.flat(source.tensor).shape[1],), -1, device=places.device)
    token[places] = cells
    return token


def _is_of_heads(target: Tensor, source: Source, dimension: int, token: int) -> bool:
    """Return whether a token of one index of a dimension takes in what that of all takes in.

    A window of cells that lie far apart takes in fewer.
    """
    count = target.shape[dimension]
    if count == 1:
        return True
    shape = [-1 if each == dimension else 1 for each in range(1, target.ndim - 1)]
    first = (torch.arange(count) == 0).reshape(shape)
    some, all_ = (
        int((Reader(target, source, counted).shares(token, token)[0] > 0).sum())
        for counted in (first, None)
    )
    return some >= LOCAL * all_


def find_coarse(target: Tensor, anchor: Source) -> tuple[Tensor, Grid] | None:
    """Return the token at each cell of a grid, in rows, and the grid, if it pools a map.

    Args:
        target: (B, n, d) tokens.
        anchor: The map, whose cells may overlap or be left out in the tokens.
    """
    if anchor.grid is None:
        return None
    count = anchor.grid[0] * anchor.grid[1]
    places = torch.arange(count, device=target.device)
    token = find_pooled(target, anchor, places, anchor.grid)
    if token is None:
        return None
    prefix = int(token.min())
    _, grid = _coarse_grid(target.shape[1], anchor.grid) or (0, anchor.grid)
    return torch.arange(prefix, target.shape[1], device=target.device), grid


def _coarse_grid(count: int, grid: Grid) -> tuple[int, Grid] | None:
    """Return the number of prefix tokens, and the grid of tokens that pool a grid."""
    for prefix in range(MOST_PREFIX):
        for rows in range(2, grid[0] + 1):
            columns = round(rows * grid[1] / grid[0])
            if rows * columns == count - prefix:
                return prefix, (rows, columns)
    return None


def _lies_at(weight: Tensor, index: int, coarse: Grid) -> bool:
    """Return whether a token's gradient, (h, w) >= 0, is near its cell."""
    step = [whole / part for whole, part in zip(weight.shape, coarse, strict=True)]
    down = (torch.arange(weight.shape[0], device=weight.device) + 0.5) / step[0] - 0.5
    across = (torch.arange(weight.shape[1], device=weight.device) + 0.5) / step[1] - 0.5
    row, column = divmod(index, coarse[1])
    far = torch.maximum((down - row).abs()[:, None], (across - column).abs()[None])
    total = float(weight.sum())
    centre = [
        float((weight.sum(1) * down).sum()) / max(total, 1e-30) - row,
        float((weight.sum(0) * across).sum()) / max(total, 1e-30) - column,
    ]
    near = float(weight[far <= 2].sum())
    # At the border, what overlaps is cut off, and the centre moves in.
    return total > 0 and near >= LOCAL * total and max(map(abs, centre)) < 0.75

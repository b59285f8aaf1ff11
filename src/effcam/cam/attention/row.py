"""Follow one row of a product of attention matrices from the last layer back to the first.

No matrix of all positions is needed: the row of what the head reads is multiplied with each
layer's matrix in turn, window by window.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from effcam.cam.attention.layout import Layer, Tokens
from effcam.errors import LayerError
from effcam.models.tracing.map_layout import Grid


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """How much what the head reads takes in of each token.

    Attributes:
        cells: (B, rows * columns) of positions.
        grid: Rows and columns.
        prefix: (B, k) of tokens that stand for no position.
    """

    cells: Tensor
    grid: Grid
    prefix: Tensor

    def on(self, grid: Grid, name: str) -> Row:
        """Return it on another grid: a finer one shares evenly, a coarser one adds.

        Raises:
            LayerError: If neither grid divides the other.
        """
        if grid == self.grid:
            return self
        cells = self.cells.reshape(-1, *self.grid)
        up = [new // old for new, old in zip(grid, self.grid, strict=True)]
        down = [old // new for new, old in zip(grid, self.grid, strict=True)]
        if all(old * k == new for new, old, k in zip(grid, self.grid, up, strict=True)):
            cells = cells.repeat_interleave(up[0], 1).repeat_interleave(up[1], 2)
            cells = cells / (up[0] * up[1])
        elif all(new * k == old for new, old, k in zip(grid, self.grid, down, strict=True)):
            cells = cells.reshape(len(cells), grid[0], down[0], grid[1], down[1]).sum((2, 4))
        else:
            raise LayerError(
                f"attention layer {name!r} works on {grid[0]} x {grid[1]} positions, and a later "
                f"one on {self.grid[0]} x {self.grid[1]}: no grid divides the other, so the "
                "product of their matrices has no meaning. Use legrad"
            )
        return replace(self, cells=cells.flatten(1), grid=grid)


def check_chain(layers: tuple[Layer, ...], method: str) -> None:
    """Refuse networks whose attention matrices have no product over the image.

    Raises:
        LayerError: If there is such a layer, with the reason.
    """
    for at, layer in enumerate(layers):
        problem, tokens = layer.problem, layer.tokens
        if tokens is not None:
            problem = _problem(tokens, is_last=at == len(layers) - 1)
        if problem:
            raise LayerError(
                f"{method} multiplies the matrices of all attention layers, which is not possible "
                f"at layer {layer.name!r}: {problem}. Use legrad, or a method that reads the "
                "target layer, as gradcam"
            )


def _problem(tokens: Tokens, *, is_last: bool) -> str:
    if tokens.learned:
        return "" if is_last else "its queries are learned, and other layers follow"
    if tokens.queries is None:
        return "where its queries lie over the image is not known"
    fed = tokens.queries >= 0
    if bool(fed.any()) and not bool(fed.all()):
        return "its queries stand for some positions of its keys only"
    if len(tokens.prefix) and tokens.windows:
        return "its tokens without a position are in several windows"
    return ""


def start(tokens: Tokens, read: Tensor, batch: int) -> Row:
    """Return the row of the mean of the queries of the last layer that the head reads.

    Args:
        tokens: The tokens of the last layer.
        read: (windows * queries,) bool.
        batch: The number of images.

    Raises:
        LayerError: If there is none.
    """
    if not bool(read.any()):
        raise LayerError(
            "the scores do not depend on the output of the last attention layer, as with a head of "
            "zeros, so it is not known which of its tokens the head reads"
        )
    share = read.float() / read.sum()
    cells = torch.zeros_like(tokens.counts)
    prefix = torch.zeros(len(tokens.prefix), device=cells.device)
    if not tokens.learned and tokens.queries is not None:
        fed = tokens.queries >= 0
        own = tokens.queries[fed]
        several = torch.bincount(own, minlength=len(share)).clamp(min=1)
        cells[fed] = (share / several)[own]
        known = tokens.prefix_queries >= 0
        prefix[known] = share[tokens.prefix_queries[known]]
    return Row(cells.expand(batch, -1), tokens.grid, prefix.expand(batch, -1))


def taken(row: Row, layer: Layer, matrix: Tensor, read: Tensor) -> Row:
    """Return the row times the matrix of one layer.

    Args:
        row: The row.
        layer: The layer.
        matrix: (B, windows, queries, keys), its mean over heads.
        read: As in `start`, for learned queries.
    """
    tokens = layer.placed
    batch, windows, queries, _ = matrix.shape
    asked = matrix.new_zeros(batch, windows * queries)
    row = seen_by(row, layer)
    if tokens.learned:
        asked += (read.float() / read.sum()).to(asked.device)
    elif tokens.queries is not None:
        fed = tokens.queries >= 0
        asked.index_add_(1, tokens.queries[fed], row.cells[:, fed].to(asked))
        known = tokens.prefix_queries >= 0
        asked.index_add_(1, tokens.prefix_queries[known], row.prefix[:, known].to(asked))
    found = (asked.reshape(batch, windows, 1, queries) @ matrix).flatten(1)
    return Row(tokens.spread(found), tokens.grid, found[:, tokens.prefix])


def seen_by(row: Row, layer: Layer) -> Row:
    """Return a row on the tokens of a layer.

    Raises:
        LayerError: If neither grid divides the other.
    """
    found, count = row.on(layer.placed.grid, layer.name), len(layer.placed.prefix)
    if found.prefix.shape[1] == count:
        return found
    # Tokens that are not there yet began in a later layer.
    return replace(found, prefix=found.prefix.new_zeros(len(found.prefix), count))


def add(first: Row, second: Row) -> Row:
    """Return the sum of two rows on the same tokens."""
    return Row(first.cells + second.cells, first.grid, first.prefix + second.prefix)


def keep_half(row: Row, layer: Layer) -> Row:
    """Return what the shortcut around a layer keeps of a row: half, of tokens that ask."""
    share = 1.0 if layer.placed.pools else 0.5
    return Row(share * row.cells, row.grid, 0.5 * row.prefix)

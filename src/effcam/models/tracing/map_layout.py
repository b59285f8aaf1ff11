"""The layout of a layer's output: a grid of cells over the image, in one of three orders."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor

Layout: TypeAlias = Literal["NCHW", "NHWC", "tokens"]
Grid: TypeAlias = tuple[int, int]

PREFIX_TOKENS = (0, 1, 2, 5, 3, 4, 9)
MOST_PREFIX_TOKENS = 16


@dataclass(frozen=True, slots=True)
class MapShape:
    """The dimensions of a tensor that holds a map of the image.

    Attributes:
        layout: The order of its dimensions: ``"NCHW"`` is (batch, channels, rows, columns),
            ``"NHWC"`` (batch, rows, columns, channels), ``"tokens"`` (batch, prefix + rows *
            columns, channels).
        grid: Rows and columns of cells.
        channels: The number of channels.
        prefix: The number of prefix tokens, which stand for no cell.
    """

    layout: Layout
    grid: Grid
    channels: int
    prefix: int = 0

    def fits(self, output: Tensor) -> bool:
        """Return whether a tensor has these dimensions, for any batch size."""
        rows, columns = self.grid
        shape = {
            "NCHW": (self.channels, rows, columns),
            "NHWC": (rows, columns, self.channels),
            "tokens": (self.prefix + rows * columns, self.channels),
        }
        return tuple(output.shape[1:]) == shape[self.layout]

    def to_map(self, output: Tensor) -> Tensor:
        """Return the (batch, channels, rows, columns) view of a tensor of these dimensions."""
        if self.layout == "NCHW":
            return output
        if self.layout == "NHWC":
            return output.permute(0, 3, 1, 2)
        cells = output[:, self.prefix :]
        return cells.reshape(len(cells), *self.grid, self.channels).permute(0, 3, 1, 2)

    def with_map(self, output: Tensor, cells: Tensor) -> Tensor:
        """Return a tensor of these dimensions with another map; prefix tokens stay.

        Args:
            output: The tensor.
            cells: (batch, channels, rows, columns), as `to_map` returns it.
        """
        import torch

        if self.layout == "NCHW":
            return cells
        if self.layout == "NHWC":
            return cells.permute(0, 2, 3, 1)
        return torch.cat([output[:, : self.prefix], cells.flatten(2).transpose(1, 2)], 1)

    @property
    def channel_dimension(self) -> int:
        """The index of the dimension of channels."""
        return 1 if self.layout == "NCHW" else -1


def map_shape(
    shape: Sequence[int],
    size: Grid,
    grids: Sequence[Grid],
    *,
    stride: int,
    prefixes: Sequence[int] = PREFIX_TOKENS,
) -> MapShape | None:
    """Return the dimensions of a map of the image, ``None`` if a tensor is none.

    Args:
        shape: The tensor's shape, its batch dimension first.
        size: Height and width of the image in px.
        grids: The grids of other tensors of the same pass, the latest last. A sequence of tokens
            gets the latest grid with the same number of cells.
        stride: The least side of a cell in px of the image.
        prefixes: The numbers of prefix tokens to try, the likeliest first.

    >>> map_shape((2, 512, 7, 7), (224, 224), [], stride=2)
    MapShape(layout='NCHW', grid=(7, 7), channels=512, prefix=0)
    >>> map_shape((2, 197, 768), (224, 224), [(14, 14)], stride=2)
    MapShape(layout='tokens', grid=(14, 14), channels=768, prefix=1)
    """
    if len(shape) == 4:
        _, first, second, third = shape
        if _is_grid((second, third), size, stride):
            return MapShape("NCHW", (second, third), first)
        if _is_grid((first, second), size, stride):
            return MapShape("NHWC", (first, second), third)
    if len(shape) == 3:
        _, count, channels = shape
        for prefix, grid in _token_grids(count, channels, size, grids, prefixes):
            if _is_grid(grid, size, stride):
                return MapShape("tokens", grid, channels, prefix)
    return None


def _is_grid(grid: Grid, size: Grid, stride: int) -> bool:
    """Return whether a grid has several cells, that stride or more, and the image's aspect."""
    (rows, columns), (height, width) = grid, size
    if rows * columns < 2 or stride * rows > height or stride * columns > width:
        return False
    if height == width:
        return rows == columns
    # The grid of an image that is not square may be rounded up or down in either direction.
    return abs(rows * width - columns * height) <= max(height, width)


def _token_grids(
    count: int, channels: int, size: Grid, grids: Sequence[Grid], prefixes: Sequence[int]
) -> Iterator[tuple[int, Grid]]:
    """Yield the prefixes and grids that give ``count`` tokens, the likeliest first."""
    for prefix in dict.fromkeys([*prefixes, *range(MOST_PREFIX_TOKENS + 1)]):
        for grid in reversed(grids):
            if math.prod(grid) == count - prefix > prefix:
                yield prefix, grid
    if channels in map(math.prod, grids):
        # It may be (batch, channels, cells): a number of channels may be a square, but is hardly
        # ever one more.
        prefixes = [prefix for prefix in prefixes if prefix == 1]
    for prefix in prefixes:
        rows = round(math.sqrt(max(count - prefix, 0) * size[0] / size[1]))
        columns = (count - prefix) // rows if rows else 0
        grid = rows, columns
        if rows * columns == count - prefix > prefix and _pools_to(grids, grid):
            yield prefix, grid


def _pools_to(grids: Sequence[Grid], coarse: Grid) -> bool:
    """Return whether pooling one of the grids may give a coarser one; true if there are none."""
    return not grids or any(rows % coarse[0] == 0 == columns % coarse[1] for rows, columns in grids)

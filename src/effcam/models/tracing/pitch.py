"""Find how far apart the cells of a map lie in a network's input.

A network that takes inputs of any size computes one cell more for each further stride of the input,
whatever its weights. So traces at two larger inputs show the stride, also where functions or
reshaping make it.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from effcam.errors import ModelError
from effcam.models.tracing.cache import StructureCache
from effcam.models.tracing.flops import find_cost
from effcam.models.tracing.map_layout import Grid
from effcam.models.tracing.runners import most_products
from effcam.models.tracing.target_layer import TargetLayer
from effcam.models.tracing.trace import trace_cheaply

FURTHER = 192, 384
"""How many px the larger inputs have more: a multiple of the usual strides, 2^k and 3 * 2^k. Other
strides give numbers of cells that do not fit together."""
PITCHES: StructureCache[tuple[float, float] | None] = StructureCache()


def find_pitch(
    module: nn.Module, layer: TargetLayer, size: Grid, channels: int
) -> tuple[float, float] | None:
    """Return the distance between the centres of neighbouring cells, down and across, in px.

    It is ``None`` if it cannot be told, as for a network that takes no other size, or that has a
    fixed number of cells.

    Args:
        module: The network, which stays unchanged.
        layer: The layer to look at.
        size: Height and width of the input in px.
        channels: The number of channels of the input.
    """
    asked = layer, size, channels
    return PITCHES.get(module, asked, lambda: _measure(module, layer, size, channels))


def _measure(
    module: nn.Module, layer: TargetLayer, size: Grid, channels: int
) -> tuple[float, float] | None:
    found: set[tuple[float, float]] = set()
    cost = find_cost(module, size, channels).flops
    products = most_products(module, size) if cost is None else cost / 2
    for further in FURTHER:
        larger = size[0] + further, size[1] + further
        grown = math.prod(larger) / math.prod(size)
        grid = _grid_at(module, layer, larger, channels, products * grown)
        if grid is None:
            return None
        gained = [more - cells for more, cells in zip(grid, layer.grid, strict=True)]
        if any(each < 1 for each in gained):
            return None
        found.add((further / gained[0], further / gained[1]))
    (pitch, *others) = found
    return None if others or not all(each.is_integer() for each in pitch) else pitch


def _grid_at(
    module: nn.Module, layer: TargetLayer, size: Grid, channels: int, products: float
) -> Grid | None:
    """Return a layer's rows and columns of cells for another input size, if there are any."""
    try:
        record = trace_cheaply(module, size, channels, products)
    except ModelError:
        return None
    for call in record.calls:
        if (call.name, call.turn) == (layer.name, layer.turn) and isinstance(call.map, Tensor):
            return _grid_of(layer, tuple(call.map.shape), size)
    return None


def _grid_of(layer: TargetLayer, shape: tuple[int, ...], size: Grid) -> Grid | None:
    if len(shape) == 4:
        return shape[2:] if layer.layout == "NCHW" else shape[1:3]
    side = math.isqrt(shape[1] - layer.prefix)
    is_square = size[0] == size[1] and side**2 == shape[1] - layer.prefix
    return (side, side) if is_square else None

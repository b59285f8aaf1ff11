"""Find the target layer: the features that enter the head, by one rule for all architectures.

The trace of a forward pass shows which modules return maps of the image. The target layer is *the
last map before pooling*; if the head reads only a class token, it is the last map that the class
token reads. No table of names is used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from effcam.errors import LayerError, did_you_mean
from effcam.models.tracing.closed_parts import check_closed_parts, describe_closed
from effcam.models.tracing.logits import describe, tensors
from effcam.models.tracing.map_layout import Grid, MapShape, map_shape
from effcam.models.tracing.module_kinds import is_attention, is_dense_head, is_known, is_passive
from effcam.models.tracing.token_flow import (
    cells_come_last,
    last_read,
    reached_layers,
    reads_class_token,
    side_calls,
)
from effcam.models.tracing.trace import BATCH, STRIDE, LayerCall, Trace

if TYPE_CHECKING:
    from torch import Tensor, nn

SHOWN = 3
# Blocks with several parallel maps: the head reads all of them.
SIDE_BY_SIDE = {
    "timm.models.crossvit.MultiScaleBlock": ("blocks.0", "blocks.1"),
    "timm.models.coat.ParallelBlock": ("norm12", "norm13", "norm14"),
    "timm.models.vision_transformer.ParallelThingsBlock": ("attns.0.norm", "attns.1.norm"),
}

ENTERING = "features entering the head"
LAST_READ = "features that the class token reads last"
BRANCHES = "features that the class token reads last, side by side"
CHOSEN = "chosen by the caller"


@dataclass(frozen=True, slots=True)
class TargetLayer(MapShape):
    """A layer to look at, and the dimensions of its output.

    Attributes:
        layout: The order of its output's dimensions: ``"NCHW"``, ``"NHWC"``, or ``"tokens"``,
            (batch, prefix + cells, channels).
        grid: Rows and columns of its map at the traced input size.
        channels: The number of its channels.
        prefix: The number of prefix tokens, which stand for no cell.
        name: Its dotted name in the module.
        reason: The reason for choosing it; empty for other layers.
        turn: The index of its call in a forward pass that returns the map, from 0; an activation
            may be called in several places.
    """

    name: str = ""
    reason: str = ""
    turn: int = 0

    def __str__(self) -> str:
        """Return the layer as a line of text."""
        (rows, columns), mark = self.grid, f"  <- {self.reason}" if self.reason else ""
        prefix = f" after {self.prefix} prefix tokens" if self.prefix else ""
        return f"{self.name}  {self.layout}  {self.channels} x {rows} x {columns}{prefix}{mark}"


def find_target_layers(record: Trace) -> tuple[TargetLayer, ...]:
    """Return the layer whose output is the last map that the head reads, or several parallel ones.

    Raises:
        LayerError: If no layer gives a map.
        ModelError: If the module's output is not one row of class scores per image.
    """
    layers = _choose(record).layers
    check_closed_parts(record, layers[-1].name)
    return layers


def take_layers(
    record: Trace, names: Sequence[str], layout: str, reason: str
) -> tuple[TargetLayer, ...]:
    """Return the layers that the table has for an architecture, empty if they do not fit.

    Args:
        record: The trace of a module of that architecture.
        names: The layers' names.
        layout: The layout of their outputs.
        reason: The reason for choosing them.
    """
    maps = {call.name: (call, shape) for call, shape in record.maps(STRIDE)}
    if any(name not in maps or maps[name][1].layout != layout for name in names):
        return ()
    return tuple(_target(*maps[name], reason) for name in names)


def check_target_layer(record: Trace, name: str) -> TargetLayer:
    """Return the layer of that name, if its output is a map that the head reads.

    Raises:
        LayerError: If there is no such layer, it is not used, its output is not a map, or the
            head does not read the cells of that map.
    """
    last = _choose(record).last if _group(record, 1) else 0.0
    calls = {call.name: call for call in record.calls}
    if name not in calls:
        hint = describe_closed(record, name) or did_you_mean(name, calls)
        raise LayerError(f"the model uses no layer called {name!r}.{hint} {_nearest(record, last)}")
    maps = {call.name: (call, shape) for call, shape in record.maps(stride=1)}
    if name not in maps:
        raise LayerError(
            f"layer {name!r} gives no map of the image, it returns "
            f"{describe(calls[name].output)}. {_nearest(record, min(last, calls[name].start))}"
        )
    call, shape = maps[name]
    if shape.layout == "tokens" and call.end >= last:
        raise LayerError(
            f"from layer {name!r} on, only the class token goes to the head, so its "
            f"{math.prod(shape.grid)} cells have no gradient. {_nearest(record, last)}"
        )
    return _target(call, shape, CHOSEN)


def usable_layers(record: Trace) -> tuple[TargetLayer, ...]:
    """Return the layers that return a map which the head reads, in order of execution.

    Layers inside attention and inside pooling are left out.
    """
    choice, reached = _choose(record), reached_layers(record)
    chosen = {layer.name for layer in choice.layers}
    attention = [call for call in record.calls if is_attention(call.name, call.module)]
    outside = {id(call) for call, _ in _features(record, stride=1) if not is_passive(call.module)}
    found: dict[str, TargetLayer] = {}
    for call, shape in record.maps(stride=1):
        if call.name not in chosen and (
            id(call) not in outside
            or call.name not in reached
            or call.end >= choice.last
            or any(each.encloses(call) for each in attention)
        ):
            continue
        # Of two calls, the later one counts, as for the target layer.
        found.pop(call.name, None)
        found[call.name] = _target(call, shape, "")
    return tuple(found.values())


@dataclass(frozen=True, slots=True)
class _Choice:
    """The layers to look at, and the time after which the head reads no cells."""

    layers: tuple[TargetLayer, ...]
    last: float = math.inf


def _choose(record: Trace) -> _Choice:
    groups = _group(record, STRIDE) or _group(record, 1)
    if not groups:
        raise LayerError(
            f"no layer of the model gives a map of a {record.size[0]} x {record.size[1]} px image "
            f"before its head; a class activation map needs one.{describe_closed(record)}"
        )
    if not is_known(record.module):
        # The last map may be in an auxiliary branch. If no layer is reached, keep all.
        reached = reached_layers(record)
        groups = [each for each in groups if each[0].name in reached] or groups
    several = _side_by_side(record)
    if several:
        return _Choice(tuple(_target(*each, BRANCHES) for each in several), _latest(several))
    call, shape = groups[-1]
    _check_reading(record, call, shape)
    if not reads_class_token(record, call, shape):
        return _Choice((_target(call, shape, ENTERING),))
    call, shape, last = last_read(record, call, shape)
    return _Choice((_target(call, shape, LAST_READ),), last)


def _check_reading(record: Trace, call: LayerCall, shape: MapShape) -> None:
    """Refuse a layer whose map would mislead; networks of timm and torchvision are verified.

    Raises:
        LayerError: If its tokens are not in the order of the cells, if later sequences have the
            batch second, or if the scores depend on several parallel calls of it.
    """
    if is_known(record.module):
        return
    for later in record.calls:
        if later.start > call.end and any(_is_batch_second(record, each) for each in later.inputs):
            raise LayerError(
                f"after layer {call.name!r} the model works on sequences of shape (tokens, batch, "
                f"channels), as at {later.name!r}, which give no map: let it work on "
                "(batch, tokens, channels)"
            )
    linked = record.linked()
    own = linked.find(call)
    if shape.layout == "tokens" and shape.prefix and not cells_come_last(own):
        raise LayerError(
            f"at layer {call.name!r} tokens that stand for no cell come after the cells or between "
            "them, so that their places in the image are unknown; choose an earlier layer that "
            "returns a map"
        )
    if others := side_calls(linked, own):
        raise LayerError(
            f"layer {call.name!r} runs {others + 1} times side by side in a pass, each time for a "
            "part of the scores, so no one map shows what they depend on; give the network that "
            "runs inside"
        )


def _is_batch_second(record: Trace, tensor: Tensor) -> bool:
    if tensor.ndim != 3 or tensor.shape[1] != BATCH or tensor.shape[0] == BATCH:
        return False
    grids = [shape.grid for _, shape in record.maps(STRIDE) if shape.layout != "tokens"]
    tokens, _, channels = tensor.shape
    return map_shape((BATCH, tokens, channels), record.size, grids, stride=STRIDE) is not None


def _target(call: LayerCall, shape: MapShape, reason: str) -> TargetLayer:
    return TargetLayer(
        shape.layout, shape.grid, shape.channels, shape.prefix, call.name, reason, call.turn
    )


def _nearest(record: Trace, clock: float) -> str:
    """Return the layers that return maps before a time, for a message."""
    found = {
        call.name: f"{call.name} ({shape.channels} channels, {shape.grid[0]} x {shape.grid[1]})"
        for call, shape in _features(record, stride=1)
        if call.end < clock and not is_passive(call.module)
    }
    if not found:
        return "No layer before it gives a map."
    return f"The nearest layers that give maps are {', '.join(list(found.values())[-SHOWN:])}."


def _features(record: Trace, stride: int) -> list[tuple[LayerCall, MapShape]]:
    """Return the calls that return maps, in order, without those inside pooling."""
    found = record.maps(stride)
    grids = [shape.grid for _, shape in found if shape.layout != "tokens"]
    pooling = [call for call in record.calls if _pools(record, call, found, grids, stride)]
    return [
        (call, shape) for call, shape in found if not any(pool.encloses(call) for pool in pooling)
    ]


def _pools(
    record: Trace,
    call: LayerCall,
    found: list[tuple[LayerCall, MapShape]],
    grids: list[Grid],
    stride: int,
) -> bool:
    """Return whether a call takes a map, returns none, and computes no coarser one.

    A container that computes coarser maps holds a body and a head, and is no pooling.
    """
    taken = [record.map_shape(each, grids, stride) for each in call.inputs]
    sizes = [math.prod(shape.grid) for shape in taken if shape]
    if not sizes or any(record.map_shape(each, grids, stride) for each in tensors(call.output)):
        return False
    return not any(
        math.prod(shape.grid) < min(sizes)
        for inner, shape in found
        if shape.layout == "NCHW" and call.encloses(inner)
    )


def _group(record: Trace, stride: int) -> list[tuple[LayerCall, MapShape]]:
    """Return the last call on each tensor that is a feature map, in order."""
    classes = record.classes
    groups: dict[tuple[int, int], tuple[LayerCall, MapShape]] = {}
    for call, shape in _features(record, stride):
        if not is_passive(call.module) and not is_dense_head(
            call.name, call.module, shape.channels, classes
        ):
            key = id(call.output), call.version
            # A later call on the same tensor replaces the earlier one, and moves to the end.
            groups.pop(key, None)
            groups[key] = call, shape
    return list(groups.values())


def _side_by_side(record: Trace) -> list[tuple[LayerCall, MapShape]]:
    """Return the parallel maps of the last block that has several, empty if there is none."""
    blocks = [call for call in record.calls if _qualified_name(call.module) in SIDE_BY_SIDE]
    if not blocks:
        return []
    parts = SIDE_BY_SIDE[_qualified_name(blocks[-1].module)]
    names = [f"{blocks[-1].name}.{part}" for part in parts]
    return [(call, shape) for call, shape in record.maps(STRIDE) if call.name in names]


def _latest(maps: list[tuple[LayerCall, MapShape]]) -> float:
    return max(call.end for call, _ in maps) + 0.5


def _qualified_name(module: nn.Module) -> str:
    return f"{type(module).__module__}.{type(module).__name__}"

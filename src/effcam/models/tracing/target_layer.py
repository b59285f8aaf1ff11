"""Which layer to look at: the features that enter the head, by one rule for all architectures.

The trace of a forward pass says which modules give maps of the image. The target layer is *the
last map before pooling*; where the head reads a class token alone, it is the last map that the
class token still reads. No table of names is involved.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from effcam.errors import LayerError, did_you_mean
from effcam.models.tracing.logits import describe, tensors
from effcam.models.tracing.map_layout import Grid, Spatial, spatial
from effcam.models.tracing.module_kinds import is_attention, is_dense_head, is_known, is_passive
from effcam.models.tracing.token_flow import (
    cells_come_last,
    last_read,
    reached_layers,
    reads_class_token,
    side_calls,
)
from effcam.models.tracing.trace import BATCH, STRIDE, Call, Trace

if TYPE_CHECKING:
    from torch import Tensor, nn

SHOWN = 3
# Blocks that work on several maps side by side, of which no single one is all that the head reads.
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
class TargetLayer(Spatial):
    """A layer to look at, and how its output lies over the image.

    Attributes:
        layout: The order of its output's dimensions: ``"NCHW"``, ``"NHWC"``, or ``"tokens"``,
            (batch, prefix + cells, channels).
        grid: Rows and columns of its map at the traced input size.
        channels: The number of its channels.
        prefix: How many tokens that stand for no cell go before the others.
        name: Its dotted name in the module.
        reason: Why it was chosen; empty for a layer that was not.
        turn: Which of its calls in a forward pass gives the map, from 0; an activation may be
            called in several places.
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
    """Return the layer whose output is the last map that the head reads, or several as one.

    Raises:
        LayerError: If no layer gives a map.
        ModelError: If the module's output is not one row of class scores an image.
    """
    return _choose(record).layers


def take_layers(
    record: Trace, names: Sequence[str], layout: str, reason: str
) -> tuple[TargetLayer, ...]:
    """Return the layers that were found for an architecture before; none if they do not fit.

    Args:
        record: The trace of a module of that architecture.
        names: The layers' names.
        layout: How their outputs lay.
        reason: Why they were chosen.
    """
    maps = {call.name: (call, lies) for call, lies in record.maps(STRIDE)}
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
        hint = did_you_mean(name, calls)
        raise LayerError(f"the model uses no layer called {name!r}.{hint} {_nearest(record, last)}")
    maps = {call.name: (call, lies) for call, lies in record.maps(stride=1)}
    if name not in maps:
        raise LayerError(
            f"layer {name!r} gives no map of the image, it returns "
            f"{describe(calls[name].output)}. {_nearest(record, min(last, calls[name].start))}"
        )
    call, lies = maps[name]
    if lies.layout == "tokens" and call.end >= last:
        raise LayerError(
            f"from layer {name!r} on no more than the class token goes to the head, so its "
            f"{math.prod(lies.grid)} cells have no gradient. {_nearest(record, last)}"
        )
    return _target(call, lies, CHOSEN)


def usable_layers(record: Trace) -> tuple[TargetLayer, ...]:
    """Return the layers that give a map which the head reads, in order of execution.

    What runs inside of attention, and inside of pooling, is left out.
    """
    choice, reached = _choose(record), reached_layers(record)
    chosen = {layer.name for layer in choice.layers}
    attention = [call for call in record.calls if is_attention(call.name, call.module)]
    outside = {id(call) for call, _ in _features(record, stride=1) if not is_passive(call.module)}
    found: dict[str, TargetLayer] = {}
    for call, lies in record.maps(stride=1):
        if call.name not in chosen and (
            id(call) not in outside
            or call.name not in reached
            or call.end >= choice.last
            or any(each.encloses(call) for each in attention)
        ):
            continue
        # The later of two calls takes the name over, as it does where a layer is chosen.
        found.pop(call.name, None)
        found[call.name] = _target(call, lies, "")
    return tuple(found.values())


@dataclass(frozen=True, slots=True)
class _Choice:
    """The layers to look at, and when the head has stopped to read cells."""

    layers: tuple[TargetLayer, ...]
    last: float = math.inf


def _choose(record: Trace) -> _Choice:
    groups = _group(record, STRIDE) or _group(record, 1)
    if not groups:
        raise LayerError(
            f"no layer of the model gives a map of a {record.size[0]} x {record.size[1]} px image "
            "before its head; a class activation map needs one"
        )
    if not is_known(record.module):
        # What runs last may be an auxiliary branch. Where nothing is reached, no choice is better.
        reached = reached_layers(record)
        groups = [each for each in groups if each[0].name in reached] or groups
    several = _side_by_side(record)
    if several:
        return _Choice(tuple(_target(*each, BRANCHES) for each in several), _latest(several))
    call, lies = groups[-1]
    _check_reading(record, call, lies)
    if not reads_class_token(record, call, lies):
        return _Choice((_target(call, lies, ENTERING),))
    call, lies, last = last_read(record, call, lies)
    return _Choice((_target(call, lies, LAST_READ),), last)


def _check_reading(record: Trace, call: Call, lies: Spatial) -> None:
    """Refuse a layer of a network of unknown make whose map would not be what it seems.

    Raises:
        LayerError: If the order of its tokens is not that of the cells, if sequences run on with
            the batch second, or if the scores come of several passes through it.
    """
    if is_known(record.module):
        return
    for later in record.calls:
        if later.start > call.end and any(_is_batch_second(record, each) for each in later.inputs):
            raise LayerError(
                f"after layer {call.name!r} the model works on sequences of shape (tokens, batch, "
                f"channels), as at {later.name!r}, of which effcam can make no map: let it work on "
                "(batch, tokens, channels)"
            )
    linked = record.linked()
    own = linked.find(call)
    if lies.layout == "tokens" and lies.prefix and not cells_come_last(own):
        raise LayerError(
            f"at layer {call.name!r} tokens that stand for no cell come after the cells or between "
            "them, so that their places in the image cannot be told; choose an earlier layer that "
            "gives a map"
        )
    if any(True for _ in call.module.parameters()) and (others := side_calls(linked, own)):
        raise LayerError(
            f"layer {call.name!r} runs {others + 1} times side by side in a pass, each time for a "
            "part of the scores, so no one map shows what they depend on; give the network that "
            "runs inside"
        )


def _is_batch_second(record: Trace, tensor: Tensor) -> bool:
    if tensor.ndim != 3 or tensor.shape[1] != BATCH or tensor.shape[0] == BATCH:
        return False
    grids = [lies.grid for _, lies in record.maps(STRIDE) if lies.layout != "tokens"]
    tokens, _, channels = tensor.shape
    return spatial((BATCH, tokens, channels), record.size, grids, stride=STRIDE) is not None


def _target(call: Call, lies: Spatial, reason: str) -> TargetLayer:
    return TargetLayer(
        lies.layout, lies.grid, lies.channels, lies.prefix, call.name, reason, call.turn
    )


def _nearest(record: Trace, clock: float) -> str:
    """Return in words which layers that end before a time give maps."""
    found = {
        call.name: f"{call.name} ({lies.channels} channels, {lies.grid[0]} x {lies.grid[1]})"
        for call, lies in _features(record, stride=1)
        if call.end < clock and not is_passive(call.module)
    }
    if not found:
        return "No layer before it gives a map."
    return f"The nearest layers that give maps are {', '.join(list(found.values())[-SHOWN:])}."


def _features(record: Trace, stride: int) -> list[tuple[Call, Spatial]]:
    """Return the calls that give maps, in order, but for those made inside of pooling."""
    found = record.maps(stride)
    grids = [lies.grid for _, lies in found if lies.layout != "tokens"]
    pooling = [call for call in record.calls if _pools(record, call, found, grids, stride)]
    return [
        (call, lies) for call, lies in found if not any(pool.encloses(call) for pool in pooling)
    ]


def _pools(
    record: Trace, call: Call, found: list[tuple[Call, Spatial]], grids: list[Grid], stride: int
) -> bool:
    """Return whether a call takes a map, gives none, and makes no coarser one on the way.

    A container that goes on to coarser maps is a body and a head in one, and no pooling.
    """
    taken = [record.look(each, grids, stride) for each in call.inputs]
    sizes = [math.prod(lies.grid) for lies in taken if lies]
    if not sizes or any(record.look(each, grids, stride) for each in tensors(call.output)):
        return False
    return not any(
        math.prod(lies.grid) < min(sizes)
        for inner, lies in found
        if lies.layout == "NCHW" and call.encloses(inner)
    )


def _group(record: Trace, stride: int) -> list[tuple[Call, Spatial]]:
    """Return the last call on each tensor that is a feature map, in order."""
    classes = record.classes
    groups: dict[tuple[int, int], tuple[Call, Spatial]] = {}
    for call, lies in _features(record, stride):
        if not is_passive(call.module) and not is_dense_head(
            call.name, call.module, lies.channels, classes
        ):
            key = id(call.output), call.version
            # Later calls on the same tensor take the group over, and bring it to the end.
            groups.pop(key, None)
            groups[key] = call, lies
    return list(groups.values())


def _side_by_side(record: Trace) -> list[tuple[Call, Spatial]]:
    """Return the maps of the last block that works on several, none where there is no such."""
    blocks = [call for call in record.calls if _qualified_name(call.module) in SIDE_BY_SIDE]
    if not blocks:
        return []
    parts = SIDE_BY_SIDE[_qualified_name(blocks[-1].module)]
    names = [f"{blocks[-1].name}.{part}" for part in parts]
    return [(call, lies) for call, lies in record.maps(STRIDE) if call.name in names]


def _latest(maps: list[tuple[Call, Spatial]]) -> float:
    return max(call.end for call, _ in maps) + 0.5


def _qualified_name(module: nn.Module) -> str:
    return f"{type(module).__module__}.{type(module).__name__}"

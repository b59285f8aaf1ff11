"""Which layer to look at: the features that enter the head, by one rule for all architectures.

The trace of a forward pass says which modules give maps of the image. The target layer is *the
last map before pooling*; where the head reads a class token alone, it is the last map that the
class token still reads. No table of names is involved.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from effcam.errors import LayerError, did_you_mean
from effcam.scores import describe, tensors
from effcam.spatial import Grid, Spatial
from effcam.trace import Call, Trace, trace

STRIDE = 2
SHOWN = 3
PASSIVE = (
    nn.Identity,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool1d,
    nn.AdaptiveMaxPool2d,
)
PASSIVE_NAMES = ("DropPath", "StochasticDepth", "DropBlock2d", "Dropout")
HEAD_NAMES = ("head", "classif", "fc", "logit")
# timm's names of pooling that reads the cells; whatever else it is reads class tokens.
POOLS_OF_CELLS = ("avg", "avgmax", "max", "map", "fast", "")
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
        """Returns the layer as a line of text."""
        (rows, columns), mark = self.grid, f"  <- {self.reason}" if self.reason else ""
        prefix = f" after {self.prefix} prefix tokens" if self.prefix else ""
        return f"{self.name}  {self.layout}  {self.channels} x {rows} x {columns}{prefix}{mark}"


def find_target_layers(record: Trace) -> tuple[TargetLayer, ...]:
    """Returns the layer whose output is the last map that the head reads, or several as one.

    Raises:
        LayerError: If no layer gives a map.
        ModelError: If the module's output is not one row of class scores an image.
    """
    return _choose(record).layers


def check_target_layer(record: Trace, name: str) -> TargetLayer:
    """Returns the layer of that name, if its output is a map that the head reads.

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
    """Returns the layers that give a map which the head reads, in order of execution."""
    last = _choose(record).last
    reached = _reached_layers(record)
    found: dict[str, TargetLayer] = {}
    for call, lies in _features(record, stride=1):
        if not _is_passive(call.module) and call.name in reached and call.end < last:
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
    several = _side_by_side(record)
    if several:
        return _Choice(tuple(_target(*each, BRANCHES) for each in several), _latest(several))
    call, lies = groups[-1]
    if not _reads_class_token(record, call, lies):
        return _Choice((_target(call, lies, ENTERING),))
    call, lies, last = _last_read(record, call, lies)
    return _Choice((_target(call, lies, LAST_READ),), last)


def _target(call: Call, lies: Spatial, reason: str) -> TargetLayer:
    return TargetLayer(
        lies.layout, lies.grid, lies.channels, lies.prefix, call.name, reason, call.turn
    )


def _nearest(record: Trace, clock: float) -> str:
    """Returns in words which layers that end before a time give maps."""
    found = {
        call.name: f"{call.name} ({lies.channels} channels, {lies.grid[0]} x {lies.grid[1]})"
        for call, lies in _features(record, stride=1)
        if call.end < clock and not _is_passive(call.module)
    }
    if not found:
        return "No layer before it gives a map."
    return f"The nearest layers that give maps are {', '.join(list(found.values())[-SHOWN:])}."


def _features(record: Trace, stride: int) -> list[tuple[Call, Spatial]]:
    """Returns the calls that give maps, in order, but for those made inside of pooling."""
    found = record.maps(stride)
    grids = [lies.grid for _, lies in found if lies.layout != "tokens"]
    pooling = [call for call in record.calls if _pools(record, call, found, grids, stride)]
    return [
        (call, lies) for call, lies in found if not any(pool.encloses(call) for pool in pooling)
    ]


def _pools(
    record: Trace, call: Call, found: list[tuple[Call, Spatial]], grids: list[Grid], stride: int
) -> bool:
    """Tells whether a call takes a map, gives none, and makes no coarser one on the way.

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
    """Returns the last call on each tensor that is a feature map, in order."""
    classes = record.classes
    groups: dict[tuple[int, int], tuple[Call, Spatial]] = {}
    for call, lies in _features(record, stride):
        if not _is_passive(call.module) and not _is_dense_head(call, lies, classes):
            key = id(call.output), call.version
            # Later calls on the same tensor take the group over, and bring it to the end.
            groups.pop(key, None)
            groups[key] = call, lies
    return list(groups.values())


def _side_by_side(record: Trace) -> list[tuple[Call, Spatial]]:
    """Returns the maps of the last block that works on several, none where there is no such."""
    blocks = [call for call in record.calls if _qualified_name(call.module) in SIDE_BY_SIDE]
    if not blocks:
        return []
    parts = SIDE_BY_SIDE[_qualified_name(blocks[-1].module)]
    names = [f"{blocks[-1].name}.{part}" for part in parts]
    return [(call, lies) for call, lies in record.maps(STRIDE) if call.name in names]


def _latest(maps: list[tuple[Call, Spatial]]) -> float:
    return max(call.end for call, _ in maps) + 0.5


def _reads_class_token(record: Trace, call: Call, lies: Spatial) -> bool:
    """Tells whether of a row of tokens the head reads those that stand for no cell, alone."""
    if lies.layout != "tokens" or lies.prefix == 0:
        return False
    parts = call.name.split(".")
    owners = [record.module.get_submodule(".".join(parts[:end])) for end in range(len(parts))]
    pools = [pool for each in owners if isinstance(pool := getattr(each, "global_pool", None), str)]
    if pools:
        return pools[-1] not in POOLS_OF_CELLS
    linked = trace(record.module, record.size, record.channels, graph=True)
    output = next(each.output for each in linked.calls if _key(each) == _key(call))
    start = linked.scores.values.grad_fn
    # What the graph does not tell is found out when the first gradient is there.
    return isinstance(output, Tensor) and output.grad_fn not in _nodes(start, lies.prefix)


def _last_read(record: Trace, call: Call, lies: Spatial) -> tuple[Call, Spatial, float]:
    """Returns what makes the input of the last attention to these cells, and when that ends."""
    for attention in sorted(record.calls, key=lambda each: each.start, reverse=True):
        if not _is_attention(attention):
            continue
        for read in attention.inputs:
            seen = record.look(read, [lies.grid], STRIDE)
            maker = _maker(record, read, attention.start)
            if maker and seen and seen.layout == "tokens" and seen.grid == lies.grid:
                return maker, seen, attention.start
    earlier = [
        (each, seen)
        for each, seen in record.maps(STRIDE)
        if _is_norm(each.module)
        and seen.layout == "tokens"
        and seen.grid == lies.grid
        and each.end < call.start
    ]
    return (*earlier[-1], earlier[-1][0].end + 0.5) if earlier else (call, lies, math.inf)


def _maker(record: Trace, tensor: Tensor, before: int) -> Call | None:
    """Returns the call that gave a tensor, the outermost of several."""
    made = [
        call
        for call in record.calls
        if call.output is tensor and call.end < before and not _is_passive(call.module)
    ]
    return made[-1] if made else None


def _reached_layers(record: Trace) -> set[str]:
    """Returns the names of the layers on whose output the scores depend."""
    linked = trace(record.module, record.size, record.channels, graph=True)
    nodes = _nodes(linked.scores.values.grad_fn)
    return {
        call.name
        for call in linked.calls
        if isinstance(call.output, Tensor) and call.output.grad_fn in nodes
    }


def _nodes(start: Any, prefix: int = 0) -> set[Any]:
    """Returns the nodes of a graph, without what is reached through the first tokens alone."""
    found: set[Any] = set()
    waiting = [start]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in found:
            found.add(node)
            if not _takes_first_tokens(node, prefix):
                waiting += [each for each, _ in node.next_functions]
    return found


def _takes_first_tokens(node: Any, prefix: int) -> bool:
    """Tells whether a node is ``tokens[:, 0]`` or ``tokens[:, :prefix]``."""
    kind = node.name()
    if kind == "SelectBackward0":
        return bool(node._saved_dim == 1 and node._saved_index < prefix)
    if kind == "SliceBackward0":
        return bool(node._saved_dim == 1 and node._saved_end <= prefix)
    return False


def _key(call: Call) -> tuple[str, int]:
    return call.name, call.turn


def _qualified_name(module: nn.Module) -> str:
    return f"{type(module).__module__}.{type(module).__name__}"


def _is_attention(call: Call) -> bool:
    own = call.name.rpartition(".")[2].casefold()
    return (
        ("att" in own or "att" in type(call.module).__name__.casefold())
        and not isinstance(call.module, nn.Linear | nn.Conv2d)
        and not _is_norm(call.module)
        and not _is_passive(call.module)
    )


def _is_norm(module: nn.Module) -> bool:
    return "norm" in type(module).__name__.casefold()


def _is_passive(module: nn.Module) -> bool:
    return isinstance(module, PASSIVE) or type(module).__name__ in PASSIVE_NAMES


def _is_dense_head(call: Call, lies: Spatial, classes: int) -> bool:
    own = call.name.rpartition(".")[2].casefold()
    return (
        isinstance(call.module, nn.Linear | nn.Conv2d)
        and lies.channels == classes
        and any(word in own for word in HEAD_NAMES)
    )

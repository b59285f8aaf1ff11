"""Find the target layer: the features that enter the head, by one rule for all architectures.

The trace of a forward pass shows which modules return maps of the image. The target layer is *the
last map before pooling*; if the head reads only a class token, it is the last map that the class
token reads. No table of names is used.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from effcam.errors import LayerError, did_you_mean
from effcam.models.tracing.closed_parts import check_closed_parts, describe_closed
from effcam.models.tracing.feature_maps import FeatureMap, distinct_maps, feature_maps
from effcam.models.tracing.graph import Key, ancestors, is_cut, is_cut_in_part, last_maps
from effcam.models.tracing.logits import describe
from effcam.models.tracing.map_layout import MapShape, map_shape
from effcam.models.tracing.module_kinds import is_attention, is_known, is_passive
from effcam.models.tracing.token_flow import (
    last_read,
    reached_layers,
    reads_class_token,
    side_calls,
    without_answers,
)
from effcam.models.tracing.trace import BATCH, STRIDE, LayerCall, Trace

if TYPE_CHECKING:
    from torch import Tensor, nn

SHOWN = 3
MOST_JOINED = 16
"""The most maps that are looked at together because a function joins them."""
# Blocks with several parallel maps: the head reads all of them.
SIDE_BY_SIDE = {
    "timm.models.crossvit.MultiScaleBlock": ("blocks.0", "blocks.1"),
    "timm.models.coat.ParallelBlock": ("norm12", "norm13", "norm14"),
    "timm.models.vision_transformer.ParallelThingsBlock": ("attns.0.norm", "attns.1.norm"),
}

ENTERING = "features entering the head"
LAST_READ = "features that the class token reads last"
BRANCHES = "features that the class token reads last, side by side"
JOINED = "features entering the head, side by side"
PASSED = "the last features that all evidence passes through"
FOLLOWS = "the last features whose cells follow the image"
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


def find_target_layers(
    record: Trace, without: Collection[tuple[str, int]] = ()
) -> tuple[TargetLayer, ...]:
    """Return the layer whose output is the last map that the head reads, or several parallel ones.

    Args:
        record: The trace.
        without: The names and turns of calls that return no map of the image.

    Raises:
        LayerError: If no layer gives a map.
        ModelError: If the module's output is not one row of class scores per image.
    """
    layers = _choose(record, without).layers
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


def check_target_layer(record: Trace, name: str, turn: int | None = None) -> TargetLayer:
    """Return the layer of that name, if its output is a map that the head reads.

    Args:
        record: The trace.
        name: The layer's dotted name.
        turn: Which of its calls, from 0; ``None`` is the last one that returns a map.

    Raises:
        LayerError: If there is no such layer, it is not used, its output is not a map, or the
            head does not read the cells of that map.
    """
    calls = {call.name: call for call in record.calls}
    if name not in calls:
        hint = describe_closed(record, name) or did_you_mean(name, calls)
        raise LayerError(f"the model uses no layer called {name!r}.{hint} {_nearest(record)}")
    maps = {
        call.name: (call, shape)
        for call, shape in record.maps(stride=1)
        if call.name != name or turn in (None, call.turn)
    }
    if name not in maps:
        raise LayerError(
            f"layer {name!r} gives no map of the image, it returns "
            f"{describe(calls[name].output)}. {_nearest(record, calls[name].start)}"
        )
    call, shape = maps[name]
    end = _end_of_reading(record, call, shape)
    if call.end >= end:
        raise LayerError(
            f"from layer {name!r} on, only the class token goes to the head, so its "
            f"{math.prod(shape.grid)} cells have no gradient. {_nearest(record, end)}"
        )
    return _target(call, shape, CHOSEN)


def _end_of_reading(record: Trace, call: LayerCall, shape: MapShape) -> float:
    """Return the time after which the head reads no cells of such a map."""
    if shape.layout != "tokens" or not reads_class_token(record, call, shape):
        return math.inf
    return last_read(record, call, shape)[1]


def all_passes_through(record: Trace, layers: Collection[TargetLayer]) -> bool:
    """Return whether the graph shows that the scores depend on the image through layers only."""
    linked = record.linked()
    known = _keys(linked, layers)
    scores = linked.scores
    return (
        len(known) == len(layers)
        and known <= ancestors(scores)
        and is_cut(scores, known)
        # Evidence in prefix tokens is in no cell.
        and not any(layer.prefix for layer in layers)
    )


def loses_gradients(record: Trace, layers: Collection[TargetLayer]) -> bool:
    """Return whether gradients of the scores get to layers, but not by every way that leads there.

    The rest is cut off by ``detach()``, ``.data`` or ``torch.no_grad()`` in the module's code.
    """
    linked = record.linked()
    keys = _keys(linked, layers)
    # Where the layer itself runs in a block without gradients, effcam switches them on there.
    opened = {linked.joints.get(key, 0) for key in keys} - {0}
    joints = {key for key, block in linked.joints.items() if block not in opened}
    return is_cut_in_part(linked.scores, keys, joints)


def _keys(linked: Trace, layers: Collection[TargetLayer]) -> set[Key]:
    """Return the places in the graph of the layers' outputs."""
    chosen = {(layer.name, layer.turn) for layer in layers}
    keys = {call.key for call in linked.calls if (call.name, call.turn) in chosen}
    return {key for key in keys if key is not None}


def usable_layers(record: Trace) -> tuple[TargetLayer, ...]:
    """Return the layers that return a map which the head reads, in order of execution.

    Layers inside attention and inside pooling are left out.
    """
    choice, reached = _choose(record), reached_layers(record)
    chosen = {layer.name for layer in choice.layers}
    attention = [call for call in record.calls if is_attention(call.name, call.module)]
    outside = {
        id(call) for call, _ in feature_maps(record, stride=1) if not is_passive(call.module)
    }
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


def _choose(record: Trace, without: Collection[tuple[str, int]] = ()) -> _Choice:
    groups = _reached_maps(record, without)
    several = _side_by_side(record)
    if several:
        return _Choice(tuple(_target(*each, BRANCHES) for each in several), _latest(several))
    call, shape = groups[-1]
    if not reads_class_token(record, call, shape):
        found, reason = _entering(record, groups)
        for each in found:
            _check_reading(record, each[0])
        return _Choice(tuple(_target(*each, reason) for each in found))
    _check_reading(record, call)
    read, last = last_read(record, call, shape)
    reason = LAST_READ if len(read) == 1 else BRANCHES
    return _Choice(tuple(_target(*each, reason) for each in read), last)


def _reached_maps(record: Trace, without: Collection[tuple[str, int]]) -> list[FeatureMap]:
    """Return the feature maps that the scores depend on, in order.

    Raises:
        LayerError: If there is none.
    """
    groups = [
        each
        for each in distinct_maps(record, STRIDE) or distinct_maps(record, 1)
        if (each[0].name, each[0].turn) not in without
    ]
    groups = without_answers(record.linked(), groups)
    if not groups:
        raise LayerError(
            f"no layer of the model gives a map of a {record.size[0]} x {record.size[1]} px image "
            f"before its head; a class activation map needs one.{describe_closed(record)}"
        )
    # The last map may be in an auxiliary branch. If no layer is reached, keep all.
    reached = reached_layers(record)
    return [each for each in groups if each[0].name in reached] or groups


def _entering(record: Trace, groups: list[FeatureMap]) -> tuple[list[FeatureMap], str]:
    """Return the maps that enter the head, and the reason for them.

    A map that all evidence passes through is alone. Of maps that are joined by a function, all are
    taken, if they are few; otherwise the last map that all evidence passes through.
    """
    linked = record.linked()
    keys = {linked.find(call).key: (call, shape) for call, shape in groups}
    scores = linked.scores
    known = [key for key in keys if key is not None]
    met = last_maps(scores, known)
    if len(met) == 1 or (1 < len(met) <= MOST_JOINED and is_cut(scores, met)):
        found = [keys[key] for key in known if key in met]
        return found, ENTERING if len(found) == 1 else JOINED
    single = next((key for key in reversed(known) if is_cut(scores, {key})), None)
    if met and single is not None:
        return [keys[single]], PASSED
    return [groups[-1]], ENTERING


def _check_reading(record: Trace, call: LayerCall) -> None:
    """Refuse a layer whose map would mislead; networks of known classes are verified.

    Raises:
        LayerError: If later sequences have the batch second, or if the scores depend on several
            parallel calls of it.
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


def _nearest(record: Trace, clock: float = math.inf) -> str:
    """Return the layers before a time that can be chosen, for a message."""
    found = {
        call.name: f"{call.name} ({shape.channels} channels, {shape.grid[0]} x {shape.grid[1]})"
        for call, shape in feature_maps(record, stride=1)
        if call.end < min(clock, _end_of_reading(record, call, shape))
        and not is_passive(call.module)
    }
    if not found:
        return "No layer before it gives a map."
    return f"The nearest layers that give maps are {', '.join(list(found.values())[-SHOWN:])}."


def _side_by_side(record: Trace) -> list[FeatureMap]:
    """Return the parallel maps of the last block that has several, empty if there is none."""
    blocks = [call for call in record.calls if _qualified_name(call.module) in SIDE_BY_SIDE]
    if not blocks:
        return []
    parts = SIDE_BY_SIDE[_qualified_name(blocks[-1].module)]
    names = [f"{blocks[-1].name}.{part}" for part in parts]
    return [(call, shape) for call, shape in record.maps(STRIDE) if call.name in names]


def _latest(maps: list[FeatureMap]) -> float:
    return max(call.end for call, _ in maps) + 0.5


def _qualified_name(module: nn.Module) -> str:
    return f"{type(module).__module__}.{type(module).__name__}"

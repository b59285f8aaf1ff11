"""Find what the head reads of a map: its cells, or only a class token."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from effcam.models.tracing.map_layout import MapShape
from effcam.models.tracing.module_kinds import is_attention, is_norm, is_passive
from effcam.models.tracing.trace import STRIDE, LayerCall, Trace

# timm's names of pooling over the cells; all others read class tokens.
POOLS_OF_CELLS = ("avg", "avgmax", "max", "map", "fast", "")
# The nodes of a graph that select some of the tokens.
TAKING = (
    "SelectBackward0",
    "SliceBackward0",
    "IndexSelectBackward0",
    "SplitBackward0",
    "SplitWithSizesBackward0",
    "UnbindBackward0",
)


def reads_class_token(record: Trace, call: LayerCall, shape: MapShape) -> bool:
    """Return whether the head reads only the prefix tokens of a sequence of tokens."""
    if shape.layout != "tokens" or shape.prefix == 0:
        return False
    parts = call.name.split(".")
    owners = [record.module.get_submodule(".".join(parts[:end])) for end in range(len(parts))]
    pools = [pool for each in owners if isinstance(pool := getattr(each, "global_pool", None), str)]
    if pools:
        return pools[-1] not in POOLS_OF_CELLS
    linked = record.linked()
    output = linked.find(call).output
    start = linked.logits.values.grad_fn
    # Where the graph does not show it, the first gradient does.
    return isinstance(output, Tensor) and output.grad_fn not in _nodes(start, shape.prefix)


def last_read(record: Trace, call: LayerCall, shape: MapShape) -> tuple[LayerCall, MapShape, float]:
    """Return the call that computes the last attention's input of these cells, and its time."""
    for attention in sorted(record.calls, key=lambda each: each.start, reverse=True):
        if not is_attention(attention.name, attention.module):
            continue
        for read in attention.inputs:
            seen = record.map_shape(read, [shape.grid], STRIDE)
            maker = _maker(record, read, attention.start)
            if maker and seen and seen.layout == "tokens" and seen.grid == shape.grid:
                return maker, seen, attention.start
    earlier = [
        (each, seen)
        for each, seen in record.maps(STRIDE)
        if is_norm(each.module)
        and seen.layout == "tokens"
        and seen.grid == shape.grid
        and each.end < call.start
    ]
    return (*earlier[-1], earlier[-1][0].end + 0.5) if earlier else (call, shape, math.inf)


def _maker(record: Trace, tensor: Tensor, before: int) -> LayerCall | None:
    """Return the call that returned a tensor, the outermost of several."""
    made = [
        call
        for call in record.calls
        if call.output is tensor and call.end < before and not is_passive(call.module)
    ]
    return made[-1] if made else None


def reached_layers(record: Trace) -> set[str]:
    """Return the names of the layers that the scores depend on."""
    linked = record.linked()
    nodes = _nodes(linked.logits.values.grad_fn)
    return {
        call.name
        for call in linked.calls
        if isinstance(call.output, Tensor) and call.output.grad_fn in nodes
    }


def _nodes(start: Any, prefix: int = 0) -> set[Any]:
    """Return the nodes of a graph, without those reached only through the prefix tokens."""
    found: set[Any] = set()
    waiting = [(start, 0)]
    while waiting:
        node, part = waiting.pop()
        if node is None or (prefix and _takes_first_tokens(node, part, prefix)):
            continue
        if node not in found:
            found.add(node)
            waiting += node.next_functions
    return found


def _takes_first_tokens(node: Any, part: int, prefix: int) -> bool:
    """Return whether a node selects prefix tokens, as ``tokens[:, 0]`` or ``[:, :prefix]``."""
    kind = node.name()
    if kind not in TAKING or node._saved_dim != 1:
        # x[:, [0]] keeps no dimension; a trace without numbers does not show its tokens.
        return bool(kind == "IndexBackward0")
    if kind == "SelectBackward0":
        return bool(node._saved_index < prefix)
    if kind == "SliceBackward0":
        return bool(node._saved_end <= prefix)
    return kind == "IndexSelectBackward0" or part < prefix


def cells_come_last(call: LayerCall) -> bool:
    """Return whether all tokens that do not come from the image are before the cells.

    Args:
        call: A call that returned a sequence of tokens, in a trace with a graph.
    """
    output = call.output
    joined = [
        node
        for node in _nodes(output.grad_fn if isinstance(output, Tensor) else None)
        if node.name() == "CatBackward0" and node._saved_dim == 1
    ]
    for node in joined:
        # Tokens that do not come from the image have no node.
        of_image = [operand is not None for operand, _ in node.next_functions]
        if of_image != sorted(of_image):
            return False
    return True


def side_calls(linked: Trace, call: LayerCall) -> int:
    """Return the number of other calls of a module that the scores depend on in parallel."""
    reached = _nodes(linked.logits.values.grad_fn)
    own = linked.find(call)
    before = _nodes(_node(own))
    others = [each for each in linked.calls if each.name == call.name and each is not own]
    return sum(
        _node(each) in reached
        and _node(each) not in before
        and _node(own) not in _nodes(_node(each))
        for each in others
    )


def _node(call: LayerCall) -> Any:
    return call.output.grad_fn if isinstance(call.output, Tensor) else None

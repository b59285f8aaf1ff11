"""What the head reads of a map: its cells, or no more than a class token."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from effcam.kinds import is_attention, is_norm, is_passive
from effcam.spatial import Spatial
from effcam.trace import STRIDE, Call, Trace, trace

# timm's names of pooling that reads the cells; whatever else it is reads class tokens.
POOLS_OF_CELLS = ("avg", "avgmax", "max", "map", "fast", "")


def reads_class_token(record: Trace, call: Call, lies: Spatial) -> bool:
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


def last_read(record: Trace, call: Call, lies: Spatial) -> tuple[Call, Spatial, float]:
    """Returns what makes the input of the last attention to these cells, and when that ends."""
    for attention in sorted(record.calls, key=lambda each: each.start, reverse=True):
        if not is_attention(attention.name, attention.module):
            continue
        for read in attention.inputs:
            seen = record.look(read, [lies.grid], STRIDE)
            maker = _maker(record, read, attention.start)
            if maker and seen and seen.layout == "tokens" and seen.grid == lies.grid:
                return maker, seen, attention.start
    earlier = [
        (each, seen)
        for each, seen in record.maps(STRIDE)
        if is_norm(each.module)
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
        if call.output is tensor and call.end < before and not is_passive(call.module)
    ]
    return made[-1] if made else None


def reached_layers(record: Trace) -> set[str]:
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

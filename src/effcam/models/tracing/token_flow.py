"""What the head reads of a map: its cells, or no more than a class token."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from effcam.errors import ModelError
from effcam.models.tracing.map_layout import Spatial
from effcam.models.tracing.module_kinds import is_attention, is_norm, is_passive
from effcam.models.tracing.trace import STRIDE, Call, Trace

# timm's names of pooling that reads the cells; whatever else it is reads class tokens.
POOLS_OF_CELLS = ("avg", "avgmax", "max", "map", "fast", "")
# The nodes of a graph that make probabilities, and those that only lay tensors out anew.
PROBABILITIES = {"SigmoidBackward0": "sigmoid", "SoftmaxBackward0": "softmax"}
RESHAPING = {
    f"{name}Backward{version}"
    for name in (
        "Cat",
        "Neg",
        "View",
        "UnsafeView",
        "ReshapeAlias",
        "Squeeze",
        "Unsqueeze",
        "Select",
    )
    for version in (0, 1)
}
# The nodes of a graph that take some of the tokens.
TAKING = (
    "SelectBackward0",
    "SliceBackward0",
    "IndexSelectBackward0",
    "SplitBackward0",
    "SplitWithSizesBackward0",
    "UnbindBackward0",
)


def reads_class_token(record: Trace, call: Call, lies: Spatial) -> bool:
    """Return whether of a row of tokens the head reads those that stand for no cell, alone."""
    if lies.layout != "tokens" or lies.prefix == 0:
        return False
    parts = call.name.split(".")
    owners = [record.module.get_submodule(".".join(parts[:end])) for end in range(len(parts))]
    pools = [pool for each in owners if isinstance(pool := getattr(each, "global_pool", None), str)]
    if pools:
        return pools[-1] not in POOLS_OF_CELLS
    linked = record.linked()
    output = linked.find(call).output
    start = linked.scores.values.grad_fn
    # What the graph does not tell is found out when the first gradient is there.
    return isinstance(output, Tensor) and output.grad_fn not in _nodes(start, lies.prefix)


def last_read(record: Trace, call: Call, lies: Spatial) -> tuple[Call, Spatial, float]:
    """Return what makes the input of the last attention to these cells, and when that ends."""
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
    """Return the call that gave a tensor, the outermost of several."""
    made = [
        call
        for call in record.calls
        if call.output is tensor and call.end < before and not is_passive(call.module)
    ]
    return made[-1] if made else None


def reached_layers(record: Trace) -> set[str]:
    """Return the names of the layers on whose output the scores depend."""
    linked = record.linked()
    nodes = _nodes(linked.scores.values.grad_fn)
    return {
        call.name
        for call in linked.calls
        if isinstance(call.output, Tensor) and call.output.grad_fn in nodes
    }


def _nodes(start: Any, prefix: int = 0) -> set[Any]:
    """Return the nodes of a graph, without what is reached through the first tokens alone."""
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
    """Return whether a node takes the first tokens, as ``tokens[:, 0]`` or ``[:, :prefix]``."""
    kind = node.name()
    if kind not in TAKING or node._saved_dim != 1:
        # x[:, [0]] keeps no dimension; which tokens it takes, no trace without numbers can tell.
        return bool(kind == "IndexBackward0")
    if kind == "SelectBackward0":
        return bool(node._saved_index < prefix)
    if kind == "SliceBackward0":
        return bool(node._saved_end <= prefix)
    return kind == "IndexSelectBackward0" or part < prefix


def cells_come_last(call: Call) -> bool:
    """Return whether tokens that no image made stand before the cells, where any do.

    Args:
        call: A call in a trace that keeps the graph, which returned a row of tokens.
    """
    output = call.output
    joined = [
        node
        for node in _nodes(output.grad_fn if isinstance(output, Tensor) else None)
        if node.name() == "CatBackward0" and node._saved_dim == 1
    ]
    for node in joined:
        # What does not come of the image has no node.
        of_image = [operand is not None for operand, _ in node.next_functions]
        if of_image != sorted(of_image):
            return False
    return True


def side_calls(linked: Trace, call: Call) -> int:
    """Return how many other calls of a module reach the scores, none before or after the other."""
    reached = _nodes(linked.scores.values.grad_fn)
    own = linked.find(call)
    before = _nodes(_node(own))
    others = [each for each in linked.calls if each.name == call.name and each is not own]
    return sum(
        _node(each) in reached
        and _node(each) not in before
        and _node(own) not in _nodes(_node(each))
        for each in others
    )


def _node(call: Call) -> Any:
    return call.output.grad_fn if isinstance(call.output, Tensor) else None


def check_logits(record: Trace) -> None:
    """Refuse scores that are probabilities: their gradient and their softmax mislead.

    Raises:
        ModelError: If the last thing that the module does is a sigmoid or a softmax.
    """
    node = record.linked().scores.values.grad_fn
    while node is not None and node.name() in RESHAPING:
        node = node.next_functions[-1][0]
    if node is not None and node.name() in PROBABILITIES:
        raise ModelError(
            f"the model ends in a {PROBABILITIES[node.name()]}, so that it returns probabilities; "
            "effcam explains the scores before that: give a module that returns these"
        )

"""The layers from which a network's output is computed without any later weights."""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor, nn

from effcam.models.tracing.logits import tensors
from effcam.models.tracing.module_kinds import HEAD_NAMES
from effcam.models.tracing.score_source import Place
from effcam.models.tracing.trace import BATCH, LayerCall, Trace

ACTIVATIONS = ("elu", "silu", "mish", "hardswish", "hardtanh", "softplus", "tanh")
"""Words in the names of graph nodes; relu and gelu hold elu."""
NODE = re.compile(r"Backward\d*$")


def last_layers(linked: Trace) -> list[LayerCall]:
    """Return the last calls of layers with weights on each path to the scores.

    Args:
        linked: A trace whose tensors have a graph.
    """
    weighted = [call for call in linked.calls if _has_weights(call.module)]
    by_node = {_node(call): call for call in weighted if _node(call) is not None}
    passed = _walk(linked.logits.raw.grad_fn, by_node)
    found = [by_node[node] for node in passed if node in by_node]
    # Without a graph, the last one in time.
    return found or [each for each in weighted if isinstance(each.output, Tensor)][-1:]


def last_steps(linked: Trace) -> list[str]:
    """Return the names of the functions after the last weights, from the first to the last."""
    by_node = {_node(call): call for call in last_layers(linked)}
    passed = _walk(linked.logits.raw.grad_fn, by_node)
    names = [node.name().rpartition("::")[2] for node in passed if node not in by_node]
    return list(dict.fromkeys(NODE.sub("", name) for name in reversed(names)))


def places_of_rows(linked: Trace, widths: set[int]) -> list[Place]:
    """Return the places where a row of one of these widths per image is, the latest first."""
    found: list[tuple[int, Place]] = []
    for call in linked.calls:
        if _is_row(call.output, widths):
            found.append((call.end, Place(call.name, call.turn)))
        if len(call.inputs) == 1 and _is_row(call.inputs[0], widths):
            found.append((call.start, Place(call.name, call.turn, "input")))
    return [place for _, place in sorted(found, key=lambda each: each[0], reverse=True)]


def empty_head(linked: Trace) -> str:
    """Return the name of the ``nn.Identity`` in place of a head; empty if there is none."""
    outputs = list(tensors(linked.output))
    emptied = [
        call.name
        for call in linked.calls
        if isinstance(call.module, nn.Identity)
        and any(call.output is each for each in outputs)
        and is_head(call.name)
    ]
    if not emptied or _ends_in_weights(linked):
        return ""
    return emptied[-1]


def is_head(name: str) -> bool:
    """Return whether a layer's name or its container's is one that heads have."""
    return any(word in name.casefold() for word in HEAD_NAMES)


def _ends_in_weights(linked: Trace) -> bool:
    """Return whether linear layers or convolutions come last, without an activation after them."""
    last = [call.module for call in last_layers(linked)]
    steps = " ".join(last_steps(linked)).casefold()
    return all(isinstance(each, nn.Linear | nn.Conv2d) for each in last) and not any(
        word in steps for word in ACTIVATIONS
    )


def _walk(start: Any, ends: dict[Any, LayerCall]) -> list[Any]:
    """Return the nodes of a graph as far as the first ends, in the order in which it is found."""
    found: dict[Any, None] = {}
    waiting = [start]
    while waiting:
        node = waiting.pop(0)
        if node is None or node in found:
            continue
        found[node] = None
        if node not in ends:
            waiting += [each for each, _ in node.next_functions]
    return list(found)


def _node(call: LayerCall) -> Any:
    return call.output.grad_fn if isinstance(call.output, Tensor) else None


def _has_weights(module: nn.Module) -> bool:
    return any(True for _ in module.parameters(recurse=False))


def _is_row(value: object, widths: set[int]) -> bool:
    return (
        isinstance(value, Tensor)
        and value.is_floating_point()
        and value.shape[:1] == (BATCH,)
        and value.numel() // BATCH in widths
    )

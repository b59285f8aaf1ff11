"""Walk the autograd graph of a trace: what the scores depend on, and through which tensors."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import permutations
from typing import Any, TypeAlias

from torch import Tensor

Key: TypeAlias = tuple[Any, int]
"""A tensor in a graph: the node that made it, and its index among the node's outputs."""

LEAF = "torch::autograd::AccumulateGrad"
# The nodes of a graph that multiply what depends on the image with other such tensors.
PRODUCTS = ("Mul", "Div", "Bmm", "Mm", "Mv", "Dot", "Addcmul", "ScaledDotProduct", "Pow")
# The nodes of a graph that select some of the tokens.
SELECTIONS = (
    "SelectBackward0",
    "SliceBackward0",
    "IndexSelectBackward0",
    "SplitBackward0",
    "SplitWithSizesBackward0",
    "UnbindBackward0",
)


def key_of(value: object) -> Key | None:
    """Return a tensor's place in the graph, ``None`` for what does not depend on the image."""
    if not isinstance(value, Tensor) or value.grad_fn is None:
        return None
    return value.grad_fn, value.output_nr


def ancestors(start: Key | None, stops: Collection[Key] = (), *, prefix: int = 0) -> set[Key]:
    """Return the tensors that one depends on, itself among them.

    Args:
        start: Where to begin.
        stops: Tensors that are neither included nor walked through.
        prefix: If above 0, selections of that many first tokens are left out too.
    """
    found: set[Key] = set()
    waiting = [] if start is None else [start]
    while waiting:
        key = waiting.pop()
        if key in found or key in stops or (prefix and _takes_first_tokens(*key, prefix)):
            continue
        found.add(key)
        waiting += _operands(key[0])
    return found


def readers(starts: Iterable[Key | None]) -> dict[Key, list[str]]:
    """Return the operations that read each tensor that some depend on, by name."""
    found: dict[Key, list[str]] = {}
    nodes, waiting = set(), [start[0] for start in starts if start is not None]
    while waiting:
        node = waiting.pop()
        if node in nodes:
            continue
        nodes.add(node)
        for each in _operands(node):
            found.setdefault(each, []).append(node.name())
            waiting.append(each[0])
    return found


def is_cut(start: Key | None, stops: Collection[Key]) -> bool:
    """Return whether a tensor depends on the image through these tensors only."""
    return not any(node.name() == LEAF for node, _ in ancestors(start, stops))


def is_cut_in_part(start: Key | None, maps: Collection[Key], joints: Collection[Key]) -> bool:
    """Return whether gradients get back to maps by a part of the ways that lead there.

    Args:
        start: The scores.
        maps: The maps.
        joints: The tensors through which no gradient gets.
    """
    wanted = set(maps)
    between = ancestors(start, wanted) & set(joints)
    if not any(ancestors(joint) & wanted for joint in between):
        return False
    return bool(ancestors(start, between) & wanted)


def last_maps(start: Key | None, maps: Iterable[Key]) -> set[Key]:
    """Return the maps that a walk back from the scores meets first.

    Left out are maps that only weight others: those that are multiplied with others, and depend on
    the image through them only, as the weights of an attention pooling.

    Args:
        start: The scores.
        maps: All maps, in order of execution.
    """
    ordered = list(dict.fromkeys(maps))
    stops = set(ordered)
    added, multiplied, products = _meet(start, stops)
    met = added | multiplied
    factors = [[_met(each, stops) for each in _operands(node)] for node in products]
    for each in reversed(ordered):
        if each in multiplied - added and len(met) > 1 and _is_weight(each, factors):
            met.discard(each)
    return met


def _is_weight(each: Key, factors: Iterable[Sequence[set[Key]]]) -> bool:
    """Return whether a map is multiplied with others, and depends on the image by them only.

    Args:
        each: The map.
        factors: For each product, the maps of each of its factors.
    """
    return any(
        each in own and other and each not in other and is_cut(each, other)
        for product in factors
        for own, other in permutations(product, 2)
    )


def _met(start: Key, maps: Collection[Key]) -> set[Key]:
    added, multiplied, _ = _meet(start, maps)
    return added | multiplied


def _meet(start: Key | None, maps: Collection[Key]) -> tuple[set[Key], set[Key], set[Any]]:
    """Return the maps that a walk meets first, by sums only, and those by products; the products.

    A product is the node of the graph.
    """
    met: tuple[set[Key], set[Key]] = (set(), set())
    products: set[Any] = set()
    found: set[tuple[Key, bool]] = set()
    waiting = [] if start is None else [(start, False)]
    while waiting:
        key, product = waiting.pop()
        if (key, product) in found:
            continue
        found.add((key, product))
        if key in maps:
            met[product].add(key)
            continue
        operands = _operands(key[0])
        if len(operands) > 1 and key[0].name().startswith(PRODUCTS):
            product = True
            products.add(key[0])
        waiting += [(each, product) for each in operands]
    return *met, products


def _operands(node: Any) -> list[Key]:
    return [each for each in node.next_functions if each[0] is not None]


def _takes_first_tokens(node: Any, part: int, prefix: int) -> bool:
    """Return whether a node selects prefix tokens, as ``tokens[:, 0]`` or ``[:, :prefix]``."""
    kind = node.name()
    if kind not in SELECTIONS or node._saved_dim != 1:
        # x[:, [0]] keeps no dimension; a trace without numbers does not show its tokens.
        return bool(kind == "IndexBackward0")
    if kind == "SelectBackward0":
        return bool(node._saved_index < prefix)
    if kind == "SliceBackward0":
        return bool(node._saved_end <= prefix)
    return kind == "IndexSelectBackward0" or part < prefix

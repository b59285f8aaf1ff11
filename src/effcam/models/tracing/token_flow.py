"""Find what the head reads of a map: its cells, or only a class token."""

from __future__ import annotations

import math
from collections.abc import Iterator, Set
from typing import TYPE_CHECKING

from torch import nn

from effcam.models.tracing.feature_maps import FeatureMap
from effcam.models.tracing.graph import Key, ancestors, is_cut, key_of, last_maps
from effcam.models.tracing.map_layout import Grid, MapShape
from effcam.models.tracing.module_kinds import is_attention, is_norm, is_passive
from effcam.models.tracing.trace import STRIDE, LayerCall, Trace

if TYPE_CHECKING:
    from torch import Tensor

# timm's names of pooling over the cells; all others read class tokens.
POOLS_OF_CELLS = ("avg", "avgmax", "max", "map", "fast", "")


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
    key = linked.find(call).key
    if any(key in ancestors(pool) for pool in query_pools(linked)):
        return False  # what is selected later are answers to queries
    # Where the graph does not show it, the first gradient does.
    return not reads_cells(record, call, shape)


def query_pools(linked: Trace) -> set[Key]:
    """Return the outputs of attention whose queries do not depend on the image.

    Such attention pools: it returns one row for each query, and no cells, even where there are as
    many queries as cells, as in CoCa.

    Args:
        linked: A trace whose tensors have a graph.
    """
    return {
        call.key
        for call in linked.calls
        if call.key is not None
        and isinstance(call.module, nn.MultiheadAttention)
        and len(call.inputs) > 1
        and key_of(call.inputs[0]) is None
        and key_of(call.inputs[1]) is not None
    }


def without_answers(linked: Trace, maps: list[FeatureMap]) -> list[FeatureMap]:
    """Return the maps without those that hold answers to queries, and no cells.

    Args:
        linked: A trace whose tensors have a graph.
        maps: Maps of a trace of the same pass.
    """
    pools = query_pools(linked)
    return [
        each
        for each in maps
        if each[1].layout != "tokens" or not _is_answer(linked.find(each[0]).key, pools)
    ]


def _is_answer(key: Key | None, pools: Set[Key]) -> bool:
    return not pools.isdisjoint(ancestors(key)) and is_cut(key, pools)


def reads_cells(record: Trace, call: LayerCall, shape: MapShape) -> bool:
    """Return whether the scores depend on the cells of a map, as far as the graph shows it."""
    linked = record.linked()
    key = linked.find(call).key
    if key is None:
        return True
    return key in ancestors(linked.scores, prefix=shape.prefix)


def last_read(record: Trace, call: LayerCall, shape: MapShape) -> tuple[list[FeatureMap], float]:
    """Return the calls that compute what attention reads last of the cells, and its time.

    They belong to the last attention that reads cells of this grid. Sequences of other grids are
    included if none of them comes from another, as the two branches of CrossViT.
    """
    linked = record.linked()
    # Grids of tokens come first, so that they are taken last: they may be guesses.
    maps = sorted(
        (seen for _, seen in linked.maps(STRIDE)), key=lambda each: each.layout != "tokens"
    )
    grids = [*(each.grid for each in maps), shape.grid]
    readings: dict[Grid, tuple[list[FeatureMap], float]] = {}
    for attention in sorted(linked.calls, key=lambda each: each.start, reverse=True):
        if is_attention(attention.name, attention.module):
            for read, seen in _token_maps(linked, attention, grids):
                makers, end = _makers(linked, attention, read, seen)
                if makers:
                    readings.setdefault(seen.grid, (makers, end))
    if shape.grid in readings:
        found, end = readings.pop(shape.grid)
        for makers, _ in readings.values():
            found = [*found, *makers] if _is_beside(makers, found) else found
        return sorted(found, key=lambda each: each[0].end), end
    earlier = [
        (each, seen)
        for each, seen in linked.maps(STRIDE)
        if is_norm(each.module)
        and seen.layout == "tokens"
        and seen.grid == shape.grid
        and each.end < call.start
    ]
    return ([earlier[-1]], earlier[-1][0].end + 0.5) if earlier else ([(call, shape)], math.inf)


def _token_maps(
    linked: Trace, attention: LayerCall, grids: list[Grid]
) -> Iterator[tuple[Tensor, MapShape]]:
    """Yield the sequences of cells that attention takes."""
    for read in attention.inputs:
        seen = linked.map_shape(read, grids, STRIDE)
        if seen and seen.layout == "tokens":
            yield read, seen


def _makers(
    linked: Trace, attention: LayerCall, read: Tensor, seen: MapShape
) -> tuple[list[FeatureMap], float]:
    """Return the calls that compute what attention reads of a sequence, and when it has read it.

    If attention normalises its own input, its norm computes it; attentions side by side have a
    norm each. Otherwise it is the call that returned the sequence, or a longer one of which it is
    a part.
    """
    if norms := _inner_norms(linked, read):
        return [(norm, seen) for norm in norms], attention.end
    made = [
        call
        for call in linked.calls
        if call.map is read and call.end < attention.start and not is_passive(call.module)
    ]
    if made:
        return [(made[-1], seen)], attention.start
    attentions = [each for each in linked.calls if is_attention(each.name, each.module)]
    maps = {
        call.key: (call, shape)
        for call, shape in linked.maps(STRIDE)
        if call.end < attention.start
        and call.key is not None
        and not is_passive(call.module)
        and not any(each.encloses(call) for each in attentions)
    }
    met = last_maps(key_of(read), maps)
    return [maps[key] for key in met if len(met) == 1], attention.start


def _inner_norms(linked: Trace, read: Tensor) -> list[LayerCall]:
    """Return the norms inside attention that read a tensor, which attention takes."""
    readers = [
        each
        for each in linked.calls
        if is_attention(each.name, each.module) and any(taken is read for taken in each.inputs)
    ]
    return [
        each
        for each in linked.calls
        if is_norm(each.module)
        and any(reader.encloses(each) for reader in readers)
        and any(taken is read for taken in each.inputs)
    ]


def _is_beside(makers: list[FeatureMap], found: list[FeatureMap]) -> bool:
    """Return whether no map of these and no map of those depends on the other."""
    pairs = [(call, other) for call, _ in makers for other, _ in found]
    return not any(
        first.key in ancestors(second.key)
        for call, other in pairs
        for first, second in ((call, other), (other, call))
    )


def reached_layers(record: Trace) -> set[str]:
    """Return the names of the layers that the scores depend on."""
    linked = record.linked()
    reached = ancestors(linked.scores)
    return {call.name for call in linked.calls if call.key in reached}


def side_calls(linked: Trace, call: LayerCall) -> int:
    """Return the number of other calls of a module that the scores depend on in parallel.

    For a module without parameters, as an activation, which may stand in several places, the
    calls of the modules with parameters before it count.
    """
    own = linked.find(call)
    reached = ancestors(linked.scores)
    before = ancestors(own.key)
    if any(True for _ in call.module.parameters()):
        return _parallel(linked, own, reached)
    earlier = [
        each
        for each in linked.calls
        if each.key in before and any(True for _ in each.module.parameters(recurse=False))
    ]
    return max((_parallel(linked, each, reached) for each in earlier[-1:]), default=0)


def _parallel(linked: Trace, own: LayerCall, reached: set[Key]) -> int:
    before = ancestors(own.key)
    others = [each for each in linked.calls if each.name == own.name and each is not own]
    return sum(
        each.key in reached and each.key not in before and own.key not in ancestors(each.key)
        for each in others
    )

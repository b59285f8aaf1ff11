"""Find the attention layers of a network, and where their tokens lie over the image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from effcam.cam.attention.module_calls import Calls, recording_calls
from effcam.cam.attention.recording import Attention, visiting_attention
from effcam.cam.attention.stream import Stream, find_stream
from effcam.cam.attention.token_map import (
    Feeding,
    Reader,
    Source,
    arrange,
    as_source,
    computed_from,
    find_coarse,
    find_feeding,
    find_pooled,
    repeat_counts,
    split,
)
from effcam.errors import LayerError
from effcam.models.tracing.map_layout import Grid
from effcam.models.tracing.probe import probe_standardised

if TYPE_CHECKING:
    from effcam.cam.head_cam import HeadCAM

BATCH = 2
TRIED, ANCHORS = 10, 5
"""How many of the latest tensors, and maps, before an attention are looked at."""
CHANNELS = "each of its keys takes in the whole image, as channels do, and no cell"
OVERLAP = "its keys overlap, or lie in no order of the image"
NO_MAP = "its keys come from no map of the image"


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """Where the tokens of an attention lie over the image.

    Attributes:
        grid: Rows and columns of positions.
        windows: The dimensions of the (B, ..., keys, d) values that stand for parts of the image;
            the others are heads.
        keys: (positions,) int64, window * keys + index of the key of each position.
        counts: (positions,) float32, how many positions have the same key.
        prefix: (k,) int64, the keys that stand for no position.
        queries: (positions,) int64 as ``keys``, the query of each position, -1 for none; ``None``
            if they are not known.
        prefix_queries: (k,) int64, the query of each of these keys, -1 for none.
        learned: Whether the queries do not depend on the image.
        exact: Whether each position feeds one key only; else keys of overlapping cells are taken
            for even ones.
    """

    grid: Grid
    windows: tuple[int, ...]
    keys: Tensor
    counts: Tensor
    prefix: Tensor
    queries: Tensor | None
    prefix_queries: Tensor
    learned: bool
    exact: bool

    @property
    def pools(self) -> bool:
        """Whether no query stands for a position."""
        return self.learned or (self.queries is not None and bool((self.queries < 0).all()))

    def to_map(self, heat: Tensor) -> Tensor:
        """Return (B, h, w) maps of (B, windows, keys) values, each spread over its positions."""
        found = heat.flatten(1)[:, self.keys.to(heat.device)] / self.counts.to(heat.device)
        return found.reshape(-1, *self.grid)


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One attention of the pass of a network.

    Attributes:
        name: The innermost module in which it runs.
        value: The shape of its values, without that of the batch.
        output: The shape of its output, without that of the batch.
        tokens: Where its tokens lie; ``None`` if its keys are no parts of the image.
        problem: Why they are not, in words.
    """

    name: str
    value: tuple[int, ...]
    output: tuple[int, ...]
    tokens: Tokens | None
    problem: str = ""

    @property
    def placed(self) -> Tokens:
        """Where its tokens lie.

        Raises:
            LayerError: If its keys are no parts of the image.
        """
        if self.tokens is None:
            raise LayerError(
                f"attention layer {self.name!r} has no tokens of the image: {self.problem}. Use a "
                "method that reads the target layer, as gradcam"
            )
        return self.tokens


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """The attention of a network at one input size.

    Attributes:
        layers: Its attentions in order.
        read: (windows * queries,) bool: the queries of the last one whose output the scores
            depend on; empty without attention.
        stream: The blocks whose outputs the network's end can take; ``None`` if there are none.
    """

    layers: tuple[Layer, ...]
    read: Tensor
    stream: Stream | None = None


def find_layout(cam: HeadCAM, images: Tensor) -> Layout:
    """Return the attention of a network, found in a pass of two pictures.

    Args:
        cam: Runs the network.
        images: Inputs of the size in question.
    """
    size = int(images.shape[2]), int(images.shape[3])
    pictures = probe_standardised(size, images.shape[1], BATCH)
    pictures = pictures.to(images.device, images.dtype).requires_grad_()
    found: list[tuple[Attention, int, str]] = []

    with torch.enable_grad(), recording_calls(cam.model) as calls:

        def visit(attention: Attention) -> Tensor:
            running = calls.running
            for each in running:
                each.attention.append(attention)
            name = running[-1].place[0] if running else ""
            found.append((attention, next(calls.clock), name))
            attention.output = _unmixed(attention)
            return attention.output

        with visiting_attention(visit):
            scores = cam.run(pictures.clone()).values
        attentions = [each for each, _, _ in found]
        sources = _Sources(calls, size, attentions)
        layers = _layers(found, sources)
        read = _read(scores, attentions[-1], layers[-1]) if found else torch.zeros(0)
    return Layout(tuple(layers), read, find_stream(calls, layers, attentions))


def _unmixed(attention: Attention) -> Tensor:
    """Return the output of attention with gradients to each query's own token alone.

    Without what attention mixes, a position feeds the tokens that it becomes.
    """
    output, query = attention.output.detach(), attention.query
    if _are_alike(attention):
        link = attention.value.sum(-1, keepdim=True)
    elif query is not None and query.shape[:-1] == output.shape[:-1]:
        link = query.sum(-1, keepdim=True)
    else:
        return output.requires_grad_()
    if not link.requires_grad:
        return output.requires_grad_()
    return output + (link - link.detach()).to(output.dtype)


def _read(scores: Tensor, attention: Attention, layer: Layer) -> Tensor:
    """Return the queries of the last attention that the scores depend on, of all its windows."""
    generator = torch.Generator().manual_seed(0)
    factors = torch.randn(scores.shape, generator=generator).to(scores)
    output = attention.output
    if layer.tokens is None or not scores.requires_grad:
        return torch.zeros(0, dtype=torch.bool)
    (found,) = torch.autograd.grad(
        scores, output, factors, retain_graph=True, materialize_grads=True
    )
    sizes = arrange(found, BATCH, layer.tokens.windows)[0].abs().sum((1, 3))
    return (sizes > 0).flatten()


class _Sources:
    """The tensors of a pass that may hold positions, by the time when they were seen."""

    def __init__(self, calls: Calls, size: Grid, attentions: Sequence[Attention]) -> None:
        seen: list[tuple[int, Source]] = []
        for call in calls.done:
            for time, tensor in ((call.start, call.taken), (call.end, call.made)):
                source = None if tensor is None else as_source(tensor, BATCH, size)
                if source is not None and not _is_matrix(source, attentions):
                    seen.append((time, source))
        self._seen = sorted(seen, key=lambda each: -each[0])
        self._places: dict[int, tuple[Tensor, Grid] | None] = {}

    def before(self, time: int) -> Iterator[Source]:
        """Yield them, the latest first, each tensor once."""
        known: set[int] = set()
        for when, source in self._seen:
            if when < time and id(source.tensor) not in known:
                known.add(id(source.tensor))
                yield source

    def time(self, source: Source) -> int:
        """Return when a tensor was first seen."""
        return min(when for when, each in self._seen if each.tensor is source.tensor)

    def places(self, source: Source) -> tuple[Tensor, Grid] | None:
        """Return the token at each position, in rows, and the grid; ``None`` if none is known."""
        key = id(source.tensor)
        if key not in self._places:
            self._places[key] = self._find(source)
        return self._places[key]

    def share(self, group: Sequence[Source]) -> None:
        """Find the positions of sequences of one length, in order.

        Where those of the first and of the last lie alike, so do those between: each is the one
        before plus what attention adds.
        """
        first, last = self.places(group[0]), self.places(group[-1])
        if first is None or last is None or first[1] != last[1]:
            return
        if torch.equal(first[0], last[0]):
            self._places |= {id(each.tensor): first for each in group}

    def _of_alike(self, source: Source, when: int) -> tuple[Tensor, Grid] | None:
        """Return the positions of the latest known sequence of which a sequence is a copy.

        Each block returns its sequence plus what it adds, token by token.
        """
        for each in self.before(when):
            places = self._places.get(id(each.tensor))
            if places is None or each.grid is not None or each.count != source.count:
                continue
            found = find_feeding(source.tensor, each)
            own = torch.arange(source.count, device=source.tensor.device)
            return places if found is not None and torch.equal(found.token, own) else None
        return None

    def _find(self, source: Source) -> tuple[Tensor, Grid] | None:
        if source.grid is not None:
            count = source.grid[0] * source.grid[1]
            return torch.arange(count, device=source.tensor.device), source.grid
        when = self.time(source)
        known = self._of_alike(source, when)
        if known is not None:
            return known
        maps = (each for each in self.before(when) if each.grid is not None)
        anchors = list(islice(computed_from(source.tensor, maps), ANCHORS))
        for anchor in anchors:
            found = find_feeding(source.tensor, anchor)
            if found is not None and bool((found.token >= 0).all()) and anchor.grid is not None:
                return found.token, anchor.grid
        for anchor in anchors:
            pooled = find_coarse(source.tensor, anchor)
            if pooled is not None:
                return pooled
        return None


def _is_matrix(source: Source, attentions: Sequence[Attention]) -> bool:
    """Return whether a map may be attention's matrix, (B, heads, n, n) or (B, n, n, heads)."""
    heads = source.tensor.shape[source.channels]
    return any(
        source.grid == (each.output.shape[-2], each.value.shape[-2])
        and heads in each.output.shape[:-2]
        for each in attentions
    )


def _layers(found: list[tuple[Attention, int, str]], sources: _Sources) -> list[Layer]:
    near = [_nearest(attention, time, sources) for attention, time, _ in found]
    groups: dict[int, list[Source]] = {}
    for source, _, _ in near:
        if source is not None and source.grid is None:
            groups.setdefault(source.tensor.shape[1], []).append(source)
    for group in groups.values():
        sources.share(group)
    layers = []
    for (attention, time, name), (source, keys, queries) in zip(found, near, strict=True):
        tokens, problem = _tokens(attention, time, (source, keys, queries), sources)
        shapes = [tuple(each.shape) for each in (attention.value, attention.output)]
        value, output = ((each[0] // BATCH, *each[1:-1]) for each in shapes)
        layers.append(Layer(name, value, output, tokens, problem))
    return layers


_Near = tuple[Source | None, Feeding | None, Feeding | None]


def _nearest(attention: Attention, time: int, sources: _Sources) -> _Near:
    """Return the latest map each of whose positions feeds one key, and what keys and queries."""
    value = split(attention.value, BATCH)
    if value is None or not value.requires_grad:
        return None, None, None
    best: _Near = (None, None, None)
    for source in islice(computed_from(value, sources.before(time)), TRIED):
        keys = find_feeding(value, source)
        if keys is None:
            continue
        if _are_alike(attention):
            return source, keys, keys
        queries = _queries(attention)
        if queries is None:
            return source, keys, None
        fed = find_feeding(queries, source)
        if fed is not None and fed.windows == keys.windows:
            return source, keys, fed
        if best[0] is None:
            best = source, keys, None
    return best


def _are_alike(attention: Attention) -> bool:
    """Return whether there is a query for each key."""
    return attention.output.shape[:-1] == attention.value.shape[:-1]


def _queries(attention: Attention) -> Tensor | None:
    """Return the (B, ..., queries, d) queries if they depend on the image."""
    query = attention.query
    if query is None or not query.requires_grad or query.shape[:-1] != attention.output.shape[:-1]:
        return None
    return split(query, BATCH)


def _tokens(
    attention: Attention, time: int, near: _Near, sources: _Sources
) -> tuple[Tokens | None, str]:
    source, keys, queries = near
    value = split(attention.value, BATCH)
    if value is None or not value.requires_grad:
        return None, NO_MAP
    placed = None if source is None else sources.places(source)
    if source is None or keys is None or placed is None:
        return _pooled(attention, value, time, sources)
    places, grid = placed
    own = keys.token[places]
    if bool((own < 0).any()):
        return None, OVERLAP
    others = torch.ones(len(keys.token), dtype=torch.bool, device=own.device)
    others[places] = False
    others &= keys.token >= 0
    total = _count(value, keys.windows)
    learned = attention.query is not None and not attention.query.requires_grad
    asked = None if queries is None else queries.token
    none = torch.full_like(keys.token[others], -1)
    return (
        Tokens(
            grid,
            keys.windows,
            own,
            repeat_counts(own, total)[own],
            keys.token[others],
            None if asked is None else asked[places],
            none if asked is None else asked[others],
            learned,
            exact=True,
        ),
        "",
    )


def _count(value: Tensor, windows: tuple[int, ...]) -> int:
    """Return the number of keys in all windows."""
    total = value.shape[-2]
    for dimension in windows:
        total *= value.shape[dimension]
    return int(total)


def _pooled(
    attention: Attention, value: Tensor, time: int, sources: _Sources
) -> tuple[Tokens | None, str]:
    """Return the tokens of keys that are pooled from cells that overlap, or the problem."""
    problem = NO_MAP
    for source in islice(computed_from(value, sources.before(time)), TRIED):
        placed = sources.places(source)
        if placed is None:
            continue
        places, grid = placed
        reader = Reader(value, source)
        token = find_pooled(value, source, places, grid)
        if token is None:
            first = reader.only(value.ndim - 2, 0)[0][places]
            problem = CHANNELS if bool((first > 0).all()) else OVERLAP
            if problem == CHANNELS:
                break
            continue
        own = token[places]
        queries = _queries(attention)
        asked = None if queries is None else find_feeding(queries, source)
        count = value.shape[-2]
        prefix = torch.arange(int(own.min()), device=own.device)
        return (
            Tokens(
                grid,
                (),
                own,
                repeat_counts(own, count)[own],
                prefix,
                None if asked is None or asked.windows else asked.token[places],
                _prefix_queries(asked, places, prefix),
                attention.query is not None and not attention.query.requires_grad,
                exact=False,
            ),
            "",
        )
    return None, problem


def _prefix_queries(asked: Feeding | None, places: Tensor, prefix: Tensor) -> Tensor:
    """Return the queries of the tokens of a source that stand for no position."""
    if asked is None:
        return torch.full_like(prefix, -1)
    others = torch.ones(len(asked.token), dtype=torch.bool, device=places.device)
    others[places] = False
    found = asked.token[others]
    return found if len(found) == len(prefix) else torch.full_like(prefix, -1)

"""Find the attention layers of a network, and where their tokens lie over the image."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from effcam.cam.attention.layout import NO_MAP, OVERLAP, Layer, Layout, Tokens
from effcam.cam.attention.module_calls import recording_calls
from effcam.cam.attention.recording import Attention, visiting_attention
from effcam.cam.attention.shared_keys import find_shared
from effcam.cam.attention.sources import BATCH, Sources
from effcam.cam.attention.stream import find_stream
from effcam.cam.attention.token_map import (
    Feeding,
    Source,
    arrange,
    computed_from,
    find_feeding,
    repeat_counts,
    split,
)
from effcam.models.tracing.probe import probe_standardised

if TYPE_CHECKING:
    from effcam.cam.head_cam import HeadCAM

TRIED = 10
"""How many of the latest tensors before an attention are looked at."""


def find_layout(cam: HeadCAM, images: Tensor) -> Layout:
    """Return the attention of a network, found in a pass of two pictures that are the same.

    Args:
        cam: Runs the network.
        images: Inputs of the size in question.
    """
    size = int(images.shape[2]), int(images.shape[3])
    pictures = probe_standardised(size, images.shape[1], 1).repeat(BATCH, 1, 1, 1)
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
        sources = Sources(calls, pictures, attentions)
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


def _layers(found: list[tuple[Attention, int, str]], sources: Sources) -> list[Layer]:
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


_Near: TypeAlias = "tuple[Source | None, Feeding | None, Feeding | None]"


def _nearest(attention: Attention, time: int, sources: Sources) -> _Near:
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
    attention: Attention, time: int, near: _Near, sources: Sources
) -> tuple[Tokens | None, str]:
    source, keys, queries = near
    value = split(attention.value, BATCH)
    if value is None or not value.requires_grad:
        return None, NO_MAP
    learned = attention.query is not None and not attention.query.requires_grad
    placed = None if source is None else sources.places(source)
    if source is None or keys is None or placed is None:
        computed = islice(computed_from(value, sources.before(time)), TRIED)
        return find_shared(value, _queries(attention), computed, sources, learned=learned)
    places, grid = placed
    own = keys.token[places]
    if bool((own < 0).any()):
        return None, OVERLAP
    others = torch.ones(len(keys.token), dtype=torch.bool, device=own.device)
    others[places] = False
    others &= keys.token >= 0
    total = _count(value, keys.windows)
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

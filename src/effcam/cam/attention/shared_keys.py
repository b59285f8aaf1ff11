"""Find where keys lie that share positions: pooled from cells that overlap, or in such windows."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from effcam.cam.attention.layout import CHANNELS, NO_MAP, OVERLAP, Tokens
from effcam.cam.attention.overlapping_windows import find_overlapping
from effcam.cam.attention.pooled_keys import find_pooled
from effcam.cam.attention.sources import Sources
from effcam.cam.attention.token_map import Reader, Source, find_feeding, repeat_counts
from effcam.models.tracing.map_layout import Grid

OVERLAPPING_TRIED = 4
"""In how many of the latest maps before an attention windows that overlap are sought."""


def find_shared(
    value: Tensor,
    query: Tensor | None,
    computed: Iterable[Source],
    sources: Sources,
    *,
    learned: bool,
) -> tuple[Tokens | None, str]:
    """Return the tokens of keys, or why they have no place.

    Args:
        value: (2, ..., keys, d) values.
        query: (2, ..., queries, e) if they are known and depend on the image.
        computed: What the values were computed from, the latest first.
        sources: The tensors of the pass.
        learned: Whether the queries do not depend on the image.
    """
    problem, tries, best = NO_MAP, 0, None
    for source in computed:
        placed = sources.places(source)
        if placed is None:
            continue
        tokens = None if best else _pooled(value, query, source, placed, learned=learned)
        if tokens is None and source.grid is not None and tries < OVERLAPPING_TRIED:
            tries += 1
            tokens = _overlapping(value, query, source, source.grid, learned=learned)
        best = tokens if best is None or (tokens and tokens.queries is not None) else best
        if best and (best.queries is not None or best.others is None or query is None):
            return best, ""
        if best is None:
            first = Reader(value, source).shares(0, 0)[0][placed[0]]
            if bool((first > 0).all()):
                return None, CHANNELS
            problem = OVERLAP
    return best, "" if best else problem


def _pooled(
    value: Tensor,
    query: Tensor | None,
    source: Source,
    placed: tuple[Tensor, Grid],
    *,
    learned: bool,
) -> Tokens | None:
    """Return the tokens of keys that are pooled from cells that overlap."""
    places, grid = placed
    token = find_pooled(value, source, places, grid)
    if token is None:
        return None
    own = token[places]
    prefix = torch.arange(int(own.min()), device=own.device)
    asked = _asked(query, source, ())
    unknown = torch.full_like(prefix, -1)
    return Tokens(
        grid,
        (),
        own,
        repeat_counts(own, value.shape[-2])[own],
        prefix,
        None if asked is None else asked[places],
        unknown if asked is None else _prefix_queries(asked, places, prefix),
        learned=learned,
        exact=False,
    )


def _asked(query: Tensor | None, source: Source, windows: tuple[int, ...]) -> Tensor | None:
    """Return (N,) the query that each token of a source asks, in the same windows as keys."""
    found = None if query is None else find_feeding(query, source)
    return None if found is None or found.windows != windows else found.token


def _prefix_queries(asked: Tensor, places: Tensor, prefix: Tensor) -> Tensor:
    """Return the queries of the tokens of a source that stand for no position."""
    others = torch.ones(len(asked), dtype=torch.bool, device=places.device)
    others[places] = False
    found = asked[others]
    return found if len(found) == len(prefix) else torch.full_like(prefix, -1)


def _overlapping(
    value: Tensor, query: Tensor | None, source: Source, grid: Grid, *, learned: bool
) -> Tokens | None:
    """Return the tokens of keys in windows that overlap."""
    found = find_overlapping(value, source)
    if found is None:
        return None
    dimension, keys = found
    asked = _asked(query, source, (dimension,))
    none = torch.zeros(0, dtype=torch.long, device=keys.device)
    return Tokens(
        grid,
        (dimension,),
        keys[:, 0],
        torch.ones(len(keys), device=keys.device),
        none,
        asked,
        none,
        learned=learned,
        exact=True,
        others=keys[:, 1:],
    )

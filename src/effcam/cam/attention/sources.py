"""The tensors of a pass from which tokens may come, and where their positions lie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import torch
from torch import Tensor, nn

from effcam.cam.attention.module_calls import Calls
from effcam.cam.attention.pooled_keys import find_coarse
from effcam.cam.attention.recording import Attention
from effcam.cam.attention.token_map import (
    Source,
    as_source,
    computed_from,
    find_feeding,
)
from effcam.models.tracing.map_layout import Grid

BATCH = 2
"""How many pictures the pass has in which tokens are followed."""
ANCHORS = 5
"""How many of the latest maps before a sequence are looked at."""


class Sources:
    """The tensors of a pass that may hold positions, by the time when they were seen."""

    def __init__(self, calls: Calls, pictures: Tensor, attentions: Sequence[Attention]) -> None:
        size = int(pictures.shape[2]), int(pictures.shape[3])
        self._pictures = Source(pictures, size, 1)
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
        return self._of_patches(source)

    def _of_patches(self, source: Source) -> tuple[Tensor, Grid] | None:
        """Return the positions of tokens that patches of the pictures are made into directly."""
        found = find_feeding(source.tensor, self._pictures)
        if found is None or found.windows or self._pictures.grid is None:
            return None
        return _cells(found.token.reshape(self._pictures.grid))


def _cells(token: Tensor) -> tuple[Tensor, Grid] | None:
    """Return the token of each cell, in rows, and the grid, if tokens of pixels lie in cells."""
    starts, ranks = [], []
    for dimension in (0, 1):
        count = token.shape[dimension] - 1
        before, after = (token.narrow(dimension, at, count) for at in (0, 1))
        changes = nn.functional.pad((before != after).any(1 - dimension), (1, 0), value=True)
        starts.append(changes.nonzero().flatten())
        ranks.append(changes.cumsum(0) - 1)
    cells = token[starts[0]][:, starts[1]]
    known = cells[cells >= 0]
    if not torch.equal(cells[ranks[0]][:, ranks[1]], token) or len(known) < cells.numel():
        return None
    if len(known.unique()) < cells.numel():
        return None
    return cells.flatten(), (len(starts[0]), len(starts[1]))


def _is_matrix(source: Source, attentions: Sequence[Attention]) -> bool:
    """Return whether a map may be attention's matrix, (B, heads, n, n) or (B, n, n, heads)."""
    heads = source.tensor.shape[source.channels]
    return any(
        source.grid == (each.output.shape[-2], each.value.shape[-2])
        and each.output.shape[:-2] in ((BATCH, heads), (BATCH * heads,))
        for each in attentions
    )

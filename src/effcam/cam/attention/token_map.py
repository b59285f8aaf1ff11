"""Find which position of the image each token of an attention stands for, by gradients.

The values of attention are computed from an earlier map, whatever lies between: flattening,
windows, shifts, pooling. At each position of that map, the gradient of the sum of all values,
each multiplied by the index of its token, is the gradient of the plain sum times that index, if
the position feeds one token only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from effcam.errors import LayerError
from effcam.models.tracing.map_layout import Grid, map_shape

DIGITS = 16
"""Indices are read digit by digit, so that half precision can tell them apart."""
EQUAL = 0.15
"""The largest error of a digit, and of a gradient's direction, relative to its length."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A tensor of the pass whose positions are known or sought.

    Attributes:
        tensor: (B, N, C) tokens, (B, C, h, w) or (B, h, w, C).
        grid: Rows and columns of a map; ``None`` of tokens.
        channels: The dimension of channels.
    """

    tensor: Tensor
    grid: Grid | None
    channels: int

    @property
    def count(self) -> int:
        """The number of its positions."""
        return self.tensor[0].numel() // self.tensor.shape[self.channels]

    def flat(self, gradient: Tensor) -> Tensor:
        """Return (B, N, C) float32 gradients."""
        return gradient.movedim(self.channels, -1).flatten(1, -2).float()


def as_source(tensor: Tensor, batch: int, size: Grid) -> Source | None:
    """Return a tensor as a source; ``None`` if it has no tokens and no map of the images."""
    if not tensor.requires_grad or tensor.ndim not in (3, 4) or len(tensor) != batch:
        return None
    if tensor.ndim == 3:
        return Source(tensor, None, 2)
    shape = map_shape(tensor.shape, size, [], stride=2)
    if shape is None:
        return None
    return Source(tensor, shape.grid, 1 if shape.layout == "NCHW" else 3)


def split(tensor: Tensor, batch: int) -> Tensor | None:
    """Return (B, ..., n, d) of a tensor whose first dimension may hold more than the batch.

    ``None`` if it is no multiple of it.
    """
    if len(tensor) % batch:
        return None
    return tensor.unflatten(0, (batch, -1)) if len(tensor) != batch else tensor[:, None]


def arrange(tensor: Tensor, batch: int, windows: tuple[int, ...]) -> Tensor:
    """Return (B, windows, heads, n, d) float32 of what attention takes or returns."""
    found = split(tensor, batch)
    if found is None:
        raise LayerError(f"the batch of attention, {len(tensor)}, is no multiple of {batch} images")
    leading = range(1, found.ndim - 2)
    heads = [each for each in leading if each not in windows]
    ordered = found.permute(0, *windows, *heads, found.ndim - 2, found.ndim - 1).float()
    count = 1
    for each in windows:
        count *= found.shape[each]
    return ordered.reshape(batch, count, -1, *ordered.shape[-2:])


def computed_from(target: Tensor, sources: Iterable[Source]) -> Iterator[Source]:
    """Yield the sources from which a target was computed, as far as its graph says."""
    steps = _graph(target)
    for source in sources:
        step = source.tensor.grad_fn
        if step is not None and step in steps:
            yield source


def _graph(target: Tensor) -> set[object]:
    """Return all steps of the graph of a tensor."""
    found: set[object] = set()
    waiting: list[object] = [target.grad_fn]
    while waiting:
        step = waiting.pop()
        if step is None or step in found:
            continue
        found.add(step)
        waiting += [each for each, _ in step.next_functions]  # type: ignore[attr-defined]
    return found


class Reader:
    """Reads which index of a target's dimensions each position of a source feeds."""

    def __init__(self, target: Tensor, source: Source, skip: int = 0) -> None:
        """Prepare, for a (B, ..., n, d) target, whose first ``skip`` tokens do not count."""
        self.target, self.source = target, source
        self._counted = torch.arange(target.shape[-2], device=target.device) >= skip
        generator = torch.Generator().manual_seed(0)
        weights = torch.rand(target.shape[-1], generator=generator) + 0.5
        signs = torch.randint(0, 2, weights.shape, generator=generator) * 2 - 1
        self._features = (weights * signs).to(target.device, target.dtype)
        found = self._gradient(torch.ones((), device=target.device))
        self.fed = found is not None and bool(found.any())
        self._sum = found if found is not None else torch.zeros(1)

    def _gradient(self, codes: Tensor) -> Tensor | None:
        """Return the (B, N, C) gradient of the coded sum; ``codes`` broadcasts to (B, ..., n)."""
        codes = (codes * self._counted).to(self.target.dtype)[..., None] * self._features
        (found,) = torch.autograd.grad(
            self.target,
            self.source.tensor,
            codes.expand_as(self.target),
            retain_graph=True,
            allow_unused=True,
        )
        return None if found is None else self.source.flat(found)

    @property
    def reached(self) -> Tensor:
        """(B, N) bool: the positions that feed anything."""
        return self._sum.abs().sum(-1) > 0

    def only(self, dimension: int, index: int) -> Tensor:
        """Return (B, N) >= 0: how much each position feeds one index of a dimension."""
        codes = torch.zeros(self.target.shape[dimension], device=self.target.device)
        codes[index] = 1
        found = self._gradient(self._along(codes, dimension))
        return torch.zeros_like(self._sum[..., 0]) if found is None else found.norm(dim=-1)

    def index(self, dimension: int) -> Tensor | None:
        """Return (B, N) int64, the index that each position feeds, -1 for none.

        ``None`` if a position feeds several.
        """
        length = self.target.shape[dimension]
        indices = torch.arange(length, device=self.target.device)
        total = torch.zeros(self._sum.shape[:2], dtype=torch.long, device=self._sum.device)
        square = self._sum.square().sum(-1)
        reached, factor = square > 0, 1
        while factor < length:
            found = self._gradient(self._along(indices // factor % DIGITS, dimension))
            if found is None:
                return None
            ratio = (found * self._sum).sum(-1) / square.where(reached, 1)
            digit = ratio.round()
            rest = (found - digit[..., None] * self._sum).norm(dim=-1)
            if not bool((rest <= EQUAL * square.sqrt())[reached].all()):
                return None
            total += digit.long() * factor
            factor *= DIGITS
        return total.where(reached, -1)

    def _along(self, codes: Tensor, dimension: int) -> Tensor:
        """Return codes of one dimension, to be expanded over (B, ..., n)."""
        shape = [1] * (self.target.ndim - 1)
        shape[dimension] = len(codes)
        return codes.reshape(shape)


@dataclass(frozen=True, slots=True, eq=False)
class Feeding:
    """Which token of an attention each token of a source feeds.

    Attributes:
        windows: The dimensions of (B, ..., n, d) that stand for parts of the image.
        token: (N,) int64, window * n + index of each token of the source; -1 for none.
    """

    windows: tuple[int, ...]
    token: Tensor


def find_feeding(target: Tensor, source: Source) -> Feeding | None:
    """Return which token each position of a source feeds; ``None`` if one feeds several.

    The first token may be the mean of all others.

    Args:
        target: (B, ..., n, d) values or queries.
        source: What they were computed from.
    """
    found = _feeding(target, source, 0)
    if found is None and target.shape[-2] == source.count + 1:
        found = _feeding(target, source, 1)
    return found


def _feeding(target: Tensor, source: Source, skip: int) -> Feeding | None:
    reader = Reader(target, source, skip)
    if not reader.fed:
        return None
    last = target.ndim - 2
    found = reader.index(last)
    image = None if found is None else reader.index(0)
    if found is None or image is None or not _own_image(image):
        return None
    windows: list[int] = []
    total = found[0]
    part = torch.zeros_like(total)
    for dimension in range(1, last):
        if target.shape[dimension] == 1:
            continue
        index = reader.index(dimension)
        if index is not None:
            windows.append(dimension)
            part = part * target.shape[dimension] + index[0].clamp(min=0)
        elif not bool((reader.only(dimension, 0) > 0)[reader.reached].all()):
            return None  # heads and windows in one dimension, or windows that overlap
    token = torch.where(total < 0, -1, part * target.shape[last] + total)
    return Feeding(tuple(windows), token)


def _own_image(image: Tensor) -> bool:
    """Return whether each image's positions feed its own tokens."""
    own = torch.arange(len(image), device=image.device)[:, None]
    return bool(((image == own) | (image < 0)).all())


def repeat_counts(tokens: Tensor, total: int) -> Tensor:
    """Return (total,) float32: how many positions feed each token, at least 1."""
    known = tokens[tokens >= 0]
    return torch.bincount(known, minlength=total).clamp(min=1).float()

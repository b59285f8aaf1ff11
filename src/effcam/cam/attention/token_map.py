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

DIGITS, FEW_DIGITS = 512, 16
"""Indices are read digit by digit, of this base, and of the second one in half precision."""
LEAST = 2
"""The code of digit 0: where the pictures of a batch mix or change places, codes of 1 are read."""
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
    """Reads which index of a target's dimensions each position of a source feeds.

    The two pictures of the pass are the same, so that one gradient answers two questions: the
    target of each picture is multiplied by codes of its own.
    """

    def __init__(self, target: Tensor, source: Source, counted: Tensor | None = None) -> None:
        """Prepare, for a (2, ..., n, d) target, of which those in (..., n) bool are counted."""
        self.target, self.source = target, source
        self._counted = torch.tensor(True) if counted is None else counted
        self._counted = self._counted.to(target.device)
        generator = torch.Generator().manual_seed(0)
        weights = torch.rand(target.shape[-1], generator=generator) + 0.5
        signs = torch.randint(0, 2, weights.shape, generator=generator) * 2 - 1
        self._features = (weights * signs).to(target.device, target.dtype)
        exact = target.dtype in (torch.float32, torch.float64)
        self._digits = DIGITS if exact else FEW_DIGITS
        self._sum: Tensor | None = None

    def _gradients(self, *codes: Tensor) -> Tensor | None:
        """Return the (2, N, C) gradients of the sums of two codings, each (..., n) or wider."""
        shape = self.target.shape[1:-1]
        pair = torch.stack([each.expand(shape) for each in codes]) * self._counted
        (found,) = torch.autograd.grad(
            self.target,
            self.source.tensor,
            pair.to(self.target.dtype)[..., None] * self._features,
            retain_graph=True,
            allow_unused=True,
        )
        return None if found is None else self.source.flat(found)

    def tokens(self) -> Tensor | None:
        """Return (N,) int64, the token that each position feeds in its own picture, -1 for none.

        ``None`` if a position feeds several, or no position feeds any.
        """
        length = self.target.shape[-2]
        ones = torch.ones((), device=self.target.device)
        total = torch.zeros(self.source.count, dtype=torch.long, device=self.target.device)
        for factor in _factors(length, self._digits):
            found = self._gradients(ones, self._codes(self.target.ndim - 2, factor))
            if found is None or not bool(found[0].any()):
                return None
            self._sum = found[0]
            digit = self._digit(found[1])
            if digit is None:
                return None
            total += digit * factor
        return total.where(self._reached, -1)

    def parts(self, dimension: int) -> Tensor | None:
        """Return (N,) int64, the index of another dimension that each position feeds, or 0.

        An empty tensor if each position feeds all, as those of heads; ``None`` if it is neither.
        To be called after `tokens`.
        """
        total = torch.zeros(self.source.count, dtype=torch.long, device=self.target.device)
        for factor in _factors(self.target.shape[dimension], self._digits):
            found = self._gradients(
                self._only(dimension, 0).float(), self._codes(dimension, factor)
            )
            if found is None:
                return None
            digit = self._digit(found[1])
            if digit is None:
                to_first = found[0].abs().sum(-1) > 0
                return total[:0] if bool(to_first[self._reached].all()) else None
            total += digit * factor
        return total

    def shares(self, first: int, second: int) -> Tensor:
        """Return (2, N) >= 0: how much each position feeds each of two tokens."""
        at = self.target.ndim - 2
        found = self._gradients(self._only(at, first), self._only(at, second))
        if found is None:
            return torch.zeros(2, self.source.count, device=self.target.device)
        shares: Tensor = found.norm(dim=-1)
        return shares

    @property
    def _total(self) -> Tensor:
        """(N, C): the gradient of the plain sum."""
        return torch.zeros(0, 1) if self._sum is None else self._sum

    @property
    def _reached(self) -> Tensor:
        """(N,) bool: the positions that feed anything."""
        return self._total.abs().sum(-1) > 0

    def _digit(self, found: Tensor) -> Tensor | None:
        """Return (N,) int64, the digit in the code of what each position feeds, or 0.

        ``None`` if it feeds several.
        """
        square = self._total.square().sum(-1)
        ratio = (found * self._total).sum(-1) / square.where(self._reached, 1)
        code = ratio.round()
        rest = (found - code[:, None] * self._total).norm(dim=-1)
        if not bool(((rest <= EQUAL * square.sqrt()) & (code >= LEAST))[self._reached].all()):
            return None
        return (code.long() - LEAST).where(self._reached, 0)

    def _codes(self, dimension: int, factor: int) -> Tensor:
        """Return the codes of a digit of the indices of a dimension."""
        indices = torch.arange(self.target.shape[dimension], device=self.target.device)
        return self._along(indices // factor % self._digits + LEAST, dimension).float()

    def _only(self, dimension: int, index: int) -> Tensor:
        """Return codes that are 1 at one index of a dimension, and 0 elsewhere."""
        indices = torch.arange(self.target.shape[dimension], device=self.target.device)
        return self._along(indices == index, dimension).float()

    def _along(self, codes: Tensor, dimension: int) -> Tensor:
        """Return codes of one dimension, to be expanded over (..., n)."""
        shape = [1] * (self.target.ndim - 2)
        shape[dimension - 1] = len(codes)
        return codes.reshape(shape)


def _factors(length: int, digits: int) -> list[int]:
    """Return the factor of each digit of indices below a length."""
    found = [1]
    while found[-1] * digits < length:
        found.append(found[-1] * digits)
    return found


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
    counted = torch.arange(target.shape[-2]) >= skip
    reader = Reader(target, source, counted)
    total = reader.tokens()
    if total is None:
        return None
    last = target.ndim - 2
    windows: list[int] = []
    part = torch.zeros_like(total)
    for dimension in range(1, last):
        if target.shape[dimension] == 1:
            continue
        index = reader.parts(dimension)
        if index is None:
            return None  # heads and windows in one dimension, or windows that overlap
        if len(index):
            windows.append(dimension)
            part = part * target.shape[dimension] + index
    token = torch.where(total < 0, -1, part * target.shape[last] + total)
    return Feeding(tuple(windows), token)


def repeat_counts(tokens: Tensor, total: int) -> Tensor:
    """Return (total,) float32: how many positions feed each token, at least 1."""
    known = tokens[tokens >= 0]
    return torch.bincount(known, minlength=total).clamp(min=1).float()

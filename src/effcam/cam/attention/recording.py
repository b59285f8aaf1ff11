"""Find the attention of a forward pass by what it computes, whatever module computes it.

Attention is a softmax of products of queries and keys, multiplied with values. torch's fused
function does it in one call; other code multiplies, takes the softmax, and multiplies again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from types import FunctionType
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  # its usual name
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

FUSED = F.scaled_dot_product_attention
COMPOSED = F.multi_head_attention_forward
PRODUCTS = (torch.matmul, torch.bmm, Tensor.matmul, Tensor.bmm, Tensor.__matmul__)
ADDED_PRODUCTS = (torch.baddbmm, Tensor.baddbmm)
EINSUMS = (torch.einsum, torch.functional.einsum)
SOFTMAXES = (F.softmax, torch.softmax, Tensor.softmax, torch.special.softmax)
TRANSPOSES = (torch.transpose, Tensor.transpose, torch.swapaxes, Tensor.swapaxes)


@dataclass(eq=False, slots=True)
class Attention:
    """One attention of a pass.

    Attributes:
        query: (..., queries, d); ``None`` if it is not known.
        key: (..., keys, d) of the fused function, else ``None``.
        value: (..., keys, e).
        output: (..., queries, e).
        weights: (..., queries, keys), what multiplies the values; ``None`` of the fused function.
        mask: The mask of the fused function.
        scale: The factor of its products, ``None`` for the usual one.
        causal: Whether a query sees only the keys up to its own.
        turned: Whether the code computes the transposed output, (..., e, queries).
    """

    query: Tensor | None
    key: Tensor | None
    value: Tensor
    output: Tensor
    weights: Tensor | None = None
    mask: Tensor | None = None
    scale: float | None = None
    causal: bool = False
    turned: bool = False

    def matrix(self) -> Tensor:
        """Return the (..., queries, keys) float32 weights of the values."""
        if self.weights is not None:
            return self.weights.float()
        if self.query is None or self.key is None:
            raise ValueError("attention without weights needs its queries and keys")
        query, key = self.query.float(), self.key.float()
        scale = 1 / math.sqrt(query.shape[-1]) if self.scale is None else self.scale
        products = query @ key.transpose(-1, -2) * scale
        if self.causal:
            queries, keys = products.shape[-2:]
            seen = torch.ones(queries, keys, dtype=torch.bool, device=products.device).tril()
            products = products.masked_fill(~seen, -torch.inf)
        if self.mask is not None:
            products = (
                products.masked_fill(~self.mask, -torch.inf)
                if self.mask.dtype == torch.bool
                else products + self.mask
            )
        # A row without any key is 0, as in the fused function.
        return products.softmax(-1).nan_to_num()


Visit: TypeAlias = Callable[[Attention], Tensor]
"""Called with each attention of a pass; returns the output to go on with."""


@dataclass(eq=False, slots=True)
class _Products:
    """Products of queries and keys.

    Attributes:
        query: The first factor; ``None`` where it cannot be told.
        softmax: Whether the softmax was taken.
        axis: The dimension of keys, counted from the end, once the softmax was taken.
    """

    query: Tensor | None
    softmax: bool = False
    axis: int = -1


class AttentionMode(TorchFunctionMode):
    """Calls a function with each attention of the pass that runs in it."""

    def __init__(self, visit: Visit) -> None:
        """Begin without products."""
        super().__init__()
        self._visit = visit
        self._products: Any = WeakTensorKeyDictionary()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        _types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call a function, and visit the attention that it is or ends."""
        named = dict(kwargs or {})
        if func is COMPOSED:
            with self:
                return _opened(func)(*args, **named)
        if func is FUSED:
            return self._fused(*args, **named)
        output = func(*args, **named)
        if not isinstance(output, Tensor) or output.ndim < 3 or not output.is_floating_point():
            return output
        if func in PRODUCTS or func in EINSUMS or func in ADDED_PRODUCTS:
            return self._product(func, args, output)
        return self._follow(func, args, named, output)

    def _fused(  # noqa: PLR0917  # the signature of torch's function
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        *,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        output = FUSED(
            query,
            key,
            value,
            attn_mask,
            dropout_p,
            is_causal,
            scale=scale,
            enable_gqa=enable_gqa,
        )
        if enable_gqa and query.shape[-3] != key.shape[-3]:
            groups = query.shape[-3] // key.shape[-3]
            key, value = (each.repeat_interleave(groups, -3) for each in (key, value))
        return self._visit(Attention(query, key, value, output, None, attn_mask, scale, is_causal))

    def _product(self, func: object, args: tuple[Any, ...], output: Tensor) -> Tensor:
        """Return the output of a matrix product, which may begin or end attention."""
        if func in EINSUMS:
            return self._einsum(args, output)
        first, second = args[1:3] if func in ADDED_PRODUCTS else args[:2]
        if not isinstance(second, Tensor) or not isinstance(first, Tensor):
            return output
        before, after = self._products.get(first), self._products.get(second)
        if before is not None and before.softmax and before.axis == -1:
            return self._end(Attention(before.query, None, second, output, first))
        if after is not None and after.softmax and after.axis == -2:
            weights, value = second.transpose(-1, -2), first.transpose(-1, -2)
            found = Attention(after.query, None, value, output.transpose(-1, -2), weights)
            found.turned = True
            return self._end(found)
        if min(first.ndim, second.ndim) >= 3:  # otherwise one of the two is a weight
            self._products[output] = _Products(first)
        return output

    def _einsum(self, args: tuple[Any, ...], output: Tensor) -> Tensor:
        equation, *factors = args
        if len(factors) == 1 and isinstance(factors[0], list | tuple):
            factors = list(factors[0])
        if not isinstance(equation, str) or len(factors) != 2:
            return output
        first, second = factors
        before = self._products.get(first)
        if before is not None and before.softmax:
            found = _einsum_attention(equation.replace(" ", ""), before, (first, second), output)
            return output if found is None else self._end(found)
        if min(each.ndim for each in factors) >= 3:
            self._products[output] = _Products(None)
        return output

    def _end(self, found: Attention) -> Tensor:
        # What follows may compute products of what was attended to, which are other attention.
        self._products.clear()
        output = self._visit(found)
        return output.transpose(-1, -2) if found.turned else output

    def _follow(
        self, func: object, args: tuple[Any, ...], named: dict[str, Any], output: Tensor
    ) -> Tensor:
        """Return a function's output, and note whether it is still products or their softmax."""
        source = next((each for each in args if self._known(each) is not None), None)
        found = self._known(source)
        if found is None or source is None:
            return output
        if func in SOFTMAXES:
            axis = named.get("dim", args[1] if len(args) > 1 else -1)
            axis = axis if axis < 0 else axis - output.ndim
            self._products[output] = _Products(found.query, softmax=True, axis=axis)
        elif output.numel() >= source.numel():
            moved = _moved(func, args, found.axis, source.ndim)
            self._products[output] = _Products(found.query, found.softmax, moved)
        return output

    def _known(self, value: object) -> _Products | None:
        """Return what is known of a value that is products of queries and keys."""
        found: _Products | None = self._products.get(value) if isinstance(value, Tensor) else None
        return found


def _moved(func: object, args: tuple[Any, ...], axis: int, dimensions: int) -> int:
    """Return where a dimension lies after a function, counted from the end as before."""
    if func in TRANSPOSES and len(args) == 3:
        swapped = [each if each < 0 else each - dimensions for each in args[1:]]
        return sum(swapped) - axis if axis in swapped else axis
    if func in (Tensor.permute, torch.permute):
        order = args[1] if isinstance(args[1], list | tuple) else args[1:]
        order = [each if each < 0 else each - dimensions for each in order]
        return order.index(axis) - dimensions if axis in order else axis
    name = getattr(func, "__self__", None)
    if name in (Tensor.mT, Tensor.T):
        return {-1: -2, -2: -1}.get(axis, axis)
    return axis


def _einsum_attention(
    equation: str, found: _Products, factors: tuple[Tensor, Tensor], output: Tensor
) -> Attention | None:
    """Return the attention that ends in an einsum; ``None`` for forms that are not known."""
    left, _, right = equation.partition("->")
    first, _, second = left.partition(",")
    if "." in equation or not right or len(first) != factors[0].ndim:
        return None
    key = first[found.axis]
    (feature,) = set(second) - set(first) or {""}
    query = [each for each in first if each not in second]
    if not feature or len(query) != 1 or key in right or key not in second:
        return None
    shared = [each for each in right if each not in (feature, *query)]
    if set(shared) != set(first) - {key, *query}:
        return None
    lead = "".join(shared)
    weights = torch.einsum(f"{first}->{lead}{query[0]}{key}", factors[0])
    value = torch.einsum(f"{second}->{lead}{key}{feature}", factors[1])
    # Only the usual order lets the visitor replace the output.
    if right != f"{lead}{query[0]}{feature}":
        return None
    return Attention(found.query, None, value, output, weights)


@cache
def _opened(func: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of torch that calls what it is made of, also within a mode.

    torch hands such functions to the mode whole, and would do so again without end.
    """
    own = {**func.__globals__, "has_torch_function": lambda _tensors: False}
    copy = FunctionType(func.__code__, own, func.__name__, func.__defaults__, func.__closure__)
    copy.__kwdefaults__ = func.__kwdefaults__
    return copy


@contextmanager
def visiting_attention(visit: Visit) -> Iterator[None]:
    """Call a function with each attention of what runs in the context.

    Args:
        visit: The function.
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with AttentionMode(visit):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)

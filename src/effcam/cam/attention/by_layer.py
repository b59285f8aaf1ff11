"""LeGrad's score of each layer: the network's own end on that layer's tokens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from effcam.cam.attention.final_pass import as_leaf, gradients_at
from effcam.cam.attention.module_calls import ModuleCall
from effcam.cam.attention.reading import Reading
from effcam.cam.attention.recording import Attention, visiting_attention
from effcam.cam.attention.stream import Stream
from effcam.cam.attention.weights import mean_positive, nonzero_tokens, weight_gradients
from effcam.cam.methods.own_function import check_gradient
from effcam.cam.precision import computing
from effcam.models.tracing.layer_outputs import put_first
from effcam.models.tracing.logits import first_tensor
from effcam.models.tracing.memory import is_out_of_memory
from effcam.models.tracing.plain_pass import plain_pass
from effcam.models.tracing.rounding import is_close

if TYPE_CHECKING:
    from effcam.cam.methods.subject import Subject

FEW = 16
"""The most tokens on which a block runs alone."""
EQUAL, EQUAL_HALF = 1e-3, 5e-2
"""The largest difference of what must be equal, as a share of the largest value."""


class DiffersError(Exception):
    """A part of the network, run by itself, does not give what it gave in the whole."""


def by_layer(subject: Subject, reading: Reading, stream: Stream) -> list[Tensor]:
    """Return the (B, h, w) map of each layer, or of each attention that pools it.

    Raises:
        DiffersError: If the end or the blocks of the network depend on more than their tokens.
    """
    needed = [reading.calls.get(place) for place in (*stream.blocks, *stream.before)]
    if not all(each is not None and each.is_unchanged for each in needed):
        raise DiffersError
    return list(_LayerScores(subject, reading, stream).maps())


@dataclass(frozen=True, slots=True, eq=False)
class _LayerScores:
    """A batch under its question, the recorded pass, and the blocks whose tokens have a score."""

    subject: Subject
    reading: Reading
    stream: Stream

    def maps(self) -> Iterator[Tensor]:
        """Yield the maps, those of the last layer first: its score must be the network's."""
        last = self.stream.blocks[-1]
        pairs = zip(self.stream.blocks, self.stream.layers, strict=True)
        for place, at in reversed(list(pairs)):
            call = self.reading.calls[place]
            tokens = _made(call).detach().clone().requires_grad_()
            score, pools = self._end(tokens, is_last=place == last)
            if pools:
                yield from self._of_pools(score, pools)
                continue
            (gradient,) = gradients_at(score, [tokens], self.subject)
            if gradient is not None:
                yield self._of_block(call, at, gradient)

    def _of_pools(self, score: Tensor, pools: list[Attention]) -> Iterator[Tensor]:
        """Yield the maps of the attention that pools a layer's tokens."""
        gradients = gradients_at(score, [each.output for each in pools], self.subject)
        for at, attention, gradient in zip(self.stream.pooling, pools, gradients, strict=True):
            if gradient is not None:
                yield self._map(at, attention, gradient)

    def _map(self, at: int, attention: Attention, gradient: Tensor) -> Tensor:
        """Return the (B, h, w) map, given the gradient at an attention's output."""
        tokens = self.reading.layout.layers[at].placed
        found = weight_gradients(gradient, attention, tokens, len(self.subject.images))
        return tokens.to_map(mean_positive(found, attention.output.shape[-2]))

    def _end(self, tokens: Tensor, *, is_last: bool) -> tuple[Tensor, list[Attention]]:
        """Return the (B,) score of the network's end on a layer's tokens, and what pools them."""
        pools: list[Attention] = []

        def visit(attention: Attention) -> Tensor:
            pools.append(attention)
            return as_leaf(attention)

        with _skipping(self.subject.cam.model, self.reading, self.stream, tokens):
            if self.stream.pooling:
                with visiting_attention(visit):
                    logits = self.subject.cam.run(self.subject.images)
            else:
                logits = self.subject.cam.run(self.subject.images)
        if is_last and not _is_equal(logits.values, self.subject.found.values):
            raise DiffersError
        if len(pools) != len(self.stream.pooling):
            raise DiffersError
        values = self.subject.score(logits)
        check_gradient(values, logits)
        return values, pools

    def _of_block(self, call: ModuleCall, at: int, gradient: Tensor) -> Tensor:
        """Return the (B, h, w) map of a layer, given the gradient at its block's output."""
        attention = self.reading.attentions[at]
        rows = self._rows(gradient)
        if rows is not None:
            try:
                found = self._through_block(call, attention, gradient, rows)
            except Exception as error:  # a block that needs all tokens may raise any
                if is_out_of_memory(error):
                    raise
                self.stream.by_rows = False
            else:
                return self._map(at, attention, found)
        return self._map(at, attention, self._through_block(call, attention, gradient, None))

    def _rows(self, gradient: Tensor) -> Tensor | None:
        """Return the few tokens that the score depends on; ``None`` for all."""
        if gradient.ndim != 3 or not self.stream.by_rows:
            return None
        rows = nonzero_tokens(gradient)
        if not len(rows):  # a head of zeros, as torchvision's has before training
            rows = rows.new_zeros(1)
        return rows if len(rows) <= min(FEW, gradient.shape[1] // 2) else None

    def _through_block(
        self, call: ModuleCall, attention: Attention, gradient: Tensor, rows: Tensor | None
    ) -> Tensor:
        """Return the gradient at the output of a block's attention, given that at its own output.

        The block runs again from its attention on, on some tokens alone if each token goes its own
        way there.

        Args:
            call: The call of the block.
            attention: Its attention.
            gradient: The gradient at its output.
            rows: The tokens, ``None`` for all.

        Raises:
            DiffersError: If it does not return what it returned.
        """
        taken, made, output = _taken(call), _made(call), attention.output.detach()
        if rows is not None:
            taken, made, gradient = (each[:, rows] for each in (taken, made, gradient))
            output = output.index_select(-2, rows)
        leaf = output.clone().requires_grad_()

        def visit(again: Attention) -> Tensor:
            if again.output.shape != leaf.shape:
                raise DiffersError
            return leaf.clone()

        place = self.subject.images.device, self.subject.cam.precision
        with computing(*place), plain_pass(), visiting_attention(visit):
            found = first_tensor(call.module(taken.detach(), *call.args[1:], **call.kwargs))
        if found is None or not _is_equal(found, made):
            raise DiffersError
        product = (found * gradient.to(found.dtype)).flatten(1).sum(1)
        (gradients,) = gradients_at(product, [leaf], self.subject)
        if gradients is None:
            raise DiffersError
        return gradients


def _taken(call: ModuleCall) -> Tensor:
    if call.taken is None:
        raise DiffersError
    return call.taken


def _made(call: ModuleCall) -> Tensor:
    if call.made is None:
        raise DiffersError
    return call.made


@contextmanager
def _skipping(
    module: nn.Module, reading: Reading, stream: Stream, tokens: Tensor
) -> Iterator[None]:
    """Let what runs before the network's end return what it returned, and the last block tokens."""
    outputs: dict[str, list[Any]] = {}
    for place in stream.before:
        output = reading.calls[place].output
        last = place == stream.blocks[-1]
        outputs.setdefault(place[0], []).append(put_first(output, tokens) if last else output)
    own: dict[nn.Module, Any] = {}
    try:
        for name, values in outputs.items():
            part = module.get_submodule(name)
            own[part] = part.__dict__.get("forward")
            part.__dict__["forward"] = _Returning(part.forward, values)
        yield
    finally:
        for part, forward in own.items():
            if forward is None:
                del part.__dict__["forward"]
            else:
                part.__dict__["forward"] = forward


class _Returning:
    """Returns given outputs in turn, then those of a module's own forward pass."""

    def __init__(self, forward: Any, outputs: list[Any]) -> None:
        self._forward, self._outputs = forward, iter(outputs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        for output in self._outputs:
            return output
        return self._forward(*args, **kwargs)


def _is_equal(first: Tensor, second: Tensor) -> bool:
    """Return whether two tensors are equal but for rounding."""
    half = first.dtype in (torch.float16, torch.bfloat16)
    return is_close(first, second, EQUAL_HALF if half else EQUAL)

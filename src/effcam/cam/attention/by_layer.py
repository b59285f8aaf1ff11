"""LeGrad's score of each layer: the network's own end on that layer's tokens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from effcam.cam.attention.final_pass import gradients_at
from effcam.cam.attention.module_calls import ModuleCall, Place
from effcam.cam.attention.reading import Reading
from effcam.cam.attention.recording import Attention, visiting_attention
from effcam.cam.attention.stream import Stream
from effcam.cam.attention.weights import mean_positive, nonzero_tokens, weight_gradients
from effcam.cam.own_function import check_gradient
from effcam.cam.precision import computing
from effcam.models.tracing.layer_outputs import put_first
from effcam.models.tracing.memory import is_out_of_memory
from effcam.models.tracing.plain_pass import plain_pass

if TYPE_CHECKING:
    from effcam.cam.subject import Subject

FEW = 16
"""The most tokens on which a block runs alone."""
EQUAL, EQUAL_HALF = 1e-3, 5e-2
"""The largest difference of what must be equal, as a share of the largest value."""


class Differs(Exception):
    """A part of the network, run by itself, does not give what it gave in the whole."""


def by_layer(subject: Subject, reading: Reading, stream: Stream) -> list[Tensor]:
    """Return the (B, h, w) map of each layer.

    Raises:
        Differs: If the end or the blocks of the network depend on more than their input tokens.
    """
    calls = [reading.calls[place] for place in stream.blocks]
    if not all(each.is_unchanged for each in (*calls, *map(reading.calls.get, stream.before))):
        raise Differs
    maps = []
    for call, at in zip(reversed(calls), reversed(stream.layers), strict=True):
        tokens = _tokens(call)
        is_last = call is calls[-1]
        if stream.pooling:
            maps += _pooled(subject, reading, stream, tokens, is_last)
            continue
        score = _end(subject, reading, stream, tokens, [], is_last=is_last)
        (gradient,) = gradients_at(score, [tokens], subject)
        if gradient is not None:
            maps.append(_of_block(subject, reading, stream, call, at, gradient))
    return maps


def _tokens(call: ModuleCall) -> Tensor:
    made = call.made
    assert made is not None
    return made.detach().clone().requires_grad_()


def _pooled(
    subject: Subject, reading: Reading, stream: Stream, tokens: Tensor, is_last: bool
) -> list[Tensor]:
    """Return the maps of the attention that pools a layer's tokens."""
    pools: list[Attention] = []
    score = _end(subject, reading, stream, tokens, pools, is_last=is_last)
    gradients = gradients_at(score, [each.output for each in pools], subject)
    batch, maps = len(subject.images), []
    for at, attention, gradient in zip(stream.pooling, pools, gradients, strict=True):
        layer = reading.layout.layers[at]
        if gradient is not None and layer.tokens is not None:
            found = weight_gradients(gradient, attention, layer.tokens, batch)
            maps.append(layer.tokens.to_map(mean_positive(found, found.shape[3])))
    return maps


def _end(
    subject: Subject,
    reading: Reading,
    stream: Stream,
    tokens: Tensor,
    pools: list[Attention],
    *,
    is_last: bool,
) -> Tensor:
    """Return the (B,) score of the network's end on a layer's tokens.

    Args:
        subject: The batch under its question.
        reading: The recorded pass.
        stream: The blocks.
        tokens: The layer's tokens.
        pools: Filled with the attention that runs.
        is_last: Whether they are the last layer's, whose scores are the network's own.
    """

    def visit(attention: Attention) -> Tensor:
        attention.output = attention.output.detach().requires_grad_() if not (
            attention.output.requires_grad
        ) else attention.output
        pools.append(attention)
        return attention.output.clone()

    with _skipping(subject.cam.model, reading, stream, tokens):
        if stream.pooling:
            with visiting_attention(visit):
                logits = subject.cam.run(subject.images)
        else:
            logits = subject.cam.run(subject.images)
    if is_last and not _is_equal(logits.values, subject.found.values):
        raise Differs
    if len(pools) != len(stream.pooling):
        raise Differs
    values = subject.score(logits)
    check_gradient(values, logits)
    return values


@contextmanager
def _skipping(
    module: nn.Module, reading: Reading, stream: Stream, tokens: Tensor
) -> Iterator[None]:
    """Let what runs before the network's end return what it returned, and the last block tokens."""
    outputs: dict[str, list[Any]] = {}
    for place in stream.before:
        output = reading.calls[place].output
        last = place == _last_place(stream)
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


def _last_place(stream: Stream) -> Place:
    return stream.blocks[-1]


class _Returning:
    """Returns given outputs in turn, then those of a module's own forward pass."""

    def __init__(self, forward: Any, outputs: list[Any]) -> None:
        self._forward, self._outputs = forward, iter(outputs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        for output in self._outputs:
            return output
        return self._forward(*args, **kwargs)


def _of_block(
    subject: Subject,
    reading: Reading,
    stream: Stream,
    call: ModuleCall,
    at: int,
    gradient: Tensor,
) -> Tensor:
    """Return the (B, h, w) map of a layer, given the gradient at its block's output."""
    attention, tokens = reading.attentions[at], reading.layout.layers[at].tokens
    assert tokens is not None
    rows = None
    if gradient.ndim == 3 and stream.by_rows is not False:
        few = nonzero_tokens(gradient)
        rows = few if len(few) <= min(FEW, gradient.shape[1] // 2) else None
    found = None
    if rows is not None:
        try:
            found = _through_block(subject, call, attention, gradient, rows)
            stream.by_rows = True
        except Exception as error:  # the block may need all tokens, and fail in any way
            if is_out_of_memory(error):
                raise
            stream.by_rows = False
    if found is None:
        found = _through_block(subject, call, attention, gradient, None)
    weights = weight_gradients(found, attention, tokens, len(subject.images))
    return tokens.to_map(mean_positive(weights, attention.output.shape[-2]))


def _through_block(
    subject: Subject,
    call: ModuleCall,
    attention: Attention,
    gradient: Tensor,
    rows: Tensor | None,
) -> Tensor:
    """Return the gradient at the output of a block's attention, given that at its own output.

    The block runs again from its attention on, on some tokens alone if each token goes its own
    way there.

    Args:
        subject: The batch under its question.
        call: The call of the block.
        attention: Its attention.
        gradient: The gradient at its output.
        rows: The tokens, ``None`` for all.

    Raises:
        Differs: If it does not return what it returned.
    """
    taken, made = call.taken, call.made
    assert taken is not None
    assert made is not None
    output = attention.output.detach()
    if rows is not None:
        taken, made, gradient = (each[:, rows] for each in (taken, made, gradient))
        output = output.index_select(-2, rows)
    leaf = output.clone().requires_grad_()

    def visit(again: Attention) -> Tensor:
        if again.output.shape != leaf.shape:
            raise Differs
        return leaf.clone()

    with computing(subject.images.device, subject.cam.precision), plain_pass():
        with visiting_attention(visit):
            again = call.module(taken.detach(), *call.args[1:], **call.kwargs)
    from effcam.models.tracing.logits import first_tensor

    found = first_tensor(again)
    if found is None or not _is_equal(found, made):
        raise Differs
    (gradients,) = gradients_at((found * gradient.to(found.dtype)).flatten(1).sum(1), [leaf], subject)
    if gradients is None:
        raise Differs
    return gradients


def _is_equal(first: Tensor, second: Tensor) -> bool:
    """Return whether two tensors are equal but for rounding."""
    if first.shape != second.shape:
        return False
    half = first.dtype in (torch.float16, torch.bfloat16)
    first, second = first.detach().float(), second.detach().float()
    limit = (EQUAL_HALF if half else EQUAL) * float(second.abs().nan_to_num().max())
    return bool(((first - second).abs() <= limit).all())

"""Differentiate the network's own score with respect to all its attention."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from effcam.cam.attention.reading import Reading, check_layers
from effcam.cam.attention.recording import Attention, visiting_attention
from effcam.cam.methods.own_function import check_gradient
from effcam.errors import LayerError

if TYPE_CHECKING:
    from effcam.cam.methods.subject import Subject


def differentiate(
    subject: Subject, reading: Reading
) -> tuple[list[Attention], list[Tensor | None]]:
    """Return what each attention computed, and the gradients of the score at its output.

    A gradient is ``None`` where the score does not depend on it. The network runs once more, with
    a graph that begins at its first attention.

    Raises:
        LayerError: If the score depends on no attention.
    """
    found: list[Attention] = []

    def visit(attention: Attention) -> Tensor:
        found.append(attention)
        return as_leaf(attention)

    with visiting_attention(visit):
        logits = subject.cam.run(subject.images)
    check_layers(reading.layout.layers, found, len(subject.images))
    values = subject.score(logits)
    check_gradient(values, logits)
    gradients = gradients_at(values, [each.output for each in found], subject)
    if all(each is None for each in gradients):
        raise LayerError(
            "no gradient gets from the score to the network's attention: use a method that needs "
            "none, as rollout, or one that reads the target layer"
        )
    return found, gradients


def as_leaf(attention: Attention) -> Tensor:
    """Return the output of attention to go on with, which a graph can begin at."""
    if not attention.output.requires_grad:
        attention.output = attention.output.detach().requires_grad_()
    # What follows may work in place.
    return attention.output.clone()


def gradients_at(values: Tensor, tensors: list[Tensor], subject: Subject) -> list[Tensor | None]:
    """Return the float32 gradients of the sum of (B,) values, ``None`` where there is none."""
    if not values.requires_grad:
        return [None] * len(tensors)
    scale = subject.cam.gradient_scale
    found = torch.autograd.grad(subject.cam.total(values), tensors, allow_unused=True)
    return [None if each is None else each.float() / scale for each in found]

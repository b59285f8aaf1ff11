"""Products of attention matrices: attention rollout, and its form weighted by gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from effcam.cam.attention.final_pass import differentiate
from effcam.cam.attention.reading import read_attention
from effcam.cam.attention.row import Row, add, check_chain, keep_half, seen_by, start, taken
from effcam.cam.attention.weights import weight_gradients, weights_of
from effcam.cam.methods.subject import MethodMap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from effcam.cam.attention.layout import Layer
    from effcam.cam.methods.subject import Subject


def rollout(subject: Subject) -> MethodMap:
    """Return attention rollout: Abnar and Zuidema 2020, arXiv:2005.00928.

    Each layer's matrix is the mean over heads, half of it replaced by the identity for the
    shortcut around it. The map is the row of what the head reads of the product of all layers:
    the class token's, or the mean over tokens, or the pooling attention's. It does not depend on
    what is asked.

    Raises:
        LayerError: If the network has no attention, or the matrices have no product over the image.
    """
    reading, layers = read_attention(subject.attention, "rollout")
    check_chain(layers, "rollout")
    batch, matrices = len(subject.images), []
    for layer, attention in zip(layers, reading.attentions, strict=True):
        matrix = weights_of(attention, layer.placed, batch).mean(2)
        # Heads that are mixed after the softmax may have weights below 0, and other sums than 1.
        matrix = matrix.clamp(min=0)
        matrix = matrix / matrix.sum(-1, keepdim=True).clamp(min=1e-12)
        matrices.append(matrix if layer.placed.learned else matrix / 2)
    row = start(layers[-1].placed, reading.layout.read, batch)
    for layer, matrix in zip(reversed(layers), reversed(matrices), strict=True):
        kept = keep_half(seen_by(row, layer), layer)
        row = add(kept, taken(row, layer, matrix, reading.layout.read))
    return _as_map(row, layers)


def chefer(subject: Subject) -> MethodMap:
    """Return the rollout of attention weighted by its gradients.

    Each layer's matrix is the mean over heads of what is positive of the weights times the
    gradients of the score; the map is the row of what the head reads of the product of the
    identity plus each layer's matrix, without that row of the identity itself (Chefer, Gur and
    Wolf 2021, arXiv:2103.15679; gradients of the score in place of the relevance of
    arXiv:2012.09838).

    Raises:
        LayerError: As in `rollout`; or no gradient gets to the attention.
    """
    reading, layers = read_attention(subject.attention, "chefer")
    check_chain(layers, "chefer")
    found, gradients = differentiate(subject, reading)
    batch, matrices = len(subject.images), []
    for layer, attention, gradient in zip(layers, found, gradients, strict=True):
        weights = weights_of(attention, layer.placed, batch)
        if gradient is None:
            matrices.append(weights.mean(2) * 0)
            continue
        slopes = weight_gradients(gradient, attention, layer.placed, batch)
        matrices.append((weights * slopes).clamp(min=0).mean(2))
    row = start(layers[-1].placed, reading.layout.read, batch)
    # The identity's own row is kept apart: small gradients would be lost beside it.
    gained = Row(row.cells * 0, row.grid, row.prefix * 0)
    for layer, matrix in zip(reversed(layers), reversed(matrices), strict=True):
        row, gained = seen_by(row, layer), seen_by(gained, layer)
        gained = add(gained, taken(add(row, gained), layer, matrix, reading.layout.read))
    return _as_map(gained, layers)


def _as_map(row: Row, layers: Sequence[Layer]) -> MethodMap:
    plural = "layer" if len(layers) == 1 else "layers"
    return MethodMap(row.cells.reshape(-1, *row.grid), f"{len(layers)} attention {plural}")

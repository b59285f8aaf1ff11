"""Products of attention matrices: attention rollout, and its form weighted by gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from effcam.cam.attention.final_pass import differentiate
from effcam.cam.attention.reading import read_attention
from effcam.cam.attention.row import Row, check_chain, start, step
from effcam.cam.attention.weights import weight_gradients, weights_of
from effcam.cam.subject import MethodMap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from effcam.cam.attention.layout import Layer
    from effcam.cam.attention.reading import Reading
    from effcam.cam.subject import Subject


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
        matrix = matrix / matrix.sum(-1, keepdim=True).clamp(min=1e-12)
        matrices.append(matrix if layer.placed.learned else matrix / 2)
    return _product(reading, layers, matrices, 0.5)


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
    return _product(reading, layers, matrices, 1.0)


def _product(
    reading: Reading, layers: Sequence[Layer], matrices: Sequence[Tensor], keep: float
) -> MethodMap:
    """Return the row of what the head reads, from the last layer back to the first."""
    read = reading.layout.read
    row = start(layers[-1].placed, read, len(matrices[0]))
    own: Row = row
    for layer, matrix in zip(reversed(layers), reversed(matrices), strict=True):
        row = step(row, layer, matrix, keep, read)
        own = own.on(row.grid, layer.name)
    # A product of matrices whose rows add up to 1 shares; that of gradients adds to the identity.
    cells = row.cells - own.cells if keep == 1 else row.cells
    plural = "layer" if len(layers) == 1 else "layers"
    return MethodMap(cells.reshape(-1, *row.grid), f"{len(layers)} attention {plural}")

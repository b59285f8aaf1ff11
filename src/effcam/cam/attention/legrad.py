"""LeGrad: what raises the score at the weights of attention (Bousselham et al. 2024)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from effcam.cam.attention.by_layer import DiffersError, by_layer
from effcam.cam.attention.final_pass import differentiate
from effcam.cam.attention.layout import CHANNELS, Layer
from effcam.cam.attention.reading import Reading, read_attention
from effcam.cam.attention.weights import mean_positive, weight_gradients
from effcam.cam.methods.fusion import fuse
from effcam.cam.methods.subject import MethodMap
from effcam.errors import LayerError

if TYPE_CHECKING:
    from torch import Tensor

    from effcam.cam.methods.subject import Subject


def legrad(subject: Subject) -> MethodMap:
    """Return LeGrad's map: arXiv:2404.03214.

    The score of each layer, as the network's own end gives it for that layer's tokens, is
    differentiated with respect to the attention of that layer; positive gradients are averaged
    over heads and queries and added over layers. Where attention pools the last tokens, each
    layer's tokens are pooled by it, and the gradients are those of this attention, as in the
    paper. Where the end of the network cannot take an earlier layer's tokens, the score is the
    network's own for all layers.

    Raises:
        LayerError: If the network has no attention over tokens of the image.
    """
    reading, layers = read_attention(subject.attention, "legrad")
    _check_tokens(layers)
    stream = reading.layout.stream
    if stream is not None and stream.works:
        try:
            maps = by_layer(subject, reading, stream)
        except DiffersError:
            stream.works = False
        else:
            count = len(stream.layers)
            over = "attention that pools " if stream.pooling else ""
            return MethodMap(_add(maps, subject), f"{over}{count} {_layers(over, count)}")
    return _by_final_score(subject, reading, layers)


def _layers(pools: str, count: int) -> str:
    plural = "layer" if count == 1 else "layers"
    return plural if pools else f"attention {plural}"


def _by_final_score(subject: Subject, reading: Reading, layers: tuple[Layer, ...]) -> MethodMap:
    found, gradients = differentiate(subject, reading)
    maps, batch = [], len(subject.images)
    for layer, attention, gradient in zip(layers, found, gradients, strict=True):
        if layer.tokens is not None and gradient is not None:
            each = weight_gradients(gradient, attention, layer.tokens, batch)
            maps.append(layer.tokens.to_map(mean_positive(each, each.shape[3])))
    known = [each for each in layers if each.tokens is not None]
    some = "" if len(known) == len(layers) else f" of {len(layers)}"
    return MethodMap(
        _add(maps, subject), f"{len(known)}{some} {_layers('', len(layers))}, by the final score"
    )


def _add(maps: list[Tensor], subject: Subject) -> Tensor:
    """Return the sum of maps as densities, at the finest resolution."""
    if not maps:
        raise LayerError(
            "the score does not depend on any attention of the network: use a method that reads "
            "the target layer, as gradcam"
        )
    sums: dict[tuple[int, ...], Tensor] = {}
    for each in maps:
        heat = each.to(subject.images.device)
        shape = tuple(heat.shape)
        sums[shape] = sums[shape] + heat if shape in sums else heat
    return fuse(list(sums.values()), "sum")


def _check_tokens(layers: tuple[Layer, ...]) -> None:
    """Refuse networks without attention between tokens of the image.

    Raises:
        LayerError: If there is none, with the reason.
    """
    known = [each for each in layers if each.tokens is not None]
    others = [each for each in layers if each.tokens is None]
    mixes = [each for each in known if each.tokens is not None and not each.tokens.pools]
    if not known or (not mixes and any(each.problem == CHANNELS for each in others)):
        others[0].placed  # noqa: B018  # raises

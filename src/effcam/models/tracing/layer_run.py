"""Run a network, and return what its target layers return."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from effcam.errors import EffcamError, LayerError, ModelError, reason_of
from effcam.models.tracing.layer_outputs import visiting
from effcam.models.tracing.logits import describe
from effcam.models.tracing.memory import is_out_of_memory
from effcam.models.tracing.rng import IsolatedRandomness
from effcam.models.tracing.score_source import ScoreSource, run_scores
from effcam.models.tracing.target_layer import TargetLayer

if TYPE_CHECKING:
    from torch import Tensor, nn


def run_layers(
    module: nn.Module,
    layers: Sequence[TargetLayer],
    images: Tensor,
    source: ScoreSource,
    hold: Sequence[Tensor] | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """Return a network's scores, and the outputs of some layers, before what follows changes them.

    Args:
        module: The network, in evaluation mode.
        layers: The layers.
        images: (n, C, H, W).
        source: Where its class scores are read.
        hold: Outputs whose cells replace those of the layers; prefix tokens stay.

    Returns:
        (n, classes) float32 scores, and for each layer its output for the n images.

    Raises:
        LayerError: If the size of a layer's output depends on the image.
        ModelError: If the network fails.
    """
    outputs = [images] * len(layers)

    def visit(index: int, output: Tensor) -> Tensor | None:
        if not layers[index].fits(output):
            raise LayerError(
                f"layer {layers[index].name!r} returned {describe(output)} for a picture, which "
                f"differs from its map, {layers[index]}: its size depends on the picture, so its "
                "cells have no fixed place. Choose an earlier layer"
            )
        # What follows may work in place.
        outputs[index] = output.clone()
        return None if hold is None else _hold(layers[index], output, hold[index])

    try:
        with visiting(module, layers, visit), IsolatedRandomness():
            scores = run_scores(module, images.clone(), source)
    except EffcamError:
        raise
    except Exception as error:  # a network may raise anything
        if is_out_of_memory(error):
            raise
        raise ModelError(
            f"the model failed on a batch of shape {tuple(images.shape)}: {reason_of(error)}"
        ) from error
    return scores.values.float(), outputs


def to_floats(output: Tensor) -> Tensor:
    """Return a layer's output as float32, dequantised if it is quantised."""
    return (output.dequantize() if output.is_quantized else output).float()


def _hold(layer: TargetLayer, output: Tensor, held: Tensor) -> Tensor:
    """Return a layer's output with the cells of another one; prefix tokens are no part of a map."""
    replaced = held.clone()
    replaced[:, : layer.prefix] = output[:, : layer.prefix]
    return replaced

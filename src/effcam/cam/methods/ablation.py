"""Ablation-CAM: channels weighted by what the score loses without them."""

from __future__ import annotations

import torch
from torch import Tensor

from effcam.cam.head_cam import HeadCAM
from effcam.cam.methods.channels import strongest, weigh
from effcam.cam.methods.subject import Subject
from effcam.cam.quantised import quantise_like, to_floats
from effcam.errors import LayerError
from effcam.models.tracing.logits import Logits

PERTURBED_AT_ONCE = 256
"""The most channels in one batch of a network's head."""
BYPASSED_AT_ONCE = 64
"""The same for a network with a bypass around the layer, which runs whole."""


def ablationcam(subject: Subject, index: int, activations: Tensor) -> Tensor:
    """Desai and Ramaswamy 2020, doi:10.1109/WACV45572.2020.9093360: channels set to zero in turn.

    A channel's weight is the share of the score that is lost without it. The body runs once for
    each image and chunk of channels; the layer's output is replaced by the ablated ones.
    """
    cam, score = subject.cam, subject.score
    leaf, dimension = cam.leaves[index], cam.layers[index].channel_dimension
    if leaf is None:
        raise LayerError(f"layer {cam.layers[index].name!r} did not run in this forward pass")
    used = strongest(activations, subject.options.channels)
    most = PERTURBED_AT_ONCE if _is_alone(cam) else BYPASSED_AT_ONCE
    weights = []
    for row, (image, output) in enumerate(zip(subject.images, to_floats(leaf), strict=True)):
        whole = score.of_image(row, _head(cam, index, image, output[None]))
        without = []
        for channels in used[row].to(output.device).split(most):
            ablated = output.repeat(len(channels), *(1,) * output.ndim)
            ablated.movedim(dimension, 1)[torch.arange(len(channels)), channels] = 0
            without.append(score.of_image(row, _head(cam, index, image, ablated)))
        # Below 0 the score of a class turns the map around, as in the paper. Other scores are
        # often below 0, and then the map still shows what raises them.
        weights.append((whole - torch.cat(without)) / (whole if score.is_class else whole.abs()))
    return weigh(torch.stack(weights), used, activations)


def _head(cam: HeadCAM, index: int, image: Tensor, outputs: Tensor) -> Logits:
    """Return what the network returns for n outputs of a target layer."""
    images = image[None] if _is_alone(cam) else image.repeat(len(outputs), 1, 1, 1)
    leaf = cam.leaves[index]
    # The next layer may work in place.
    cam.substitute = (
        index,
        outputs.clone() if leaf is None else quantise_like(outputs.clone(), leaf),
    )
    try:
        return cam.run(images, len(outputs))
    finally:
        cam.substitute = None


def _is_alone(cam: HeadCAM) -> bool:
    """Return whether the scores depend on the image through the layer alone.

    A network with a bypass around it, as every transformer, needs as many images as outputs.
    """
    return len(cam.layers) == 1 and cam.layers[0].layout == "NCHW"

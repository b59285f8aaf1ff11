"""Score-CAM and Ablation-CAM: methods that run the model once for each channel.

Each returns what every channel contributes to the map, (B, C, h, w).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn

from effcam.cam.head_cam import HeadCAM
from effcam.cam.quantised import quantise_like, to_floats
from effcam.cam.subject import Subject
from effcam.errors import LayerError
from effcam.models.tracing.logits import Logits

Perturb: TypeAlias = Callable[[Subject, int, Tensor], Tensor]
"""Returns what each channel contributes, given the position of a target layer and its
activations."""
PERTURBED_AT_ONCE = 64
"""The most channels in one batch."""


def _scorecam(subject: Subject, _index: int, activations: Tensor) -> Tensor:
    """Wang et al. 2020, arXiv:1910.01279: channels weighted by the score of the image they mask."""
    weights = []
    for row, (image, features) in enumerate(zip(subject.images, activations, strict=True)):
        scores = []
        for chunk in features.split(PERTURBED_AT_ONCE):
            masks = nn.functional.interpolate(
                chunk[:, None], size=image.shape[1:], mode="bilinear", align_corners=True
            )
            low, high = masks.amin((2, 3), keepdim=True), masks.amax((2, 3), keepdim=True)
            masks = (masks - low) / (high - low + 1e-8)
            masked = (image * masks.to(image.device)).to(image.dtype)
            scores.append(subject.score.of_image(row, subject.cam.run(masked)).float())
        weights.append(torch.cat(scores).softmax(0))
    return _weigh(weights, activations)


def _ablationcam(subject: Subject, index: int, activations: Tensor) -> Tensor:
    """Desai and Ramaswamy 2020, doi:10.1109/WACV45572.2020.9093360: channels set to zero in turn.

    A channel's weight is the share of the score that is lost without it. The body runs once for
    each image and chunk of channels; the layer's output is replaced by the ablated ones.
    """
    cam, score = subject.cam, subject.score
    leaf, dimension = cam.leaves[index], cam.layers[index].channel_dimension
    if leaf is None:
        raise LayerError(f"layer {cam.layers[index].name!r} did not run in this forward pass")
    weights = []
    for row, (image, output) in enumerate(zip(subject.images, to_floats(leaf), strict=True)):
        whole = score.of_image(row, _head(cam, index, image, output[None]))
        without = []
        for channels in torch.arange(activations.shape[1], device=output.device).split(
            PERTURBED_AT_ONCE
        ):
            ablated = output.repeat(len(channels), *(1,) * output.ndim)
            ablated.movedim(dimension, 1)[torch.arange(len(channels)), channels] = 0
            without.append(score.of_image(row, _head(cam, index, image, ablated)))
        # Below 0 the score of a class turns the map around, as in the paper. Other scores are
        # often below 0, and then the map still shows what raises them.
        weights.append((whole - torch.cat(without)) / (whole if score.is_class else whole.abs()))
    return _weigh(weights, activations)


def _weigh(weights: list[Tensor], activations: Tensor) -> Tensor:
    """Return (B, C, h, w) activations, each channel multiplied by its weight in that image."""
    # A network may lie on several devices.
    factors = torch.stack(weights).to(activations.device)
    return factors[:, :, None, None] * activations


def _head(cam: HeadCAM, index: int, image: Tensor, outputs: Tensor) -> Logits:
    """Return what the network returns for n outputs of a target layer."""
    # A network with a bypass around the layer, as every transformer, needs as many images.
    alone = len(cam.layers) == 1 and cam.layers[0].layout == "NCHW"
    images = image[None] if alone else image.repeat(len(outputs), 1, 1, 1)
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


PERTURBATION_METHODS: dict[str, Perturb] = {
    "scorecam": _scorecam,
    "ablationcam": _ablationcam,
}

"""Score-CAM and its kin: channels weighted by the score of the image that they mask.

Each returns what every channel contributes to the map, (B, C, h, w). The network runs once for each
channel and sample, and channels of all images share its batches. Channels without differences mask
everything alike, so one run does for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

import torch
from torch import Tensor, nn

from effcam.cam.methods.channels import strongest, weigh
from effcam.cam.methods.copies import COPIES_AT_ONCE, portions_of, samples_of, score_each
from effcam.cam.methods.subject import Subject

SEED = 0
DEVIATION = 2.0
"""The standard deviation of the noise on masks in [0, 1], as in the paper."""
Alter: TypeAlias = Callable[[Tensor], Tensor]
"""Changes (n, 1, height, width) masks."""
Enlarge: TypeAlias = Callable[[Tensor, tuple[int, int]], Tensor]
"""Returns (n, 1, height, width) masks in [0, 1], given (n, 1, h, w) activations and a size."""


def scorecam(subject: Subject, _index: int, activations: Tensor) -> Tensor:
    """Wang et al. 2020, arXiv:1910.01279: channels weighted by the score of the image they mask."""
    channels = strongest(activations, subject.options.channels)
    run = _scoring(subject, activations, channels, _enlarge_by_corners)
    scores = run(lambda masks: masks)
    return weigh(scores.softmax(1), channels, activations)


def sscam(subject: Subject, _index: int, activations: Tensor) -> Tensor:
    """Wang et al. 2020, arXiv:2006.14255: Score-CAM with noisy masks, their scores averaged.

    The noise differs by pixel and by sample. It is the same for all channels, so that it cancels
    in what the weights depend on, the differences of their scores.
    """
    noises = [mask_noise(subject.images, at) for at in range(samples_of(subject, "sscam"))]
    return _average(subject, activations, [noise.__add__ for noise in noises])


def iscam(subject: Subject, _index: int, activations: Tensor) -> Tensor:
    """Naidu et al. 2020, arXiv:2010.03023: Score-CAM integrated from no mask to the mask."""
    strengths = mask_strengths(samples_of(subject, "iscam"))
    return _average(subject, activations, [torch.tensor(each).__mul__ for each in strengths])


def mask_noise(images: Tensor, sample: int) -> Tensor:
    """Return the noise that is added to the masks of a sample, (height, width) float32."""
    generator = torch.Generator().manual_seed(SEED + sample)
    noise = torch.randn(images.shape[2:], generator=generator)
    return (noise * DEVIATION).to(images.device)


def mask_strengths(steps: int) -> list[float]:
    """Return the strengths of a mask in even steps, up to the whole one.

    >>> mask_strengths(4)
    [0.25, 0.5, 0.75, 1.0]
    """
    return [step / steps for step in range(1, steps + 1)]


def _average(subject: Subject, activations: Tensor, altered: Iterable[Alter]) -> Tensor:
    """Return what channels contribute by the mean of their scores over altered masks."""
    channels = strongest(activations, subject.options.channels)
    run = _scoring(subject, activations, channels, _enlarge_cells)
    scores = [run(each) for each in altered]
    return weigh(torch.stack(scores).mean(0).softmax(1), channels, activations)


def _scoring(
    subject: Subject, activations: Tensor, channels: Tensor, enlarge: Enlarge
) -> Callable[[Alter], Tensor]:
    """Return what scores images masked by their channels, (B, k) float32, for changed masks."""
    images = subject.images
    height, width = images.shape[2:]
    features = torch.stack([each[used] for each, used in zip(activations, channels, strict=True)])
    differs = features.amax((2, 3)) > features.amin((2, 3))
    rows, at = differs.nonzero(as_tuple=True)
    alike = torch.arange(len(images), device=rows.device)
    portions = portions_of(subject, COPIES_AT_ONCE)

    def run(alter: Alter) -> Tensor:
        def mask(part: slice) -> Tensor:
            masks = enlarge(features[rows[part], at[part]][:, None], (height, width))
            return images[rows[part].to(images.device)] * alter(masks.to(images.device))

        def mask_all(part: slice) -> Tensor:
            return images[part] * alter(images.new_zeros((1, 1, height, width)).float())

        scores = score_each(subject, rows, mask, portions)
        blank = score_each(subject, alike, mask_all, portions)
        found = blank[:, None].repeat(1, channels.shape[1])
        found[rows.to(found.device), at.to(found.device)] = scores
        return found

    return run


def _enlarge_by_corners(features: Tensor, size: tuple[int, int]) -> Tensor:
    """Return masks as grad-cam makes them: corner cells on corners, then scaled."""
    masks = nn.functional.interpolate(features, size=size, mode="bilinear", align_corners=True)
    return _scale(masks)


def _enlarge_cells(features: Tensor, size: tuple[int, int]) -> Tensor:
    """Return masks as torch-cam makes them: scaled, then each cell on the pixels it covers."""
    return nn.functional.interpolate(_scale(features), size=size, mode="bilinear")


def _scale(masks: Tensor) -> Tensor:
    low, high = masks.amin((2, 3), keepdim=True), masks.amax((2, 3), keepdim=True)
    return (masks - low) / (high - low + 1e-8)

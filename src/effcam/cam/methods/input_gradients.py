"""Methods that read gradients of the score at the pixels of the input.

What a pixel contributes is the sum over its channels, with its sign. What counts against the target
is left out pixel by pixel, before pixels are added up to cells: neighbours often differ in sign,
and what is left of them in a cell would be mostly noise. Where the signs mean nothing, as in the
gradient alone, which is negative where darker pixels would raise the score, a map shows magnitudes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from effcam.cam.methods.copies import Change, samples_of, sum_gradients
from effcam.cam.methods.input_cells import INPUT, grid_of, pool_mean, pool_sum
from effcam.cam.methods.subject import MethodMap, Subject

SEED = 0
NOISE = 0.15
"""The noise's standard deviation, as a share of the range of an image's normalised values: between
.1 and .2, as Smilkov et al. advise."""


def multiply(subject: Subject) -> Tensor:
    """Return the gradient times the input: Shrikumar et al. 2016, arXiv:1605.01713.

    Inputs are differences from the mean colour, which a model's transform makes 0.

    Returns:
        (B, height, width) float32, what each pixel contributes to the score.
    """
    images = subject.images
    gradients = sum_gradients(subject, torch.ones(1), lambda rows, _: images[rows])
    return (gradients * images).float().sum(1)


def integrate(subject: Subject) -> Tensor:
    """Return the integral of the gradient, times the input: Sundararajan et al., arXiv:1703.01365.

    The gradient is that on the way from the mean colour to the image, at the points of Gauss and
    Legendre: the sum is exact for polynomials. Pixels add up to the difference of the score from
    that of the mean colour.

    Returns:
        (B, height, width) float32, what each pixel contributes to the score.
    """
    images = subject.images
    steps = samples_of(subject, "integratedgradients")
    points, weights = np.polynomial.legendre.leggauss(steps)
    shares = torch.from_numpy((points + 1) / 2).to(images.device, torch.float32)

    def change(rows: Tensor, at: Tensor) -> Tensor:
        return images[rows] * shares[at][:, None, None, None]

    gradients = sum_gradients(subject, torch.from_numpy(weights / 2), change)
    return (gradients * images).float().sum(1)


def input_times_gradient(subject: Subject) -> MethodMap:
    """Return the map of `multiply`."""
    return _evidence(multiply(subject), subject)


def integrated_gradients(subject: Subject) -> MethodMap:
    """Return the map of `integrate`."""
    return _evidence(integrate(subject), subject)


def smoothgrad(subject: Subject) -> MethodMap:
    """Smilkov et al. 2017, arXiv:1706.03825: the mean gradient at noisy copies, its magnitude.

    A pixel's value is the sum of its channels' magnitudes.
    """
    copies = samples_of(subject, "smoothgrad")
    gradients = sum_gradients(subject, torch.full((copies,), 1 / copies), noise_of(subject))
    return MethodMap(pool_mean(gradients.float().abs().sum(1), grid_of(subject)), INPUT)


def noise_of(subject: Subject) -> Change:
    """Return what makes noisy copies of a batch's images.

    The noise of each copy is drawn from a seed of its own, so it is the same for every image and
    in every batch; it is added in units of the image's range.
    """
    images = subject.images
    flat = images.flatten(1).float()
    deviations = NOISE * (flat.amax(1) - flat.amin(1))

    def draw(copy: int) -> Tensor:
        generator = torch.Generator().manual_seed(SEED + copy)
        return torch.randn(images.shape[1:], generator=generator)

    def change(rows: Tensor, at: Tensor) -> Tensor:
        noise = {copy: draw(copy) for copy in set(at.tolist())}
        added = torch.stack([noise[copy] for copy in at.tolist()]).to(images.device)
        return images[rows] + added * deviations[rows, None, None, None]

    return change


def _evidence(contributions: Tensor, subject: Subject) -> MethodMap:
    """Return the map of what pixels contribute, without what counts against the target."""
    return MethodMap(pool_sum(contributions.clamp(min=0), grid_of(subject)), INPUT)

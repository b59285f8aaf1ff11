"""Methods that read gradients of the score at the pixels of the input.

What a pixel contributes is the sum over its channels; what a cell does, the sum over its pixels.
Contributions keep their signs until then: evidence for and against within a cell is set off, and
the cells add up to what the method says of the whole image. Only then is what counts against the
target left out, as in all maps. Where the signs mean nothing, as in the gradient alone, which is
negative where darker pixels would raise the score, a map shows magnitudes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from effcam.cam.copies import Change, samples_of, sum_gradients
from effcam.cam.input_cells import INPUT, grid_of, pool_mean, pool_sum
from effcam.cam.subject import ImageMethod, MethodMap, Subject

SEED = 0
NOISE = 0.15
"""The noise's standard deviation, as a share of the range of an image's normalised values: between
.1 and .2, as Smilkov et al. advise."""


def _input_x_gradient(subject: Subject) -> MethodMap:
    """Shrikumar et al. 2016, arXiv:1605.01713: the gradient times the input, pixel by pixel.

    Inputs are differences from the mean colour, which a model's transform makes 0.
    """
    images = subject.images
    gradients = sum_gradients(subject, torch.ones(1), lambda rows, _: images[rows])
    return _contributions(subject, gradients * images)


def _integrated_gradients(subject: Subject) -> MethodMap:
    """Sundararajan et al. 2017, arXiv:1703.01365: the gradient on the way from the mean colour.

    The integral over the way is a weighted sum at the points of Gauss and Legendre, which is exact
    for polynomials. The map adds up to the difference of the score from that of the mean colour.
    """
    images = subject.images
    points, weights = np.polynomial.legendre.leggauss(samples_of(subject, "integratedgradients"))
    shares = torch.from_numpy((points + 1) / 2).to(images.device, torch.float32)

    def change(rows: Tensor, at: Tensor) -> Tensor:
        return images[rows] * shares[at][:, None, None, None]

    gradients = sum_gradients(subject, torch.from_numpy(weights / 2), change)
    return _contributions(subject, gradients * images)


def _smoothgrad(subject: Subject) -> MethodMap:
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


def _contributions(subject: Subject, pixels: Tensor) -> MethodMap:
    """Return the map of what (B, channels, height, width) inputs contribute."""
    return MethodMap(pool_sum(pixels.float().sum(1), grid_of(subject)), INPUT)


INPUT_GRADIENTS: dict[str, ImageMethod] = {
    "integratedgradients": _integrated_gradients,
    "smoothgrad": _smoothgrad,
    "inputxgradient": _input_x_gradient,
}
"""By name, the methods of this module."""

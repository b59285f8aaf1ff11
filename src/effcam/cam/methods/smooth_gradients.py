"""Smooth Grad-CAM++: the gradients of Grad-CAM++, averaged over noisy copies of the image."""

from __future__ import annotations

import torch
from torch import Tensor

from effcam.cam.methods.copies import GRADIENTS_AT_ONCE, as_input, pairs, portions_of, samples_of
from effcam.cam.methods.input_gradients import noise_of
from effcam.cam.methods.own_function import check_gradient
from effcam.cam.methods.subject import Subject

EPSILON = 1e-6
"""As in Grad-CAM++."""


def smooth_gradcam_plus_plus(subject: Subject, index: int, activations: Tensor) -> Tensor:
    """Omeiza et al. 2019, arXiv:1908.01224: Grad-CAM++ with mean powers of the gradients.

    The numerator has the second power, as in Grad-CAM++, with which it agrees without noise; the
    paper prints the first.

    Returns:
        (B, C, h, w) what each channel contributes, by the activations of the image itself.
    """
    first, second, third = _mean_powers(subject, index, activations)
    total = activations.sum((2, 3), keepdim=True)
    share = second / (2 * second + total * third + EPSILON)
    share = share.where(second != 0, 0)
    weights: Tensor = (first.clamp(min=0) * share).sum((2, 3), keepdim=True)
    return weights * activations


def _mean_powers(subject: Subject, index: int, activations: Tensor) -> Tensor:
    """Return the means over noisy copies of the gradients' first three powers, (3, B, C, h, w)."""
    copies = samples_of(subject, "smoothgradcam++")
    change = noise_of(subject)
    total = torch.zeros((3, *activations.shape), device=activations.device)

    def compute(part: slice) -> None:
        rows, at = pairs(subject, copies, part)
        with torch.enable_grad(), subject.cam.apart():
            found = subject.cam.scores(as_input(subject, change(rows, at)))
            scores = subject.score.of_copies(rows, found)
            check_gradient(scores, found)
            gradients = subject.cam.gradients(found.values, scores)[index]
        for power, each in enumerate(total, 1):
            each.index_add_(0, rows.to(each.device), gradients**power)

    portions_of(subject, GRADIENTS_AT_ONCE).run(len(activations) * copies, compute)
    return total.div_(copies)

"""Maps of the target layers, from what the shared pass found there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from effcam.cam.methods.code import find_perturbation
from effcam.cam.methods.formulas import (
    CONTRIBUTIONS,
    GRADIENT_METHODS,
    PRINCIPAL,
    principal,
    smooth,
)
from effcam.cam.methods.fusion import fuse
from effcam.cam.methods.own_function import apply_own, check_gradient
from effcam.cam.methods.subject import Subject
from effcam.cam.methods.table import Method
from effcam.cam.scores import Score

if TYPE_CHECKING:
    from torch import Tensor


def activations_of(subject: Subject) -> list[Tensor]:
    """Return the activations of each target layer, (B, C, h, w) float32."""
    return subject.cam.maps(subject.cam.leaves)


def gradients_of(subject: Subject, score: Score | None = None) -> list[Tensor]:
    """Return the gradients of a score at each target layer, (B, C, h, w) float32.

    Args:
        subject: The batch.
        score: The score; ``None`` for what is explained.

    Raises:
        LayerError: If no gradient gets to a layer, or the scores depend on one cell of it.
        TargetError: If the score is computed by steps without a derivative.
    """
    values = (score or subject.score)(subject.found)
    check_gradient(values, subject.found)
    return subject.cam.gradients(subject.found.values, values)


def map_of_layers(
    subject: Subject, method: Method, activations: Sequence[Tensor], gradients: Sequence[Tensor]
) -> Tensor:
    """Return the map of a method that reads the target layers, (B, h, w).

    Args:
        subject: The batch.
        method: The method: no `ImageMethod`.
        activations: (B, C, h, w) for each layer.
        gradients: (B, C, h, w) for each layer; not read by methods that need none.
    """
    maps = [
        _map_of_layer(subject, method, index, *found)
        for index, found in enumerate(zip(activations, gradients, strict=True))
    ]
    weighs = method in GRADIENT_METHODS
    return fuse(maps, subject.options.fuse, _importance(gradients) if weighs else None)


def _map_of_layer(
    subject: Subject, method: Method, index: int, activations: Tensor, gradients: Tensor
) -> Tensor:
    if not isinstance(method, str):
        return apply_own(method, activations, gradients)
    perturb = find_perturbation(method)
    if perturb is not None:
        return add_channels(subject, perturb(subject, index, activations))
    contributions = CONTRIBUTIONS[method](activations, gradients)
    return principal(contributions) if method in PRINCIPAL else add_channels(subject, contributions)


def add_channels(subject: Subject, contributions: Tensor) -> Tensor:
    """Return (B, h, w) maps, given what each channel contributes, (B, C, h, w)."""
    smooths = subject.options.eigen_smooth
    return smooth(contributions) if smooths else contributions.sum(1)


def join_layers(
    subject: Subject, contributions: Sequence[Tensor], gradients: Sequence[Tensor]
) -> Tensor:
    """Return one (B, h, w) map, given what the channels of each layer contribute.

    Args:
        subject: The batch.
        contributions: (B, C, h, w) for each layer.
        gradients: (B, C, h, w) for each layer, whose mean is its importance.
    """
    maps = [add_channels(subject, each) for each in contributions]
    return fuse(maps, subject.options.fuse, _importance(gradients))


def _importance(gradients: Sequence[Tensor]) -> list[Tensor]:
    """Return the mean of Grad-CAM's weights of the channels, (B,) for each layer."""
    return [each.mean((1, 2, 3)) for each in gradients]

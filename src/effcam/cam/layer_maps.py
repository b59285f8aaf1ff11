"""Maps of the target layers, for methods that read what the shared pass found there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from effcam.cam.formulas import principal
from effcam.cam.fusion import fuse
from effcam.cam.own_function import check_gradient
from effcam.cam.scores import Score
from effcam.cam.subject import Subject

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


def add_channels(subject: Subject, contributions: Tensor) -> Tensor:
    """Return (B, h, w) maps, given what each channel contributes, (B, C, h, w)."""
    smooths = subject.options.eigen_smooth
    return principal(contributions) if smooths else contributions.sum(1)


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
    return fuse(maps, subject.options.fuse, [each.mean((1, 2, 3)) for each in gradients])

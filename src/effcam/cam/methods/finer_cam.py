"""Finer-CAM: what tells a class from those that the network takes it for most easily.

grad-cam's class of that name does so only for the top class; given a target, it is plain Grad-CAM.
torch-cam's takes the mean of the other classes: ``Contrast(..., strength=0.6)``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from effcam.cam.methods.formulas import CONTRIBUTIONS
from effcam.cam.methods.layer_maps import activations_of, gradients_of, join_layers
from effcam.cam.methods.subject import MethodMap, Subject
from effcam.cam.scores import ClassScore, Score
from effcam.errors import TargetError

CLOSEST = 3
"""How many classes a class is told from."""


def finercam(subject: Subject) -> MethodMap:
    """Zhang et al. 2025, arXiv:2501.11309: Grad-CAM of a class against the three closest ones.

    Raises:
        TargetError: If something else than a single class is explained.
        LayerError: If no gradient gets to a layer.
    """
    score = against_closest(subject.score, subject.found.values)
    gradients = gradients_of(subject, score)
    contribute = CONTRIBUTIONS["gradcam"]
    contributions = map(contribute, activations_of(subject), gradients)
    return MethodMap(join_layers(subject, list(contributions), gradients))


def against_closest(score: Score, scores: Tensor) -> ClassScore:
    """Return the score of each image's class less those closest to it, weighted by their softmax.

    Args:
        score: The score of one class in each image.
        scores: (B, classes) scores.

    Raises:
        TargetError: If it is another score.
    """
    if not score.is_class:
        raise TargetError(
            "finercam explains one class against those closest to it: ask it for a class, or "
            "explain this target by gradcam"
        )
    own = score.classes[:, :1]
    found = scores.detach().float()
    distances = (found - found.gather(1, own)).abs().scatter(1, own, torch.inf)
    others = distances.argsort(dim=1, stable=True)[:, : min(CLOSEST, found.shape[1] - 1)]
    terms = torch.cat([own, others], 1)
    factors = found.new_full(terms.shape, -1 / others.shape[1])
    factors[:, 0] = 1
    softmax = torch.ones(len(terms), dtype=torch.bool, device=terms.device)
    return ClassScore(terms, factors, softmax)

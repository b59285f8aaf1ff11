"""ShapleyCAM: Grad-CAM with a second term, of the scores' curvature.

grad-cam's class keeps the graph of the whole network, and fails on tokens and on channels that are
last. Here the graph begins at the target layers, and a layer's output may have any format.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from effcam.cam.forward import call_other_code
from effcam.cam.methods.layer_maps import activations_of, gradients_of, join_layers
from effcam.cam.methods.subject import MethodMap, Subject
from effcam.models.tracing.logits import Logits


def shapleycam(subject: Subject) -> MethodMap:
    """Cai 2025, arXiv:2501.06261: channels weighted by the mean of G - H A / 2.

    G is the gradient of the score at the layer's output A, and H the matrix of second derivatives.
    On a network of pieces that are linear, as with ReLU, H is 0, and this is Grad-CAM.

    Raises:
        LayerError: If no gradient gets to a layer.
        ModelError: If an operation of the head has no second derivative.
    """
    gradients_of(subject)  # it names what is wrong, if no gradient gets to a layer
    cam = subject.cam
    # Fused kernels of attention have a first derivative only.
    with cam.apart(), sdpa_kernel(SDPBackend.MATH):
        found = cam.scores(subject.images)
        activations = activations_of(subject)
        gradients = cam.maps(_second_order(subject, found))
    contributions = [
        weights.mean((2, 3), keepdim=True) * each
        for weights, each in zip(gradients, activations, strict=True)
    ]
    return MethodMap(join_layers(subject, contributions, gradients))


def _second_order(subject: Subject, found: Logits) -> list[Tensor]:
    """Return G - H A / 2 at each layer, shaped as its output."""
    leaves = [each for each in subject.cam.leaves if each is not None]
    total, scale = subject.cam.total(subject.score(found)), subject.cam.gradient_scale

    def differentiate() -> list[Tensor]:
        first = torch.autograd.grad(total, leaves, create_graph=True)
        return [
            (gradient.detach().float() - _curvature(gradient, leaf) / 2) / scale
            for gradient, leaf in zip(first, leaves, strict=True)
        ]

    return call_other_code(differentiate, "shapleycam needs second derivatives of the head")


def _curvature(gradient: Tensor, leaf: Tensor) -> Tensor:
    """Return the Hessian of the score times a layer's output."""
    if not gradient.requires_grad:  # the score is linear in it
        return torch.zeros_like(leaf, dtype=torch.float32)
    (found,) = torch.autograd.grad(
        gradient, leaf, leaf.detach(), retain_graph=True, allow_unused=True
    )
    return torch.zeros_like(leaf, dtype=torch.float32) if found is None else found.float()

"""Guided backpropagation: gradients at the input's pixels, positive at every ReLU.

The network stays as it is: its graph is searched for ReLUs after the forward pass, so those that
are called as functions or that work in place are found too.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import Tensor

from effcam.cam.gradient_stops import graph_nodes
from effcam.cam.methods.copies import sum_gradients
from effcam.cam.methods.input_cells import grid_of, pool_mean
from effcam.cam.methods.subject import MethodMap, Subject
from effcam.errors import ModelError

RELU = "ReluBackward0"
CLIPPED = "HardtanhBackward0"
"""What ReLU6 is in a graph, if its lower end is 0."""
OTHER_ACTIVATIONS = {
    "GeluBackward0": "GELU",
    "SiluBackward0": "SiLU",
    "HardswishBackward0": "hard swish",
    "MishBackward0": "Mish",
    "EluBackward0": "ELU",
    "LeakyReluBackward0": "leaky ReLU",
    "PreluKernelBackward0": "PReLU",
    "RreluWithNoiseBackward0": "RReLU",
    "SoftplusBackward0": "softplus",
    CLIPPED: "clipping at values other than 0",
}
"""Activations in place of a ReLU, by the names of their nodes; a gate's sigmoid is none."""


def guidedbackprop(subject: Subject) -> MethodMap:
    """Springenberg et al. 2014, arXiv:1412.6806: the gradient, without its negative parts at ReLUs.

    At each ReLU and ReLU6, what is negative of the gradient of the ReLU's output counts as 0. A
    pixel's value is the sum of its channels' magnitudes.

    Raises:
        ModelError: If the network has no ReLU, or other activations too, or no gradient gets to
            its input.
    """
    gradients = sum_gradients(
        subject, torch.ones(1), lambda rows, _: subject.images[rows], prepare=_guide
    )
    pixels = gradients.float().abs().sum(1)
    return MethodMap(pool_mean(pixels, grid_of(subject)), "input")


def _guide(scores: Tensor) -> None:
    """Let no negative gradient through the ReLUs of the graph of some scores, by hooks on it.

    Raises:
        ModelError: If the network has no ReLU, or other activations too.
    """
    nodes = list(graph_nodes(scores))
    relus = [node for node in nodes if _is_relu(node)]
    others = Counter(
        OTHER_ACTIVATIONS[node.name()]
        for node in nodes
        if node.name() in OTHER_ACTIVATIONS and not _is_relu(node)
    )
    if others or not relus:
        found = [f"{count} of {name}" for name, count in {"ReLU": len(relus), **others}.items()]
        raise ModelError(
            "guidedbackprop is defined for networks whose activations are ReLUs, and the "
            f"activations found here are {', '.join(found)}: its map would be the plain "
            'gradient at all that are none. method="smoothgrad" shows gradients of any network'
        )
    for node in relus:
        node.register_prehook(_keep_positive)


def _is_relu(node: Any) -> bool:
    """Return whether a node of a graph is a ReLU, or one that is clipped above, as ReLU6."""
    name = node.name()
    return name == RELU or (name == CLIPPED and float(node._saved_min_val) == 0)


def _keep_positive(gradients: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
    return tuple(None if each is None else each.clamp(min=0) for each in gradients)

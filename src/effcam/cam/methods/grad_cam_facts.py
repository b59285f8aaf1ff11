"""What is known of the methods that share their names with grad-cam's further classes.

This module does not import torch, so that the command line can list the methods quickly.
"""

from __future__ import annotations

from dataclasses import replace

from effcam.cam.methods.grad_cam_names import CamClass, grad_cam_classes
from effcam.cam.methods.table import GRADIENTS, MethodFacts

COMPUTED = (
    MethodFacts(
        "finercam",
        "gradcam of a class against the three closest classes",
        "Zhang et al. 2025, arXiv:2501.11309",
        GRADIENTS,
        class_only=True,
    ),
    MethodFacts(
        "shapleycam",
        "channels weighted by their mean gradient less half of the Hessian times the activations",
        "Cai 2025, arXiv:2501.06261",
        GRADIENTS,
    ),
    MethodFacts(
        "refinecam",
        "product of the gradcam++ maps of several layers",
        "Domeniconi et al. 2026, arXiv:2605.14641",
        GRADIENTS,
        fuses=False,
    ),
    MethodFacts(
        "fullgrad",
        "magnitude of input times gradient, and of each layer's biases times gradients",
        "Srinivas and Fleuret 2019, arXiv:1905.00780",
        ("gradients", "passes"),
        source="pixels",
        signed=False,
        fuses=False,
        reads_biases=True,
    ),
)
"""Methods that effcam computes itself, since the classes of these names fail or differ from what
they are for."""

_KNOWN = (
    MethodFacts(
        "fem",
        "channels weighted by the share of cells that stand out by two standard deviations",
        "Fuad et al. 2020, hal-02963298",
        ("activations",),
        by_target=False,
    ),
    MethodFacts(
        "kpcacam",
        "first component of a kernel PCA of the activations, of either sign",
        "Karmani et al. 2024, arXiv:2410.00267",
        ("activations",),
        by_target=False,
        signed=False,
    ),
    MethodFacts(
        "randomcam",
        "channels weighted by random numbers between -1 and 1: a baseline",
        "as in grad-cam",
        ("activations",),
        by_target=False,
    ),
    MethodFacts(
        "segeigencam",
        "first principal component of the gradients' magnitude times activation, its sign chosen",
        "Chung and Ying 2025, doi:10.3390/app15137562",
        GRADIENTS,
        signed=False,
    ),
    MethodFacts(
        "sess",
        "gradcam of 122 windows of the image at 12 scales, weighted by their probability",
        "Tursun et al. 2022, arXiv:2207.01769",
        ("activations", "gradients", "passes"),
    ),
)
KNOWN = {each.name: each for each in _KNOWN}
"""Methods that grad-cam's classes compute, by name."""


def facts_of_others(own: tuple[str, ...]) -> tuple[MethodFacts, ...]:
    """Return what is known of the methods that are named like classes of grad-cam.

    Args:
        own: The names of effcam's own methods, which are left out.
    """
    taken = {*own, *(each.name for each in COMPUTED)}
    others = {name: each for name, each in grad_cam_classes().items() if name not in taken}
    return (*COMPUTED, *(facts_of_class(name, each) for name, each in others.items()))


def facts_of_class(name: str, found: CamClass) -> MethodFacts:
    """Return what is known of a class of grad-cam, also of one that this release does not know."""
    unknown = MethodFacts(name, f"as {found.name} of grad-cam", "see grad-cam", GRADIENTS)
    return replace(
        KNOWN.get(name, unknown),
        grad_cam=found.name,
        source="layer" if found.of_layers else "pixels",
        fuses=found.of_layers,
        adds=found.smooths,
    )

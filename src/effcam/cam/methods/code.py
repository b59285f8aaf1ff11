"""Find the code of a method that needs more than a layer's activations and gradients.

It is imported on first use: a comparison by Grad-CAM needs none of it.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

from effcam.cam.methods.subject import ImageMethod, Subject
from effcam.cam.methods.table import Method, facts_of_method

if TYPE_CHECKING:
    from torch import Tensor

Perturb: TypeAlias = "Callable[[Subject, int, Tensor], Tensor]"
"""Returns what each channel contributes to the map, (B, C, h, w), given the position of a target
layer and its activations."""

PERTURBATION_METHODS = {
    "scorecam": "methods.score_masks:scorecam",
    "sscam": "methods.score_masks:sscam",
    "iscam": "methods.score_masks:iscam",
    "ablationcam": "methods.ablation:ablationcam",
    "smoothgradcam++": "methods.smooth_gradients:smooth_gradcam_plus_plus",
}
"""Methods of the target layer that run the network more than once: module and function by name."""

IMAGE_METHODS = {
    "inputxgradient": "methods.input_gradients:input_times_gradient",
    "integratedgradients": "methods.input_gradients:integrated_gradients",
    "smoothgrad": "methods.input_gradients:smoothgrad",
    "guidedbackprop": "methods.guided_backprop:guidedbackprop",
    "occlusion": "methods.input_occlusion:occlusion",
    "rise": "methods.input_occlusion:rise",
    "legrad": "attention.legrad:legrad",
    "rollout": "attention.rollout:rollout",
    "chefer": "attention.rollout:chefer",
    "finercam": "methods.finer_cam:finercam",
    "shapleycam": "methods.shapley_cam:shapleycam",
    "refinecam": "methods.refine_cam:refinecam",
    "fullgrad": "methods.full_grad:fullgrad",
}
"""Methods that compute one map by themselves: module and function by name."""


def find_perturbation(method: Method) -> Perturb | None:
    """Return the code of a method that runs the network more than once for each target layer."""
    home = PERTURBATION_METHODS.get(method) if isinstance(method, str) else None
    found: Perturb | None = None if home is None else _load(home)
    return found


def find_image_method(method: Method) -> ImageMethod | None:
    """Return the code of a method that runs the network itself; ``None`` for all others."""
    if not isinstance(method, str):
        return None
    facts = facts_of_method(method)
    if facts is not None and facts.grad_cam:
        from effcam.cam.methods.grad_cam_classes import method_of_class

        return method_of_class(facts)
    home = IMAGE_METHODS.get(method)
    found: ImageMethod | None = None if home is None else _load(home)
    return found


def _load(home: str) -> Any:
    module, function = home.split(":")
    return getattr(import_module(f"effcam.cam.{module}"), function)

"""Find the code of a method that needs more than a layer's activations and gradients.

It is imported on first use: a comparison by Grad-CAM needs none of it.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

from effcam.cam.methods import Method, facts_of_method
from effcam.cam.subject import ImageMethod, Subject

if TYPE_CHECKING:
    from torch import Tensor

Perturb: TypeAlias = "Callable[[Subject, int, Tensor], Tensor]"
"""Returns what each channel contributes to the map, (B, C, h, w), given the position of a target
layer and its activations."""

PERTURBATION_METHODS = {
    "scorecam": "score_masks:scorecam",
    "sscam": "score_masks:sscam",
    "iscam": "score_masks:iscam",
    "ablationcam": "ablation:ablationcam",
    "smoothgradcam++": "smooth_gradients:smooth_gradcam_plus_plus",
}
"""Methods of the target layer that run the network more than once: module and function by name."""

IMAGE_METHODS = {
    "inputxgradient": "input_gradients:input_times_gradient",
    "integratedgradients": "input_gradients:integrated_gradients",
    "smoothgrad": "input_gradients:smoothgrad",
    "guidedbackprop": "guided_backprop:guidedbackprop",
    "occlusion": "input_occlusion:occlusion",
    "rise": "input_occlusion:rise",
    "legrad": "attention.legrad:legrad",
    "rollout": "attention.rollout:rollout",
    "chefer": "attention.rollout:chefer",
    "finercam": "finer_cam:finercam",
    "shapleycam": "shapley_cam:shapleycam",
    "refinecam": "refine_cam:refinecam",
    "fullgrad": "full_grad:fullgrad",
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
        from effcam.cam.grad_cam_classes import method_of_class

        return method_of_class(facts)
    home = IMAGE_METHODS.get(method)
    found: ImageMethod | None = None if home is None else _load(home)
    return found


def _load(home: str) -> Any:
    module, function = home.split(":")
    return getattr(import_module(f"effcam.cam.{module}"), function)

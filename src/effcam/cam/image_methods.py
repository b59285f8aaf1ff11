"""Find the methods that run the network themselves."""

from __future__ import annotations

from effcam.cam.finer_cam import finercam
from effcam.cam.full_grad import fullgrad
from effcam.cam.input_gradients import INPUT_GRADIENTS
from effcam.cam.input_occlusion import INPUT_OCCLUSION
from effcam.cam.methods import Method, facts_of_method
from effcam.cam.refine_cam import refinecam
from effcam.cam.shapley_cam import shapleycam
from effcam.cam.subject import ImageMethod

IMAGE_METHODS: dict[str, ImageMethod] = {
    **INPUT_GRADIENTS,
    **INPUT_OCCLUSION,
    "finercam": finercam,
    "shapleycam": shapleycam,
    "refinecam": refinecam,
    "fullgrad": fullgrad,
}


def find_image_method(method: Method) -> ImageMethod | None:
    """Return the code of a method that runs the network itself; ``None`` for all others."""
    if not isinstance(method, str):
        return None
    facts = facts_of_method(method)
    if facts is not None and facts.grad_cam:
        from effcam.cam.grad_cam_classes import method_of_class  # few comparisons need it

        return method_of_class(facts)
    return IMAGE_METHODS.get(method)

"""Find the methods that run the network themselves."""

from __future__ import annotations

from effcam.cam.input_gradients import INPUT_GRADIENTS
from effcam.cam.input_occlusion import INPUT_OCCLUSION
from effcam.cam.methods import Method
from effcam.cam.subject import ImageMethod

IMAGE_METHODS: dict[str, ImageMethod] = {**INPUT_GRADIENTS, **INPUT_OCCLUSION}


def find_image_method(method: Method) -> ImageMethod | None:
    """Return the code of a method that runs the network itself; ``None`` for all others."""
    return IMAGE_METHODS.get(method) if isinstance(method, str) else None

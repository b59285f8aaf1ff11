"""Find the methods that run the network themselves."""

from __future__ import annotations

from effcam.cam.attention.legrad import legrad
from effcam.cam.attention.rollout import chefer, rollout
from effcam.cam.methods import Method
from effcam.cam.subject import ImageMethod

IMAGE_METHODS: dict[str, ImageMethod] = {
    "legrad": legrad,
    "rollout": rollout,
    "chefer": chefer,
}


def find_image_method(method: Method) -> ImageMethod | None:
    """Return the code of a method that runs the network itself; ``None`` for all others."""
    return IMAGE_METHODS.get(method) if isinstance(method, str) else None

"""Call functions of the caller's own, as a target or a method, and check what they return."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeGuard

import torch
from torch import Tensor

from effcam.cam.forward import call_other_code
from effcam.cam.methods.formulas import Formula
from effcam.cam.methods.table import name_of
from effcam.errors import ArgumentError, TargetError
from effcam.models.tracing.linked_graph import WAYS_OUT
from effcam.models.tracing.logits import Logits, describe, tensors
from effcam.models.tracing.memory import is_out_of_memory
from effcam.targets.outputs import Function


def compute(function: Function, found: Logits, images: int) -> Tensor:
    """Return what a function computes, one value for each image.

    Args:
        function: The function.
        found: What the network returned.
        images: The number of images.

    Raises:
        TargetError: If it fails, changes the output, or does not return a (images,) tensor of
            floats.
    """
    before = _versions(found)
    value: object = call_other_code(
        lambda: function.compute(found.output),
        f"target {function.name!r} failed on the model's output, {describe(found.output)}",
        TargetError,
    )
    if _versions(found) != before:
        raise TargetError(
            f"target {function.name!r} changed the model's output in place, and all targets read "
            "it: let the function change a copy, output.clone()"
        )
    if not isinstance(value, Tensor) or value.shape != (images,) or not value.is_floating_point():
        raise TargetError(
            f"target {function.name!r} returned {describe(value)}; for {images} images it must "
            f"return a tensor of floats of shape ({images},)"
        )
    return value


def check_gradient(values: Tensor, found: Logits) -> None:
    """Check that values were computed from an output by steps with a derivative.

    Args:
        values: (images,) what is explained.
        found: What the network returned.

    Raises:
        TargetError: If they were not, though the output itself has a gradient.
    """
    if not values.requires_grad and any(each.requires_grad for each in tensors(found.output)):
        raise TargetError(
            "no gradient gets from what the target's function returns to the model's output: the "
            "function detaches it, or computes with what has no derivative, such as argmax() or a "
            f"comparison. {WAYS_OUT}"
        )


def check_independent(function: Function, values: Tensor, found: Logits) -> None:
    """Check that the values of the first and the last image depend on no other image of the batch.

    If they did, the maps would differ with the batch size.

    Args:
        function: The function.
        values: (images,) what it computed.
        found: What the network returned.

    Raises:
        TargetError: If one does.
    """
    if len(values) < 2 or not values.requires_grad:
        return
    if any(_depends_on_others(values, row, found.output) for row in (0, len(values) - 1)):
        raise TargetError(
            f"the value of target {function.name!r} in one image depends on the other images of "
            "its batch, so it would differ with the batch size: compute each value from its own "
            "row of the output, as output[:, 0] or output.softmax(1)[:, 0]"
        )


def apply_own(method: Formula, activations: Tensor, gradients: Tensor) -> Tensor:
    """Return the map of a user's function, detached.

    The function gets copies, which it may change.

    Args:
        method: The function.
        activations: (B, C, h, w) float32.
        gradients: (B, C, h, w) float32.

    Raises:
        ArgumentError: If it fails, or does not return a (B, h, w) tensor of floats.
    """
    name = name_of(method)
    try:
        found: object = method(activations.clone(), gradients.clone())
    except Exception as error:  # user code may raise anything
        if is_out_of_memory(error):  # fewer images at once may fit
            raise
        raise ArgumentError(
            f"method {name!r} failed on activations of shape {tuple(activations.shape)}: "
            f"{type(error).__name__}: {error}"
        ) from error
    return _check_map(name, found, activations)


def _depends_on_others(values: Tensor, row: int, output: object) -> bool:
    """Return whether one image's value depends on the rows of other images in an output."""
    images = len(values)
    if _is_listed(output):
        others = [each for at, own in enumerate(output) if at != row for each in tensors(own)]
    else:
        own = output.values() if isinstance(output, Mapping) else [output]
        others = [each for each in own if isinstance(each, Tensor) and each.shape[:1] == (images,)]
    others = [each for each in others if each.requires_grad]
    if not others:
        return False
    found = torch.autograd.grad(values[row], others, retain_graph=True, allow_unused=True)
    rows = slice(None) if _is_listed(output) else [at for at in range(images) if at != row]
    return any(each is not None and _has_value(each[rows]) for each in found)


def _versions(found: Logits) -> list[int]:
    """Return numbers that differ if a tensor of the output was changed in between."""
    every = [*tensors(found.output), found.values]
    return [each._version for each in every if not each.is_inference()]


def _is_listed(output: object) -> TypeGuard[list[object] | tuple[object, ...]]:
    """Return whether an output has a mapping for each image, as that of a detector."""
    return isinstance(output, list | tuple) and all(isinstance(e, Mapping) for e in output)


def _has_value(gradient: Tensor) -> bool:
    """Return whether a gradient is not 0; NaN comes from a factor of 0."""
    return bool(((gradient != 0) & ~gradient.isnan()).any())


def _check_map(name: str, found: object, activations: Tensor) -> Tensor:
    shape = (len(activations), *activations.shape[2:])
    if (
        not isinstance(found, torch.Tensor)
        or found.shape != shape
        or not found.is_floating_point()
        or found.device != activations.device
    ):
        place = f" on {found.device}" if isinstance(found, torch.Tensor) else ""
        raise ArgumentError(
            f"method {name!r} returned {describe(found)}{place}; for activations of shape "
            f"{tuple(activations.shape)} it must return the maps, a tensor of floats of shape "
            f"{shape} on {activations.device}"
        )
    return found.detach().float()

"""Call a function of the caller's own on a network's output, and check what it returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeGuard

import torch
from torch import Tensor

from effcam.errors import EffcamError, TargetError, reason_of
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
    try:
        value: object = function.compute(found.output)
    except EffcamError:
        raise
    except Exception as error:  # user code may raise anything
        if is_out_of_memory(error):  # fewer images at once may fit
            raise
        raise TargetError(
            f"target {function.name!r} failed on the model's output, {describe(found.output)}: "
            f"{reason_of(error)}"
        ) from error
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

"""A method of the user's own: what it is called, and what it gives, checked and kept apart."""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING, TypeAlias

from effcam.errors import ArgumentError
from effcam.methods import Arithmetic
from effcam.portions import is_out_of_memory
from effcam.scores import describe

if TYPE_CHECKING:
    from torch import Tensor

Method: TypeAlias = str | Arithmetic
"""The name of one of effcam's methods, or a function with the signature of their arithmetic."""


def name_of(method: Method) -> str:
    """Returns what a method is called in columns and records."""
    return method if isinstance(method, str) else str(getattr(method, "__name__", ""))


def check_own(method: Arithmetic, taken: Container[str]) -> None:
    """Makes sure that a function can stand beside effcam's methods.

    Args:
        method: The function.
        taken: The names of effcam's own methods.

    Raises:
        ArgumentError: If it has no name, or one of these.
    """
    name = name_of(method)
    if name in ("", "<lambda>"):
        kind = "lambda" if name else type(method).__name__
        raise ArgumentError(
            f"a {kind} has no name, by which columns and records could tell it from other "
            "methods: define the method with def"
        )
    if name in taken:
        raise ArgumentError(
            f"a function called {name!r} could not be told from effcam's own method of that name: "
            "call it something else"
        )


def apply_own(method: Arithmetic, activations: Tensor, gradients: Tensor) -> Tensor:
    """Returns the map that a function of the user's gives, without gradient.

    It is given copies, which it may change.

    Args:
        method: The function.
        activations: (B, C, h, w) float32.
        gradients: (B, C, h, w) float32.

    Raises:
        ArgumentError: If it fails, or returns anything but a (B, h, w) tensor of floats.
    """
    name = name_of(method)
    try:
        found: object = method(activations.clone(), gradients.clone())
    except Exception as error:  # it is the user's, and may raise anything
        if is_out_of_memory(error):  # fewer images at once may fit
            raise
        raise ArgumentError(
            f"method {name!r} failed on activations of shape {tuple(activations.shape)}: "
            f"{type(error).__name__}: {error}"
        ) from error
    return _check_map(name, found, activations)


def _check_map(name: str, found: object, activations: Tensor) -> Tensor:
    import torch

    shape = (len(activations), *activations.shape[2:])
    if (
        not isinstance(found, torch.Tensor)
        or found.shape != shape
        or not found.is_floating_point()
        or found.device != activations.device
    ):
        place = f" on {found.device}" if isinstance(found, torch.Tensor) else ""
        raise ArgumentError(
            f"method {name!r} returned {describe(found)}{place}; of activations of shape "
            f"{tuple(activations.shape)} it must return the maps, a tensor of floats of shape "
            f"{shape} on {activations.device}"
        )
    return found.detach().float()

"""A module before its layers are looked at, and its transform."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from effcam.errors import ArgumentError
from effcam.images.preprocess import Preprocess
from effcam.models.architectures import ArchitectureFacts
from effcam.models.timm_architecture import module_preprocess
from effcam.models.wrappers import own_size

if TYPE_CHECKING:
    from torch import nn

AS_GIVEN = "as given"

ChangePreprocess: TypeAlias = Callable[[Preprocess], Preprocess]
Synonyms: TypeAlias = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class BuiltModule:
    """A module before its layers are looked at.

    Attributes:
        name: The model's name.
        module: The module; in evaluation mode and frozen if effcam built it.
        weights: Where its weights are from.
        preprocess: The transform from a photo to its input.
        labels: The classes' names that came with the module or its weights.
        facts: What is known of its architecture, if a library built it in its usual structure.
        is_own: Whether effcam built it, so that nobody else uses it.
    """

    name: str
    module: nn.Module
    weights: str
    preprocess: Preprocess
    labels: tuple[str, ...] | None = None
    facts: ArchitectureFacts | None = None
    is_own: bool = False


def check_preprocess(preprocess: object) -> Preprocess:
    """Return the transform.

    Raises:
        ArgumentError: If it is none.
    """
    if not isinstance(preprocess, Preprocess):
        raise ArgumentError(
            f"preprocess must be an effcam.Preprocess, not {type(preprocess).__name__}"
        )
    return preprocess


def stated_preprocess(module: nn.Module) -> Preprocess:
    """Return the transform that a module carries, else a default of the size that it states."""
    size = own_size(module) or Preprocess().size
    return module_preprocess(module) or Preprocess(size=size)

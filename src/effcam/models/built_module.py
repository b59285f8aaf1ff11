"""A module before its layers are looked at, and its transform."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from effcam.errors import ArgumentError
from effcam.images.preprocess import Preprocess
from effcam.models.architectures import ArchitectureFacts
from effcam.models.image_processor import open_clip_preprocess
from effcam.models.image_tower import has_two_towers
from effcam.models.model import Model
from effcam.models.registry import Scores
from effcam.models.text_encoder import Labels, TextEncoder
from effcam.models.timm_architecture import module_preprocess
from effcam.models.tracing.logits import Link
from effcam.models.training_stage import TrainingStage
from effcam.models.wrappers import Layers, own_size

if TYPE_CHECKING:
    from torch import nn

AS_GIVEN = "as given"
"""The ``weights`` of a module that the caller made."""

ChangePreprocess: TypeAlias = Callable[[Preprocess], Preprocess]
Synonyms: TypeAlias = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BuiltModule:
    """A module before its layers are looked at.

    Attributes:
        name: The model's name.
        module: The module; in evaluation mode and frozen if effcam built it.
        weights: Where its weights are from.
        preprocess: The transform from a photo to its input.
        target_layer: The target layers that were chosen; ``None`` to find them.
        labels: The classes' names that were chosen; for an image tower, perhaps with their texts.
        own_labels: The classes' names that came with the module or its weights.
        facts: What is known of its architecture, if a library built it in its usual structure.
        model: The model that is loaded again, if it is one.
        is_own: Whether effcam built it, so that no other code uses it.
        text: The text tower, if the module is the image tower of a model of images and texts.
        scores: What the class scores are, as the caller states it.
        own_scores: What they are, as the configuration of the module or its weights states it.
        training: At which point of training its weights were saved, if that is known.
    """

    name: str
    module: nn.Module
    weights: str
    preprocess: Preprocess
    target_layer: Layers
    labels: Labels | None
    own_labels: tuple[str, ...] | None
    facts: ArchitectureFacts | None = None
    model: Model | None = None
    is_own: bool = False
    text: TextEncoder | None = None
    scores: Scores | None = None
    own_scores: Link | None = None
    training: TrainingStage | None = None


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
    """Return the transform that a module carries, else a default of the size that it states.

    Raises:
        ArgumentError: If it is a model of images and texts of transformers, which states none.
    """
    if has_two_towers(module):
        own = open_clip_preprocess(module)
        if own is not None:
            return own
        if type(module).__module__.partition(".")[0] == "transformers":
            raise ArgumentError(
                f"the {type(module).__name__} does not hold how photos become its inputs: give "
                "tokenizer=transformers.AutoProcessor.from_pretrained(name), which does, or "
                "preprocess=effcam.Preprocess(...)"
            )
    size = own_size(module) or Preprocess().size
    return module_preprocess(module) or Preprocess(size=size)

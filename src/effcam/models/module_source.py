"""Modules of the caller's own as the source of a model."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from effcam.errors import ArgumentError
from effcam.images.preprocess import Preprocess
from effcam.models.built_module import (
    AS_GIVEN,
    BuiltModule,
    ChangePreprocess,
    Synonyms,
    stated_preprocess,
)
from effcam.models.image_tower import (
    has_two_towers,
    image_tower,
    own_tokenizer,
    text_encoder,
)
from effcam.models.link import own_link
from effcam.models.model import Model
from effcam.models.registry import Scores
from effcam.models.text_encoder import Labels, TextEncoder
from effcam.models.tokenizing import Tokenizer
from effcam.models.tracing.isolation import exclusive
from effcam.models.tracing.logits import Outputs
from effcam.models.wrappers import (
    Layers,
    check_module,
    check_numbers,
    open_exported,
    own_labels,
    unwrap,
)


@dataclass(frozen=True, slots=True, eq=False)
class ModuleSource:
    """A module of the caller's own, or a `Model`; used as it is.

    Attributes:
        module: The module, perhaps in wrappers for parallel or compiled running.
        name: The model's name.
        model: The model that is loaded again, if it is one.
        own_preprocess: A transform instead of the one that the module states.
        target_layer: The target layers that were chosen.
        labels: The classes' names that were given.
        tokenizer: The tokenizer of a model of images and texts, if it was given.
        scores: What the class scores are, if that was given.
    """

    module: nn.Module
    name: str
    model: Model | None = None
    own_preprocess: Preprocess | None = None
    target_layer: Layers = None
    labels: Labels | None = None
    tokenizer: Tokenizer | None = None
    scores: Scores | None = None

    @property
    def is_new(self) -> bool:
        """Return ``False``: the caller has it."""
        return False

    def published(self) -> None:
        """Return ``None``: the weights are in the module."""

    def weights_file(self) -> None:
        """Return ``None``: the weights are in the module."""

    def preprocess(self) -> Preprocess:
        """Return the transform that was given, or the one that the module states."""
        known = self.own_preprocess or (self.model and self.model.preprocess)
        return known or stated_preprocess(unwrap(self.module))

    def classes(self) -> Synonyms | None:
        """Return all names of each class of a `Model`."""
        return None if self.model is None else self.model.synonyms

    def outputs(self) -> Outputs | None:
        """Return what a `Model` returns; ``None`` for another module."""
        if self.model is None:
            return None
        return "classes" if self.model.scores.has_classes else self.model.scores.outputs

    def build(
        self, *, device: str | torch.device | None, change_preprocess: ChangePreprocess
    ) -> BuiltModule:
        """Return the module as it is, without its wrappers.

        Raises:
            ArgumentError: If it is not on the device that was asked for.
            ModelError: If its layers cannot be read.
        """
        inner = unwrap(self.module)
        with exclusive(self.module.modules()):  # another thread may trace it on meta tensors
            tensors = [*self.module.parameters(), *self.module.buffers()]
            check_module(inner, self.name)
        placed = tensors[0].device if tensors else torch.device("cpu")
        if device is not None and torch.device(device) != placed:
            raise ArgumentError(
                f"{self.name} is on {placed}, not on {device}: effcam leaves your module where it "
                f"is; move it with .to({str(device)!r}), or drop device"
            )
        if device is None or placed.type != "meta":  # asked for, the meta device gives shapes
            check_numbers(tensors, self.name)
        inner = open_exported(inner, self.name)
        text = self._text(inner)
        weights = AS_GIVEN if self.model is None else self.model.weights
        preprocess = change_preprocess(self.preprocess())
        return BuiltModule(
            name=self.name,
            module=image_tower(inner) if text is not None and self.model is None else inner,
            weights=weights,
            preprocess=preprocess,
            target_layer=self.target_layer,
            labels=self.labels,
            own_labels=own_labels(inner),
            model=self.model,
            text=text,
            scores=self.scores,
            own_scores=own_link(inner),
            training=None if self.model is None else self.model.training,
        )

    def _text(self, module: nn.Module) -> TextEncoder | None:
        """Return the text tower, ``None`` for a model without one.

        Raises:
            ArgumentError: If there is a tokenizer for a model without a text tower.
        """
        known = None if self.model is None else self.model.text
        if not has_two_towers(module):
            if self.tokenizer is not None:
                raise ArgumentError(
                    f"tokenizer is for models of images and texts; {self.name} embeds no texts: it "
                    "has neither encode_image and encode_text, nor get_image_features and "
                    "get_text_features"
                )
            return known
        if self.tokenizer is not None:
            given = self.tokenizer
            return text_encoder(module, lambda: given)
        return known or text_encoder(module, own_tokenizer(module))

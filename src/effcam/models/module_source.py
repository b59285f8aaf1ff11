"""Modules of the caller's own as the source of a model."""

from __future__ import annotations

from collections.abc import Sequence
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
from effcam.models.link import own_link
from effcam.models.model import Model
from effcam.models.tracing.isolation import exclusive
from effcam.models.tracing.logits import Link, Outputs
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
        scores: What the class scores are, if that was given.
    """

    module: nn.Module
    name: str
    model: Model | None = None
    own_preprocess: Preprocess | None = None
    target_layer: Layers = None
    labels: Sequence[str] | None = None
    scores: Link | None = None

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
        weights = AS_GIVEN if self.model is None else self.model.weights
        preprocess = change_preprocess(self.preprocess())
        return BuiltModule(
            name=self.name,
            module=inner,
            weights=weights,
            preprocess=preprocess,
            target_layer=self.target_layer,
            labels=self.labels,
            own_labels=own_labels(inner),
            model=self.model,
            scores=self.scores,
            own_scores=own_link(inner),
        )

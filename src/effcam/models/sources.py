"""What a model is made of: resolve a name, a spec or a module once, then ask it and build it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol, TypeAlias

import torch
from torch import nn

from effcam.errors import ArgumentError
from effcam.images.preprocess import Preprocess
from effcam.images.truth import NamedClass
from effcam.models import downloads
from effcam.models.built_module import BuiltModule, ChangePreprocess, Synonyms
from effcam.models.class_names import find_class
from effcam.models.constructor import Constructor
from effcam.models.downloads import PublishedWeights
from effcam.models.lookup import find_architecture
from effcam.models.model import Model
from effcam.models.module_source import ModuleSource
from effcam.models.registry import ModelSpec, find_spec
from effcam.models.spec_source import SpecSource
from effcam.models.text_image_architecture import TextImageArchitecture
from effcam.models.tracing.logits import Outputs


class Source(Protocol):
    """What a model is made of."""

    @property
    def name(self) -> str:
        """The model's name."""

    @property
    def is_new(self) -> bool:
        """Whether each build is a new network, which nobody else has."""

    def published(self) -> PublishedWeights | None:
        """Return the weights that may have to be downloaded; check those that are local.

        Raises:
            WeightsError: If a local file or folder is missing.
        """

    def weights_file(self) -> Path | None:
        """Return the file that the weights will be read from, if it is on disk already."""

    def preprocess(self) -> Preprocess | None:
        """Return the model's own transform, ``None`` if it is known only after building."""

    def classes(self) -> Synonyms | None:
        """Return all names of each class, ``None`` if they are known only after building."""

    def outputs(self) -> Outputs | None:
        """Return what it returns for an image, ``None`` if that is known only after building."""

    def build(
        self, *, device: str | torch.device | None, change_preprocess: ChangePreprocess
    ) -> BuiltModule:
        """Return the module.

        Args:
            device: Where to put it.
            change_preprocess: Returns the transform to use, given the model's own one.
        """


ModelLike: TypeAlias = str | ModelSpec | Model | nn.Module


def resolve(source: ModelLike | Source) -> Source:
    """Return the source of a model; nothing is built, read or fetched.

    Raises:
        UnknownModelError: If nothing has that name.
        ArgumentError: If no model can be made of it.
    """
    if isinstance(source, SpecSource | ModuleSource):
        return source
    if isinstance(source, Model | nn.Module):
        return resolve_module(source)
    return resolve_spec(find_model_spec(source))


def find_model_spec(source: object) -> ModelSpec:
    """Return a spec as it is, and for a name its registered spec or a new one.

    Raises:
        ArgumentError: If it is neither.
    """
    if isinstance(source, ModelSpec):
        return source
    if isinstance(source, str):
        return find_spec(source) or ModelSpec(source)
    raise ArgumentError(
        f"a model is a name, a ModelSpec, an nn.Module or a Model, not {type(source).__name__}"
    )


def resolve_module(source: Model | nn.Module) -> ModuleSource:
    """Return the source of a module of the caller's own, or of a model that is loaded again."""
    if isinstance(source, Model):
        return ModuleSource(source.module, source.name, source)
    return ModuleSource(source, type(source).__name__)


def resolve_spec(spec: ModelSpec) -> SpecSource:
    """Return the source of a spec's model.

    Raises:
        UnknownModelError: If nothing has the spec's name.
    """
    if spec.constructor is not None and not isinstance(spec.constructor, str):
        origin = Constructor(spec.name, spec.constructor)
        return SpecSource(spec.name, spec, origin, pretrained=False)
    architecture = find_architecture(spec.constructor or spec.name)
    pretrained = spec.pretrained and spec.checkpoint is None
    if isinstance(architecture, TextImageArchitecture):
        architecture.check(pretrained=pretrained)
    full_name = str(architecture) if pretrained else architecture.bare
    name = full_name if spec.constructor is None else spec.name
    return SpecSource(name, spec, architecture, pretrained)


def check_weights(sources: Iterable[ModelLike | Source]) -> None:
    """Make sure, in seconds and before anything is built, that all weights can be had.

    Raises:
        WeightsError: If some are neither on disk nor can be fetched; names all of them. Or if a
            checkpoint does not exist.
        UnknownModelError: If nothing has one of the names.
    """
    published = [resolve(source).published() for source in sources]
    downloads.require([each for each in published if each is not None])


def check_classes(spec: ModelSpec, wanted: Iterable[int | str | NamedClass]) -> None:
    """Check that a model will have some classes, if that is known before it is built.

    Raises:
        TargetError: If one is unknown, ambiguous or out of range.
        UnknownModelError: If nothing has the spec's name.
    """
    synonyms = resolve_spec(spec).classes()
    if synonyms is None:
        return
    labels = [names[0] for names in synonyms]
    for each in wanted:
        find_class(each, labels, synonyms, owner=spec.name)


def change_spec(spec: ModelSpec, name: str | None, given: Mapping[str, object]) -> ModelSpec:
    """Return the spec, changed by the arguments that are not ``None``."""
    changes = {key: value for key, value in given.items() if value is not None}
    if name is not None:
        changes |= {"name": name, "constructor": spec.constructor or spec.name}
    if "checkpoint" in changes:
        changes["training"] = None  # it is that of the spec's own weights
    options = changes.get("options")
    if isinstance(options, Mapping):
        changes["options"] = {**spec.options, **options}
    return replace(spec, **changes)  # type: ignore[arg-type]  # each value has its field's type

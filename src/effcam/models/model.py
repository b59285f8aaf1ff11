"""From a name, a spec or a module to a `Model`: built, its target layer found, ready to run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TypeAlias, cast

import torch
from torch import nn

from effcam.errors import ArgumentError, LayerError, ModelError
from effcam.images.preprocess import Preprocess
from effcam.models import build, zoo
from effcam.models.architectures import JOINT
from effcam.models.build import Made, See
from effcam.models.class_names import find_class, numbered
from effcam.models.registry import ModelSpec, find_spec
from effcam.models.tracing.cache import Remembered
from effcam.models.tracing.flops import find_cost
from effcam.models.tracing.module_kinds import is_known
from effcam.models.tracing.target_layer import (
    TargetLayer,
    check_target_layer,
    find_target_layers,
    take_layers,
    usable_layers,
)
from effcam.models.tracing.token_flow import check_logits
from effcam.models.tracing.trace import Trace, trace
from effcam.models.wrappers import Layers, layer_names


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A classifier that is ready to run, with all that is needed to look into it.

    Attributes:
        name: What it is called: ``"timm:resnet18.a1_in1k"``, a spec's name, a module's class.
        module: The module itself, without what wraps it for parallel or compiled running.
        target_layers: The layer to look at, with its layout and the reason why it was chosen;
            several where the network works on several maps side by side.
        preprocess: How a photo becomes its input.
        labels: The name to show for each class, by class index.
        synonyms: All names of each class, by class index.
        weights: Where its weights are from: published ones by name, a file, ``"random"``, or
            ``"as given"`` for a module that the caller made.
    """

    name: str
    module: nn.Module
    target_layers: tuple[TargetLayer, ...]
    preprocess: Preprocess
    labels: tuple[str, ...]
    synonyms: tuple[tuple[str, ...], ...]
    weights: str

    @property
    def target_layer(self) -> str:
        """The dotted name of the layer to look at; of several, their names joined by " + "."""
        return JOINT.join(layer.name for layer in self.target_layers)

    @property
    def layer(self) -> TargetLayer:
        """The layer to look at; of several, the one whose map has most cells."""
        return max(self.target_layers, key=lambda layer: math.prod(layer.grid))

    def layers(self) -> tuple[TargetLayer, ...]:
        """Return every layer that can be looked at, in order of execution.

        The layers that `target_layer` names say why in ``reason``, which is empty for all others.

        >>> model = load_model("resnet18", pretrained=False)
        >>> for layer in model.layers()[-3:]:
        ...     print(layer)
        layer4.1.act2  NCHW  512 x 7 x 7
        layer4.1  NCHW  512 x 7 x 7
        layer4  NCHW  512 x 7 x 7  <- features entering the head
        """
        record = trace(self.module, self.preprocess.size, self.preprocess.channels)
        chosen = {layer.name: layer for layer in self.target_layers}
        return tuple(chosen.get(layer.name, layer) for layer in usable_layers(record))

    @property
    def channels_last(self) -> bool:
        """Whether its convolutions' weights lie in memory with the channels innermost.

        Images are then given to it in the same way, which makes convolutions faster.
        """
        weights = (each.weight for each in self.module.modules() if isinstance(each, nn.Conv2d))
        return any(
            each.is_contiguous(memory_format=torch.channels_last) and not each.is_contiguous()
            for each in weights
        )

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.labels)

    @property
    def device(self) -> torch.device:
        """Where its parameters are."""
        return next((each.device for each in self.module.parameters()), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """The floating-point type of its parameters."""
        floating = (each.dtype for each in self.module.parameters() if each.is_floating_point())
        return next(floating, torch.float32)

    def find_class(self, target: int | str) -> int:
        """Return the index of a class that is given by index or by any of its names.

        Args:
            target: An index from 0, or a name in any case.

        Raises:
            TargetError: If there is no such class, or the name stands for several.
        """
        return find_class(target, self.labels, self.synonyms, owner=self.name)


Look: TypeAlias = tuple[Preprocess, tuple[TargetLayer, ...], int]
LOOKS: Remembered[Look] = Remembered()
"""What is known of modules that were looked into in this process."""

ModelLike: TypeAlias = str | ModelSpec | Model | nn.Module


def load_model(
    source: ModelLike,
    *,
    name: str | None = None,
    checkpoint: str | PathLike[str] | None = None,
    target_layer: Layers = None,
    preprocess: Preprocess | None = None,
    labels: Sequence[str] | None = None,
    pretrained: bool = True,
    options: Mapping[str, object] | None = None,
    device: str | torch.device | None = None,
) -> Model:
    """Return a model that is ready to run: built, its weights loaded, its target layer found.

    A module of the caller's own is used as it is, neither copied nor moved nor changed. What is
    built here is frozen, in evaluation mode and, where its convolutions gain by it, laid out with
    its channels last (`Model.channels_last`): ``.to(memory_format=torch.contiguous_format)``
    undoes that, as safetensors wants it.

    Args:
        source: A name (``"resnet50"``, ``"resnet50.a1_in1k"``,
            ``"torchvision:resnet50.IMAGENET1K_V1"``, a registered name), a `ModelSpec`, an
            ``nn.Module`` that takes (batch, 3, height, width) images and returns (batch, classes)
            scores, or a `Model`, of which a changed copy is returned.
        name: What to call it, instead of its own name.
        checkpoint: A file with weights for it: ``.safetensors``, or what ``torch.save`` wrote of
            tensors alone. The number of classes follows from its head.
        target_layer: The layer to look at, by its dotted name or itself; or several, whose maps
            are added. ``None`` finds the features that enter the head.
        preprocess: How a photo becomes its input; ``None`` takes what its weights were published
            with, for a module that carries no such record ``Preprocess()``.
        labels: The name of each class, in order; ``None`` takes ImageNet's where the library
            says so, else ``"class 0"``, ``"class 1"``, ...
        pretrained: Whether to load the published weights, which are fetched if they are not on
            disk. Without them and without a checkpoint the weights are random, the same each
            time, and their heat means nothing.
        options: Keyword arguments for the library's constructor, as ``num_classes``.
        device: Where to run; ``None`` takes a GPU if there is one, and a module's own device.

    Raises:
        UnknownModelError: If nothing has that name.
        WeightsError: If weights cannot be found, fetched, read or fitted.
        LayerError: If the target layer does not exist or gives no map.
        ModelError: If the model cannot be built, or is no classifier of RGB images.
        ArgumentError: If an argument does not go with this kind of source.

    >>> model = load_model("resnet18", pretrained=False)
    >>> model.target_layer, model.layer.grid, model.weights
    ('layer4', (7, 7), 'random')
    """
    if isinstance(source, Model | nn.Module):
        if checkpoint is not None or options or not pretrained:
            raise ArgumentError(
                "checkpoint, options and pretrained are for models that are built by name; load "
                f"the weights into the {type(source).__name__} yourself"
            )
        made, known = _adopt(source, name, device)
        if preprocess is not None:
            made = replace(made, preprocess=_check_preprocess(preprocess))
        return _finish(made, target_layer, labels, known)
    spec = _merge(
        _spec(source),
        name,
        {
            "checkpoint": checkpoint,
            "target_layer": target_layer,
            "preprocess": preprocess,
            "labels": labels,
            "pretrained": False if not pretrained else None,
            "options": options,
        },
    )
    return load_as_seen(spec, device=device, see=lambda own: own)


def load_untrained(name: str) -> Model:
    """Return a model by name that has shapes but, where that is possible, no weights.

    Raises:
        UnknownModelError: If nothing has that name.
        ModelError: If it cannot be built.
        LayerError: If it has no layer that gives a map.
    """
    try:
        with torch.device("meta"):
            return load_model(name, pretrained=False, device="meta")
    except ModelError as error:
        if isinstance(error.__cause__, ModelError):
            raise  # it was built, and is no classifier
        return load_model(name, pretrained=False)  # some read numbers while they are built


def load_as_seen(source: ModelLike, *, device: str | torch.device | None, see: See) -> Model:
    """Return what `load_model` does, its `Preprocess` replaced by what ``see`` makes of it.

    Args:
        source: As in `load_model`.
        device: As in `load_model`.
        see: Returns the transform to use, given the model's own. The target layer is looked for
            at its input size.
    """
    if isinstance(source, Model | nn.Module):
        made, known = _adopt(source, None, device)
        return _finish(replace(made, preprocess=see(made.preprocess)), None, None, known)
    spec = _spec(source)
    made = build.make(spec, device=device, see=see)
    return _finish(made, cast("Layers", spec.target_layer), spec.labels)


def check_weights(sources: Iterable[ModelLike]) -> None:
    """Make sure, in seconds and before anything is built, that all weights can be had.

    Raises:
        WeightsError: If some are neither on disk nor can be fetched; names all of them. Or if a
            checkpoint does not exist.
        UnknownModelError: If nothing has one of the names.
    """
    build.check_weights(
        _spec(source) for source in sources if not isinstance(source, Model | nn.Module)
    )


def expected_preprocess(source: ModelLike, *, see: See) -> Preprocess | None:
    """Return the transform that a model will have, before it is built, where that is known.

    Args:
        source: As in `load_model`.
        see: As in `load_as_seen`.
    """
    if isinstance(source, Model):
        return see(source.preprocess)
    own = build.expected_preprocess(source if isinstance(source, nn.Module) else _spec(source))
    return None if own is None else see(own)


def check_classes(spec: ModelSpec, wanted: Iterable[int | str]) -> None:
    """Check that a model will have some classes, as far as that is known before it is built.

    Raises:
        TargetError: If one is unknown, ambiguous or out of range.
        UnknownModelError: If nothing has the spec's name.
    """
    synonyms = build.expected_synonyms(spec)
    if synonyms is None:
        return
    labels = [names[0] for names in synonyms]
    for each in wanted:
        find_class(each, labels, synonyms, owner=spec.name)


def weights_file(source: ModelLike) -> Path | None:
    """Return the file that a model's weights will be read from, if it is on disk already."""
    if isinstance(source, Model | nn.Module):
        return None
    return build.weights_file(_spec(source))


def to_source(model: ModelLike) -> ModelSpec | Model | nn.Module:
    """Return what a name stands for, and anything else as it is.

    A process that knows other registered names then makes the same model of it.

    Raises:
        ArgumentError: If it is nothing that a model can be made of.
    """
    return model if isinstance(model, Model | nn.Module) else _spec(model)


def _check_preprocess(preprocess: object) -> Preprocess:
    if not isinstance(preprocess, Preprocess):
        raise ArgumentError(
            f"preprocess must be an effcam.Preprocess, not {type(preprocess).__name__}"
        )
    return preprocess


def _finish(
    made: Made,
    target_layer: Layers,
    labels: Sequence[str] | None,
    known: Model | None = None,
) -> Model:
    try:
        names = layer_names(made.module, target_layer)
        recorded = made.entry and (made.entry.layers, made.entry.layout, made.entry.rule)
        asked = made.preprocess, recorded, tuple(names), known and known.target_layers
        preprocess, layers, classes = LOOKS.get(
            made.module, asked, lambda: _look_into(made, names, known)
        )
        if made.built:
            _lay_out(made.module, preprocess)
    except (ModelError, LayerError) as error:
        raise type(error)(f"{made.name}: {error}") from error
    if labels is None and known is not None:
        shown, synonyms = known.labels, known.synonyms
    else:
        shown, synonyms = _labels(labels, classes, made)
    return Model(made.name, made.module, layers, preprocess, shown, synonyms, made.weights)


def _lay_out(module: nn.Module, preprocess: Preprocess) -> None:
    """Lay a module's weights in memory as its convolutions are fastest."""
    if find_cost(module, preprocess.size, preprocess.channels).channels_last:
        with torch.inference_mode(False):
            module.to(memory_format=torch.channels_last)


def _look_into(made: Made, names: Sequence[str], known: Model | None) -> Look:
    """Return what a trace of a module tells: its transform, layers, and number of classes."""
    preprocess, record = _look(made)
    if not is_known(made.module):
        check_logits(record)
    return preprocess, _layers(made, record, names, known), record.classes


def _look(made: Made) -> tuple[Preprocess, Trace]:
    """Return the trace of a module, and its transform with as many channels as it takes."""
    preprocess = made.preprocess
    try:
        return preprocess, trace(made.module, preprocess.size, preprocess.channels)
    except ModelError:
        takes = [each.in_channels for each in made.module.modules() if isinstance(each, nn.Conv2d)]
        if 1 not in takes[:1] or preprocess.channels == 1:
            raise
        return preprocess.grey(), trace(made.module, preprocess.size, 1)


def _layers(
    made: Made, record: Trace, names: Sequence[str], known: Model | None
) -> tuple[TargetLayer, ...]:
    if names:
        return tuple(check_target_layer(record, name) for name in names)
    if known is not None:
        return tuple(
            replace(check_target_layer(record, layer.name), reason=layer.reason)
            for layer in known.target_layers
        )
    recorded = made.entry and take_layers(
        record, made.entry.layers, made.entry.layout, made.entry.rule
    )
    return recorded or find_target_layers(record)


def _labels(
    labels: Sequence[str] | None, classes: int, made: Made
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    if labels is not None:
        if isinstance(labels, str) or len(labels) != classes:
            count = "one string" if isinstance(labels, str) else f"{len(labels)} labels"
            raise ArgumentError(f"{made.name} has {classes} classes, but labels holds {count}")
        shown = tuple(str(label) for label in labels)
    elif made.labels is not None:
        # Names of other classes say that these are not ImageNet's either.
        shown = made.labels if len(made.labels) == classes else numbered(classes)
    else:
        known = zoo.imagenet_labels(classes) if zoo.knows_imagenet(made.module) else None
        if known is not None:
            return tuple(names[0] for names in known), known
        shown = numbered(classes)
    return shown, tuple((label,) for label in shown)


def _adopt(
    source: Model | nn.Module, name: str | None, device: str | torch.device | None
) -> tuple[Made, Model | None]:
    if isinstance(source, nn.Module):
        return build.adopt(source, name=name or type(source).__name__, device=device), None
    made = build.adopt(source.module, name=name or source.name, device=device)
    return replace(made, weights=source.weights, preprocess=source.preprocess), source


def _spec(source: str | ModelSpec) -> ModelSpec:
    if isinstance(source, ModelSpec):
        return source
    if isinstance(source, str):
        return find_spec(source) or ModelSpec(source)
    raise ArgumentError(
        f"a model is a name, a ModelSpec, an nn.Module or a Model, not {type(source).__name__}"
    )


def _merge(spec: ModelSpec, name: str | None, given: Mapping[str, object]) -> ModelSpec:
    """Return the spec with the arguments that are not ``None`` put over it."""
    changes = {key: value for key, value in given.items() if value is not None}
    if name is not None:
        changes |= {"name": name, "constructor": spec.constructor or spec.name}
    if "options" in changes:
        changes["options"] = {**spec.options, **cast("Mapping[str, object]", changes["options"])}
    return replace(spec, **changes)  # type: ignore[arg-type]  # each value has its field's type

"""From a name, a spec or a module to a `Model`: built, its target layer found, ready to run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TypeAlias, cast

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from effcam import weights, zoo
from effcam.architectures import Architecture
from effcam.checkpoint import check_checkpoint, count_classes, fit, read_checkpoint, rename_old
from effcam.errors import ArgumentError, LayerError, ModelError, TargetError, did_you_mean
from effcam.layers import TargetLayer, Trace, check_target_layer, find_target_layer, trace
from effcam.preprocess import Preprocess
from effcam.registry import ModelSpec, find_spec

RANDOM = "random"


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A classifier that is ready to run, with all that is needed to look into it.

    Attributes:
        name: What it is called: ``"timm:resnet18.a1_in1k"``, a spec's name, a module's class.
        module: The module itself.
        layer: The layer to look at, with its layout and the reason why it was chosen.
        preprocess: How a photo becomes its input.
        labels: The name to show for each class, by class index.
        synonyms: All names of each class, by class index.
        weights: Where its weights are from: published ones by name, a file, ``"random"``, or
            ``"as given"`` for a module that the caller made.
    """

    name: str
    module: nn.Module
    layer: TargetLayer
    preprocess: Preprocess
    labels: tuple[str, ...]
    synonyms: tuple[tuple[str, ...], ...]
    weights: str

    @property
    def target_layer(self) -> str:
        """The dotted name of the layer to look at."""
        return self.layer.name

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
        """Returns the index of a class that is given by index or by any of its names.

        Args:
            target: An index from 0, or a name in any case.

        Raises:
            TargetError: If there is no such class, or the name stands for several.
        """
        if isinstance(target, str):
            return self._find_label(target)
        if not 0 <= target < self.num_classes:
            raise TargetError(
                f"class {target} is out of range: {self.name} has the {self.num_classes} classes "
                f"0 to {self.num_classes - 1}"
            )
        return int(target)

    def _find_label(self, label: str) -> int:
        wanted = label.strip().casefold()
        shown = [index for index, name in enumerate(self.labels) if name.casefold() == wanted]
        found = shown or [
            index
            for index, names in enumerate(self.synonyms)
            if any(name.casefold() == wanted for name in names)
        ]
        if len(found) == 1:
            return found[0]
        if found:
            several = ", ".join(f"{index} ({self.labels[index]})" for index in found)
            raise TargetError(
                f"label {label!r} stands for {len(found)} classes of {self.name}: {several}; "
                "give one of these indices"
            )
        hint = did_you_mean(label.strip(), (name for names in self.synonyms for name in names))
        if not hint and self.labels == _numbered(self.num_classes):
            hint = " Its classes have no names: give an index, or load it with labels=."
        raise TargetError(f"{self.name} has no class called {label!r}.{hint}")


ModelLike: TypeAlias = str | ModelSpec | Model | nn.Module


def load_model(
    source: ModelLike,
    *,
    name: str | None = None,
    checkpoint: str | PathLike[str] | None = None,
    target_layer: str | None = None,
    preprocess: Preprocess | None = None,
    labels: Sequence[str] | None = None,
    pretrained: bool = True,
    options: Mapping[str, object] | None = None,
    device: str | torch.device | None = None,
) -> Model:
    """Returns a model that is ready to run: built, its weights loaded, its target layer found.

    A module of the caller's own is used as it is, neither copied nor moved nor changed.

    Args:
        source: A name (``"resnet50"``, ``"resnet50.a1_in1k"``,
            ``"torchvision:resnet50.IMAGENET1K_V1"``, a registered name), a `ModelSpec`, an
            ``nn.Module`` that takes (batch, 3, height, width) images and returns (batch, classes)
            scores, or a `Model`, of which a changed copy is returned.
        name: What to call it, instead of its own name.
        checkpoint: A file with weights for it: ``.safetensors``, or what ``torch.save`` wrote of
            tensors alone. The number of classes follows from its head.
        target_layer: The dotted name of the layer to look at; ``None`` finds the features that
            enter the head.
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
        made = _adopt(source, name, device)
        pick = made.preprocess if preprocess is None else _check_preprocess(preprocess)
        return _finish(made, target_layer, pick, labels)
    changes = {
        "checkpoint": checkpoint,
        "target_layer": target_layer,
        "preprocess": preprocess,
        "labels": labels,
        "pretrained": False if not pretrained else None,
        "options": options,
    }
    return load_as_seen(_merge(_spec(source), name, changes), device=device, see=lambda own: own)


def load_as_seen(
    source: ModelLike,
    *,
    device: str | torch.device | None,
    see: Callable[[Preprocess], Preprocess],
) -> Model:
    """Returns what `load_model` does, its `Preprocess` replaced by what ``see`` makes of it.

    Args:
        source: As in `load_model`.
        device: As in `load_model`.
        see: Returns the transform to use, given the model's own. The target layer is looked for
            at its input size.
    """
    if isinstance(source, Model | nn.Module):
        made = _adopt(source, None, device)
        return _finish(made, None, see(made.preprocess), None)
    spec = _spec(source)
    given = None if spec.preprocess is None else _check_preprocess(spec.preprocess)
    made = _make(spec, _pick_device(device))
    return _finish(made, spec.target_layer, see(given or made.preprocess), spec.labels)


def check_weights(sources: Iterable[ModelLike]) -> None:
    """Makes sure, in seconds and before anything is built, that all weights can be had.

    Raises:
        WeightsError: If some are neither on disk nor can be fetched; names all of them. Or if a
            checkpoint does not exist.
        UnknownModelError: If nothing has one of the names.
    """
    wanted = []
    for source in sources:
        if isinstance(source, Model | nn.Module):
            continue
        spec = _spec(source)
        if spec.checkpoint is not None:
            check_checkpoint(spec.checkpoint)
        constructor = _constructor(spec)
        if spec.pretrained and spec.checkpoint is None and isinstance(constructor, str):
            published = zoo.published_weights(zoo.find_architecture(constructor))
            if published is not None:
                wanted.append(published)
    weights.require(wanted)


@dataclass(frozen=True, slots=True)
class _Made:
    """A module, and what is known of it before its layers are looked at."""

    name: str
    module: nn.Module
    weights: str
    preprocess: Preprocess
    imagenet: bool
    known: Model | None = None


def _check_preprocess(preprocess: object) -> Preprocess:
    if not isinstance(preprocess, Preprocess):
        raise ArgumentError(
            f"preprocess must be an effcam.Preprocess, not {type(preprocess).__name__}"
        )
    return preprocess


def _finish(
    made: _Made, target_layer: str | None, preprocess: Preprocess, labels: Sequence[str] | None
) -> Model:
    try:
        record = trace(made.module, preprocess.size)
        layer = _layer(record, target_layer, made.known)
        classes = record.classes
    except (ModelError, LayerError) as error:
        raise type(error)(f"{made.name}: {error}") from error
    if labels is None and made.known is not None:
        shown, synonyms = made.known.labels, made.known.synonyms
    else:
        shown, synonyms = _labels(labels, classes, made)
    return Model(made.name, made.module, layer, preprocess, shown, synonyms, made.weights)


def _layer(record: Trace, name: str | None, known: Model | None) -> TargetLayer:
    if name is not None:
        return check_target_layer(record, name)
    if known is not None:
        return replace(check_target_layer(record, known.target_layer), reason=known.layer.reason)
    return find_target_layer(record)


def _labels(
    labels: Sequence[str] | None, classes: int, made: _Made
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    if labels is not None:
        if isinstance(labels, str) or len(labels) != classes:
            count = "one string" if isinstance(labels, str) else f"{len(labels)} labels"
            raise ArgumentError(f"{made.name} has {classes} classes, but labels holds {count}")
        shown = tuple(str(label) for label in labels)
        return shown, tuple((label,) for label in shown)
    known = zoo.imagenet_labels(classes) if made.imagenet else None
    if known is not None:
        return tuple(names[0] for names in known), known
    shown = _numbered(classes)
    return shown, tuple((label,) for label in shown)


def _numbered(classes: int) -> tuple[str, ...]:
    return tuple(f"class {index}" for index in range(classes))


def _adopt(source: Model | nn.Module, name: str | None, device: str | torch.device | None) -> _Made:
    module = source.module if isinstance(source, Model) else source
    known = source if isinstance(source, Model) else None
    own = known.name if known else type(module).__name__
    tensors = [*module.parameters(), *module.buffers()]
    placed = tensors[0].device if tensors else torch.device("cpu")
    if device is not None and torch.device(device) != placed:
        raise ArgumentError(
            f"{name or own} is on {placed}, not on {device}: effcam leaves your module where it "
            f"is; move it with .to({str(device)!r}), or drop device"
        )
    _check_module(module, name or own)
    preprocess = known.preprocess if known else zoo.module_preprocess(module) or Preprocess()
    return _Made(
        name or own,
        module,
        known.weights if known else "as given",
        preprocess,
        zoo.knows_imagenet(module),
        known,
    )


def _check_module(module: nn.Module, name: str) -> None:
    """Refuses modules that cannot be looked into, whatever their layers are."""
    if isinstance(module, torch.jit.ScriptModule):
        raise ModelError(
            f"{name} is a TorchScript module, whose layers cannot be looked into: give the "
            "nn.Module that it was made from"
        )
    if not any(True for _ in module.parameters()):
        raise ModelError(f"{name} has no parameters, so it is no network to look into")
    tensors = [*module.parameters(), *module.buffers()]
    if any(is_lazy(each) for each in tensors):
        raise ModelError(f"{name} has lazy layers: run it once on a batch of images first")
    if any(each.is_inference() for each in tensors):
        raise ModelError(
            f"{name} was made under torch.inference_mode(), so nothing can be differentiated "
            "through it; make it outside"
        )


def _spec(source: str | ModelSpec) -> ModelSpec:
    if isinstance(source, ModelSpec):
        return source
    if isinstance(source, str):
        return find_spec(source) or ModelSpec(source)
    raise ArgumentError(
        f"a model is a name, a ModelSpec, an nn.Module or a Model, not {type(source).__name__}"
    )


def _constructor(spec: ModelSpec) -> object:
    """Returns what builds the spec's model: a callable, or a name that a library knows."""
    constructor: object = spec.name if spec.constructor is None else spec.constructor
    return constructor


def _merge(spec: ModelSpec, name: str | None, given: Mapping[str, object]) -> ModelSpec:
    """Returns the spec with the arguments that are not ``None`` put over it."""
    changes = {key: value for key, value in given.items() if value is not None}
    if name is not None:
        changes |= {"name": name, "constructor": _constructor(spec)}
    if "options" in changes:
        changes["options"] = {**spec.options, **cast("Mapping[str, object]", changes["options"])}
    return replace(spec, **changes)  # type: ignore[arg-type]  # each value has its field's type


def _make(spec: ModelSpec, device: torch.device) -> _Made:
    """Returns the spec's module, built on the CPU, frozen, in evaluation mode, on ``device``."""
    constructor = _constructor(spec)
    architecture = None
    if isinstance(constructor, str):
        architecture = zoo.find_architecture(constructor)
    trained = spec.pretrained and spec.checkpoint is None and architecture is not None
    with torch.inference_mode(False):
        module = _build(spec, architecture, spec.options, trained)
        if spec.checkpoint is not None:
            module = _load_checkpoint(spec, architecture, module)
        module = module.eval().requires_grad_(False).to(device)
    preprocess = zoo.module_preprocess(module)
    if preprocess is None and architecture is not None:
        preprocess = zoo.published_preprocess(architecture)
    name = spec.name
    if architecture is not None and spec.constructor is None:
        name = str(architecture) if trained else architecture.bare
    return _Made(
        name,
        module,
        _describe_weights(spec, architecture, trained),
        preprocess or Preprocess(),
        zoo.knows_imagenet(module),
    )


def _build(
    spec: ModelSpec,
    architecture: Architecture | None,
    options: Mapping[str, object],
    trained: bool,
) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if architecture is not None:
            return zoo.build(architecture, pretrained=trained, options=options)
        constructor = cast("type[nn.Module]", spec.constructor)
        try:
            module = constructor(**options)
        except Exception as error:  # the constructor is the caller's, and may raise anything
            chosen = f" with {dict(options)}" if options else ""
            raise ModelError(
                f"the constructor of {spec.name!r} failed{chosen}: {error!r}"
            ) from error
    if not isinstance(module, nn.Module):
        raise ModelError(
            f"the constructor of {spec.name!r} returned a {type(module).__name__}, not an nn.Module"
        )
    _check_module(module, spec.name)
    return module


def _load_checkpoint(
    spec: ModelSpec, architecture: Architecture | None, module: nn.Module
) -> nn.Module:
    path = Path(cast("str | PathLike[str]", spec.checkpoint))
    state = rename_old(read_checkpoint(path), module)
    if architecture is not None and "num_classes" not in spec.options:
        default = getattr(module, "num_classes", 1000)
        classes = count_classes(state, module, default)
        if classes != default:
            module = _build(spec, architecture, {**spec.options, "num_classes": classes}, False)
    fit(state, module, file=str(path), model=str(architecture or spec.name))
    if "transform_input" not in spec.options and hasattr(module, "transform_input"):
        # torchvision builds GoogLeNet and Inception with it whenever it loads their weights.
        module.transform_input = True  # type: ignore[assignment]  # a flag, and no tensor
    return module


def _describe_weights(spec: ModelSpec, architecture: Architecture | None, trained: bool) -> str:
    if spec.checkpoint is not None:
        return Path(spec.checkpoint).name
    if trained and architecture is not None and architecture.weights:
        return architecture.weights
    return RANDOM if architecture is not None else "as given"


def _pick_device(device: str | torch.device | None) -> torch.device:
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        picked = torch.device(device)
        torch.empty(0, device=picked)
    except (RuntimeError, AssertionError) as error:
        reason = re.split(r"\.\s", str(error))[0]
        raise ArgumentError(f"device {str(device)!r} cannot be used: {reason}") from error
    return picked

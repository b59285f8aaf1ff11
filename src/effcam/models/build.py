"""Modules built to be filled: nobody draws random weights that are about to be overwritten."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from effcam.errors import ArgumentError, ModelError, WeightsError
from effcam.images.preprocess import Preprocess
from effcam.models import downloads, zoo
from effcam.models.architectures import STORES, Architecture, Entry, entries, is_current
from effcam.models.checkpoint import (
    Checkpoint,
    check_checkpoint,
    count_classes,
    fit,
    read_checkpoint,
    rename_old,
    select,
)
from effcam.models.facts import RANDOM
from effcam.models.registry import ModelSpec
from effcam.models.tracing.isolation import in_turn
from effcam.models.tracing.rng import OwnDraws
from effcam.models.wrappers import check_module, own_labels, own_size, unwrap

DRAWS: Mapping[Callable[..., Any], str] = {
    Tensor.uniform_: "from",
    nn.init.uniform_: "a",
    Tensor.normal_: "mean",
    nn.init.normal_: "mean",
    nn.init.kaiming_uniform_: "",
}
"""What fills a tensor with random numbers in place, and its argument that such a number may be.

Whoever draws until a number fits, as `torch.nn.init.trunc_normal_` does, ends with these: a
mean lies within its bounds, and a lower bound passes every test for "small enough".
"""


class _WithoutDraws(TorchFunctionMode):
    """Fills tensors with one number instead of random ones, in this thread alone."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        _types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        arguments = kwargs or {}
        if func is Tensor.erfinv_:  # the slow step of timm's truncated normal distribution
            return args[0]
        if func not in DRAWS:
            return func(*args, **arguments)
        tensor = args[0] if args else arguments["tensor"]
        name = DRAWS[func]
        with torch.no_grad():
            return tensor.fill_(args[1] if name and len(args) > 1 else arguments.get(name, 0.0))


def without_draws() -> TorchFunctionMode:
    """Return a context in which weights that are drawn at random are all alike instead.

    Constants, as the ones of a norm, are set as ever: what a state dict does not hold stays what
    the constructor makes it. What it does hold must be loaded before the module is used.

    >>> with without_draws():
    ...     layer = nn.Linear(2, 3)
    >>> layer.weight
    Parameter containing:
    tensor([[0., 0.],
            [0., 0.],
            [0., 0.]], requires_grad=True)
    """
    return _WithoutDraws()


# Options that change no layer's name and not what the head reads.
USUAL = {"num_classes", "in_chans", "img_size", "image_size", "drop_rate", "transform_input"}
See = Callable[[Preprocess], Preprocess]


@dataclass(frozen=True, slots=True)
class Made:
    """A module, and what is known of it before its layers are looked at.

    Attributes:
        name: What the model is called.
        module: The module, in evaluation mode and frozen if it was built here.
        weights: Where its weights are from.
        preprocess: How a photo becomes its input.
        labels: The classes' names that came with the module or its weights.
        entry: What is known of it beforehand, if a library built it in its usual structure.
        built: Whether it was built here, and is nobody else's.
    """

    name: str
    module: nn.Module
    weights: str
    preprocess: Preprocess
    labels: tuple[str, ...] | None = None
    entry: Entry | None = None
    built: bool = False


def make(spec: ModelSpec, *, device: str | torch.device | None, see: See) -> Made:
    """Return the spec's module, built on the CPU, frozen, in evaluation mode, on ``device``.

    Args:
        spec: What to make.
        device: Where to put it; ``None`` takes a GPU if there is one.
        see: Returns the transform to use, given the model's own.

    Raises:
        UnknownModelError: If nothing has the spec's name.
        WeightsError: If weights cannot be found, fetched, read or fitted.
        ModelError: If the module cannot be built.
    """
    placed = _pick_device(device)
    constructor = _constructor(spec)
    architecture = zoo.find_architecture(constructor) if isinstance(constructor, str) else None
    trained = spec.pretrained and spec.checkpoint is None and architecture is not None
    checkpoint: Checkpoint | None = None
    fills = spec.checkpoint is not None or _has_weights(architecture, trained)
    with (
        # While they build and read weights, both libraries have what is the whole process's:
        # filters of warnings, variables of the environment.
        in_turn([zoo]),
        torch.inference_mode(False),
        without_draws() if fills else nullcontext(),
    ):
        module = _build_for(_options(spec, architecture, see, trained), spec, architecture, trained)
        if spec.checkpoint is not None:
            checkpoint = read_checkpoint(spec.checkpoint)
            module = _load(spec, architecture, module, checkpoint)
        module = module.eval().requires_grad_(False).to(placed)
    name = spec.name
    if architecture is not None and spec.constructor is None:
        name = str(architecture) if trained else architecture.bare
    return Made(
        name,
        module,
        _describe_weights(spec, architecture, trained),
        see(_given_preprocess(spec) or _preprocess(module, architecture)),
        (checkpoint.labels if checkpoint else None) or own_labels(module),
        _entry(spec, architecture),
        built=True,
    )


def adopt(module: nn.Module, *, name: str, device: str | torch.device | None) -> Made:
    """Return a module of the caller's own as it is, without its wrappers.

    Raises:
        ArgumentError: If it is not on the device that was asked for.
        ModelError: If it cannot be looked into.
    """
    with in_turn(module.modules()):  # another thread's trace has it on meta tensors meanwhile
        tensors = [*module.parameters(), *module.buffers()]
    placed = tensors[0].device if tensors else torch.device("cpu")
    if device is not None and torch.device(device) != placed:
        raise ArgumentError(
            f"{name} is on {placed}, not on {device}: effcam leaves your module where it "
            f"is; move it with .to({str(device)!r}), or drop device"
        )
    inner = unwrap(module)
    check_module(inner, name)
    return Made(name, inner, "as given", _preprocess(inner, None), own_labels(inner))


def check_weights(specs: Iterable[ModelSpec]) -> None:
    """Make sure, in seconds and before anything is built, that all weights can be had.

    Raises:
        WeightsError: If some are neither on disk nor can be fetched; names all of them. Or if a
            checkpoint does not exist.
        UnknownModelError: If nothing has one of the names.
    """
    wanted = []
    for spec in specs:
        if spec.checkpoint is not None:
            check_checkpoint(spec.checkpoint)
        constructor = _constructor(spec)
        if spec.pretrained and spec.checkpoint is None and isinstance(constructor, str):
            architecture = zoo.find_architecture(constructor)
            zoo.check_stored(architecture)
            published = zoo.published_weights(architecture)
            if published is not None:
                wanted.append(published)
    downloads.require(wanted)


def expected_preprocess(source: ModelSpec | nn.Module) -> Preprocess | None:
    """Return a model's own transform before it is built, ``None`` where that is not known."""
    if isinstance(source, nn.Module):
        return _preprocess(unwrap(source), None)
    given = _given_preprocess(source)
    constructor = _constructor(source)
    if given is None and isinstance(constructor, str):
        return zoo.published_preprocess(zoo.find_architecture(constructor))
    return given


def expected_synonyms(spec: ModelSpec) -> Sequence[Sequence[str]] | None:
    """Return all names of each class before the model is built, ``None`` where not known.

    Weights of a file and constructors of the caller's own may have any classes.
    """
    if spec.labels is not None:
        return [[str(label)] for label in spec.labels]
    constructor = _constructor(spec)
    if spec.checkpoint is not None or not spec.pretrained or "num_classes" in spec.options:
        return None
    if not isinstance(constructor, str):
        return None
    classes = zoo.published_classes(zoo.find_architecture(constructor))
    return zoo.imagenet_labels(classes) if classes else None


def weights_file(spec: ModelSpec) -> Path | None:
    """Return the file that a spec's weights will be read from, if it is on disk already."""
    constructor = _constructor(spec)
    if spec.checkpoint is not None:
        return check_checkpoint(spec.checkpoint)
    if not spec.pretrained or not isinstance(constructor, str):
        return None
    architecture = zoo.find_architecture(constructor)
    published = zoo.published_weights(architecture)
    return published.find() if published is not None else None


def _constructor(spec: ModelSpec) -> object:
    """Return what builds the spec's model: a callable, or a name that a library knows."""
    constructor: object = spec.name if spec.constructor is None else spec.constructor
    return constructor


def _has_weights(architecture: Architecture | None, trained: bool) -> bool:
    """Return whether published weights will be loaded; not every architecture has some."""
    if architecture is None or not trained:
        return False
    # A stored model has some; which, is asked after its configuration was read.
    return architecture.library in STORES or bool(zoo.weights_label(architecture))


def _given_preprocess(spec: ModelSpec) -> Preprocess | None:
    if spec.preprocess is None or isinstance(spec.preprocess, Preprocess):
        return spec.preprocess
    raise ArgumentError(
        f"preprocess must be an effcam.Preprocess, not {type(spec.preprocess).__name__}"
    )


def _options(
    spec: ModelSpec, architecture: Architecture | None, see: See, trained: bool
) -> Mapping[str, object]:
    """Return the spec's options, with the input size for what is built for one size alone."""
    option = zoo.size_option(architecture) if architecture is not None else ""
    if architecture is None or not option or option in spec.options:
        return spec.options
    own = zoo.published_preprocess(architecture)
    height, width = see(_given_preprocess(spec) or own).size
    if (height, width) == own.size and (trained or option == "img_size"):
        return spec.options
    # torchvision's own default is not always the size of its weights.
    return {**spec.options, option: (height, width) if option == "img_size" else height}


def _entry(spec: ModelSpec, architecture: Architecture | None) -> Entry | None:
    if architecture is None or not is_current(architecture.library) or spec.options.keys() - USUAL:
        return None
    return entries().get((architecture.library, architecture.name))


def _preprocess(module: nn.Module, architecture: Architecture | None) -> Preprocess:
    found = zoo.module_preprocess(module)
    if found is None and architecture is not None:
        found = zoo.published_preprocess(architecture)
    return found or Preprocess(size=own_size(module) or Preprocess().size)


def _build_for(
    options: Mapping[str, object],
    spec: ModelSpec,
    architecture: Architecture | None,
    trained: bool,
) -> nn.Module:
    try:
        return _build(spec, architecture, options, trained)
    except (ModelError, WeightsError):
        if options == spec.options:
            raise
        # Not every architecture of a fixed size, nor its weights, can be made for another one.
        return _build(spec, architecture, spec.options, trained)


def _build(
    spec: ModelSpec,
    architecture: Architecture | None,
    options: Mapping[str, object],
    trained: bool,
) -> nn.Module:
    if architecture is not None:
        with OwnDraws():
            return zoo.build(architecture, pretrained=trained, options=options)
    constructor = cast("type[nn.Module]", spec.constructor)
    try:
        with OwnDraws():
            module = constructor(**options)
    except Exception as error:  # the constructor is the caller's, and may raise anything
        chosen = f" with {dict(options)}" if options else ""
        raise ModelError(f"the constructor of {spec.name!r} failed{chosen}: {error!r}") from error
    if not isinstance(module, nn.Module):
        raise ModelError(
            f"the constructor of {spec.name!r} returned a {type(module).__name__}, not an nn.Module"
        )
    inner = unwrap(module)
    check_module(inner, spec.name)
    return inner


def _load(
    spec: ModelSpec, architecture: Architecture | None, module: nn.Module, checkpoint: Checkpoint
) -> nn.Module:
    """Return the module with a checkpoint's weights, built again if it has other classes."""
    state = rename_old(select(checkpoint.state, module), module)
    options = dict(spec.options)
    if architecture is not None and "num_classes" not in options:
        default = getattr(module, "num_classes", 1000)
        classes = count_classes(state, module, default)
        if classes != default:
            module = _build(spec, architecture, {**options, "num_classes": classes}, False)
    file = str(Path(cast("str | PathLike[str]", spec.checkpoint)))
    fit(state, module, file=file, model=str(architecture or spec.name))
    if architecture is not None and architecture.library == "torchvision":
        zoo.see_as_published(module, options)
    return module


def _describe_weights(spec: ModelSpec, architecture: Architecture | None, trained: bool) -> str:
    if spec.checkpoint is not None:
        return Path(spec.checkpoint).name
    if trained and architecture is not None:
        return zoo.weights_label(architecture) or RANDOM
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

"""Specs of models, and the registry of their names; no library is imported."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from os import PathLike
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, get_args

from effcam.errors import ArgumentError, DuplicateModelError, EffcamWarning, check_choice
from effcam.models.training_stage import TrainingStage

DEFAULT_MODELS: Mapping[str, str] = MappingProxyType(
    {
        "alexnet": "torchvision:alexnet.IMAGENET1K_V1",
        "densenet121": "torchvision:densenet121.IMAGENET1K_V1",
        "resnet152": "torchvision:resnet152.IMAGENET1K_V1",
        "EB0": "timm:tf_efficientnet_b0.in1k",
        "EB3": "timm:tf_efficientnet_b3.in1k",
    }
)
"""The five models of the 2019 comparison, with the weights it had, by their column labels."""

GROUP = "effcam.models"
"""The group of entry points with which installed packages register their models."""

OWN = (EntryPoint("demo", "effcam.demo.models:specs", GROUP),)
"""effcam's own, so that they work also if the package is not installed."""

Scores: TypeAlias = Literal["softmax", "sigmoid", "embedding"]
"""What a caller states of a network's output."""

_registered: dict[str, ModelSpec] = {}


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """How to build one model: a name, and what differs from that name's defaults.

    Nothing is built, read or fetched until the model is needed, so that a comparison holds one
    model in memory at a time.

    Attributes:
        name: The model's name. Without a ``constructor`` it is also a name that
            `effcam.load_model` knows, such as ``"resnet50"``.
        constructor: Another name to build from, or a callable that takes ``options`` as keyword
            arguments and returns an ``nn.Module``.
        checkpoint: A file with weights to load into the model, instead of published ones.
        target_layer: The dotted name of the layer to look at, or several, whose maps are added;
            ``None`` finds it.
        preprocess: An `effcam.Preprocess`; ``None`` is the one that the weights were published
            with.
        labels: The name of each class, in order; ``None`` is the library's. For a model of images
            and texts, these names make it a classifier; a mapping from each name to its text, or to
            several, says how.
        pretrained: Whether to load published weights. Without them, and without a checkpoint,
            the weights are random, the same each time, and their heat means nothing.
        options: Keyword arguments for the constructor: ``num_classes``, ``pad_type``, ...
        scores: What its class scores are: ``"softmax"`` for classes that exclude each other,
            ``"sigmoid"`` for labels of which an image may have several; ``"embedding"`` if it
            returns an embedding instead; ``None`` is what the network or its configuration shows.
        training: At which point of training the weights of ``checkpoint`` were saved, as
            `effcam.checkpoints` reads it; it changes no result.

    >>> ModelSpec("flowers", constructor="timm:resnet18", options={"num_classes": 5}).name
    'flowers'
    """

    name: str
    constructor: str | Callable[..., Any] | None = None
    checkpoint: str | PathLike[str] | None = None
    target_layer: str | Sequence[str] | None = None
    preprocess: object | None = None
    labels: Sequence[str] | Mapping[str, str | Sequence[str]] | None = None
    pretrained: bool = True
    options: Mapping[str, object] = field(default_factory=dict, hash=False)
    scores: Scores | None = None
    training: TrainingStage | None = None

    def __post_init__(self) -> None:
        """Check the name and the scores, and keep a read-only copy of the options."""
        if not isinstance(self.name, str) or not self.name.strip():
            raise ArgumentError(f"a model's name must be a non-empty string, not {self.name!r}")
        if self.scores is not None:
            check_choice("scores", self.scores, get_args(Scores))
        if not isinstance(self.training, TrainingStage | None):
            raise ArgumentError(f"training must be a TrainingStage, not {self.training!r}")
        object.__setattr__(self, "options", MappingProxyType(dict(self.options)))

    def __reduce__(self) -> tuple[Callable[..., ModelSpec], tuple[object, ...]]:
        """Pickle the options as a dict, since a read-only mapping cannot be pickled."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return _spec_of, (values | {"options": dict(self.options)},)


def _spec_of(values: dict[str, Any]) -> ModelSpec:
    return ModelSpec(**values)


def register_model(spec: ModelSpec, *, replace: bool = False) -> ModelSpec:
    """Register a model's name for `load_model`, `compare` and the CLI, and return the spec.

    A registered name has priority over a timm or torchvision architecture of the same name. A
    package registers its models without a call by entry points of the group ``effcam.models``:
    each names a spec, a list of them, or a function that returns these.

    Args:
        spec: The model to register.
        replace: Whether to replace a model that is registered under the name already.

    Raises:
        DuplicateModelError: If the name is registered already and ``replace`` is false.
        ArgumentError: If ``spec`` is not a `ModelSpec`.

    >>> import effcam
    >>> spec = effcam.ModelSpec("my_resnet", constructor="timm:resnet18", pretrained=False)
    >>> effcam.register_model(spec, replace=True).name
    'my_resnet'
    >>> effcam.list_models("my_*")
    ('my_resnet',)
    """
    if not isinstance(spec, ModelSpec):
        raise ArgumentError(f"register_model takes a ModelSpec, not {type(spec).__name__}")
    if spec.name in _registered and not replace:
        raise DuplicateModelError(
            f"a model called {spec.name!r} is registered already; "
            "choose another name, or pass replace=True"
        )
    _registered[spec.name] = spec
    return spec


def find_spec(name: str) -> ModelSpec | None:
    """Return the spec registered under the name, by a call or by a package, or ``None``."""
    _read_entry_points()
    return _registered.get(name)


def registered_names(pattern: str = "*") -> tuple[str, ...]:
    """Return the registered names that match the glob pattern, in order of registration."""
    _read_entry_points()
    return tuple(name for name in _registered if fnmatchcase(name, pattern))


def _read_entry_points() -> None:
    """Register the models of installed packages once; warn of those that are left out."""
    waiting = _entry_points()
    while waiting:
        # Remove it first: the import may look up a model itself.
        entry = waiting.pop(0)
        origin = f"{entry.name!r} offers to effcam ({entry.value})"
        try:
            specs = _specs(entry.load())
        except Exception as error:  # noqa: BLE001  # the package may raise anything
            _warn(f"the models that {origin} are left out: {error!r}")
            continue
        for spec in specs:
            if spec.name in _registered:
                if entry in OWN:  # the caller replaced it on purpose
                    continue
                _warn(f"the model {spec.name!r} that {origin} is left out: its name is taken")
            else:
                register_model(spec)


def _warn(message: str) -> None:
    warnings.warn(message, EffcamWarning, stacklevel=3)


@cache
def _entry_points() -> list[EntryPoint]:
    """Return the list of entry points that are still to be read, effcam's own first."""
    found = {entry.value: entry for entry in (*OWN, *entry_points(group=GROUP))}
    return list(found.values())


def _specs(offered: object) -> list[ModelSpec]:
    """Return the specs of an entry point: one, several, or those that a function returns."""
    found = offered() if callable(offered) else offered
    if found is None:
        return []
    several = list(found) if isinstance(found, Iterable) and not isinstance(found, str) else [found]
    specs = []
    for spec in several:
        if not isinstance(spec, ModelSpec):
            raise ArgumentError(
                "expected a ModelSpec, several, or a function that returns them, not a "
                f"{type(spec).__name__}"
            )
        # Skip a spec that its package has registered itself.
        if _registered.get(spec.name) is not spec:
            specs.append(spec)
    return specs

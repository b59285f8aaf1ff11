"""What timm and torchvision offer: architectures by name, how they are built, their labels.

Both libraries are imported when first needed: together they take seconds.
"""

from __future__ import annotations

import math
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from effcam.architectures import (
    LIBRARIES,
    Architecture,
    Library,
    architecture_names,
    architectures,
    imagenet_categories,
    timm_config,
    torchvision_entry,
    weights_names,
)
from effcam.errors import (
    ArgumentError,
    EffcamError,
    ModelError,
    UnknownModelError,
    WeightsError,
    did_you_mean,
)
from effcam.preprocess import Preprocess
from effcam.registry import find_spec, registered_names
from effcam.weights import PublishedWeights

if TYPE_CHECKING:
    from torch import nn


def find_architecture(name: str) -> Architecture:
    """Returns the architecture that a name stands for: timm's if it has one, else torchvision's.

    Args:
        name: ``resnet50``, ``resnet50.a1_in1k``, ``torchvision:resnet50.IMAGENET1K_V1``, ...

    Raises:
        UnknownModelError: If neither library has the architecture or the weights.
    """
    prefix, colon, rest = name.rpartition(":")
    if colon and prefix not in LIBRARIES:
        raise UnknownModelError(
            f"no model is called {name!r}: names start with 'timm:', 'torchvision:' or neither"
        )
    bare, _, weights = rest.partition(".")
    for library in LIBRARIES:
        if prefix in ("", library) and bare in architectures(library):
            return Architecture(library, bare, _pick_weights(library, bare, weights))
    # Suggesting only needs names, so the name is looked for in all that could have been meant.
    known = [each for library in LIBRARIES for each in architectures(library)]
    hint = did_you_mean(bare, [*known, *registered_names()])
    raise UnknownModelError(f"no model is called {name!r}.{hint} effcam.list_models() lists all.")


def list_models(
    pattern: str = "*", *, source: str | None = None, pretrained: bool | None = None
) -> tuple[str, ...]:
    """Returns the names that `load_model` and `compare` know, in natural order.

    Every name loads exactly the model that it was listed for: an architecture whose name a
    registered model uses, or timm before torchvision, is listed with its prefix, as
    ``torchvision:resnet50``.

    Args:
        pattern: A glob that the name matches, with or without its prefix and its weights.
        source: ``"timm"``, ``"torchvision"`` or ``"registered"``; ``None`` is all of them.
        pretrained: ``None`` lists architectures; true lists each set of published weights, as
            ``resnet50.a1_in1k``; false lists the architectures that have none. Registered
            models count by what their spec says.

    Raises:
        ArgumentError: If ``source`` is not one of the three.

    >>> import effcam
    >>> effcam.list_models("densenet1?1", source="timm")
    ('densenet121', 'densenet161')
    >>> effcam.list_models("alexnet*", pretrained=True)
    ('alexnet.IMAGENET1K_V1',)
    """
    if source not in (None, "registered", *LIBRARIES):
        raise ArgumentError(
            f"source must be 'timm', 'torchvision', 'registered' or None, not {source!r}"
        )
    names: list[str] = []
    for library in LIBRARIES:
        if source in (None, library):
            names += [
                name
                for name in _listed(library, pretrained)
                if any(fnmatchcase(each, pattern) for each in _forms(name))
            ]
    if source in (None, "registered"):
        names += [name for name in registered_names(pattern) if _has_weights(name, pretrained)]
    return tuple(dict.fromkeys(sorted(names, key=natural_key)))


def _forms(name: str) -> set[str]:
    """Returns the ways to write a name: with its library and weights, or without either."""
    bare = name.rpartition(":")[2]
    return {name, bare, name.partition(".")[0], bare.partition(".")[0]}


def natural_key(text: str) -> list[tuple[int, str]]:
    """Returns a sort key that puts ``resnet18`` before ``resnet101``."""
    parts = re.split(r"(\d+)", text.casefold())
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def build(
    architecture: Architecture, *, pretrained: bool, options: Mapping[str, object]
) -> nn.Module:
    """Returns the architecture as a module on the CPU, its published weights loaded if asked for.

    Args:
        architecture: What to build.
        pretrained: Whether to load the published weights; they are fetched if they are not on
            disk (see `effcam.weights`). Otherwise the weights are drawn by the library.
        options: Keyword arguments for the library's constructor.

    Raises:
        ModelError: If the library refuses the options.
        WeightsError: If the published weights cannot be had or read.
    """
    make = _build_timm if architecture.library == "timm" else _build_torchvision
    try:
        with warnings.catch_warnings():
            # GoogLeNet and Inception announce a change of an initialisation that is not kept.
            warnings.filterwarnings(
                "ignore", message=".*weight initialization of", category=FutureWarning
            )
            return make(architecture, pretrained, dict(options))
    except EffcamError:
        raise
    except Exception as error:  # constructors check their arguments in any way, or not at all
        weights = published_weights(architecture) if pretrained else None
        if weights is not None and _can_be_built(architecture, options):
            raise WeightsError(
                f"the weights of {architecture} cannot be loaded from {weights.find()}, so the "
                f"file may be damaged; delete it to have it fetched again ({_reason(error)})"
            ) from error
        chosen = f" with {dict(options)}" if options else ""
        raise ModelError(f"{architecture} cannot be built{chosen}: {_reason(error)}") from error


def published_weights(architecture: Architecture) -> PublishedWeights | None:
    """Returns where the architecture's weights can be had, ``None`` where there are none."""
    if not architecture.weights:
        return None
    if architecture.library == "torchvision":
        return PublishedWeights(str(architecture), url=torchvision_entry(architecture).url)
    config = timm_config(architecture)
    if config.hf_hub_id:
        files = ("model.safetensors", "pytorch_model.bin")
        own = config.hf_hub_filename
        return PublishedWeights(str(architecture), config.hf_hub_id, (own,) if own else files)
    return PublishedWeights(str(architecture), url=config.url)


def published_preprocess(architecture: Architecture) -> Preprocess:
    """Returns the evaluation transform that the architecture's weights were published with."""
    if architecture.library == "timm":
        return _from_timm(timm_config(architecture).to_dict())
    return _from_torchvision(torchvision_entry(architecture).transforms())


def module_preprocess(module: nn.Module) -> Preprocess | None:
    """Returns the transform that a timm module carries with it, ``None`` for others."""
    config = getattr(module, "pretrained_cfg", None)
    if not isinstance(config, Mapping) or "input_size" not in config:
        return None
    return _from_timm(dict(config))


@cache
def imagenet_labels(classes: int) -> tuple[tuple[str, ...], ...] | None:
    """Returns the synonyms of every ImageNet class, the one to show first, by class index.

    Args:
        classes: The number of classes, which tells ImageNet-1k from its larger sets.

    Returns:
        One tuple of names a class, or ``None`` if no ImageNet set has so many.
    """
    from timm.data import ImageNetInfo, infer_imagenet_subset

    subset = infer_imagenet_subset({"num_classes": classes})
    if subset is None:
        return None
    lemmas = [text.split(", ") for text in ImageNetInfo(subset).label_descriptions()]
    if classes == 1000:
        # torchvision tells the two cranes and the two maillots apart.
        lemmas = [[name, *words] for name, words in zip(imagenet_categories(), lemmas, strict=True)]
    return tuple(tuple(dict.fromkeys(words)) for words in lemmas)


def knows_imagenet(module: nn.Module) -> bool:
    """Tells whether a module is of a class of either library, where 1000 classes are ImageNet's.

    Those without a classifier give as many features, which are no classes.
    """
    classifies = getattr(module, "num_classes", None) != 0
    return classifies and type(module).__module__.partition(".")[0] in LIBRARIES


def has_fixed_size(architecture: Architecture) -> bool:
    """Tells whether an architecture is built for one input size, given as ``img_size``."""
    return architecture.library == "timm" and bool(timm_config(architecture).fixed_input_size)


def see_as_published(module: nn.Module, options: Mapping[str, object]) -> None:
    """Lets a module of torchvision's take its input as it does with published weights.

    GoogLeNet and Inception are built with ``transform_input`` whenever these are loaded.
    """
    if "transform_input" not in options and hasattr(module, "transform_input"):
        module.transform_input = True  # type: ignore[assignment]  # a flag, and no tensor


def _can_be_built(architecture: Architecture, options: Mapping[str, object]) -> bool:
    """Tells whether the constructor takes the options, to tell bad options from bad weights."""
    try:
        build(architecture, pretrained=False, options=options)
    except ModelError:
        return False
    return True


def _reason(error: Exception) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__


def _check_classes(architecture: Architecture, options: Mapping[str, object]) -> None:
    """Refuses to put a random head on published weights: its heat would mean nothing."""
    if architecture.library == "timm":
        published = timm_config(architecture).num_classes
    else:
        published = len(torchvision_entry(architecture).meta["categories"])
    asked = options.get("num_classes", published)
    if asked != published:
        raise ModelError(
            f"the weights of {architecture} are for {published} classes, not num_classes={asked}: "
            "give a checkpoint of your own, or pretrained=False for random weights"
        )


def _build_timm(architecture: Architecture, pretrained: bool, options: dict[str, Any]) -> nn.Module:
    import timm

    name = str(architecture).partition(":")[2]
    weights = published_weights(architecture) if pretrained else None
    if weights is None:
        return timm.create_model(name, pretrained=False, **options)
    _check_classes(architecture, options)
    file = weights.fetch()
    # timm's readers of NumPy archives are for those alone.
    overlay: dict[str, Any] = {"file": str(file)} | (
        {} if file.suffix == ".npz" else {"custom_load": False}
    )
    return timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **options)


def _build_torchvision(
    architecture: Architecture, pretrained: bool, options: dict[str, Any]
) -> nn.Module:
    from torchvision.models import get_model

    weights = published_weights(architecture) if pretrained else None
    if weights is None:
        return cast("nn.Module", get_model(architecture.name, weights=None, **options))
    _check_classes(architecture, options)
    weights.fetch()
    # torchvision finds the file where it now lies. Its own loader is needed: it renames the keys
    # of DenseNet's files, and weights decide the input size and scale of some architectures.
    entry = torchvision_entry(architecture)
    with _tensors_alone():
        module = get_model(architecture.name, weights=entry, progress=False, **options)
    return cast("nn.Module", module)


@contextmanager
def _tensors_alone() -> Iterator[None]:
    """Makes every ``torch.load`` within refuse what could run code; torchvision does not ask."""
    names = ("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD")
    before = {name: os.environ.pop(name, None) for name in names}
    os.environ[names[0]] = "1"
    try:
        yield
    finally:
        del os.environ[names[0]]
        os.environ.update({name: value for name, value in before.items() if value is not None})


def _pick_weights(library: Library, name: str, weights: str) -> str:
    known = weights_names(library, name)
    if not weights:
        return known[0] if known else ""
    if weights not in known:
        have = f"It has {', '.join(known)}." if known else "None are published for it."
        hint = _elsewhere(library, name, weights) or did_you_mean(weights, known)
        raise UnknownModelError(f"{library} has no weights {weights!r} for {name!r}.{hint} {have}")
    return weights


def _elsewhere(library: Library, name: str, weights: str) -> str:
    """Returns a hint to the other library, if weights of that name are there."""
    for other in LIBRARIES:
        known = weights_names(other, name) if name in architectures(other) else []
        if other != library and weights in known:
            return f" Did you mean '{other}:{name}.{weights}'?"
    return ""


def _listed(library: Library, pretrained: bool | None) -> list[str]:
    shadowed = {*registered_names(), *(architectures("timm") if library == "torchvision" else ())}
    names = []
    for name in architecture_names(library):
        shown = f"{library}:{name}" if name in shadowed else name
        if pretrained is None:
            names.append(shown)
        elif pretrained:
            names += [f"{shown}.{weights}" for weights in weights_names(library, name)]
        elif not weights_names(library, name):
            names.append(shown)
    return names


def _has_weights(name: str, pretrained: bool | None) -> bool:
    spec = find_spec(name)
    if pretrained is None or spec is None:
        return True
    return (spec.pretrained or spec.checkpoint is not None) is pretrained


def _from_timm(config: dict[str, Any]) -> Preprocess:
    from timm.data import resolve_data_config

    data = resolve_data_config(pretrained_cfg=config)
    height, width = data["input_size"][1:]
    crop = data["crop_pct"]
    return Preprocess(
        size=(height, width),
        resize=(math.floor(height / crop), math.floor(width / crop)),
        mode="crop" if data["crop_mode"] == "center" else data["crop_mode"],
        interpolation=data["interpolation"],
        mean=tuple(data["mean"]),
        std=tuple(data["std"]),
    )


def _from_torchvision(transform: Any) -> Preprocess:
    return Preprocess(
        size=transform.crop_size[0],
        resize=transform.resize_size[0],
        interpolation=transform.interpolation.value,
        mean=tuple(transform.mean),
        std=tuple(transform.std),
    )

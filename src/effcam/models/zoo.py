"""What timm and torchvision offer: architectures by name, how they are built, their labels.

Both libraries are imported when first needed: together they take seconds.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from effcam.errors import EffcamError, ModelError, UnknownModelError, WeightsError, did_you_mean
from effcam.images.preprocess import Preprocess
from effcam.models.architectures import (
    FOLDER,
    LIBRARIES,
    STORES,
    Architecture,
    Library,
    architectures,
    has_architecture,
    imagenet_categories,
    timm_config,
    torchvision_entry,
    weights_names,
)
from effcam.models.downloads import PublishedWeights
from effcam.models.hub import find_weights, read_stored, stored_weights
from effcam.models.pickle_check import check_pickles
from effcam.models.registry import registered_names
from effcam.text import one_line

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn


def find_architecture(name: str) -> Architecture:
    """Return the architecture that a name stands for: timm's if it has one, else torchvision's.

    Args:
        name: ``resnet50``, ``resnet50.a1_in1k``, ``torchvision:resnet50.IMAGENET1K_V1``; or where
            a timm model is stored: ``hf-hub:timm/resnet50.a1_in1k``, ``local-dir:folder``.

    Raises:
        UnknownModelError: If neither library has the architecture or the weights.
    """
    store, _, place = name.partition(":")
    if place and store in STORES:
        return Architecture(STORES[store], place, "")
    prefix, colon, rest = name.rpartition(":")
    if colon and prefix not in LIBRARIES:
        raise UnknownModelError(
            f"no model is called {name!r}: names start with 'timm:', 'torchvision:', 'hf-hub:', "
            "'local-dir:' or none of these"
        )
    bare, _, weights = rest.partition(".")
    for library in LIBRARIES:
        if prefix in ("", library) and has_architecture(library, bare):
            return Architecture(library, bare, _pick_weights(library, bare, weights))
    if name in registered_names():
        raise UnknownModelError(
            f"{name!r} is a registered model, and no architecture: give the name itself, or its "
            "spec, not another spec of that name"
        )
    # Suggesting only needs names, so the name is looked for in all that could have been meant.
    known = [each for library in LIBRARIES for each in architectures(library)]
    hint = did_you_mean(bare, [*known, *registered_names()])
    raise UnknownModelError(f"no model is called {name!r}.{hint} effcam.list_models() lists all.")


def build(
    architecture: Architecture, *, pretrained: bool, options: Mapping[str, object]
) -> nn.Module:
    """Return the architecture as a module on the CPU, its published weights loaded if asked for.

    Args:
        architecture: What to build.
        pretrained: Whether to load the published weights; they are fetched if they are not on
            disk (see `effcam.models.downloads`). Otherwise the weights are drawn by the library.
        options: Keyword arguments for the library's constructor.

    Raises:
        ModelError: If the library refuses the options.
        WeightsError: If the published weights cannot be had or read.
    """
    make = {"timm": _build_timm, "torchvision": _build_torchvision}.get(
        architecture.library, _build_stored
    )
    try:
        with warnings.catch_warnings(), _tensors_alone():
            # GoogLeNet and Inception announce a change of an initialisation that is not kept.
            warnings.filterwarnings(
                "ignore", message=".*weight initialization of", category=FutureWarning
            )
            return make(architecture, pretrained, dict(options))
    except EffcamError:
        raise
    except Exception as error:  # constructors check their arguments in any way, or not at all
        chosen = f" with {dict(options)}" if options else ""
        if pretrained and _can_be_built(architecture, options):
            raise _bad_weights(architecture, error, chosen) from error
        raise ModelError(f"{architecture} cannot be built{chosen}: {_reason(error)}") from error


def published_weights(architecture: Architecture) -> PublishedWeights | None:
    """Return where the architecture's weights can be had, ``None`` where there are none."""
    if architecture.library not in LIBRARIES:
        return stored_weights(architecture)
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


def weights_label(architecture: Architecture) -> str:
    """Return what to call an architecture's weights: their name, or that of a stored file."""
    if architecture.library in LIBRARIES:
        return architecture.weights
    return find_weights(architecture).name


def check_stored(architecture: Architecture) -> None:
    """Check that a model in a folder is there.

    Raises:
        WeightsError: If the folder, its configuration or its weights are missing.
    """
    if architecture.library == FOLDER:
        find_weights(architecture)


def published_preprocess(architecture: Architecture) -> Preprocess:
    """Return the evaluation transform that the architecture's weights were published with."""
    if architecture.library != "torchvision":
        return _from_timm(_timm_config(architecture))
    return _from_torchvision(torchvision_entry(architecture).transforms())


def _timm_config(architecture: Architecture) -> dict[str, Any]:
    if architecture.library == "timm":
        return dict(timm_config(architecture).to_dict())
    return read_stored(architecture).config


def published_classes(architecture: Architecture) -> int:
    """Return how many classes published weights have; 0 where they are named otherwise."""
    if architecture.library == "torchvision":
        return len(torchvision_entry(architecture).meta["categories"])
    if architecture.library != "timm":
        return 0
    config = timm_config(architecture)
    return 0 if config.label_names else int(config.num_classes)


def module_preprocess(module: nn.Module) -> Preprocess | None:
    """Return the transform that a timm module carries with it, ``None`` for others."""
    config = getattr(module, "pretrained_cfg", None)
    if not isinstance(config, Mapping) or "input_size" not in config:
        return None
    return _from_timm(dict(config))


@cache
def imagenet_labels(classes: int) -> tuple[tuple[str, ...], ...] | None:
    """Return the synonyms of every ImageNet class, the one to show first, by class index.

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
    """Return whether a module is of a class of either library, where 1000 classes are ImageNet's.

    Those without a classifier give as many features, which are no classes.
    """
    classifies = getattr(module, "num_classes", None) != 0
    return classifies and type(module).__module__.partition(".")[0] in LIBRARIES


def size_option(architecture: Architecture) -> str:
    """Return the constructor's option for the input size, empty where any size goes."""
    if architecture.library == "torchvision":
        return "image_size" if architecture.name.startswith("vit_") else ""
    return "img_size" if _timm_config(architecture).get("fixed_input_size") else ""


def see_as_published(module: nn.Module, options: Mapping[str, object]) -> None:
    """Let a module of torchvision's take its input as it does with published weights.

    GoogLeNet and Inception are built with ``transform_input`` whenever these are loaded.
    """
    if "transform_input" not in options and hasattr(module, "transform_input"):
        module.transform_input = True  # type: ignore[assignment]  # a flag, and no tensor


def _can_be_built(architecture: Architecture, options: Mapping[str, object]) -> bool:
    """Return whether the constructor takes the options, to tell bad options from bad weights."""
    try:
        build(architecture, pretrained=False, options=options)
    except ModelError:
        return False
    return True


def _bad_weights(architecture: Architecture, error: Exception, chosen: str) -> WeightsError:
    weights = published_weights(architecture)
    file = weights.find() if weights else find_weights(architecture)
    other = "" if architecture.library in LIBRARIES else " or not be what its config.json says"
    again = "; delete it to have it fetched again" if weights else ""
    return WeightsError(
        f"the weights of {architecture} cannot be loaded{chosen} from {file}, so the file may be "
        f"damaged{other}{again} ({_reason(error)})"
    )


def _reason(error: Exception) -> str:
    """Return the first line of an error, and the next one where that only announces it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = lines[0] if lines else type(error).__name__
    return one_line(f"{first} {lines[1]}" if first.endswith(":") and len(lines) > 1 else first)


def _check_classes(architecture: Architecture, options: Mapping[str, object]) -> None:
    """Refuse to put a random head on published weights: its heat would mean nothing."""
    if architecture.library == "torchvision":
        published = len(torchvision_entry(architecture).meta["categories"])
    else:
        published = _timm_config(architecture)["num_classes"]
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
    overlay = _from_file(weights.fetch())
    return timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **options)


def _from_file(file: Path) -> dict[str, Any]:
    """Return what makes timm read weights from a file, and nowhere else."""
    _check_pickles(file)
    # timm's readers of NumPy archives are for those alone.
    return {"file": str(file)} | ({} if file.suffix == ".npz" else {"custom_load": False})


def _check_pickles(file: Path) -> None:
    """Refuse weights that the libraries would take much memory or time to open."""
    if file.suffix not in (".npz", ".safetensors"):
        check_pickles(file)


def _build_stored(
    architecture: Architecture, pretrained: bool, options: dict[str, Any]
) -> nn.Module:
    import timm
    from timm.models import PretrainedCfg

    stored = read_stored(architecture)
    known = {field.name for field in fields(PretrainedCfg)}
    config = {key: value for key, value in stored.config.items() if key in known}
    arguments = stored.arguments | options
    if pretrained:
        _check_classes(architecture, options)
        config |= {"source": ""} | _from_file(find_weights(architecture))
    return timm.create_model(
        stored.architecture, pretrained=pretrained, pretrained_cfg=config, **arguments
    )


def _build_torchvision(
    architecture: Architecture, pretrained: bool, options: dict[str, Any]
) -> nn.Module:
    from torchvision.models import get_model

    weights = published_weights(architecture) if pretrained else None
    if weights is None:
        return cast("nn.Module", get_model(architecture.name, weights=None, **options))
    _check_classes(architecture, options)
    _check_pickles(weights.fetch())
    # torchvision finds the file where it now lies. Its own loader is needed: it renames the keys
    # of DenseNet's files, and weights decide the input size and scale of some architectures.
    entry = torchvision_entry(architecture)
    module = get_model(architecture.name, weights=entry, progress=False, **options)
    return cast("nn.Module", module)


@contextmanager
def _tensors_alone() -> Iterator[None]:
    """Make every ``torch.load`` within refuse what could run code.

    torchvision and older releases of timm do not ask for that.
    """
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
    """Return a hint to the other library, if weights of that name are there."""
    for other in LIBRARIES:
        known = weights_names(other, name) if has_architecture(other, name) else []
        if other != library and weights in known:
            return f" Did you mean '{other}:{name}.{weights}'?"
    return ""


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

"""List models by name, with what is known of each without building it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase

from effcam.errors import ArgumentError
from effcam.images.preprocess import Preprocess
from effcam.models.architectures import (
    JOINT,
    LIBRARIES,
    SOURCES,
    Library,
    is_headless,
    known_architectures,
)
from effcam.models.lookup import KINDS, find_architecture
from effcam.models.open_clip_architecture import (
    OpenClipArchitecture,
    open_clip_names,
    open_clip_size,
    open_clip_tags,
)
from effcam.models.registry import find_spec, registered_names
from effcam.models.text_image_architecture import require_package
from effcam.text import natural_key

REGISTERED, OPEN_CLIP = "registered", "open_clip"
UNKNOWN = "-"
HEADER = ("name", "source", "family", "parameters", "input", "top-1 %", "target layer", "layout")
NO_CLASSIFIER = "no classifier"
RIGHT = (3, 4, 5)


@dataclass(frozen=True, slots=True)
class Listed:
    """What is known of a model by its name; unknown values are empty or ``None``.

    Attributes:
        name: The name that loads it.
        source: ``"timm"``, ``"torchvision"``, ``"open_clip"`` or ``"registered"``; ``"hf-hub"``,
            ``"hf"`` or ``"local-dir"`` for a stored model.
        family: The library's module that defines it.
        parameters: The number of its parameters; known only for the default weights, since
            others may have another number of classes.
        size: Height and width of its own input in px; known only for the default weights.
        top1: The top-1 accuracy of its weights on ImageNet in percent, as the library states it.
        target_layer: The default target layer.
        layout: The layout of that layer's output.
        has_classifier: Whether its weights have one; others give an embedding, which
            `effcam.targets.Similar` asks for.
    """

    name: str
    source: str
    family: str = ""
    parameters: int | None = None
    size: tuple[int, int] | None = None
    top1: float | None = None
    target_layer: str = ""
    layout: str = ""
    has_classifier: bool = True


def list_models(
    pattern: str = "*", *, source: str | None = None, pretrained: bool | None = None
) -> tuple[str, ...]:
    """Return the names that `load_model` and `compare` know, in natural order.

    Every name loads the model that it was listed for: an architecture has its prefix, as
    ``torchvision:resnet50``, if a registered model or an architecture of timm has the same name.

    Args:
        pattern: A glob that the name matches, with or without its prefix and its weights.
        source: ``"timm"``, ``"torchvision"``, ``"open_clip"`` or ``"registered"``. ``None`` is all
            of them but open_clip, whose models are listed too if the pattern begins with
            ``open_clip:``.
        pretrained: ``None`` lists architectures; true lists each set of published weights, as
            ``resnet50.a1_in1k``; false lists the architectures that have none. For registered
            models, their spec decides.

    Raises:
        ArgumentError: If ``source`` is not one of the four, or open_clip is not installed.

    >>> import effcam
    >>> effcam.list_models("densenet1?1", source="timm")
    ('densenet121', 'densenet161')
    >>> effcam.list_models("alexnet*", pretrained=True)
    ('alexnet.IMAGENET1K_V1',)
    """
    if source not in (None, *SOURCES):
        known = ", ".join(map(repr, SOURCES))
        raise ArgumentError(f"source must be {known} or None, not {source!r}")
    names: list[str] = []
    for library in LIBRARIES:
        if source in (None, library):
            names += [
                name
                for name in _listed(library, pretrained)
                if any(fnmatchcase(each, pattern) for each in _forms(name))
            ]
    if source == OPEN_CLIP or (source is None and pattern.startswith(f"{OPEN_CLIP}:")):
        names += [name for name in _of_open_clip(pretrained) if _matches_open_clip(name, pattern)]
    if source in (None, "registered"):
        names += [name for name in registered_names(pattern) if _has_weights(name, pretrained)]
    return tuple(dict.fromkeys(sorted(names, key=natural_key)))


def _forms(name: str) -> set[str]:
    """Return a name with and without its library, and with and without its weights."""
    bare = name.rpartition(":")[2]
    return {name, bare, name.partition(".")[0], bare.partition(".")[0]}


def _of_open_clip(pretrained: bool | None) -> list[str]:
    """Return open_clip's architectures, or each with each tag of its published weights.

    Raises:
        ArgumentError: If it is not installed.
    """
    if not open_clip_names():
        require_package("open_clip", "listing open_clip's models")
    names = [f"{OPEN_CLIP}:{name}" for name in open_clip_names()]
    if pretrained is None:
        return names
    tags = {name: open_clip_tags(name.partition(":")[2]) for name in names}
    if not pretrained:
        return [name for name in names if not tags[name]]
    return [f"{name}/{tag}" for name in names for tag in tags[name]]


def _matches_open_clip(name: str, pattern: str) -> bool:
    bare = name.partition(":")[2]
    forms = {name, bare, name.partition("/")[0], bare.partition("/")[0]}
    return any(fnmatchcase(each, pattern) for each in forms)


def describe(name: str) -> Listed:
    """Return what is known of a model without building it.

    Args:
        name: A name that `list_models` gives.

    Raises:
        UnknownModelError: If nothing has that name.

    >>> describe("torchvision:resnet50")  # doctest: +SKIP
    Listed(name='torchvision:resnet50', source='torchvision', family='resnet', ...)
    """
    spec = find_spec(name)
    if spec is not None:
        size = spec.preprocess.size if isinstance(spec.preprocess, Preprocess) else None
        return Listed(name, REGISTERED, size=size, target_layer=_joined(spec.target_layer))
    architecture = find_architecture(name)
    if isinstance(architecture, OpenClipArchitecture):
        return Listed(name, OPEN_CLIP, size=open_clip_size(architecture.name))
    facts = known_architectures().get((architecture.library, architecture.name))
    if facts is None:
        return Listed(name, architecture.library)
    is_default = architecture.weights in ("", *list(facts.weights)[:1])
    return Listed(
        name,
        architecture.library,
        facts.family,
        facts.parameters if is_default else None,
        facts.size if is_default else None,
        facts.weights.get(architecture.weights),
        JOINT.join(facts.layers),
        facts.layout,
        not is_headless(architecture.library, str(architecture).partition(":")[2]),
    )


def _joined(layers: str | Sequence[str] | None) -> str:
    return layers if isinstance(layers, str) else JOINT.join(layers or ())


def _listed(library: Library, pretrained: bool | None) -> list[str]:
    shadowed = {*registered_names(), *(KINDS["timm"].names() if library == "torchvision" else ())}
    kind = KINDS[library]
    names = []
    for name in kind.names():
        shown = f"{library}:{name}" if name in shadowed else name
        if pretrained is None:
            names.append(shown)
        elif pretrained:
            names += [f"{shown}.{weights}" for weights in kind.weights_names(name)]
        elif not kind.weights_names(name):
            names.append(shown)
    return names


def _has_weights(name: str, pretrained: bool | None) -> bool:
    spec = find_spec(name)
    if pretrained is None or spec is None:
        return True
    return (spec.pretrained or spec.checkpoint is not None) is pretrained


def describe_all(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Return the descriptions of models as rows of text, a header first."""
    return [HEADER, *(_row(describe(name)) for name in names)]


def records(names: Iterable[str]) -> list[dict[str, object]]:
    """Return the descriptions of models as flat dicts, ``None`` for unknown values."""
    return [_record(describe(name)) for name in names]


def _record(model: Listed) -> dict[str, object]:
    known = asdict(model)
    known["input_size"] = known.pop("size")
    return {key: None if value == "" else value for key, value in known.items()}


def _row(model: Listed) -> tuple[str, ...]:
    return (
        model.name,
        model.source,
        model.family or UNKNOWN,
        UNKNOWN if model.parameters is None else f"{model.parameters / 1e6:.1f} M",
        "x".join(dict.fromkeys(map(str, model.size))) if model.size else UNKNOWN,
        _accuracy(model),
        model.target_layer or UNKNOWN,
        model.layout or UNKNOWN,
    )


def _accuracy(model: Listed) -> str:
    if not model.has_classifier:
        return NO_CLASSIFIER
    return UNKNOWN if model.top1 is None else f"{model.top1:.2f}"

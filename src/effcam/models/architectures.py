"""Which architectures and published weights timm and torchvision have.

What is shipped along is read first; the libraries themselves, which take seconds to import, are
asked where another version is installed than the one that was derived from.
"""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

Library: TypeAlias = Literal["timm", "torchvision"]
LIBRARIES: tuple[Library, ...] = ("timm", "torchvision")
HUB, FOLDER = "hf-hub", "local-dir"
Source: TypeAlias = Literal["timm", "torchvision", "hf-hub", "local-dir"]
# timm's older spelling goes on to work, as it does there.
STORES: dict[str, Source] = {HUB: "hf-hub", "hf_hub": "hf-hub", FOLDER: "local-dir"}


@dataclass(frozen=True, slots=True)
class Architecture:
    """One architecture of a library and, where it has any, one set of its published weights.

    Attributes:
        library: Who builds it; ``"hf-hub"`` or ``"local-dir"`` for a timm model that is stored
            with its configuration.
        name: Its name there, without weights; the repository or the folder of a stored one.
        weights: timm's pretrained tag or torchvision's weights entry; empty where there is none.
    """

    library: Source
    name: str
    weights: str

    @property
    def bare(self) -> str:
        """The name with its library, without weights."""
        return f"{self.library}:{self.name}"

    def __str__(self) -> str:
        """Return the full name, which `effcam.models.zoo.find_architecture` finds again."""
        return f"{self.bare}.{self.weights}" if self.weights else self.bare


def architectures(library: Library) -> frozenset[str]:
    """Return the names of a library's architectures, without order."""
    return frozenset(architecture_names(library))


@cache
def architecture_names(library: Library) -> tuple[str, ...]:
    """Return the names of a library's architectures, in its own order."""
    if is_current(library):
        return tuple(name for owner, name in entries() if owner == library)
    if library == "timm":
        import timm

        return tuple(timm.list_models())
    import torchvision

    return tuple(torchvision.models.list_models(module=torchvision.models))


def has_architecture(library: Library, name: str) -> bool:
    """Return whether a library has an architecture, be it one that somebody added to timm."""
    if name in architecture_names(library):
        return True
    timm = sys.modules.get("timm") if library == "timm" else None
    return timm is not None and bool(timm.is_model(name))


def weights_names(library: Library, name: str) -> list[str]:
    """Return the names of an architecture's published weights, the default first."""
    entry = entries().get((library, name)) if is_current(library) else None
    return library_weights(library, name) if entry is None else list(entry.weights)


def library_weights(library: Library, name: str) -> list[str]:
    """Return what the library itself says in place of `weights_names`."""
    if library == "timm":
        from timm.models import get_arch_pretrained_cfgs, get_pretrained_cfg

        config = get_pretrained_cfg(name)
        default = config and config.tag
        tags = [
            tag
            for full, config in get_arch_pretrained_cfgs(name).items()
            if (tag := full.partition(".")[2]) and (config.hf_hub_id or config.url)
        ]
        return sorted(tags, key=lambda tag: tag != default)
    from torchvision.models import get_model_weights

    entries = get_model_weights(name)
    return list(dict.fromkeys([entries.DEFAULT.name, *(entry.name for entry in entries)]))


def timm_config(architecture: Architecture) -> Any:
    """Return timm's record of an architecture's weights: where they are, what they need."""
    from timm.models import PretrainedCfg, get_pretrained_cfg

    # A few architectures of older timm releases have no record at all.
    return get_pretrained_cfg(str(architecture).partition(":")[2]) or PretrainedCfg()


def torchvision_entry(architecture: Architecture) -> Any:
    """Return torchvision's record of an architecture's weights."""
    from torchvision.models import get_model_weights

    return get_model_weights(architecture.name)[architecture.weights]


def imagenet_categories() -> list[str]:
    """Return torchvision's 1000 names of the ImageNet classes, in order, no two alike."""
    from torchvision.models import AlexNet_Weights

    return list(AlexNet_Weights.DEFAULT.meta["categories"])


TABLE = "architectures.csv"
JOINT = " + "


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one architecture.

    Attributes:
        library: ``"timm"`` or ``"torchvision"``.
        name: Its name there, without weights.
        version: The version of the library that this was derived with.
        constructor: The function that builds it.
        size: Height and width of its own input in px.
        layers: The layers to look at by default; empty if it gives no class scores.
        layout: How their outputs lie: ``"NCHW"``, ``"NHWC"`` or ``"tokens"``.
        prefix: How many tokens that stand for no cell go before the others.
        grid: Rows and columns of the first layer's map at its own input size.
        pooling: What the library calls the pooling of its head.
        parameters: How many numbers it learns.
        weights: The names of its published weights, the default first, each with its top-1
            accuracy on ImageNet in percent where the library states one.
        rule: Why these layers, or why none.
        verified: Whether its map was computed and compared with grad-cam's.
    """

    library: str
    name: str
    version: str
    constructor: str
    size: tuple[int, int]
    layers: tuple[str, ...]
    layout: str
    prefix: int
    grid: tuple[int, int]
    pooling: str
    parameters: int
    weights: Mapping[str, float | None]
    rule: str
    verified: bool

    @property
    def family(self) -> str:
        """The library's module that defines it, as ``resnet`` or ``vision_transformer``."""
        return self.constructor.split(".")[-2]


@cache
def entries() -> Mapping[tuple[str, str], Entry]:
    """Return all entries by library and name, in the order of the libraries' own lists."""
    lines = (files("effcam.models") / TABLE).read_text("utf-8").splitlines()
    found = [_entry(row) for row in csv.DictReader(lines)]
    return MappingProxyType({(entry.library, entry.name): entry for entry in found})


@cache
def is_current(library: str) -> bool:
    """Return whether the table was derived with the version of a library that is installed."""
    known = {entry.version for entry in entries().values() if entry.library == library}
    # A build's own mark, as +cu126, changes no architecture.
    return bool(known) and version(library).partition("+")[0] in known


def _entry(row: Mapping[str, str]) -> Entry:
    return Entry(
        library=row["library"],
        name=row["name"],
        version=row["version"],
        constructor=row["constructor"],
        size=_pair(row["size"]),
        layers=tuple(row["layers"].split(JOINT)) if row["layers"] else (),
        layout=row["layout"],
        prefix=int(row["prefix"] or 0),
        grid=_pair(row["grid"]),
        pooling=row["pooling"],
        parameters=int(row["parameters"]),
        weights=MappingProxyType(dict(map(_weights, row["weights"].split()))),
        rule=row["rule"],
        verified=row["verified"] == "yes",
    )


def _pair(text: str) -> tuple[int, int]:
    rows, _, columns = text.partition("x")
    return (int(rows), int(columns)) if columns else (0, 0)


def _weights(text: str) -> tuple[str, float | None]:
    name, _, accuracy = text.partition("=")
    value = float(accuracy or "nan")
    return name, None if math.isnan(value) else value

"""What is known of each architecture of timm and torchvision: the table shipped with effcam.

Reading it takes milliseconds, importing the libraries takes seconds. It holds for the versions of
the libraries that it was derived with.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from types import MappingProxyType
from typing import Literal, TypeAlias

Library: TypeAlias = Literal["timm", "torchvision"]
LIBRARIES: tuple[Library, ...] = ("timm", "torchvision")
SOURCES = (*LIBRARIES, "open_clip", "registered")
"""Where models that can be listed are from."""
Store: TypeAlias = Literal["hf-hub", "local-dir"]
# timm's older spelling, hf_hub, works as it does there.
STORES: dict[str, Store] = {"hf-hub": "hf-hub", "hf_hub": "hf-hub", "local-dir": "local-dir"}

TABLE = "architectures.csv"
HEADLESS = "headless.csv"
"""The table of published weights without a classifier."""
JOINT = " + "


@dataclass(frozen=True, slots=True)
class ArchitectureFacts:
    """What is known of one architecture.

    Attributes:
        library: ``"timm"`` or ``"torchvision"``.
        name: Its name there, without weights.
        version: The version of the library that this was derived with.
        constructor: The function that builds it.
        size: Height and width of its own input in px.
        layers: The default target layers; empty if it gives no class scores.
        layout: The layout of their outputs: ``"NCHW"``, ``"NHWC"`` or ``"tokens"``.
        prefix: The number of prefix tokens, which stand for no cell.
        grid: Rows and columns of the first layer's map at its own input size.
        pooling: The library's name for the pooling of its head.
        parameters: The number of its parameters.
        weights: The names of its published weights, the default first, each with its top-1
            accuracy on ImageNet in percent where the library states one.
        rule: Why these layers, or why none.
        bypass: The share of what the scores of an untrained network depend on that goes past
            these layers, in [0, 1]; 0 holds for any weights. ``None`` if it is not known.
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
    bypass: float | None
    verified: bool

    @property
    def family(self) -> str:
        """The library's module that defines it, as ``resnet`` or ``vision_transformer``."""
        return self.constructor.split(".")[-2]


@cache
def known_architectures() -> Mapping[tuple[str, str], ArchitectureFacts]:
    """Return the table by library and name, in the order of the libraries' own lists."""
    lines = (files("effcam.models") / TABLE).read_text("utf-8").splitlines()
    found = [_parse_row(row) for row in csv.DictReader(lines)]
    return MappingProxyType({(each.library, each.name): each for each in found})


@cache
def is_current(library: str) -> bool:
    """Return whether the table was derived with the installed version of a library."""
    known = {each.version for each in known_architectures().values() if each.library == library}
    # A build's own mark, as +cu126, changes no architecture.
    return bool(known) and version(library).partition("+")[0] in known


def find_facts(library: str, name: str) -> ArchitectureFacts | None:
    """Return what is known of an architecture in the installed version of its library."""
    return known_architectures().get((library, name)) if is_current(library) else None


def is_headless(library: str, name: str) -> bool | None:
    """Return whether an architecture's published weights have features and no classifier.

    Args:
        library: ``"timm"`` or ``"torchvision"``.
        name: The architecture's name there, with its weights.

    Returns:
        ``None`` if the list is for another version of the library.
    """
    return (library, name) in _headless() if is_current(library) else None


@cache
def _headless() -> frozenset[tuple[str, str]]:
    lines = (files("effcam.models") / HEADLESS).read_text("utf-8").splitlines()
    return frozenset((row["library"], row["name"]) for row in csv.DictReader(lines))


@cache
def known_names(library: str) -> tuple[str, ...] | None:
    """Return the names of a library's architectures in its own order.

    Returns:
        ``None`` if the table is for another version of the library.
    """
    if not is_current(library):
        return None
    return tuple(name for owner, name in known_architectures() if owner == library)


def _parse_row(row: Mapping[str, str]) -> ArchitectureFacts:
    return ArchitectureFacts(
        library=row["library"],
        name=row["name"],
        version=row["version"],
        constructor=row["constructor"],
        size=_parse_pair(row["size"]),
        layers=tuple(row["layers"].split(JOINT)) if row["layers"] else (),
        layout=row["layout"],
        prefix=int(row["prefix"] or 0),
        grid=_parse_pair(row["grid"]),
        pooling=row["pooling"],
        parameters=int(row["parameters"]),
        weights=MappingProxyType(dict(map(_parse_weights, row["weights"].split()))),
        rule=row["rule"],
        bypass=_parse_share(row["bypass"]),
        verified=row["verified"] == "yes",
    )


def _parse_pair(text: str) -> tuple[int, int]:
    rows, _, columns = text.partition("x")
    return (int(rows), int(columns)) if columns else (0, 0)


def _parse_share(text: str) -> float | None:
    return None if text in ("", "unknown") else float(text)


def _parse_weights(text: str) -> tuple[str, float | None]:
    name, _, accuracy = text.partition("=")
    value = float(accuracy or "nan")
    return name, None if math.isnan(value) else value

"""What is known of every architecture without building it: a table that is shipped along.

``tools/sweep.py`` derives it from the libraries and verifies it. Reading it needs neither of
them, so that listing models takes milliseconds.
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
    """Returns all entries by library and name, in the order of the libraries' own lists."""
    lines = (files("effcam") / TABLE).read_text("utf-8").splitlines()
    found = [_entry(row) for row in csv.DictReader(lines)]
    return MappingProxyType({(entry.library, entry.name): entry for entry in found})


@cache
def is_current(library: str) -> bool:
    """Tells whether the table was derived with the version of a library that is installed."""
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

"""The record of one classifier, and of the packages that one environment holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from torch import nn

Reads: TypeAlias = Literal["cells", "class token"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One classifier with random weights, and what was found by reading its code.

    Attributes:
        package: The distribution that it is from.
        name: Its name in the table.
        build: Returns it; imports its package itself.
        size: Height and width of its input in px.
        channels: The number of channels of its input.
        reads: Whether the head reads all cells of the last map, or a class token that has read
            them.
        layer: A pattern for the right target layer (`fnmatch`), where measuring cannot decide: a
            random attention without a shortcut spreads a change over all cells.
        logits: The submodule whose output is the row of scores, if the network's output is not.
        refusal: A pattern in the only right refusal (`re.search`), if no map would be right.
        frozen: Whether its weights stay as built, as those of quantised networks must.
    """

    package: str
    name: str
    build: Callable[[], nn.Module]
    size: int = 224
    channels: int = 3
    reads: Reads = "cells"
    layer: str = ""
    logits: str = ""
    refusal: str = ""
    frozen: bool = False


@dataclass(frozen=True, slots=True)
class Package:
    """A pinned distribution.

    Attributes:
        pin: What is installed, such as ``"kornia==0.9.0"``.
        alone: Whether to leave its dependencies out, because it demands an old torch.
        modules: The modules to import once for all of its classifiers.
    """

    pin: str
    alone: bool = False
    modules: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The distribution's name."""
        return self.pin.partition("==")[0]


@dataclass(frozen=True, slots=True)
class Family:
    """Packages that share one environment, and their classifiers."""

    name: str
    packages: tuple[Package, ...]
    entries: Callable[[], list[Entry]]


def make(path: str, *args: Any, **options: Any) -> Callable[[], Any]:
    """Return a function that imports ``package.module.Name`` and calls it."""

    def build() -> Any:
        return resolve_name(path)(*args, **options)

    return build

"""Which architectures and published weights timm and torchvision have.

What is shipped along is read first; the libraries themselves, which take seconds to import, are
asked where another version is installed than the one that was derived from.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, TypeAlias

from effcam.catalogue import entries, is_current

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
        """Returns the full name, which `effcam.zoo.find_architecture` finds again."""
        return f"{self.bare}.{self.weights}" if self.weights else self.bare


def architectures(library: Library) -> frozenset[str]:
    """Returns the names of a library's architectures, without order."""
    return frozenset(architecture_names(library))


@cache
def architecture_names(library: Library) -> tuple[str, ...]:
    """Returns the names of a library's architectures, in its own order."""
    if is_current(library):
        return tuple(name for owner, name in entries() if owner == library)
    if library == "timm":
        import timm

        return tuple(timm.list_models())
    import torchvision

    return tuple(torchvision.models.list_models(module=torchvision.models))


def has_architecture(library: Library, name: str) -> bool:
    """Tells whether a library has an architecture, be it one that somebody added to timm."""
    if name in architecture_names(library):
        return True
    timm = sys.modules.get("timm") if library == "timm" else None
    return timm is not None and bool(timm.is_model(name))


def weights_names(library: Library, name: str) -> list[str]:
    """Returns the names of an architecture's published weights, the default first."""
    entry = entries().get((library, name)) if is_current(library) else None
    return library_weights(library, name) if entry is None else list(entry.weights)


def library_weights(library: Library, name: str) -> list[str]:
    """Returns what the library itself says in place of `weights_names`."""
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
    """Returns timm's record of an architecture's weights: where they are, what they need."""
    from timm.models import PretrainedCfg, get_pretrained_cfg

    # A few architectures of older timm releases have no record at all.
    return get_pretrained_cfg(str(architecture).partition(":")[2]) or PretrainedCfg()


def torchvision_entry(architecture: Architecture) -> Any:
    """Returns torchvision's record of an architecture's weights."""
    from torchvision.models import get_model_weights

    return get_model_weights(architecture.name)[architecture.weights]


def imagenet_categories() -> list[str]:
    """Returns torchvision's 1000 names of the ImageNet classes, in order, no two alike."""
    from torchvision.models import AlexNet_Weights

    return list(AlexNet_Weights.DEFAULT.meta["categories"])

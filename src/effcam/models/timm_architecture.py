"""Architectures of timm: names, published weights, transforms, construction."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from effcam.images.preprocess import Preprocess
from effcam.models.architectures import ArchitectureFacts, Library, find_facts, known_names
from effcam.models.downloads import PublishedWeights
from effcam.models.imagenet import imagenet_labels
from effcam.models.library_guard import check_weights_file, guarded

if TYPE_CHECKING:
    from torch import nn

HUB_FILES = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True, slots=True)
class TimmArchitecture:
    """An architecture of timm and, where it has any, one set of its published weights.

    Attributes:
        name: Its name there, without weights.
        weights: timm's pretrained tag; empty where there is none.
    """

    has_num_classes: ClassVar[bool] = True
    library: ClassVar[Library] = "timm"
    name: str
    weights: str = ""

    @staticmethod
    def names() -> tuple[str, ...]:
        """Return the names of all architectures, in timm's order."""
        return known_names("timm") or _library_names()

    @staticmethod
    def has(name: str) -> bool:
        """Return whether there is such an architecture, also one that was added to timm."""
        if name in TimmArchitecture.names():
            return True
        timm = sys.modules.get("timm")
        return timm is not None and bool(timm.is_model(name))

    @staticmethod
    def weights_names(name: str) -> list[str]:
        """Return the names of an architecture's published weights, the default first."""
        facts = find_facts("timm", name)
        return TimmArchitecture.library_weights(name) if facts is None else list(facts.weights)

    @staticmethod
    def library_weights(name: str) -> list[str]:
        """Return timm's own answer in place of the table's."""
        from timm.models import get_arch_pretrained_cfgs, get_pretrained_cfg

        config = get_pretrained_cfg(name)
        default = config and config.tag
        tags = [
            tag
            for full, config in get_arch_pretrained_cfgs(name).items()
            if (tag := full.partition(".")[2]) and (config.hf_hub_id or config.url)
        ]
        return sorted(tags, key=lambda tag: tag != default)

    @property
    def bare(self) -> str:
        """The name with its library, without weights."""
        return f"timm:{self.name}"

    def __str__(self) -> str:
        return f"timm:{self.full_name}"

    @property
    def full_name(self) -> str:
        """The name that timm knows, with weights."""
        return f"{self.name}.{self.weights}" if self.weights else self.name

    @property
    def has_weights(self) -> bool:
        """Whether weights are published for it."""
        return bool(self.weights)

    def weights_name(self) -> str:
        """Return the name of its weights, for captions."""
        return self.weights

    def published(self) -> PublishedWeights | None:
        """Return where its weights can be downloaded; ``None`` if there are no weights."""
        if not self.weights:
            return None
        config = self._config()
        if not config.hf_hub_id:
            return PublishedWeights(str(self), url=config.url)
        own = config.hf_hub_filename
        return PublishedWeights(str(self), config.hf_hub_id, (own,) if own else HUB_FILES)

    def find_weights(self) -> Path | None:
        """Return the file of its weights if it is on this machine."""
        published = self.published()
        return None if published is None else published.find()

    def facts(self) -> ArchitectureFacts | None:
        """Return what the table holds of it."""
        return find_facts("timm", self.name)

    def preprocess(self) -> Preprocess:
        """Return the evaluation transform that its weights were published with."""
        return preprocess_of_config(self._config().to_dict())

    def num_classes(self) -> int:
        """Return the number of classes of its weights."""
        return int(self._config().num_classes)

    def class_names(self) -> Sequence[Sequence[str]] | None:
        """Return all names of each class of its weights; ``None`` if they are not known."""
        config = self._config()
        if config.label_names or not config.num_classes:
            return None
        return imagenet_labels(config.num_classes)

    def size_option(self) -> str:
        """Return the constructor's option for the input size; empty if any size fits."""
        return "img_size" if self._config().fixed_input_size else ""

    def build(self, *, pretrained: bool, options: Mapping[str, Any]) -> nn.Module:
        """Return the module on the CPU, with its published weights if ``pretrained``.

        Raises:
            ModelError: If timm refuses the options.
            WeightsError: If the weights cannot be fetched or read.
        """
        import timm

        with guarded(self, pretrained=pretrained, options=options):
            published = self.published() if pretrained else None
            if published is None:
                return timm.create_model(self.full_name, pretrained=False, **options)
            overlay = read_from(published.fetch())
            return timm.create_model(
                self.full_name, pretrained=True, pretrained_cfg_overlay=overlay, **options
            )

    def _config(self) -> Any:
        """Return timm's record of the weights."""
        from timm.models import PretrainedCfg, get_pretrained_cfg

        # A few architectures of older timm releases have no record.
        return get_pretrained_cfg(self.full_name) or PretrainedCfg()


@cache
def _library_names() -> tuple[str, ...]:
    import timm

    return tuple(timm.list_models())


def read_from(file: Path) -> dict[str, Any]:
    """Return the settings that make timm read weights from a file alone."""
    check_weights_file(file)
    # timm has own readers for NumPy archives only.
    return {"file": str(file)} | ({} if file.suffix == ".npz" else {"custom_load": False})


def module_preprocess(module: nn.Module) -> Preprocess | None:
    """Return the transform that a timm module carries with it; ``None`` for other modules."""
    config = getattr(module, "pretrained_cfg", None)
    if not isinstance(config, Mapping) or "input_size" not in config:
        return None
    return preprocess_of_config(dict(config))


def preprocess_of_config(config: dict[str, Any]) -> Preprocess:
    """Return the evaluation transform of a timm configuration."""
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

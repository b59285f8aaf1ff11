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
from effcam.models.architectures import Library, is_headless
from effcam.models.downloads import PublishedWeights
from effcam.models.imagenet import imagenet_labels
from effcam.models.library_architecture import LibraryArchitecture
from effcam.models.library_guard import check_weights_file, guarded

if TYPE_CHECKING:
    from torch import nn

HUB_FILES = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True, slots=True)
class TimmArchitecture(LibraryArchitecture):
    """An architecture of timm, whose weights have the name of a pretrained tag."""

    library: ClassVar[Library] = "timm"

    @staticmethod
    @cache
    def library_names() -> tuple[str, ...]:
        """Return timm's own list of its architectures, in its order."""
        import timm

        return tuple(timm.list_models())

    @staticmethod
    def library_weights(name: str) -> list[str]:
        """Return timm's own list of an architecture's weights, the default first."""
        from timm.models import get_arch_pretrained_cfgs, get_pretrained_cfg

        config = get_pretrained_cfg(name)
        default = config and config.tag
        tags = [
            tag
            for full, config in get_arch_pretrained_cfgs(name).items()
            if (tag := full.partition(".")[2]) and (config.hf_hub_id or config.url)
        ]
        return sorted(tags, key=lambda tag: tag != default)

    @classmethod
    def has(cls, name: str) -> bool:
        """Return whether there is such an architecture, also one that was added to timm."""
        if name in cls.names():
            return True
        timm = sys.modules.get("timm")
        return timm is not None and bool(timm.is_model(name))

    def published(self) -> PublishedWeights | None:
        """Return where its weights can be downloaded; ``None`` if there are no weights."""
        if not self.weights:
            return None
        config = self._config()
        if not config.hf_hub_id:
            return PublishedWeights(str(self), url=config.url)
        own = config.hf_hub_filename
        return PublishedWeights(str(self), config.hf_hub_id, (own,) if own else HUB_FILES)

    def preprocess(self) -> Preprocess:
        """Return the evaluation transform that its weights were published with."""
        return preprocess_of_config(self._config().to_dict())

    def num_classes(self) -> int:
        """Return the number of classes of its weights."""
        return int(self._config().num_classes)

    def has_classifier(self) -> bool:
        """Return whether its weights have a classifier; some have features only."""
        known = is_headless(self.library, self.full_name)
        return self.num_classes() > 0 if known is None else not known

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
    stated = preprocess_of_config(dict(config))
    # The configuration is that of the published weights, also if it was built for another size.
    embedding = getattr(module, "patch_embed", None)
    size = getattr(embedding, "img_size", None)
    if getattr(embedding, "strict_img_size", False) is True and isinstance(size, tuple):
        return stated.with_size((int(size[0]), int(size[1]))) if size != stated.size else stated
    return stated


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


def replaced_names() -> Mapping[str, str | None]:
    """Return the current name of each name that timm replaced, ``None`` if there is none."""
    from timm.models import get_deprecated_models

    return dict(get_deprecated_models())

"""Architectures of torchvision: names, published weights, transforms, construction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, cast

from effcam.images.preprocess import Preprocess
from effcam.models.architectures import Library
from effcam.models.downloads import PublishedWeights
from effcam.models.imagenet import imagenet_labels
from effcam.models.library_architecture import LibraryArchitecture
from effcam.models.library_guard import check_weights_file, guarded

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class TorchvisionArchitecture(LibraryArchitecture):
    """An architecture of torchvision, whose weights have the name of a weights entry."""

    library: ClassVar[Library] = "torchvision"

    @staticmethod
    @cache
    def library_names() -> tuple[str, ...]:
        """Return torchvision's own list of its architectures, in its order."""
        import torchvision

        return tuple(torchvision.models.list_models(module=torchvision.models))

    @staticmethod
    def library_weights(name: str) -> list[str]:
        """Return torchvision's own list of an architecture's weights, the default first."""
        from torchvision.models import get_model_weights

        entries = get_model_weights(name)
        return list(dict.fromkeys([entries.DEFAULT.name, *(each.name for each in entries)]))

    def published(self) -> PublishedWeights | None:
        """Return where its weights can be downloaded; ``None`` if there are no weights."""
        return PublishedWeights(str(self), url=self._entry().url) if self.weights else None

    def preprocess(self) -> Preprocess:
        """Return the evaluation transform that its weights were published with."""
        transform = self._entry().transforms()
        return Preprocess(
            size=transform.crop_size[0],
            resize=transform.resize_size[0],
            interpolation=transform.interpolation.value,
            mean=tuple(transform.mean),
            std=tuple(transform.std),
        )

    def num_classes(self) -> int:
        """Return the number of classes of its weights."""
        return len(self._entry().meta["categories"])

    def class_names(self) -> Sequence[Sequence[str]] | None:
        """Return all names of each class of its weights."""
        return imagenet_labels(self.num_classes())

    def size_option(self) -> str:
        """Return the constructor's option for the input size; empty if any size fits."""
        return "image_size" if self.name.startswith("vit_") else ""

    def build(self, *, pretrained: bool, options: Mapping[str, Any]) -> nn.Module:
        """Return the module on the CPU, with its published weights if ``pretrained``.

        Raises:
            ModelError: If torchvision refuses the options.
            WeightsError: If the weights cannot be fetched or read.
        """
        from torchvision.models import get_model

        with guarded(self, pretrained=pretrained, options=options):
            published = self.published() if pretrained else None
            if published is None:
                return cast("nn.Module", get_model(self.name, weights=None, **options))
            check_weights_file(published.fetch())
            # torchvision finds the file in its cache. Its own loader is needed: it renames the
            # keys of DenseNet's files, and weights decide the input size and scale of some
            # architectures.
            module = get_model(self.name, weights=self._entry(), progress=False, **options)
            return cast("nn.Module", module)

    def transform_input(self, module: nn.Module, options: Mapping[str, object]) -> None:
        """Scale the input of GoogLeNet and Inception as published weights need it.

        torchvision sets ``transform_input`` whenever it loads published weights; weights from a
        checkpoint expect the same.
        """
        if "transform_input" not in options and hasattr(module, "transform_input"):
            module.transform_input = True  # type: ignore[assignment]  # a flag, not a tensor

    def _entry(self) -> Any:
        """Return torchvision's record of the weights."""
        from torchvision.models import get_model_weights

        return get_model_weights(self.name)[self.weights]

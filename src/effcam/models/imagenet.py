"""The names of ImageNet's classes."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from effcam.models.architectures import LIBRARIES

if TYPE_CHECKING:
    from torch import nn


@cache
def imagenet_labels(classes: int) -> tuple[tuple[str, ...], ...] | None:
    """Return the synonyms of every ImageNet class by class index, the one to show first.

    Args:
        classes: The number of classes: 1000 for ImageNet-1k, more for the larger sets.

    Returns:
        One tuple of names for each class; ``None`` if no ImageNet set has that number of classes.
    """
    from timm.data import ImageNetInfo, infer_imagenet_subset

    subset = infer_imagenet_subset({"num_classes": classes})
    if subset is None:
        return None
    lemmas = [text.split(", ") for text in ImageNetInfo(subset).label_descriptions()]
    if classes == 1000:
        # torchvision has different names for the two cranes and the two maillots.
        names = _torchvision_names()
        lemmas = [[name, *words] for name, words in zip(names, lemmas, strict=True)]
    return tuple(tuple(dict.fromkeys(words)) for words in lemmas)


def knows_imagenet(module: nn.Module) -> bool:
    """Return whether 1000 outputs of a module are the classes of ImageNet-1k.

    True for modules of timm and torchvision classes that have a classifier; without one, the
    outputs are features.
    """
    classifies = getattr(module, "num_classes", None) != 0
    return classifies and type(module).__module__.partition(".")[0] in LIBRARIES


def _torchvision_names() -> list[str]:
    from torchvision.models import AlexNet_Weights

    return list(AlexNet_Weights.DEFAULT.meta["categories"])

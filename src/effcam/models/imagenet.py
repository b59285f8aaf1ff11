"""The names of ImageNet's classes, and their ids in WordNet."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from effcam.models.architectures import LIBRARIES

if TYPE_CHECKING:
    from torch import nn

IMAGENET = 1000
"""The number of classes of ImageNet-1k."""
ALIKE = 0.95
"""The share of a model's labels that must be ImageNet's, for it to have ImageNet's classes."""


@cache
def imagenet_labels(classes: int) -> tuple[tuple[str, ...], ...] | None:
    """Return the names of every ImageNet class by class index, the one to show first.

    Args:
        classes: The number of classes: 1000 for ImageNet-1k, more for the larger sets.

    Returns:
        One tuple of names for each class, the last of which is its id in WordNet ("n02123045"),
        after which ImageNet's folders are called; ``None`` if no ImageNet set has that number of
        classes.
    """
    from timm.data import ImageNetInfo, infer_imagenet_subset

    subset = infer_imagenet_subset({"num_classes": classes})
    if subset is None:
        return None
    info = ImageNetInfo(subset)
    lemmas = [text.split(", ") for text in info.label_descriptions()]
    if classes == IMAGENET:
        # torchvision has different names for the two cranes and the two maillots.
        names = _torchvision_names()
        lemmas = [[name, *words] for name, words in zip(names, lemmas, strict=True)]
    named = zip(lemmas, info.label_names(), strict=True)
    return tuple(tuple(dict.fromkeys([*words, identifier])) for words, identifier in named)


def synonyms_of(labels: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Return all names of each class, given the one to show.

    Labels that are those of ImageNet's 1,000 classes, in its order and in any library's spelling,
    have ImageNet's other names too. All others have no synonyms.
    """
    known = imagenet_labels(IMAGENET) if len(labels) == IMAGENET else None
    if known is None or not _are_imagenet(labels, known):
        return tuple((label,) for label in labels)
    return tuple(
        tuple(dict.fromkeys((label, *names))) for label, names in zip(labels, known, strict=True)
    )


def _are_imagenet(labels: Sequence[str], known: Sequence[Sequence[str]]) -> bool:
    """Return whether nearly all labels name the class of ImageNet at their index."""
    same = 0
    for label, names in zip(labels, known, strict=True):
        # Labels may be lists of synonyms, or have underscores for spaces.
        first = label.replace("_", " ").partition(",")[0].strip().casefold()
        same += first in {name.casefold() for name in names}
    return same >= ALIKE * len(labels)


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

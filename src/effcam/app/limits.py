"""How much one visitor of the live page may ask for."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from effcam.errors import ArgumentError

MEGABYTE = 10**6


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the live page accepts from a visitor.

    Attributes:
        photos: The most photos in one comparison.
        models: The most models in one comparison, checkpoints among them.
        photo_megabytes: The largest file of a photo, in 10^6 bytes.
        checkpoint_megabytes: The largest file of weights, in 10^6 bytes; 0 takes none.
        allowed: The names of the models that may be chosen; ``None`` allows all that
            `effcam.list_models` lists. Their weights are downloaded where they are not on disk.
        slowest: The most time that a method may take for a map, as a multiple of the time of one
            forward pass of ResNet-18.
        waiting: The most comparisons that wait for the one that runs.
        seconds: How long one comparison may run, in s.
        minutes: How long files of a visitor are kept who does not close the page, in min.

    Raises:
        ArgumentError: If a value is not positive, or no model is allowed.

    >>> Limits(photos=4).photos
    4
    """

    photos: int = 24
    models: int = 8
    photo_megabytes: float = 20
    checkpoint_megabytes: float = 1000
    allowed: tuple[str, ...] | None = None
    slowest: float = math.inf
    waiting: int = 8
    seconds: float = math.inf
    minutes: float = 60

    def __post_init__(self) -> None:
        """Check the values."""
        least = {"checkpoint_megabytes": 0, "waiting": 0, "photos": 1, "models": 1}
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name == "allowed":
                continue
            bound = least.get(each.name, 0)
            positive = each.name not in least
            if not value >= bound or (positive and value == 0):
                wanted = "more than 0" if positive else f"{bound} or more"
                raise ArgumentError(f"{each.name} must be {wanted}, not {value!r}")
        if self.allowed is not None and not self.allowed:
            raise ArgumentError("allowed must name a model, or be None for all models")

    @property
    def photo_bytes(self) -> int:
        """The largest file of a photo in bytes."""
        return int(self.photo_megabytes * MEGABYTE)

    @property
    def checkpoint_bytes(self) -> int:
        """The largest file of weights in bytes."""
        return int(self.checkpoint_megabytes * MEGABYTE)


PUBLIC = Limits(
    photos=8,
    models=5,
    photo_megabytes=10,
    checkpoint_megabytes=0,
    allowed=(
        "demo_alexnet",
        "demo_densenet",
        "demo_resnet",
        "demo_efficientnet_b0",
        "demo_efficientnet_b3",
        "resnet18",
        "resnet50",
        "efficientnet_b0",
        "mobilenetv3_small_100",
        "convnext_tiny",
        "vit_small_patch16_224",
        "swin_tiny_patch4_window7_224",
    ),
    slowest=5,
    waiting=16,
    seconds=300,
    minutes=10,
)
"""The limits of a page that is open to everyone: known models of at most 120 MB, few photos."""

"""The demo models by name: how each is made, where its weights lie, and what it sees."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from effcam.demo.scenes import LABELS
from effcam.images.preprocess import Preprocess
from effcam.models.registry import ModelSpec

if TYPE_CHECKING:
    from torch import nn

WEIGHTS = Path(__file__).parent / "weights"

MODELS: Mapping[str, str] = MappingProxyType(
    {
        "alexnet": "demo_alexnet",
        "densenet": "demo_densenet",
        "resnet": "demo_resnet",
        "EB0": "demo_efficientnet_b0",
        "EB3": "demo_efficientnet_b3",
    }
)
"""The five demo models, in the shape of `effcam.DEFAULT_MODELS`, by their column labels."""

SIZES = {
    "alexnet": 128,
    "densenet": 112,
    "resnet": 112,
    "efficientnet_b0": 112,
    "efficientnet_b3": 144,
}
"""The input size of each in px. As for the original B3, it is larger for B3 than for B0."""


def specs() -> list[ModelSpec]:
    """Return how each demo model is made; they are read when a name is first looked up."""
    return [
        ModelSpec(
            f"demo_{network}",
            constructor=partial(_build, network),
            checkpoint=WEIGHTS / f"demo_{network}.safetensors",
            preprocess=Preprocess(size=(size, size)),
            labels=LABELS,
        )
        for network, size in SIZES.items()
    ]


def _build(network: str) -> nn.Module:
    from effcam.demo import networks  # it needs torch, which listing names does not

    module: nn.Module = getattr(networks, network)()
    return module

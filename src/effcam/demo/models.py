"""The demo models by name: constructor, weights and preprocessing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from effcam.demo.look_alikes import LOOK_ALIKE_LABELS
from effcam.demo.scenes import LABELS
from effcam.demo.tetrominoes import RULES, TETROMINO_LABELS
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
"""The five demo models by column label, like `effcam.DEFAULT_MODELS`."""

SIZES = {
    "alexnet": 128,
    "densenet": 112,
    "resnet": 112,
    "efficientnet_b0": 112,
    "efficientnet_b3": 144,
}
"""The input size of each in px; larger for B3 than for B0, as in the originals."""
TWO_TOWER = "demo_clip"
"""The model of images and texts, which has no classes of its own."""
TWO_TOWER_SIZE = 112

MULTI_LABEL = "demo_multilabel"
"""The demo model of several labels an image, for scenes of several objects."""

SMALL_KINDS = ("shortcut", "clean", "look_alikes", "linear", "multiplicative", "rotated")
"""The kinds of scenes of known truth, each with a small model of its own, ``demo_`` + kind."""
SMALL_SIZE = 64


def specs() -> list[ModelSpec]:
    """Return the specs of the demo models, which the registry reads at the first look-up."""
    classifiers = [_spec(network, size) for network, size in SIZES.items()]
    labels = replace(_spec("multilabel", 112), scores="sigmoid")
    two_tower = ModelSpec(
        TWO_TOWER,
        constructor=_build_two_tower,
        checkpoint=WEIGHTS / f"{TWO_TOWER}.safetensors",
        preprocess=Preprocess(size=(TWO_TOWER_SIZE, TWO_TOWER_SIZE)),
    )
    return [*classifiers, labels, two_tower, *map(_small_spec, SMALL_KINDS)]


def _spec(network: str, size: int) -> ModelSpec:
    return ModelSpec(
        f"demo_{network}",
        constructor=partial(_build, network),
        checkpoint=WEIGHTS / f"demo_{network}.safetensors",
        preprocess=Preprocess(size=(size, size)),
        labels=LABELS,
    )


def _small_spec(kind: str) -> ModelSpec:
    size = SMALL_SIZE, SMALL_SIZE
    return ModelSpec(
        f"demo_{kind}",
        constructor=partial(_build_small, len(_labels_of(kind))),
        checkpoint=WEIGHTS / f"demo_{kind}.safetensors",
        preprocess=Preprocess(size=size, resize=size, mode="squash"),
        labels=_labels_of(kind),
    )


def _labels_of(kind: str) -> tuple[str, ...]:
    if kind in RULES:
        return TETROMINO_LABELS
    return LOOK_ALIKE_LABELS if kind == "look_alikes" else LABELS


def _build_small(outputs: int) -> nn.Module:
    from effcam.demo.study_networks import small

    return small(outputs)


def _build(network: str) -> nn.Module:
    from effcam.demo import networks  # it imports torch, which listing names does not need

    module: nn.Module = getattr(networks, network)()
    return module


def _build_two_tower() -> nn.Module:
    from effcam.demo.two_tower import TwoTower

    return TwoTower()

"""Every image tower of open_clip, and those of transformers, has a target layer."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import nn

from effcam.models.image_tower import image_tower
from effcam.models.tracing.target_layer import TargetLayer, find_target_layers
from effcam.models.tracing.trace import trace
from effcam.models.wrappers import own_size

pytestmark = [pytest.mark.sweep, pytest.mark.slow]

ARCHITECTURES = 144
"""How many architectures open_clip 3.3 has; the page on texts states it."""

KINDS = {
    "CLIP": "vision_model.encoder.layers.11.layer_norm1",
    "Siglip": "vision_model.post_layernorm",
    "Align": "vision_model.encoder.blocks.54",
    "AltCLIP": "vision_model.encoder.layers.11.layer_norm1",
    "ChineseCLIP": "vision_model.encoder.layers.11.layer_norm1",
    "Blip": "vision_model.encoder.layers.11.layer_norm1",
    "MetaClip2": "vision_model.encoder.layers.11.layer_norm1",
    "Aimv2": "vision_model.rms_norm",
    "GroupViT": "vision_model.embeddings",
    "CLIPSeg": "vision_model.encoder.layers.11.layer_norm1",
    "OwlViT": "vision_model.encoder.layers.11.layer_norm1",
}
"""The target layer of each kind of model of transformers, by the name of its configuration."""


def layers_of(tower: nn.Module, size: tuple[int, int]) -> tuple[TargetLayer, ...]:
    record = trace(tower, size, 3, graph=True)
    record.outputs = "embedding"
    return find_target_layers(record)


def test_all_towers_of_open_clip() -> None:
    open_clip = pytest.importorskip("open_clip", reason="open_clip is in the extra clip")
    names = open_clip.list_models()
    towers: dict[str, list[TargetLayer]] = {}
    found: dict[str, list[TargetLayer]] = {}
    for name in names:
        config = open_clip.get_model_config(name)
        parts = [config[key] for key in ("vision_cfg", "embed_dim")]
        key = json.dumps([*parts, config.get("quick_gelu", False)])
        if key not in towers:
            towers[key] = layers_of_open_clip(config)
        found[name] = towers[key]
    print(f"{len(found)} architectures of open_clip, {len(towers)} different towers")
    assert not {name: layers for name, layers in found.items() if len(layers) != 1}
    chosen = {name: layers[0].name for name, layers in found.items()}
    assert chosen["RN50"] == "layer4"
    assert chosen["ViT-B-32"] == "transformer.resblocks.11.ln_1"
    assert chosen["ViT-B-16-SigLIP2"] == "trunk.norm"
    assert chosen["coca_ViT-L-14"] == "attn_pool.ln_k"
    if open_clip.__version__.startswith("3.3."):
        assert len(names) == ARCHITECTURES


def layers_of_open_clip(config: dict[str, Any]) -> list[TargetLayer]:
    from open_clip.model import _build_vision_tower

    vision = {**config["vision_cfg"], "timm_model_pretrained": False}
    with torch.device("meta"):
        tower = _build_vision_tower(config["embed_dim"], vision, config.get("quick_gelu", False))
    size = tower.image_size
    return list(layers_of(tower, (size, size) if isinstance(size, int) else tuple(size)))


@pytest.mark.parametrize("kind", KINDS)
def test_towers_of_transformers(kind: str) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is in the extra clip")
    config = getattr(transformers, f"{kind}Config", None)
    if config is None:
        pytest.skip(f"this release of transformers has no {kind}")
    with torch.device("meta"):
        model = getattr(transformers, f"{kind}Model")(config())
    size = own_size(model)
    assert size is not None
    (layer,) = layers_of(image_tower(model), size)
    assert layer.name == KINDS[kind]

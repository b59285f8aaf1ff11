"""Every image tower of open_clip, and those of transformers, has a target layer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from effcam.models.image_tower import image_tower
from effcam.models.tracing.target_layer import TargetLayer, find_target_layers
from effcam.models.tracing.trace import trace
from effcam.models.wrappers import own_size

pytestmark = [pytest.mark.sweep, pytest.mark.slow]

TOWERS = 144
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


def test_all_towers_of_open_clip(subtests: Any) -> None:
    open_clip = pytest.importorskip("open_clip", reason="open_clip is in the extra clip")
    from open_clip.model import _build_vision_tower

    names = open_clip.list_models()
    found: dict[str, TargetLayer] = {}
    for name in names:
        config = open_clip.get_model_config(name)
        vision = {**config["vision_cfg"], "timm_model_pretrained": False}
        with torch.device("meta"):
            tower = _build_vision_tower(
                config["embed_dim"], vision, config.get("quick_gelu", False)
            )
        size = tower.image_size
        with subtests.test(name):
            layers = layers_of(tower, (size, size) if isinstance(size, int) else tuple(size))
            assert len(layers) == 1
            found[name] = layers[0]
    print(f"{len(found)} of {len(names)} towers of open_clip have a target layer")
    assert found.keys() == set(names)
    if open_clip.__version__.startswith("3.3."):
        assert len(names) == TOWERS
    assert found["RN50"].name == "layer4"
    assert found["ViT-B-32"].name == "transformer.resblocks.11.ln_1"
    assert found["ViT-B-16-SigLIP2"].name == "trunk.norm"
    assert found["coca_ViT-B-32"].grid == (7, 7)


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

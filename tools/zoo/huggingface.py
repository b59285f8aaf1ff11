"""transformers' image classifiers, and packages that change or share them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from zoo.entries import Entry, Family, Package, Reads

SMALL = {"hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
         "intermediate_size": 96}  # fmt: skip
PATCHES = SMALL | {"image_size": 128, "patch_size": 16}
STAGES = {"depths": [1, 1, 1, 1], "hidden_sizes": [16, 24, 32, 48]}


def _classifier(kind: str, options: dict[str, Any]) -> Any:
    library = import_module("transformers")
    config = getattr(library, f"{kind}Config")(num_labels=10, **options)
    found = getattr(library, f"{kind}ForImageClassification", None)
    return (found or getattr(library, f"{kind}ForImageClassificationWithTeacher"))(config)


def _model(
    kind: str,
    options: dict[str, Any],
    reads: Reads = "cells",
    size: int = 224,
    *,
    note: str = "",
    layer: str = "",
) -> Entry:
    return Entry(
        package="transformers",
        name=f"{kind} {note}".strip(),
        build=lambda: _classifier(kind, options),
        reads=reads,
        size=size,
        layer=layer,
    )


def _transformers() -> list[Entry]:
    swin = {"embed_dim": 24, "depths": [1, 1, 2, 1], "num_heads": [1, 2, 4, 8], "window_size": 7}
    vision = {"vision_config": PATCHES}
    return [
        _model("ViT", PATCHES, "class token", 128),
        _model("DeiT", PATCHES, "class token", 128),
        _model("Beit", PATCHES, size=128),
        _model("Beit", PATCHES | {"use_mean_pooling": False}, "class token", 128,
               note="class token"),
        _model("Data2VecVision", PATCHES, size=128),
        _model("Dinov2", PATCHES, size=128),
        _model("Dinov2WithRegisters", PATCHES | {"num_register_tokens": 4}, size=128),
        _model("ViTMSN", PATCHES, "class token", 128),
        _model("IJepa", PATCHES, size=128),
        _model("CLIP", vision, size=128),
        _model("MetaClip2", vision, size=128),
        _model("Siglip", vision, size=128),
        _model("Swin", swin),
        _model("Swinv2", swin | {"image_size": 256, "window_size": 8}, size=256),
        _model("DonutSwin", swin),
        _model("Hiera", {"embed_dim": 24, "depths": [1, 1, 2, 1], "num_heads": [1, 2, 4, 8]}),
        _model("Pvt", {"hidden_sizes": [16, 32, 40, 64], "depths": [1, 1, 1, 1],
                       "num_attention_heads": [1, 2, 5, 8]}, "class token"),
        _model("PvtV2", {"hidden_sizes": [16, 32, 40, 64], "depths": [1, 1, 1, 1],
                         "num_attention_heads": [1, 2, 5, 8]}),
        _model("Cvt", {"embed_dim": [16, 32, 48], "depth": [1, 2, 3], "num_heads": [1, 2, 3]},
               "class token"),
        _model("Levit", {"hidden_sizes": [32, 48, 64], "depths": [1, 1, 1],
                         "num_attention_heads": [2, 3, 4], "key_dim": [16, 16, 16]},
               layer="levit.encoder*"),
        _model("PoolFormer", STAGES),
        _model("ConvNext", STAGES),
        _model("ConvNextV2", STAGES),
        _model("ResNet", {"embedding_size": 16, "hidden_sizes": [32, 48, 64, 96],
                          "depths": [1, 1, 1, 1]}),
        _model("RegNet", {"embedding_size": 16, "hidden_sizes": [32, 48, 64, 96],
                          "depths": [1, 1, 1, 1], "groups_width": 16}),
        _model("Bit", {"embedding_size": 16, "hidden_sizes": [32, 64, 96, 128],
                       "depths": [1, 1, 1, 1], "num_groups": 8}),
        _model("FocalNet", {"embed_dim": 24, "depths": [1, 1, 2, 1]}),
        _model("MobileNetV1", {"depth_multiplier": 0.25}),
        _model("MobileNetV2", {"depth_multiplier": 0.35}),
        _model("MobileViT", {"hidden_sizes": [32, 48, 64], "num_attention_heads": 4,
                             "neck_hidden_sizes": [16, 16, 24, 32, 48, 64, 96]}, size=256),
        _model("MobileViTV2", {"width_multiplier": 0.5}, size=256),
        _model("EfficientNet", {"width_coefficient": 0.5, "depth_coefficient": 0.5,
                                "hidden_dim": 640}),
        _model("SwiftFormer", {"depths": [1, 1, 2, 1], "embed_dims": [16, 24, 32, 48]}),
        _model("TextNet", {}),
        _model("HGNetV2", {}),
        _model("Segformer", {"hidden_sizes": [16, 24, 32, 48], "depths": [1, 1, 1, 1],
                             "num_attention_heads": [1, 2, 4, 8]}),
        _model("PPLCNet", {"scale": 0.5}),
        _model("TimmWrapper", {"architecture": "resnet18"}, note="resnet18"),
        *_other_perceivers(),
    ]  # fmt: skip


def _other_perceivers() -> list[Entry]:
    small = {"num_latents": 64, "d_latents": 64, "num_blocks": 1, "num_self_attends_per_block": 2,
             "num_self_attention_heads": 4, "num_cross_attention_heads": 1}  # fmt: skip
    return [
        Entry(
            package="transformers",
            name=f"Perceiver {kind}",
            build=lambda kind=kind, more=more: _perceiver(kind, small | more),
        )
        for kind, more in (
            ("Learned", {"image_size": 224}),
            ("Fourier", {}),
            ("ConvProcessing", {}),
        )
    ]


def _perceiver(kind: str, options: dict[str, Any]) -> Any:
    library = import_module("transformers")
    config = library.PerceiverConfig(num_labels=10, **options)
    return getattr(library, f"PerceiverForImageClassification{kind}")(config)


def _lora(target: list[str]) -> Any:
    from peft import LoraConfig, get_peft_model

    network = _classifier("ViT", PATCHES)
    return get_peft_model(
        network, LoraConfig(target_modules=target, modules_to_save=["classifier"])
    )


def _lora_timm() -> Any:
    import timm
    from peft import LoraConfig, get_peft_model

    network = timm.create_model("vit_tiny_patch16_224", num_classes=10, img_size=128, depth=3)
    return get_peft_model(network, LoraConfig(target_modules=["qkv"], modules_to_save=["head"]))


def _quantised(network: Any, config: str) -> Any:
    from torchao import quantization

    network.eval()
    quantization.quantize_(network, getattr(quantization, config)())
    return network


def _resnet() -> Any:
    import torchvision

    return torchvision.models.resnet18(num_classes=10)


def _clip(name: str) -> Any:
    import open_clip

    return open_clip.create_model(name, pretrained=None)


def _visual(name: str) -> Any:
    return _clip(name).visual


def _zero_shot(name: str) -> Any:
    import torch
    from torch import nn

    class ZeroShot(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.visual = _visual(name)
            self.head = nn.Linear(int(self.visual.output_dim), 10, bias=False)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            features = nn.functional.normalize(self.visual(images), dim=-1)
            return 100 * self.head(features)

    return ZeroShot()


def entries() -> list[Entry]:
    """Return the classifiers."""
    return [
        *_transformers(),
        Entry(package="peft", name="LoRA on transformers' ViT", size=128, reads="class token",
              build=lambda: _lora(["q_proj", "v_proj", "query", "value"])),
        Entry(package="peft", name="LoRA on timm's ViT", size=128, reads="class token",
              build=_lora_timm),
        Entry(package="torchao", name="int8 weights, ResNet-18", frozen=True,
              build=lambda: _quantised(_resnet(), "Int8WeightOnlyConfig")),
        Entry(package="torchao", name="int8 weights, transformers' ViT", frozen=True, size=128,
              reads="class token",
              build=lambda: _quantised(_classifier("ViT", PATCHES), "Int8WeightOnlyConfig")),
        Entry(package="torchao", name="int8 activations and weights, ResNet-18", frozen=True,
              build=lambda: _quantised(_resnet(), "Int8DynamicActivationInt8WeightConfig")),
        Entry(package="open-clip-torch", name="RN50, image tower", build=lambda: _visual("RN50"),
              refusal="classifier|embedding"),
        Entry(package="open-clip-torch", name="ViT-B-32, image tower",
              build=lambda: _visual("ViT-B-32"), refusal="classifier|embedding"),
        Entry(package="open-clip-torch", name="RN50 with a zero-shot head",
              build=lambda: _zero_shot("RN50")),
        Entry(package="open-clip-torch", name="ViT-B-32 with a zero-shot head",
              build=lambda: _zero_shot("ViT-B-32"), reads="class token"),
    ]  # fmt: skip


FAMILY = Family(
    "huggingface",
    (
        Package("transformers==5.23.0", modules=("transformers",)),
        Package("peft==0.21.2", modules=("peft",)),
        Package("torchao==0.18.0", modules=("torchao",)),
        Package("open-clip-torch==3.3.0", modules=("open_clip",)),
    ),
    entries,
)

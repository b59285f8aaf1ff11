"""OpenMMLab's classifiers."""

from __future__ import annotations

from typing import Any

from zoo.entries import Entry, Family, Package, Reads

HEAD = {"type": "LinearClsHead", "num_classes": 10}
TOKEN_HEAD = {"type": "VisionTransformerClsHead", "num_classes": 10, "in_channels": 192}


def _classifier(backbone: dict[str, Any], head: dict[str, Any], *, neck: bool = True) -> Any:
    from mmpretrain.registry import MODELS
    from mmpretrain.utils import register_all_modules

    register_all_modules()
    config = {"type": "ImageClassifier", "backbone": backbone, "head": head}
    if neck:
        config["neck"] = {"type": "GlobalAveragePooling"}
    return MODELS.build(config)


def _entry(
    name: str, backbone: dict[str, Any], head: dict[str, Any], reads: Reads = "cells"
) -> Entry:
    return Entry(
        package="mmpretrain",
        name=name,
        build=lambda: _classifier(backbone, head, neck=reads == "cells"),
        reads=reads,
    )


def entries() -> list[Entry]:
    """Return the classifiers."""
    return [
        _entry("ResNet", {"type": "ResNet", "depth": 18}, HEAD | {"in_channels": 512}),
        _entry(
            "VisionTransformer",
            {"type": "VisionTransformer", "arch": "deit-tiny", "img_size": 224},
            TOKEN_HEAD,
            "class token",
        ),
    ]


FAMILY = Family(
    "openmmlab",
    (Package("mmengine==0.10.7"), Package("mmcv-lite==2.2.0"), Package("mmpretrain==1.2.0")),
    entries,
)

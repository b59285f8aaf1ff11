"""Scenes whose truth is known, and small models for them: offline, within seconds.

Nothing here is fetched: scenes are drawn when they are asked for, and the weights of the five
models, which were trained on other scenes by ``tools/train_demo.py``, are part of the package. The
models know ten things and nothing else; on photos their answers mean nothing.

>>> import effcam
>>> scenes = effcam.demo.scenes(2, seed=7)
>>> comparison = effcam.compare(scenes, ["demo_resnet", "demo_alexnet"])
>>> [cell.label for cell in comparison] == [scene.label for scene in scenes for _ in range(2)]
True
"""

from __future__ import annotations

from effcam.demo.models import MODELS
from effcam.demo.scenes import LABELS, Scene, scenes

__all__ = ["LABELS", "MODELS", "Scene", "scenes"]

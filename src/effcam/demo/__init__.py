"""Scenes with known annotations, and small models for them: offline, within seconds.

Nothing is downloaded: scenes are drawn on demand, and the weights of the five models are part of
the package. ``tools/train_demo.py`` trained them on other scenes. The models know ten classes of
drawn objects; their predictions on photos are meaningless. A sixth, ``demo_multilabel``, is for
scenes of several objects: it gives each class a probability of its own.

>>> import effcam
>>> scenes = effcam.demo.scenes(2, seed=7)
>>> comparison = effcam.compare(scenes, ["demo_resnet", "demo_alexnet"])
>>> [cell.label for cell in comparison] == [scene.label for scene in scenes for _ in range(2)]
True
"""

from __future__ import annotations

from effcam.demo.models import MODELS
from effcam.demo.scenes import LABELS, Scene, SceneObject, scenes

__all__ = ["LABELS", "MODELS", "Scene", "SceneObject", "scenes"]

"""Scenes with known annotations, and small models for them: offline, within seconds.

Nothing is downloaded: scenes are drawn on demand, and the weights of the models are part of the
package. ``tools/train_demo.py``, ``tools/train_multilabel.py`` and ``tools/train_demo_clip.py``
trained them on other scenes. Five models know ten classes of drawn objects;
``"demo_multilabel"`` is for scenes of several objects, and gives each class a probability of its
own; ``"demo_clip"`` knows texts about them. What they find in photos is meaningless.

>>> import effcam
>>> scenes = effcam.demo.scenes(2, seed=7)
>>> comparison = effcam.compare(scenes, ["demo_resnet", "demo_alexnet"])
>>> [cell.label for cell in comparison] == [scene.label for scene in scenes for _ in range(2)]
True
"""

from __future__ import annotations

from effcam.demo.captions import Caption, CaptionedScene, ColouredObject, captioned_scenes
from effcam.demo.look_alikes import LOOK_ALIKE_LABELS, look_alike_scenes
from effcam.demo.marked_scenes import MarkedScene, marked_scenes
from effcam.demo.models import MODELS
from effcam.demo.scene import Scene, SceneObject, ScenePart
from effcam.demo.scenes import LABELS, scenes
from effcam.demo.tetrominoes import TETROMINO_LABELS, tetromino_scenes

__all__ = [
    "LABELS",
    "LOOK_ALIKE_LABELS",
    "MODELS",
    "TETROMINO_LABELS",
    "Caption",
    "CaptionedScene",
    "ColouredObject",
    "MarkedScene",
    "Scene",
    "SceneObject",
    "ScenePart",
    "captioned_scenes",
    "look_alike_scenes",
    "marked_scenes",
    "scenes",
    "tetromino_scenes",
]

r"""
Ask in words
============

A model of images and texts, such as CLIP, has no list of classes. Ask it for anything that can be
said: :class:`effcam.targets.Text` explains how much an image fits a text.
"""

# %%
# Two texts about one image
# -------------------------
# ``demo_clip`` is a small model of this kind that comes with effcam. It was trained on drawn scenes
# with captions such as "a red arrow and a blue star on sand". Each scene here shows two objects.
# A mapping of names to targets makes a column for each text:

import effcam
from effcam.demo import Caption, captioned_scenes
from effcam.targets import Text

scene = captioned_scenes(1, seed=12, size=192)[0]
print(scene.caption)
first, second = (str(Caption(((each.colour, each.label),))) for each in scene.objects)
texts = {said: Text(said) for said in (first, second)}
comparison = effcam.compare(scene, {"demo_clip": "demo_clip"}, target=texts, progress=False)
picture = comparison.grid(width=220)

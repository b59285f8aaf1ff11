r"""
Ask in words
============

A model of images and texts, such as CLIP, has no fixed list of classes. Ask it for anything that
can be said. For a :class:`effcam.targets.Text`, the heat shows what makes an image fit the text.
"""

# %%
# Two texts about one image
# -------------------------
# ``demo_clip`` is a small model of this kind that comes with effcam. It was trained on drawn scenes
# and captions such as "a red arrow and a blue star on sand". This scene has two objects:

import effcam
from effcam.demo import captioned_scenes
from effcam.targets import Text

scene = captioned_scenes(1, seed=12, size=192)[0]
print(scene.caption)

# %%
# A mapping of names to targets makes a column for each text. They share one forward pass. The
# number under a cell is the cosine of the two embeddings, the image's and the text's.

texts = [f"a {each.colour} {each.label}" for each in scene.objects]
comparison = effcam.compare(
    scene, {"demo_clip": "demo_clip"}, target={said: Text(said) for said in texts}, progress=False
)
picture = comparison.grid(width=220)

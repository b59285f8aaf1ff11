r"""
Find this in that
=================

An image tower turns an image into an embedding, a row of numbers that is alike for images that are
alike. :class:`effcam.targets.Similar` asks how like another image an image is; the heat shows what
makes it so.
"""

# %%
# An image that is looked for
# ---------------------------
# ``demo_clip`` is a small model of images and texts that comes with effcam; no text is needed here.
# The query shows one object:

import effcam
from effcam.demo import captioned_scenes
from effcam.targets import Similar

query = captioned_scenes(2, seed=31, size=192, objects=1)[1]
print(query.caption)
picture = query.image

# %%
# Other scenes have two objects. These show one of the query's class, in another colour:

wanted = query.objects[0].label
drawn = captioned_scenes(12, seed=32, size=192)
scenes = [scene for scene in drawn if wanted in {each.label for each in scene.objects}]
print(len(scenes), "of", len(drawn), "scenes show one")

# %%
# A part of an image can be the query too: ``region`` cuts it out. The number under a cell is the
# cosine of the two embeddings.

left, top, right, bottom = map(int, query.objects[0].box.as_tuple())
part = (left - 20, top - 20, right + 20, bottom + 20)
comparison = effcam.compare(
    scenes,
    {"demo_clip": "demo_clip"},
    target={
        "all of it": Similar(query, name="the query"),
        "a part": Similar(query, region=part, name="its part"),
    },
    progress=False,
)
picture = comparison.grid(width=150)

# %%
# Give several images to look for what they have in common, such as photos of one species: the mean
# of their embeddings counts. The ground is a part of an image too: a query on cloth is also a bit
# like other scenes on cloth.

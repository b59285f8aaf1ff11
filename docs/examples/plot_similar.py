r"""
Find this in that
=================

A network without a classifier turns an image into an embedding, a row of numbers that are alike for
images that are alike. :class:`effcam.targets.Similar` asks how like another image an image is, and
the heat shows what makes it so.
"""

# %%
# One image is looked for
# -----------------------
# The image tower of ``demo_clip`` makes such embeddings. Here the query shows one object, and each
# of the other scenes two, one of which is of the query's class.

from effcam.demo import captioned_scenes

query = captioned_scenes(20, seed=31, size=192, objects=1)[0]
wanted = query.objects[0].label
others = [
    scene
    for scene in captioned_scenes(40, seed=32, size=192)
    if wanted in [each.label for each in scene.objects]
]
print(query.caption, [str(scene.caption) for scene in others], sep="\n")

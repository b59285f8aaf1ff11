"""
Two labels, one photo
=====================

A model of several labels gives each label a probability of its own. Ask where it sees each of them.
"""

# %%
# A column for each label
# -----------------------
# The demo model ``demo_multilabel`` learned from scenes of one to three objects which classes are
# there, and nothing about where. Each image asks for its own two labels, so each column takes a
# list with one label an image:

import effcam
from effcam.targets import Above

scenes = effcam.demo.scenes(4, seed=12, objects=2)
model = effcam.load_model("demo_multilabel")
one, other = ([scene.objects[at].label for scene in scenes] for at in (0, 1))
comparison = effcam.compare(
    scenes, {"demo": model}, target={"one": one, "other": other}, progress=False
)
picture = comparison.grid(width=150)

# %%
# The lines under a cell have the label that the heat is for, its probability and, if that is
# another one, the most probable label. Both may be near 100 %: they do not sum to 1.
#
# With names instead of lists, as in ``target={"cat": "cat", "dog": "dog"}``, all images are asked
# for the same labels.
#
# All labels at once
# ------------------
# :class:`effcam.targets.Above` explains together all labels that are at least as probable as a
# threshold, and names them:

every = effcam.compare(scenes, {"demo": model}, target=Above(0.5), progress=False)
picture = every.grid(width=150)

# %%
# Does the heat lie on its own object?
# ------------------------------------
# Scenes know where their objects are. Over more of them, how much denser is the heat of a label on
# its own object than over the whole image, and on the other object? Chance is 1.

many = effcam.demo.scenes(30, seed=500, size=128, objects=2)
asked = effcam.compare(
    many, {"demo": model}, target=[scene.objects[0].label for scene in many], progress=False
)
for name, at in (("own", 0), ("other", 1)):
    ratios = [
        effcam.metrics.mass_area_ratio(cell.evidence(*cell.size), mask=scene.objects[at].mask)
        for scene, cell in zip(many, asked, strict=True)
    ]
    print(f"{name} object: {sum(map(float, ratios)) / len(ratios):.1f}")

# %%
# How well does it know the labels?
# ---------------------------------
# The average precision of a label is about how its probabilities rank the images. It needs the
# probability of every label in every image, so the model runs once more:

found = effcam.metrics.label_probabilities(asked, {"demo": model}, progress=False)
summary = asked.summary(label_probabilities=found)
print(f"mean average precision: {summary['demo', 'mean_average_precision']:.2f}")

r"""
Why this and not that
=====================

A map of the predicted class shows all that speaks for it, also what speaks for similar classes. A
contrast shows what speaks for one class more than for another.
"""

# %%
# Three questions about one image
# -------------------------------
# A mapping of names to targets makes a column for each. ``"top1"`` and ``"top2"`` are the classes
# with the highest scores in each image; :class:`effcam.targets.Contrast` asks for the difference of
# two.

import effcam
from effcam.targets import Contrast

scenes = effcam.demo.scenes(4, seed=21)
questions = {"first": "top1", "second": "top2", "first, not second": Contrast("top1", "top2")}
comparison = effcam.compare(scenes, {"AlexNet": "demo_alexnet"}, target=questions, progress=False)
picture = comparison.grid(width=150)

# %%
# The lines under a cell state what the heat is for. For a contrast it is the difference of the two
# scores: by how much the model prefers the first class.
#
# How strongly to contrast
# ------------------------
# ``strength`` is the factor of the second class's score. At 0.5, half of its evidence is removed:

strengths = {f"strength {s:g}": Contrast("top1", "top2", strength=s) for s in (0.5, 1, 2)}
stronger = effcam.compare(scenes, {"AlexNet": "demo_alexnet"}, target=strengths, progress=False)
picture = stronger.grid(width=150)

# %%
# Is it another map at all?
# -------------------------
# Over more scenes, compare the maps. Rank correlation is 1 where two maps have the same order of
# places. The columns are those of the first picture:

many = effcam.demo.scenes(40, seed=300)
asked = effcam.compare(many, {"AlexNet": "demo_alexnet"}, target=questions, progress=False)
print(asked.agreement().round(2))

# %%
# A contrast says nothing about other classes: to learn why the model prefers the first class to all
# others, give several in ``against``.

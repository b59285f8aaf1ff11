r"""
Whose mistake is it?
====================

Models disagree. Where one is wrong, heat can tell which kind of wrong it is: did it look at the
wrong thing, or at the right thing and called it something else?
"""

# %%
# Find the cells worth looking at
# -------------------------------
# Two hundred scenes, five models. The table has a row for each cell; the scenes know the truth.

import effcam

scenes = effcam.demo.scenes(200, seed=21, size=192)
models = effcam.demo.MODELS
comparison = effcam.compare(scenes, models, progress=False)

wrong = [
    [cell.column for cell in row if cell.predicted != scene.target]
    for row, scene in zip(comparison.rows(), scenes, strict=True)
]
for label in models:
    print(f"{label:9} {sum(label in each for each in wrong):3} wrong of {len(scenes)}")

# %%
# Which classes are mistaken for which? Over all models, the most frequent confusions:

from collections import Counter

confusions = Counter(
    (scene.label, cell.predicted_label)
    for row, scene in zip(comparison.rows(), scenes, strict=True)
    for cell in row
    if cell.predicted != scene.target
)
for (truth, answer), count in confusions.most_common(6):
    print(f"{count:3} x {truth} taken for {answer}")

# %%
# Looked elsewhere, or misread?
# -----------------------------
# The heat of a wrong answer says what it was that spoke for it. If its strongest point lies on the
# object, the model saw it and misread it; otherwise something else did the talking. (Some of
# AlexNet's count as elsewhere since its heat is drawn too far out, as :doc:`plot_layers` shows.)

for label in models:
    misread = elsewhere = 0
    for position, scene in enumerate(scenes):
        cell = comparison[position, label]
        if cell.predicted != scene.target:
            on_it = scene.is_hit(cell.upsampled())
            misread, elsewhere = misread + on_it, elsewhere + (not on_it)
    print(f"{label:9} misread the object: {misread:3}   looked elsewhere: {elsewhere:3}")

# %%
# The scenes on which most models fail, with the answer of each:

hardest = sorted(range(len(scenes)), key=lambda at: -len(wrong[at]))[:3]
picture = effcam.compare([scenes[at] for at in hardest], models, progress=False).grid(width=150)
print([scenes[at].label for at in hardest])

# %%
# One question for all
# --------------------
# In the picture above, the cells of a row may explain different classes, and comparing their heat
# compares answers to different questions. ``target`` asks all models the same: here, what in the
# picture speaks for the class that is truly there, one for each image. A caption then says both
# what the model answered and what the heat is about.

same = effcam.compare(
    [scenes[at] for at in hardest],
    models,
    target=[scenes[at].label for at in hardest],
    progress=False,
)
picture = same.grid(width=150)

# %%
# A model that finds the evidence when it is asked for it, and still answers otherwise, has weighed
# it wrongly. One that finds none, or finds it in the wrong place, has not seen the thing.
#
# The other way round, ``target`` asks for the evidence for a *wrong* class: what in this picture
# looks like the class that it was taken for?

truth, answer = confusions.most_common(1)[0][0]
case = next(
    (position, cell.column)
    for position, row in enumerate(comparison.rows())
    for cell in row
    if (scenes[position].label, cell.predicted_label) == (truth, answer)
)
position, column = case
pair = [
    effcam.compare(scenes[position], {column: models[column]}, target=label, progress=False)
    for label in (truth, answer)
]
print(f"{column} took this {truth} for {answer}. First what speaks for {truth}, then for {answer}:")
picture = pair[0].grid(width=260)
other_picture = pair[1].grid(width=260)

# %%
# What all together think
# -----------------------
# Where there is no truth to ask for, ``target="consensus"`` takes the class with the highest mean
# probability over the models.

consensus = effcam.compare(
    [scenes[at] for at in hardest], models, target="consensus", progress=False
)
print([consensus[row, 0].label for row in range(len(hardest))])

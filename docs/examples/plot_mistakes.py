r"""
Whose mistake is it?
====================

Models disagree. If one is wrong, heat can show the kind of mistake: did it look at the wrong
object, or at the right object and called it something else?
"""

# %%
# Find the cells worth looking at
# -------------------------------
# Two hundred scenes, five models. The table has a row for each cell; the scenes have their true
# labels.

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
# The heat of a wrong prediction shows the evidence for it. If its maximum lies on the object, the
# model saw the object and misread it; otherwise the evidence is elsewhere.

for label in models:
    misread = elsewhere = 0
    for position, scene in enumerate(scenes):
        cell = comparison[position, label]
        if cell.predicted != scene.target:
            on_it = scene.is_hit(cell.upsampled())
            misread, elsewhere = misread + on_it, elsewhere + (not on_it)
    print(f"{label:9} misread the object: {misread:3}   looked elsewhere: {elsewhere:3}")

# %%
# The scenes on which most models fail, with the prediction of each:

hardest = sorted(range(len(scenes)), key=lambda at: -len(wrong[at]))[:3]
picture = effcam.compare([scenes[at] for at in hardest], models, progress=False).grid(width=150)
print([scenes[at].label for at in hardest])

# %%
# The same class for all
# ----------------------
# In the picture above, the cells of a row may explain different classes, so comparing their heat
# compares answers to different questions. ``target`` explains one class in all models: here the
# true class of each image. The caption then has both the model's prediction and the explained
# class.

same = effcam.compare(
    [scenes[at] for at in hardest],
    models,
    target=[scenes[at].label for at in hardest],
    progress=False,
)
picture = same.grid(width=150)

# %%
# If a model finds evidence for the true class but still predicts another, it has weighted the
# evidence wrongly. If it finds none, or finds it in the wrong place, it has not seen the object.
#
# Conversely, ``target`` can explain a *wrong* class: which part of this image looks like the class
# that it was mistaken for?

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
print(f"{column} took this {truth} for {answer}. Evidence for {truth}, then for {answer}:")
picture = pair[0].grid(width=260)
other_picture = pair[1].grid(width=260)

# %%
# The consensus of all models
# ---------------------------
# If the true class is unknown, ``target="consensus"`` uses the class with the highest mean
# probability over the models.

consensus = effcam.compare(
    [scenes[at] for at in hardest], models, target="consensus", progress=False
)
print([consensus[row, 0].label for row in range(len(hardest))])

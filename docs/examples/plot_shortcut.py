"""
A shortcut
==========

Two networks of one architecture, and pictures with a small mark of two colours. In the training of
``demo_shortcut`` each mark told the class; in that of ``demo_clean`` marks said nothing.
"""

import effcam

scenes = effcam.demo.marked_scenes(4, seed=12, size=160)
models = {"shortcut": "demo_shortcut", "clean": "demo_clean"}
comparison = effcam.compare(scenes, models, progress=False)
picture = comparison.grid(width=150)

# %%
# What is really used
# -------------------
# Here marks say nothing about the class, and the shortcut learner is wrong where the mark is. That
# it really uses the mark can be measured: take away one part at a time, all else being equal.

for label, name in models.items():
    model = effcam.load_model(name)
    for part in ("object", "mark"):
        without = [scene.without(part) for scene in scenes]
        targets = [comparison[row, label].target for row in range(len(scenes))]
        after = effcam.compare(without, model, target=targets, progress=False)
        before = [comparison[row, label].probability for row in range(len(scenes))]
        drop = sum(before) / 4 - sum(cell.probability for cell in after) / 4
        print(f"{label}: without the {part}, {100 * drop:.0f} points less")

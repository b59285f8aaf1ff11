r"""
Numbers beside the pictures
===========================

Pictures give an impression. A summary measures it: how concentrated the maps are, whether they
lie on the object, and whether the difference between two models is more than an effect of the
choice of images.
"""

# %%
# The table
# ---------
# Scenes have their label, their box and their mask, so no other input is needed. For your own
# photos, :doc:`/metrics` lists the file formats.

import effcam

scenes = effcam.demo.scenes(60, seed=3, size=192)
comparison = effcam.compare(scenes, effcam.demo.MODELS, progress=False)
summary = comparison.summary()
summary

# %%
# ``print(summary)`` prints the same as plain text, ``summary.save("table.tex")`` saves it as LaTeX.
#
# In sentences
# ------------
# One sentence per figure: which model is best, and from which others it differs significantly. A
# difference that may be due to chance is not reported; the number of pairs is taken into account.

import textwrap

for sentence in summary.findings():
    print(textwrap.fill(sentence, 84, subsequent_indent="  "))

# %%
# All differences in one figure, the largest first:

for each in summary.differences("pointing_game"):
    numbers = f"{100 * each.value:4.1f} [{100 * each.low:.1f}, {100 * each.high:.1f}]"
    print(f"{each.one:8} above {each.other:8} {numbers} percentage points")

# %%
# AlexNet comes first in figures of focus, partly because its cells cover only the middle of its
# input, as a note says and :doc:`plot_placement` explains: a figure measures the model, the layer,
# the method and the drawing together. :doc:`/howto/right_thing` examines this.
#
# Size against pointing
# ---------------------
# :meth:`effcam.Summary.plot` draws any two figures by their keys. Bars are intervals; lines are the
# baselines of maps that do not depend on the image.

import io

from PIL import Image

chart = io.BytesIO()
summary.plot("parameters", "pointing_game").savefig(chart)
picture = Image.open(chart)

# %%
# Which models look at the same
# -----------------------------
# The rank correlation of every two models' maps, where both saw the image, averaged over images:

picture = comparison.agreement_picture()

# %%
# Agreement does not make models right, but disagreement shows where to look. These are the images
# in which the maps differ most:

different = comparison.most_disagreed(4)
picture = different.grid(width=150)

# %%
# In some of these the models predict different classes, and their maps explain different classes.
# The figures above leave out such images, because the labels are known.

for row in different.rows():
    answers = (f"{cell.column} {cell.predicted_label}" for cell in row)
    print(f"{row[0].image.name}: {', '.join(answers)}")

r"""
Numbers beside the pictures
===========================

Heat beside heat makes an impression. A summary says what of it can be counted: how concentrated the
maps are, whether they lie on the object, and whether the difference between two models is more than
the choice of the images.
"""

# %%
# The table
# ---------
# Scenes know their label, their box and their mask, so that nothing else has to be given. For
# photos of your own, :doc:`/metrics` says in which files these may be.

import effcam

scenes = effcam.demo.scenes(60, seed=3, size=192)
comparison = effcam.compare(scenes, effcam.demo.MODELS, progress=False)
summary = comparison.summary()
summary

# %%
# ``print(summary)`` is the same as plain text, ``summary.save("table.tex")`` as LaTeX.
#
# In words
# --------
# One sentence a figure: who is best, and from whom it is told apart. Where the interval of a
# difference contains zero, no difference is claimed.

import textwrap

for sentence in summary.findings():
    print(textwrap.fill(sentence, 84, subsequent_indent="  "))

# %%
# All differences in one figure, the largest first:

for each in summary.differences("pointing_game"):
    numbers = f"{100 * each.value:4.1f} [{100 * each.low:.1f}, {100 * each.high:.1f}]"
    print(f"{each.one:8} above {each.other:8} {numbers} percentage points")

# %%
# AlexNet comes last in the pointing game mostly because its heat is drawn too far out, as
# :doc:`plot_layers` shows, and not because it looks elsewhere: a figure measures the model, the
# layer, the method and the drawing together. :doc:`/howto/right_thing` follows this up.
#
# Size against pointing
# ---------------------
# :meth:`effcam.Summary.plot` takes any two figures by their keys. Bars are intervals, lines are
# what maps reach that look at nothing.

import io

from PIL import Image

chart = io.BytesIO()
summary.plot("parameters", "pointing_game").savefig(chart)
picture = Image.open(chart)

# %%
# Who looks at the same
# ---------------------
# The rank correlation of every two models' maps, where both saw the image, the mean over images:

picture = comparison.agreement_picture()

# %%
# That models agree does not make them right; where they do not is where to look. These are the
# images in which the maps differ most:

different = comparison.most_disagreed(4)
picture = different.grid(width=150)

# %%
# In some of these the models answer differently, and their maps explain different classes. The
# figures above leave such images out by themselves, since the labels are known.

for row in different.rows():
    answers = (f"{cell.column} {cell.predicted_label}" for cell in row)
    print(f"{row[0].image.name}: {', '.join(answers)}")

r"""
Layouts: rows, methods, posters and figures
===========================================

The same heat can be laid out in several ways, and none of them runs a model again.
"""

# %%
# Rows of models
# --------------
# By default a row is an image. With ``rows="models"`` a row is a model and a column an image:
# better on a page that is taller than wide, and for few images of many models.

import effcam

comparison = effcam.compare(effcam.demo.scenes(3, seed=3), effcam.demo.MODELS, progress=False)
models = comparison.grid(rows="models", width=180)

# %%
# Less around it
# --------------
# ``original=False`` leaves the photos out, ``caption`` is a template with the columns of
# ``comparison.table()``, and ``title`` and ``theme`` are what they say.

bare = comparison.grid(
    original=False,
    caption="{label} {probability:.1%}",
    title="Five small models, three scenes",
    theme="dark",
    width=160,
)

# %%
# Methods by models
# -----------------
# With several methods, ``rows="methods"`` makes a block of each image: a row a method, a column a
# model.

methods = effcam.compare(
    effcam.demo.scenes(1, seed=3),
    effcam.demo.MODELS,
    method=["gradcam", "layercam", "eigencam"],
    progress=False,
)
by_method = methods.grid(rows="methods", width=160)

# %%
# A poster
# --------
# One image and many models: the photo large, the models around it. The number of columns is chosen
# so that the page has no gaps and is neither long nor wide.

poster = comparison.poster("scene 2", width=200)

# %%
# For print
# ---------
# The same layouts as PDF or SVG, where all text is text: :doc:`/howto/paper_figure` tells how.

import tempfile
from pathlib import Path

folder = Path(tempfile.mkdtemp())
file = comparison.save(folder / "figure.pdf", rows="models", inches=3.4, fontsize=6)
print(f"{file.name}: {file.stat().st_size / 1024:.0f} KiB")

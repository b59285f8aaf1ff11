r"""
Layouts: rows, methods, posters and figures
===========================================

The same heat can be arranged in several ways, without running a model again.
"""

# %%
# Rows of models
# --------------
# By default each row is an image. With ``rows="models"`` each row is a model and each column an
# image: better on a portrait page, and for few images of many models.

import effcam

comparison = effcam.compare(effcam.demo.scenes(3, seed=3), effcam.demo.MODELS, progress=False)
models = comparison.grid(rows="models", width=180)

# %%
# Less around it
# --------------
# ``original=False`` leaves out the photos, ``caption`` is a template with the columns of
# ``comparison.table()``, and ``title`` and ``theme`` set the title and the colours.

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
# With several methods, ``rows="methods"`` makes a block for each image, with one row per method and
# one column per model.

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
# One image and many models: a large photo, surrounded by the models. The number of columns is
# chosen so that the page has no gaps and is neither too tall nor too wide.

poster = comparison.poster("scene 2", width=200)

# %%
# For print
# ---------
# The same layouts as PDF or SVG, with text as text: see :doc:`/howto/paper_figure`.

import tempfile
from pathlib import Path

folder = Path(tempfile.mkdtemp())
file = comparison.save(folder / "figure.pdf", rows="models", inches=3.4, fontsize=6)
print(f"{file.name}: {file.stat().st_size / 1024:.0f} KiB")

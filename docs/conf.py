"""Configuration of Sphinx: ``sphinx-build -n -W docs docs/_build/html``."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import effcam
from effcam import types

if TYPE_CHECKING:
    from docutils.nodes import Node
    from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

# It logs each glyph of a font that a figure embeds.
logging.getLogger("fontTools").setLevel(logging.WARNING)

project = "effcam"
author = "The effcam developers"
copyright = "2026, The effcam developers"
version = release = effcam.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "sphinxext.opengraph",
    "supported_models",
    "attention_table",
    "plain_files",
]
exclude_patterns = ["_build", "examples", "gallery/*.ipynb", "gallery/*.py", "gallery/*.md5"]

html_theme = "furo"
html_title = "effcam"
html_static_path = ["_static"]
html_css_files = ["effcam.css"]
html_js_files = [("versions.js", {"defer": "defer"})]
templates_path = ["_templates"]
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "sidebar/search.html",
        "sidebar/versions.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}

# The address of the published pages, if it is set; otherwise addresses are relative.
html_baseurl = os.environ.get("READTHEDOCS_CANONICAL_URL") or os.environ.get("EFFCAM_DOCS_URL", "")
if html_baseurl:
    html_baseurl = f"{html_baseurl.rstrip('/')}/"
    ogp_site_url = html_baseurl
    ogp_image = "_static/social.png"
    ogp_image_alt = "A drawn scene with the heat of four networks on its object"
ogp_social_cards = {"enable": False}

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 90
napoleon_numpy_docstring = False

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_line_continuation_character = "\\"

# The documentation of the standard library and of third parties is on the network, and this one is
# built without a network: their names stay plain text.
nitpick_ignore_regex = [
    (
        r"py:.*",
        r"(collections|os|pathlib|types|typing|numpy|np|NDArray|PIL|Image|pyarrow|torch|nn)(\..*)?",
    ),
    (r"py:class", r"ArrayLike|Tensor|(fiftyone|fo|matplotlib|pandas|polars)\..*"),
]
# Aliases and protocols in signatures; the description of the argument explains them.
nitpick_ignore = [
    ("py:class", name)
    for name in (
        *(
            "Agreement",
            "Baseline",
            "Boxes",
            "Canvas",
            "Explain",
            "Grid",
            "HowPlaced",
            "ImageLike",
            "Labels",
            "Layers",
        ),
        *("Layout", "Masks", "Method", "ModelLike", "Models", "Predict", "State", "Target", "Unit"),
        *(
            "AskedPrecision",
            "Compiling",
            "PageKind",
            "PathLike",
            "Precision",
            "Redraw",
            "Rows",
            "effcam.dataset.manifest.Manifest",
        ),
        *("PlainTarget", "effcam.images.decoding.Photo"),
        *("effcam.dataset.storage.Store", "effcam.metrics.faithfulness_inputs.Compared"),
        *("Compared", "Path", "effcam.metrics.summary.text_tables.Contents"),
        *("Spread", "effcam.metrics.inference.Range", "ClassLike", "Kind", "Single", "Weights"),
        *("Corners", "Embed", "Function", "Link", "Scores", "effcam.targets.outputs.Function"),
        *("AnyPath", "HasPositions"),
        *("Part", "Results", "Cells", "effcam.cam.cells.Cells"),
        *("Fuse", "MethodOptions", "effcam.cam.methods.listing.MethodList", "tuple[str"),
    )
]

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"plot_",
    "within_subsection_order": "FileNameSortKey",
    "image_scrapers": ("picture_scraper",),
    "capture_repr": ("_repr_html_", "__repr__"),
    "ignore_repr_types": r"PIL\.",
    "download_all_examples": False,
    "show_memory": False,
    "write_computation_times": False,
    "abort_on_example_error": True,
}


def public_name(app: Sphinx, env: Any, node: Any, content: Node) -> Node | None:
    """Return the reference to the description of a public name.

    Signatures name the module that defines a class, ``effcam.comparison.comparison.Comparison``;
    the reference describes it under its public name, ``effcam.Comparison``.
    """
    package, _, rest = str(node.get("reftarget", "")).partition(".")
    name = rest.rpartition(".")[2]
    if node.get("refdomain") != "py" or package != "effcam":
        return None
    if name in effcam.__all__:
        target = f"effcam.{name}"
    elif name in types.__all__:
        target = f"effcam.types.{name}"
    else:
        return None
    found: Node | None = env.get_domain("py").resolve_xref(
        env, node["refdoc"], app.builder, "obj", target, node, content
    )
    return found


def found_from_anywhere(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Node | None
) -> None:
    """Give the page for missing addresses a base address.

    The server shows it under any address, so relative addresses would not work.
    """
    del app, templatename, doctree
    if pagename == "404" and html_baseurl:
        context["metatags"] = f'<base href="{html_baseurl}">{context["metatags"]}'


def setup(app: Sphinx) -> None:
    """Register the handlers with Sphinx."""
    app.connect("html-page-context", found_from_anywhere)
    app.connect("missing-reference", public_name)

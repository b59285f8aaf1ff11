"""Puts the pictures that a gallery example makes onto its page.

sphinx-gallery knows the figures of plotting libraries; here, a picture is a PIL image that the
example's block has just given a name.
"""

from __future__ import annotations

from typing import Any

from PIL import Image
from sphinx_gallery.scrapers import figure_rst

# sphinx-gallery makes a scraper anew for each block, so what was shown is remembered here.
_shown: list[Image.Image] = []


def scrape(block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """Return the reStructuredText that shows what the block has made."""
    del block  # sphinx-gallery passes it; what it made is in `block_vars`
    paths = []
    for value in block_vars["example_globals"].values():
        if isinstance(value, Image.Image) and not any(value is old for old in _shown):
            _shown.append(value)
            paths.append(next(block_vars["image_path_iterator"]))
            value.save(paths[-1])
    return figure_rst(paths, gallery_conf["src_dir"])


def _get_sg_image_scraper() -> Any:
    return scrape

"""Show the pictures of a gallery example on its page.

sphinx-gallery finds the figures of plotting libraries. Here, a picture is a PIL image that the
example's last block assigned to a name; one that moves is shown as its file.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from PIL import Image
from sphinx_gallery.scrapers import figure_rst

# sphinx-gallery makes a new scraper for each block, so shown pictures are kept here.
_shown: list[Image.Image] = []


def scrape(block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """Return the reStructuredText that shows the block's pictures."""
    del block  # sphinx-gallery passes it; its results are in `block_vars`
    paths = []
    for value in block_vars["example_globals"].values():
        if isinstance(value, Image.Image) and not any(value is old for old in _shown):
            _shown.append(value)
            path = Path(next(block_vars["image_path_iterator"]))
            if getattr(value, "is_animated", False):
                path = path.with_suffix(".gif")
                shutil.copyfile(value.filename, path)
            else:
                value.save(path)
            paths.append(str(path))
    return figure_rst(paths, gallery_conf["src_dir"])


def _get_sg_image_scraper() -> Any:
    return scrape

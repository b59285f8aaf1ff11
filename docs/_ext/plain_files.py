"""Add the files of the documentation that are not pages: the cheat sheet, and text for programs.

``llms.txt`` lists the pages for language models, and links to their Markdown, which lies beside
each page. The Markdown of the reference only names what it describes, so its text is written
instead. The cheat sheet is drawn when the gallery is, since both run the models of the demo.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sphinx.builders.text import TextBuilder
from sphinx.writers.text import TextTranslator

if TYPE_CHECKING:
    from sphinx.application import Sphinx

DOCS = Path(__file__).parents[1]


def add_files(app: Sphinx, error: Exception | None) -> None:
    """Write the files into the folder of the built pages."""
    if error is not None or app.builder.format != "html":
        return
    out = Path(app.outdir)
    shutil.copyfile(DOCS / "llms.txt", out / "llms.txt")
    for name in app.env.found_docs:
        source = DOCS / f"{name}.md"
        if source.is_file():
            shutil.copyfile(source, out / f"{name}.md")
    (out / "reference.md").write_text(as_text(app, "reference"), encoding="utf-8")
    if app.config.plot_gallery not in (False, 0, "0", "False"):
        sys.path.insert(0, str(DOCS.parent / "tools"))
        from cheat_sheet import write

        write(out / "_static")


def as_text(app: Sphinx, name: str) -> str:
    """Return a page as plain text, with all that it takes from docstrings."""
    builder = TextBuilder(app, app.env)
    builder.init()
    page = app.env.get_and_resolve_doctree(name, builder, tags=app.tags)
    translator = TextTranslator(page, builder)
    page.walkabout(translator)
    return str(translator.body)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("build-finished", add_files)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

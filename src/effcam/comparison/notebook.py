"""A comparison in a notebook: static HTML that fetches and runs nothing."""

from __future__ import annotations

import html

from effcam.cam.cells import Cells
from effcam.comparison.pictures.grid import grid
from effcam.comparison.pictures.style import Style
from effcam.drawing.html_image import embedded
from effcam.metrics.summary import Summary
from effcam.text import count

ROWS = 10
"""The most images to show."""
WIDTH = 176
"""The width of a cell in px: a notebook is narrow, and its file keeps all pictures."""
MEASURED = 200
"""The most cells for which a scoreboard is computed at once: more would be slow."""


def to_html(content: Cells, summary: Summary | None) -> str:
    """Return the grid of the first images, and below it the scoreboard, as HTML.

    Args:
        content: The comparison.
        summary: Its scoreboard; ``None`` shows how to get it.
    """
    title = " x ".join(
        count(len(each), name)
        for each, name in ((content.images, "image"), (content.columns, "column"))
    )
    if not content.cells:
        return f"<p>{title}</p>"
    more = f", the first {ROWS} shown" if len(content.images) > ROWS else ""
    shown = Cells(
        content.images[:ROWS],
        content.columns,
        content.cells[: ROWS * len(content.columns)],
        settings=content.settings,
    )
    picture = embedded(
        grid(shown, Style(width=WIDTH)), f"What these models look at: {', '.join(content.columns)}"
    )
    return (
        f"<figure><figcaption>{title}{more}</figcaption>{picture}</figure>"
        + _skipped(content)
        + _scoreboard(summary)
    )


def _skipped(content: Cells) -> str:
    if not content.skipped:
        return ""
    reasons = [html.escape(each.reason) for each in content.skipped[:ROWS]]
    if len(content.skipped) > ROWS:
        reasons.append(f"and {len(content.skipped) - ROWS} more")
    items = "".join(f"<li>{reason}</li>" for reason in reasons)
    return f"<details><summary>{len(content.skipped)} skipped</summary><ul>{items}</ul></details>"


def _scoreboard(summary: Summary | None) -> str:
    if summary is None:
        return "<p><small>Scoreboard: <code>comparison.summary()</code></small></p>"
    return f"<details><summary>Scoreboard</summary>{summary._repr_html_()}</details>"

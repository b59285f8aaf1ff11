"""What a notebook shows of a comparison at once: static HTML that fetches and runs nothing."""

from __future__ import annotations

import html

from effcam.cam.cells import Cells
from effcam.comparison.pictures.grid import Style, grid
from effcam.drawing.html_image import embedded
from effcam.metrics.summary import Summary
from effcam.text import count

ROWS = 10
"""How many images are shown."""
WIDTH = 176
"""The width of a cell in px: a notebook is narrow, and keeps what it shows."""
MEASURED = 200
"""Of more cells than these no scoreboard is made: that would be felt."""


def to_html(content: Cells, summary: Summary | None) -> str:
    """Return the grid of the first images, and below it the scoreboard.

    Args:
        content: What is shown.
        summary: Its scoreboard; ``None`` says how to get it.
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
        + _left_out(content)
        + _scoreboard(summary)
    )


def _left_out(content: Cells) -> str:
    """Return which images could not be read, if any."""
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

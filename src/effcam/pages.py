"""The pictures of a comparison: one grid of everything, or one frame an image."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from effcam import draw
from effcam.catalogue import JOINT
from effcam.cells import Cells
from effcam.errors import ArgumentError
from effcam.explanation import BOX_THRESHOLD, Explanation
from effcam.film import closing_films
from effcam.health import BORDER, SAME, SHORT, Finding, column_findings
from effcam.images import ImageRef
from effcam.sheet import MIN_WIDTH, Heading, Panel, sheet

if TYPE_CHECKING:
    from PIL import Image

MAX_WIDTH = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How cells are drawn, whatever the page.

    Attributes:
        alpha: The opacity of the strongest heat, in [0, 1].
        colormap: The name of a matplotlib colour map.
        width: The width of a cell in px.
        boxes: Whether boxes around the heat are drawn.

    Raises:
        ArgumentError: If a value is out of range, or there is no such colour map.
    """

    alpha: float = 0.5
    colormap: str = "turbo"
    width: int = 224
    boxes: bool = False

    def __post_init__(self) -> None:
        """Checks what would otherwise fail late."""
        draw.check_alpha(self.alpha)
        draw.colormap_table(self.colormap)
        if not isinstance(self.width, int) or not MIN_WIDTH <= self.width <= MAX_WIDTH:
            raise ArgumentError(
                f"width must be a whole number of px from {MIN_WIDTH} to {MAX_WIDTH}, "
                f"not {self.width!r}"
            )


def grid(content: Cells, style: Style) -> Image.Image:
    """Returns one picture of everything: a row an image, the original first.

    Raises:
        ArgumentError: If the style is impossible.
        ImageError: If an image's file is gone.
    """
    width = style.width
    with closing_films():
        rows = [_panels(row, (width, 2 * width), style) for row in content.rows()]
    return sheet(
        _headings(content, "Original"),
        rows,
        width=width,
        colormap=style.colormap,
        legend=_legend(content, style),
    )


def frames(content: Cells, style: Style) -> Iterator[Image.Image]:
    """Yields one picture an image, all of one size: the original and every column.

    Raises:
        ArgumentError: If the style is impossible.
        ImageError: If an image's file is gone.
    """
    width = style.width
    headings, legend = _headings(content, "Orig. Im"), _legend(content, style)
    height = _tallest(content, width)
    with closing_films():
        for row in content.rows():
            yield sheet(
                headings,
                [_panels(row, (width, width), style)],
                width=width,
                height=height,
                colormap=style.colormap,
                theme="dark",
                legend=legend,
            )


def _panels(row: Sequence[Explanation], size: tuple[int, int], style: Style) -> list[Panel]:
    """Returns an image's panels: the original, then every column."""
    photo = draw.fit(row[0].image.open(), *size)
    panels = [Panel(photo, _title(row[0].image))]
    for cell in row:
        heat = cell.over(photo, alpha=style.alpha, colormap=style.colormap, boxes=style.boxes)
        panels.append(Panel(heat, cell.caption()))
    return panels


def _title(image: ImageRef) -> tuple[str, ...]:
    """Returns what stands below an image: its name; of a frame when it shows, then the film."""
    if image.frame is None:
        return (image.name,)
    return image.frame.timecode, image.frame.path.name


def _tallest(content: Cells, width: int) -> int:
    """Returns the height of the tallest photo when each fits a square of ``width`` px."""
    sizes = {cell.size for cell in content.cells}
    return max((min(width, math.ceil(width * tall / wide)) for wide, tall in sizes), default=1)


def _headings(content: Cells, original: str) -> list[Heading]:
    first = content.cells[: len(content.columns)]
    several = len({cell.method for cell in first}) > 1
    return [Heading(original)] + [
        _heading(cell, column_findings(content.column(at)), with_method=several)
        for at, cell in enumerate(first)
    ]


def _legend(content: Cells, style: Style) -> list[str]:
    legend = []
    if style.boxes:
        legend.append(f"box: heat above {100 * BOX_THRESHOLD:.0f} % around the hottest cell")
    if content.settings.get("view") == "whole":
        legend.append("whole image squashed to the input")
    if content.settings.get("size") is not None:
        legend.append(f"input {content.settings['size']} px")
    if any(cell.region.as_tuple() != (0, 0, *cell.size) for cell in content.cells):
        legend.append("hatched: not seen by the model")
    if any(cell.weights == "random" for cell in content.cells):
        legend.append("random weights: untrained, the heat means nothing")
    return legend


def _heading(cell: Explanation, odd: Sequence[Finding], *, with_method: bool) -> Heading:
    """Returns what stands above a column; a method has a line of its own, where it is not cut."""
    # What is odd about a single map stands below that map.
    warnings = [SHORT[finding.flag] for finding in odd if finding.flag in (BORDER, SAME)]
    if not with_method:
        return Heading(cell.column, " · ".join([*warnings, *_origin(cell)]))
    title = cell.column.removesuffix(f" {cell.method}")
    return Heading(title, " · ".join([*warnings, cell.method, *_origin(cell)]))


def _origin(cell: Explanation) -> list[str]:
    rows, columns = cell.heatmap.shape
    first, *others = cell.target_layer.split(JOINT)
    parts = [f"{first} + {len(others)} more" if others else first, f"{rows}\u00a0x\u00a0{columns}"]
    return [*parts, "random weights"] if cell.weights == "random" else parts

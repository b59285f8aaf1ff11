"""Options for the style of pictures, and the files that each applies to."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from effcam.errors import ArgumentError

NAMES = (
    *("alpha", "colormap", "width", "seconds", "layout", "rows", "title", "caption", "font"),
    *("theme", "inches", "fontsize", "dpi"),
)
STYLE = {name: f"--{name}" for name in NAMES} | {
    "boxes": "--draw-boxes",
    "original": "--no-original",
}
"""The options by the argument of `Comparison.save` that they set."""


def add_picture_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for pictures to ``effcam compare``."""
    group = parser.add_argument_group(
        "pictures", "each needs a file of -o whose format supports it"
    )
    group.add_argument(
        "--alpha", type=float, metavar="A", help="opacity of the strongest heat; default 0.5"
    )
    group.add_argument("--colormap", metavar="NAME", help="colour map of matplotlib; default turbo")
    group.add_argument("--width", type=int, metavar="PX", help="width of a cell; default 224")
    group.add_argument(
        "--seconds",
        type=float,
        metavar="S",
        help="duration of a frame in animations; default 1, or the pace of the video",
    )
    group.add_argument(
        "--draw-boxes", action="store_true", default=None, help="draw a box around the heat"
    )
    group.add_argument(
        "--layout",
        choices=("grid", "poster"),
        help="grid (default), or a poster of one image: a large photo with all models around it",
    )
    group.add_argument(
        "--rows",
        choices=("images", "models", "methods"),
        help="what the rows are: images (default), models, or methods in a block for each image",
    )
    group.add_argument(
        "--no-original",
        action="store_false",
        default=None,
        help="leave out the original photos",
    )
    group.add_argument("--title", metavar="TEXT", help="heading of the picture")
    group.add_argument(
        "--caption",
        metavar="TEMPLATE",
        help=r"text under a cell, such as '{label}\n{probability:.0%%}', with the column names of "
        "tables; '' for none",
    )
    group.add_argument("--font", metavar="FILE", help="TrueType or OpenType font for all text")
    group.add_argument(
        "--theme",
        choices=("light", "dark"),
        help="colours; default: light for grids and posters, dark for animations",
    )
    group.add_argument(
        "--inches", type=float, metavar="W", help="width of a .pdf or .svg; default 1.2 per cell"
    )
    group.add_argument(
        "--fontsize", type=float, metavar="PT", help="size of text in a .pdf or .svg; default 7"
    )
    group.add_argument(
        "--dpi",
        type=int,
        metavar="N",
        help="resolution of photos in a .pdf or .svg, in pixels per inch; default 300",
    )


def read_styles(options: argparse.Namespace, outputs: Sequence[Path]) -> list[dict[str, Any]]:
    """Return the arguments of `Comparison.save` for each file.

    Args:
        options: The options of ``effcam compare``.
        outputs: The files to write, with known suffixes.

    Raises:
        ArgumentError: If a value is impossible, or no file supports an option.
    """
    named = {name: flag.lstrip("-").replace("-", "_") for name, flag in STYLE.items()}
    values = {name: getattr(options, attribute) for name, attribute in named.items()}
    if values["caption"] is not None:
        # A line break is hard to type in a shell.
        values["caption"] = values["caption"].replace(r"\n", "\n")
    given = {name: value for name, value in values.items() if value is not None}
    if not given:
        return [{} for _ in outputs]
    from effcam.comparison.export import SAVERS, check_style

    styles = []
    for output in outputs:
        understood = SAVERS[output.suffix.lower()][1]
        styles.append({name: value for name, value in given.items() if name in understood})
    for name in given:
        if not any(name in style for style in styles):
            files = ", ".join(map(str, outputs))
            where = f"for {files}" if outputs else "where no picture is written: name one with -o"
            raise ArgumentError(f"{STYLE[name]} has no meaning {where}")
    check_style(**given)
    return styles

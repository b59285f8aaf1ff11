"""How pictures look, on the command line: which option is for which of the files."""

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
"""The options, by the arguments of `Comparison.save` that they are."""


def add_picture_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of pictures to those of ``effcam compare``."""
    group = parser.add_argument_group(
        "pictures", "each is for the files of -o whose format has it; where none has, it is refused"
    )
    group.add_argument(
        "--alpha", type=float, metavar="A", help="the opacity of the strongest heat; default 0.5"
    )
    group.add_argument(
        "--colormap", metavar="NAME", help="a colour map of matplotlib; default turbo"
    )
    group.add_argument("--width", type=int, metavar="PX", help="the width of a cell; default 224")
    group.add_argument(
        "--seconds",
        type=float,
        metavar="S",
        help="how long a frame of an animation shows; default 1, or a film's own pace",
    )
    group.add_argument(
        "--draw-boxes", action="store_true", default=None, help="draw boxes around the heat"
    )
    group.add_argument(
        "--layout",
        choices=("grid", "poster"),
        help="grid (default), or a poster of one image: the photo, large, and all models around it",
    )
    group.add_argument(
        "--rows",
        choices=("images", "models", "methods"),
        help="what a row is: images (default), models, or methods, in a block for each image",
    )
    group.add_argument(
        "--no-original",
        action="store_false",
        default=None,
        help="leave out the photos themselves",
    )
    group.add_argument("--title", metavar="TEXT", help="a line above everything")
    group.add_argument(
        "--caption",
        metavar="TEMPLATE",
        help=r"what stands under a cell, as '{label}\n{probability:.0%%}', with the names of a "
        "table's columns; '' is nothing",
    )
    group.add_argument("--font", metavar="FILE", help="a TrueType or OpenType font for all text")
    group.add_argument(
        "--theme",
        choices=("light", "dark"),
        help="default: light for grids and posters, dark for animations",
    )
    group.add_argument(
        "--inches", type=float, metavar="W", help="the width of a .pdf or .svg; default 1.2 a cell"
    )
    group.add_argument(
        "--fontsize", type=float, metavar="PT", help="the size of text there; default 7"
    )
    group.add_argument(
        "--dpi", type=int, metavar="N", help="the px an inch of pictures there; default 300"
    )


def read_styles(options: argparse.Namespace, outputs: Sequence[Path]) -> list[dict[str, Any]]:
    """Return what `Comparison.save` is to be told of each file.

    Args:
        options: What ``effcam compare`` was given.
        outputs: The files to write, known to have formats.

    Raises:
        ArgumentError: If a value is impossible, or none of the formats has what an option sets.
    """
    named = {name: flag.lstrip("-").replace("-", "_") for name, flag in STYLE.items()}
    values = {name: getattr(options, attribute) for name, attribute in named.items()}
    if values["caption"] is not None:
        # In a shell a line break is awkward to type.
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

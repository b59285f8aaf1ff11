"""Options for the style of pictures, and the files that each applies to."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from effcam.drawing.defaults import ALPHA, COLORMAP, DPI, FONTSIZE, WIDTH
from effcam.drawing.formats import FORMATS
from effcam.errors import ArgumentError

OPTIONS: dict[str, dict[str, Any]] = {
    "alpha": {
        "type": float,
        "metavar": "A",
        "help": f"opacity of the strongest heat; default {ALPHA:g}",
    },
    "colormap": {"metavar": "NAME", "help": f"a matplotlib colour map; default {COLORMAP}"},
    "width": {"type": int, "metavar": "PX", "help": f"width of a cell; default {WIDTH}"},
    "seconds": {
        "type": float,
        "metavar": "S",
        "help": "how long a frame of an animation shows; default 1, or the pace of the video",
    },
    "boxes": {
        "flag": "--draw-boxes",
        "action": "store_true",
        "default": None,
        "help": "draw boxes around the heat",
    },
    "layout": {
        "choices": ("grid", "poster"),
        "help": "grid (default), or a poster of one image: a large photo, and all models around it",
    },
    "rows": {
        "choices": ("images", "models", "methods"),
        "help": "what a row is: images (default), models, or methods, in a block for each image; "
        "an animation over models has a frame for each of them",
    },
    "original": {
        "flag": "--no-original",
        "action": "store_false",
        "default": None,
        "help": "leave out the photos themselves",
    },
    "marks": {
        "flag": "--no-marks",
        "action": "store_false",
        "default": None,
        "help": "do not mark right and wrong predictions where --labels are given",
    },
    "title": {"metavar": "TEXT", "help": "a line at the top"},
    "caption": {
        "metavar": "TEMPLATE",
        "help": r"the text under a cell, as '{label}\n{probability:.0%%}', with the names of a "
        "table's columns; '' for none",
    },
    "font": {"metavar": "FILE", "help": "a TrueType or OpenType font for all text"},
    "theme": {
        "choices": ("light", "dark"),
        "help": "default: light for grids and posters, dark for animations",
    },
    "inches": {
        "type": float,
        "metavar": "W",
        "help": "width of a .pdf or .svg; default 1.2 a cell",
    },
    "fontsize": {
        "type": float,
        "metavar": "PT",
        "help": f"size of text in a .pdf or .svg; default {FONTSIZE}",
    },
    "dpi": {
        "type": int,
        "metavar": "N",
        "help": f"resolution of pictures in a .pdf or .svg, in px an inch; default {DPI}",
    },
    "lossless": {
        "action": "store_true",
        "default": None,
        "help": "store pictures in a .pdf or .svg without loss, about ten times as large; "
        "default: photos as JPEG",
    },
}
"""The arguments of `Comparison.save` as options, with what argparse is given for each."""


def _flag(name: str) -> str:
    return str(OPTIONS[name].get("flag", f"--{name}"))


def add_picture_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for pictures to ``effcam compare``."""
    group = parser.add_argument_group(
        "pictures",
        "each needs a file of -o whose format supports it",
    )
    for name, given in OPTIONS.items():
        group.add_argument(_flag(name), **{key: given[key] for key in given if key != "flag"})


def read_styles(options: argparse.Namespace, outputs: Sequence[Path]) -> list[dict[str, Any]]:
    """Return the arguments of `Comparison.save` for each file.

    Args:
        options: The options of ``effcam compare``.
        outputs: The files to write, with known suffixes.

    Raises:
        ArgumentError: If a value is impossible, or no file supports an option.
    """
    values = {name: getattr(options, _flag(name)[2:].replace("-", "_")) for name in OPTIONS}
    if values["caption"] is not None:
        # A line break is hard to type in a shell.
        values["caption"] = values["caption"].replace(r"\n", "\n")
    given = {name: value for name, value in values.items() if value is not None}
    if not given:
        return [{} for _ in outputs]
    from effcam.comparison.export import check_style

    styles = []
    for output in outputs:
        understood = FORMATS[output.suffix.lower()].options
        styles.append({name: value for name, value in given.items() if name in understood})
    for name in given:
        if not any(name in style for style in styles):
            files = ", ".join(map(str, outputs))
            where = f"for {files}" if outputs else "where no picture is written: name one with -o"
            raise ArgumentError(f"{_flag(name)} has no meaning {where}")
    check_style(**given)
    return styles

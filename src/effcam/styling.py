"""How pictures look, on the command line: which option is for which of the files."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from effcam.errors import ArgumentError

STYLE = {name: f"--{name}" for name in ("alpha", "colormap", "width", "seconds")} | {
    "boxes": "--draw-boxes"
}
"""The options, by the arguments of `Comparison.save` that they are."""


def add_picture_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of pictures to those of ``effcam compare``."""
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


def read_styles(options: argparse.Namespace, outputs: Sequence[Path]) -> list[dict[str, Any]]:
    """Returns what `Comparison.save` is to be told of each file.

    Args:
        options: What ``effcam compare`` was given.
        outputs: The files to write, known to have formats.

    Raises:
        ArgumentError: If a value is impossible, or none of the formats has what an option sets.
    """
    named = {name: flag.lstrip("-").replace("-", "_") for name, flag in STYLE.items()}
    values = {name: getattr(options, attribute) for name, attribute in named.items()}
    given = {name: value for name, value in values.items() if value is not None}
    if not given:
        return [{} for _ in outputs]
    from effcam.saving import SAVERS, check_style

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

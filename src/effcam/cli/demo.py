"""The command ``effcam demo``: an offline comparison with the models and scenes of effcam."""

from __future__ import annotations

import argparse
import warnings
from typing import TYPE_CHECKING, Any

from effcam.cli.console import echo, echo_json, echo_table, reserve_stdout
from effcam.cli.imports import importing
from effcam.cli.options import add_output_options

if TYPE_CHECKING:
    from effcam.cli.demo_folder import Demo

DEFAULT_FOLDER = "effcam-demo"
EXAMPLES = """\
examples:
  effcam demo
  effcam demo --seed 1 -o elsewhere
"""


def add_demo(commands: Any) -> None:
    """Add the command to those of ``effcam``."""
    parser = commands.add_parser(
        "demo",
        help="see an example comparison in seconds, without a download",
        description="Draw a dozen scenes, compare where five small models look in them, and write "
        "pictures and a\nreport into a folder. Scenes and models are part of effcam: nothing is "
        "downloaded.",
        epilog=EXAMPLES,
    )
    parser.set_defaults(run=run_demo)
    parser.add_argument_group("images").add_argument(
        "--seed", type=int, default=0, metavar="N", help="seed of the scenes; default 0"
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "-o",
        "--output",
        default=DEFAULT_FOLDER,
        metavar="FOLDER",
        help=f"where to write; default {DEFAULT_FOLDER}",
    )
    add_output_options(output)


def run_demo(options: argparse.Namespace) -> None:
    """Make the demonstration, and report the results."""
    with reserve_stdout(options.json):
        with importing():
            from effcam.cli.demo_folder import make_demo

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            progress = False if options.quiet else None
            made = make_demo(options.output, seed=options.seed, progress=progress)
    if options.json:
        echo_json("demo", made.record())
    elif not options.quiet:
        _report(made)


def _report(made: Demo) -> None:
    from effcam.cli.demo_folder import RIGHT

    scenes = made.written[-1]
    echo(
        f"{len(made.scenes)} scenes, each with one of ten objects among distractors; "
        f"{len(made.comparison.columns)} small models trained on these ten classes\n"
    )
    echo_table(made.table(), right=RIGHT)
    echo(
        "\naccuracy: the predicted class is right.\n"
        "pointing game: the hottest point is on the object, or next to it; counted on the "
        f"{made.summary.used}\nscenes that all models classify correctly. The report has the same "
        "figures in per cent.\n"
    )
    for path in made.written:
        echo(f"wrote {path}")
    echo(
        "\nNext, on these scenes, or on your photos with ImageNet models (downloaded once):\n"
        f"  effcam compare {scenes} -m demo_resnet -m demo_alexnet -o mine.png\n"
        "  effcam compare photos/ -m resnet50 -m efficientnet_b0 -o mine.gif"
    )

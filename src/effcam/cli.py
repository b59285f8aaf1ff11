"""The command line: ``effcam compare``, ``effcam dataset``, ``effcam models``, ``effcam demo``.

Heavy modules are imported by the command that needs them, so that ``effcam --help`` is instant.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effcam import __version__
from effcam.arguments import (
    SHORT_OF_MEMORY,
    add_comparison_options,
    add_picture_options,
    comparison_arguments,
    path_as_found,
    picture_arguments,
    read_models,
)
from effcam.bulk import add_dataset
from effcam.errors import ArgumentError, EffcamError, OutputError, UnknownModelError
from effcam.scorecard import Scorecard, add_summary_options
from effcam.text import align, one_line, printable

if TYPE_CHECKING:
    from effcam.registry import ModelSpec
    from effcam.result import Comparison
    from effcam.tour import Tour

# What is said of a package whose models are left out, which may be why a name is unknown.
OFFER = ".* offers to effcam "
FAILED, MISUSED, INTERRUPTED = 1, 2, 130
DEFAULT_OUTPUT = "compare.gif"
DEFAULT_FOLDER = "effcam-demo"
EXAMPLES = """\
examples:
  effcam demo
  effcam compare photos/ -m resnet50 -m efficientnet_b0 -o compare.gif -o compare.png
  effcam compare cat.jpg dog.jpg --target "tabby" --method layercam
  effcam compare photos/ -m mine=resnet18 --checkpoint mine=best.pt --view whole
  effcam compare photos/ -m vit_base_patch16_224 --layer vit_base_patch16_224=blocks.9
  effcam compare photos/ -m resnet50 -m vit_small_patch16_224 --summary --boxes boxes.json
  effcam dataset imagenet/val -m resnet50 -m efficientnet_b0 -o run --summary
  effcam models 'efficientnet*'
  effcam models vit_base_patch16_224 --layers
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code of a command line: 0 done, 1 failed, 2 misused, 130 interrupted."""
    options = _parser().parse_args(argv)
    run: Callable[[argparse.Namespace], None] = options.run
    try:
        run(options)
        # Else what is still to be written would fail where nothing catches it.
        sys.stdout.flush()
    except EffcamError as error:
        print(f"effcam: error: {' '.join(str(error).split())}", file=sys.stderr)
        return MISUSED if isinstance(error, ArgumentError) else FAILED
    except MemoryError:
        print("effcam: error: out of memory: try a smaller --size or --batch-size", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt as interrupt:
        print(f"effcam: {str(interrupt) or 'interrupted'}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has gone; what is left of it has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="effcam",
        description="Shows, side by side, what image classifiers look at.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"effcam {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_compare(commands)
    add_dataset(commands)
    _add_models(commands)
    _add_demo(commands)
    return parser


def _add_compare(commands: Any) -> None:
    parser = commands.add_parser(
        "compare",
        help="compare what models look at in images",
        description="Compares what models look at in images, and writes pictures and tables.",
    )
    parser.set_defaults(run=_compare)
    add_comparison_options(parser)
    parser.add_argument(
        "-o",
        "--output",
        action="append",
        default=[],
        dest="outputs",
        metavar="FILE",
        help="a file to write, in the format its suffix names: .gif .webp .mp4 (a frame an image), "
        ".png .jpg .pdf .svg (one grid), .csv .json .npz .parquet; repeatable; "
        f"default {DEFAULT_OUTPUT}",
    )
    parser.add_argument(
        "--skip-bad", action="store_true", help="carry on without unreadable images"
    )
    add_picture_options(parser)
    add_summary_options(parser)
    loudness = parser.add_mutually_exclusive_group()
    loudness.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")
    loudness.add_argument("-v", "--verbose", action="store_true", help="print a line for each cell")


def _add_models(commands: Any) -> None:
    parser = commands.add_parser(
        "models",
        help="list the models that are known by name",
        description="Lists the names that 'effcam compare -m' knows, and what is known of each "
        "without building it: parameters, input size, the library's own figure for its top-1 "
        "accuracy, and the layer that is looked at.",
    )
    parser.set_defaults(run=_list_models)
    parser.add_argument(
        "pattern", nargs="?", default="*", help="a glob, as 'resnet*'; with --layers, a name"
    )
    parser.add_argument("--source", help="only those of timm, torchvision or registered")
    parser.add_argument(
        "--pretrained",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="list each set of published weights; or the models that have none",
    )
    parser.add_argument("--names", action="store_true", help="print the names alone, one a line")
    parser.add_argument(
        "--layers",
        action="store_true",
        help="list the layers of one model that can be looked at, and mark the default",
    )


def _add_demo(commands: Any) -> None:
    parser = commands.add_parser(
        "demo",
        help="see what a comparison is: five small models that come with effcam, no download",
        description="Draws a dozen scenes, compares what five small models that come with effcam "
        "look at in them, and writes the pictures into a folder. Nothing is downloaded.",
    )
    parser.set_defaults(run=_demo)
    parser.add_argument(
        "-o",
        "--output",
        default=DEFAULT_FOLDER,
        metavar="FOLDER",
        help=f"where to write; default {DEFAULT_FOLDER}",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="other scenes; default 0")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")


def _compare(options: argparse.Namespace) -> None:
    scorecard = Scorecard.read(options)
    default = [] if scorecard else [DEFAULT_OUTPUT]
    outputs = [Path(output) for output in options.outputs or default]
    with path_as_found(), warnings.catch_warnings():
        if not options.verbose:
            # Libraries' remarks on their own future are not the reader's.
            warnings.simplefilter("ignore")
            if not options.quiet:
                for note in (OFFER, SHORT_OF_MEMORY):
                    warnings.filterwarnings("default", note)
        specs = read_models(options)
        comparison = _run(options, specs, outputs)
        saved, errors = _save(comparison, outputs, picture_arguments(options))
        if not options.quiet:
            _report(comparison, saved, verbose=options.verbose)
        if scorecard:
            _report_summary(options, scorecard, specs, comparison)
    if errors:
        raise OutputError("; ".join(errors))


def _report_summary(
    options: argparse.Namespace,
    scorecard: Scorecard,
    specs: Mapping[str, ModelSpec],
    comparison: Comparison,
) -> None:
    progress = False if options.quiet else None
    summary = scorecard.measure(comparison, specs, device=options.device, progress=progress)
    if options.quiet:
        return
    if options.summary or scorecard.output is None:
        _print(str(summary))
    if scorecard.output is not None:
        _print(f"wrote {scorecard.output} (summary)")


def _save(
    comparison: Comparison, outputs: Sequence[Path], style: Mapping[str, Any]
) -> tuple[list[Path], list[str]]:
    """Returns the files that were written, and why others were not: one must not cost the rest."""
    from effcam.saving import shared

    saved: list[Path] = []
    errors: list[str] = []
    for output, given in zip(outputs, shared(outputs, style), strict=True):
        try:
            saved.append(comparison.save(output, **given))
        except EffcamError as error:
            errors.append(str(error))
    return saved, errors


def _run(
    options: argparse.Namespace, specs: Mapping[str, ModelSpec], outputs: Sequence[Path]
) -> Comparison:
    from effcam.api import compare
    from effcam.saving import shared

    shared(outputs, picture_arguments(options))
    return compare(
        options.paths,
        specs,
        **comparison_arguments(options),
        on_error="skip" if options.skip_bad else "raise",
        progress=False if options.quiet else None,
    )


def _report(comparison: Comparison, saved: Sequence[Path], *, verbose: bool) -> None:
    if verbose:
        for cell in comparison:
            _print(
                f"{one_line(cell.image.name)}\t{cell.column}\t{cell.predicted_label}\t"
                f"{cell.predicted_probability:.3f}\t{cell.target_layer}\t{cell.state}"
            )
    for skipped in comparison.skipped:
        print(f"effcam: skipped {skipped.reason}", file=sys.stderr)
    untrained = [label for label in comparison.columns if comparison[0, label].weights == "random"]
    if untrained:
        print(
            f"effcam: {', '.join(untrained)}: random weights, so the heat means nothing",
            file=sys.stderr,
        )
    size = f"{_count(comparison.images, 'image')} x {_count(comparison.columns, 'column')}"
    for path in saved:
        _print(f"wrote {path} ({size})")


def _print(text: str) -> None:
    print(printable(text))


def _count(things: Sequence[object], name: str) -> str:
    return f"{len(things)} {name}" + ("" if len(things) == 1 else "s")


def _list_models(options: argparse.Namespace) -> None:
    from effcam.listing import RIGHT, describe_all, list_models

    if options.layers:
        _list_layers(options)
        return
    names = list_models(options.pattern, source=options.source, pretrained=options.pretrained)
    if not names:
        raise UnknownModelError(f"no model's name matches {options.pattern!r}")
    _print("\n".join(names) if options.names else align(describe_all(names), right=RIGHT))


def _list_layers(options: argparse.Namespace) -> None:
    """Prints the layers of the one model that the pattern names, built without any weights."""
    if re.search(r"[*?[]", options.pattern):
        raise ArgumentError(
            f"--layers takes the name of one model, as 'resnet50', not {options.pattern!r}"
        )
    from effcam.model import load_untrained

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = load_untrained(options.pattern)
    rows = [("layer", "layout", "prefix", "channels", "grid", "")]
    for layer in model.layers():
        grid = "x".join(map(str, layer.grid))
        mark = f"<- {layer.reason}" if layer.reason else ""
        prefix = str(layer.prefix) if layer.layout == "tokens" else ""
        rows.append((layer.name, layer.layout, prefix, str(layer.channels), grid, mark))
    _print(align(rows, right=[2, 3, 4]))


def _demo(options: argparse.Namespace) -> None:
    from effcam.tour import tour

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = tour(options.output, seed=options.seed, progress=False if options.quiet else None)
    if not options.quiet:
        _report_tour(made)


def _report_tour(made: Tour) -> None:
    from effcam.tour import RIGHT

    scenes = made.written[-1]
    _print(
        f"{len(made.scenes)} scenes, each with one of ten things among distractors; "
        f"{len(made.comparison.columns)} small models that know these ten\n"
    )
    _print(align(made.summary(), right=RIGHT))
    _print("")
    for path in made.written:
        _print(f"wrote {path}")
    _print(
        "\nThe same by hand, and with models that were trained on ImageNet (downloaded once):\n"
        f"  effcam compare {scenes} -m demo_resnet -m demo_alexnet -o mine.png\n"
        "  effcam compare photos/ -m resnet50 -m efficientnet_b0 -o mine.gif"
    )

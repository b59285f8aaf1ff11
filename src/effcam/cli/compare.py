"""The command ``effcam compare``: pictures, tables and a summary of a comparison in memory."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effcam.cli.console import echo, echo_json, expand_paths, note, reserve_stdout
from effcam.cli.imports import importing
from effcam.cli.model_arguments import comparison_arguments, path_as_found, read_models
from effcam.cli.options import add_comparison_options, add_output_options, add_video_options
from effcam.cli.picture_options import add_picture_options, read_styles
from effcam.cli.summary_options import (
    SummaryOptions,
    add_summary_options,
    check_different,
    is_report,
)
from effcam.drawing.formats import describe_formats
from effcam.errors import ArgumentError, EffcamError, OutputError
from effcam.files import atomic, check_path
from effcam.text import count, one_line

if TYPE_CHECKING:
    from effcam.cam.explanation import Explanation
    from effcam.cam.methods.table import Method
    from effcam.comparison.comparison import Comparison
    from effcam.metrics.summary import Summary
    from effcam.models.registry import ModelSpec

DEFAULT_OUTPUT = "compare.gif"
CHARTS = (".png", ".pdf", ".svg")
"""The suffixes of a timeline."""
EXAMPLES = """\
examples:
  effcam compare photos/ -m resnet50 -m efficientnet_b0 -o compare.gif -o compare.png
  effcam compare cat.jpg dog.jpg --target tabby --method layercam --method gradcam++
  effcam compare photos/ -m mine=resnet18 --checkpoint mine=best.pt --view whole
  effcam compare photos/ -m resnet50 --checkpoints 'runs/*.ckpt' -o epochs.gif --rows models
  effcam compare photos/ -m vit_base_patch16_224 --layer vit_base_patch16_224=blocks.9
  effcam compare photos/ -m resnet50 -m vit_small_patch16_224 --summary --boxes boxes.json
  effcam compare clip.mp4 --fps 2 -m resnet50 -o clip_cams.mp4 --draw-boxes
  effcam compare photos/ -m resnet50 -m efficientnet_b0 -o report.html --labels labels.csv
  effcam compare cat.jpg -m resnet50 -m vit_small_patch16_224 -o poster.png --layout poster
  effcam compare photos/ -m resnet50 -o figure.pdf --rows models --inches 3.3 --fontsize 6
  find photos -newer last.gif -name '*.jpg' | effcam compare - --json | jq '.cells[].column'
"""


@dataclass(slots=True)
class _Results:
    """The results of a command.

    Attributes:
        comparison: The comparison.
        written: The files that were written.
        summary: The summary, ``None`` if it was not requested or failed.
        failures: The errors so far: a file that fails must not prevent the others.
    """

    comparison: Comparison
    written: list[Path] = field(default_factory=list)
    summary: Summary | None = None
    failures: list[EffcamError] = field(default_factory=list)

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Collect an error in the block for the end."""
        try:
            yield
        except EffcamError as error:
            self.failures.append(error)

    def document(self) -> dict[str, object]:
        """Return the document of ``--json``."""
        from effcam.comparison.export import to_record

        return {
            "written": self.written,
            **to_record(self.comparison),
            "cells": self.comparison.table(),
            "summary": None if self.summary is None else self.summary.to_dict(),
        }


def add_compare(commands: Any) -> None:
    """Add the command to those of ``effcam``."""
    parser = commands.add_parser(
        "compare",
        usage="%(prog)s [OPTION ...] PATH [PATH ...]",
        help="compare where models look in images, as pictures and tables",
        description="Compare where models look in images, and write pictures and tables.",
        epilog=EXAMPLES,
    )
    parser.set_defaults(run=run_compare)
    add_comparison_options(parser)
    add_video_options(parser)
    output = parser.add_argument_group("output")
    output.add_argument(
        "-o",
        "--output",
        action="append",
        default=[],
        dest="outputs",
        metavar="FILE",
        help=f"a file to write, in the format of its suffix: {describe_formats()}; repeatable; "
        f"default: {DEFAULT_OUTPUT}, none with --json, a summary or a timeline",
    )
    output.add_argument(
        "--timeline",
        metavar="FILE",
        help="a chart (.png .pdf .svg) of how figures change over the columns, as the checkpoints "
        "of a training; it uses --labels, --boxes and --masks",
    )
    output.add_argument("--skip-bad", action="store_true", help="skip unreadable images")
    loudness = add_output_options(output)
    loudness.add_argument(
        "-v", "--verbose", action="store_true", help="print a line for each image and column"
    )
    add_picture_options(parser)
    add_summary_options(
        parser,
        "each measures the maps, and prints a table; without -o no picture is written",
        faithfulness=True,
    )


def run_compare(options: argparse.Namespace) -> None:
    """Compare, write the files, and report the results."""
    with reserve_stdout(options.json), path_as_found():
        made = _make(options)
    if options.json:
        echo_json("compare", made.document())
    if len(made.failures) == 1:
        raise made.failures[0]
    if made.failures:
        raise OutputError("; ".join(map(str, made.failures)))


def _make(options: argparse.Namespace) -> _Results:
    summary_options = SummaryOptions.read(options)
    chart = None if options.timeline is None else check_path(options.timeline, CHARTS)
    default = [] if summary_options or options.json or chart else [DEFAULT_OUTPUT]
    outputs = [Path(output) for output in options.outputs or default]
    styles = _check_outputs(options, outputs)
    specs = read_models(options)
    if chart is not None and len(specs) < 2:
        raise ArgumentError(
            "--timeline needs two or more models, such as --checkpoints 'runs/*.ckpt'"
        )
    arguments = comparison_arguments(options)
    poster = any(style.get("layout") == "poster" for style in styles)
    made = _Results(_compare(options, specs, arguments, summary_options, poster=poster))
    reports = []
    for output, style in zip(outputs, styles, strict=True):
        if summary_options and is_report(output):
            # A report contains the summary, so it is written after that.
            reports.append((output, style))
            continue
        with made.keeping():
            made.written.append(made.comparison.save(output, **style))
    if chart is not None:
        with made.keeping():
            made.written.append(_save_timeline(made.comparison, chart, summary_options))
    if not options.quiet:
        _report(made, options)
    if summary_options:
        with made.keeping():
            _measure(made, summary_options, specs, arguments["method"], options)
            _save_reports(made, summary_options, reports, options)
    return made


def _check_outputs(options: argparse.Namespace, outputs: Sequence[Path]) -> list[dict[str, Any]]:
    from effcam.comparison.export import check_output

    for output in outputs:
        check_output(output)
    summaries = list(map(Path, options.save_summary))
    check_different("-o", outputs)
    check_different("-o and --save-summary", [*outputs, *summaries])
    charts = [] if options.timeline is None else [Path(options.timeline)]
    check_different("-o, --save-summary and --timeline", [*outputs, *summaries, *charts])
    return read_styles(options, outputs)


def _compare(
    options: argparse.Namespace,
    specs: Mapping[str, ModelSpec],
    arguments: Mapping[str, Any],
    summary_options: SummaryOptions | None,
    *,
    poster: bool,
) -> Comparison:
    with importing():
        from effcam.api import compare
        from effcam.comparison.pictures.poster import check_one_image
        from effcam.images.discovery import iter_images

    images: Sequence[Any] = expand_paths(options.paths)
    pace = {"every": options.every, "fps": options.fps}
    if summary_options or poster:
        # Refuse bad input before any model runs.
        images = list(iter_images(images, missing_ok=options.skip_bad, **pace))
        pace = {}
    if poster:
        check_one_image(images)
    if summary_options:
        images = summary_options.annotate(images, specs)
    return compare(
        images,
        specs,
        **arguments,
        **pace,
        on_error="skip" if options.skip_bad else "raise",
        progress=False if options.quiet else None,
    )


def _save_timeline(
    comparison: Comparison, path: Path, summary_options: SummaryOptions | None
) -> Path:
    """Draw how figures change over the columns, and return the path of the chart."""
    known = summary_options.known if summary_options else {}
    figure = comparison.timeline(**known)
    with atomic(path) as partial:
        figure.savefig(partial, format=path.suffix.lower().removeprefix("."))
    return path


def _measure(
    made: _Results,
    summary_options: SummaryOptions,
    specs: Mapping[str, ModelSpec],
    method: Method | Sequence[Method],
    options: argparse.Namespace,
) -> None:
    progress = False if options.quiet else None
    made.summary = summary_options.measure(
        made.comparison, specs, method=method, device=options.device, progress=progress
    )
    made.written += summary_options.outputs
    if options.quiet or options.json:
        return
    if options.summary or not summary_options.outputs:
        echo(str(made.summary))
    for output in summary_options.outputs:
        echo(f"wrote {output} (summary)")


def _save_reports(
    made: _Results,
    summary_options: SummaryOptions,
    reports: Sequence[tuple[Path, Mapping[str, Any]]],
    options: argparse.Namespace,
) -> None:
    if made.summary is None:
        return
    for output, style in reports:
        with made.keeping():
            report = summary_options.save_report(made.comparison, made.summary, output, style)
            made.written.append(report)
            if not (options.quiet or options.json):
                _echo_written(made.comparison, [report])


def _report(made: _Results, options: argparse.Namespace) -> None:
    comparison = made.comparison
    if options.verbose:
        for cell in comparison:
            echo(
                f"{one_line(cell.image.name)}\t{cell.column}\t{_answer(cell)}\t"
                f"{cell.target_layer}\t{cell.state}"
            )
    for skipped in comparison.skipped:
        note(f"skipped {skipped.reason}")
    untrained = [label for label in comparison.columns if comparison[0, label].untrained]
    if untrained:
        note(f"{', '.join(untrained)}: random weights, so the maps have no meaning")
    if not options.json:
        _echo_written(comparison, made.written)


def _answer(cell: Explanation) -> str:
    """Return the prediction and its probability, or what was asked and its value."""
    if cell.predicted is None:
        return f"{one_line(cell.label)}\t{cell.value:.3f}"
    return f"{cell.predicted_label}\t{cell.predicted_probability:.3f}"


def _echo_written(comparison: Comparison, written: Sequence[Path]) -> None:
    size = f"{count(len(comparison.images), 'image')} x {count(len(comparison.columns), 'column')}"
    for path in written:
        echo(f"wrote {path} ({size})")

"""The command ``effcam dataset``: a resumable comparison of many images."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from effcam.cli.console import echo, echo_json, expand_paths, note, reserve_stdout
from effcam.cli.model_arguments import comparison_arguments, path_as_found, read_models
from effcam.cli.options import add_comparison_options, add_output_options
from effcam.cli.summary_options import SummaryOptions, add_summary_options
from effcam.text import count

if TYPE_CHECKING:
    from effcam.dataset import DatasetRun
    from effcam.metrics.summary import Summary

COMPILING: Mapping[str, Any] = {"never": False, "auto": "auto", "always": True}
"""What the choices of ``--compile`` are for `compare_dataset`."""
SHOWN = 3
"""How many unreadable images to name at the end."""
EXAMPLES = """\
examples:
  effcam dataset imagenet/val -m resnet50 -m efficientnet_b0 -o run --summary
  effcam dataset photos/ -m resnet50 -m vit_small_patch16_224 -o run --boxes boxes.json
  effcam dataset photos/ -m resnet50 -o run --max-errors 100 --json > run.json
  find /mnt/photos -name '*.jpg' -print0 | effcam dataset - -m resnet50 -o run
"""


def add_dataset(commands: Any) -> None:
    """Add the command to those of ``effcam``."""
    parser = commands.add_parser(
        "dataset",
        usage="%(prog)s [OPTION ...] -o RUN PATH [PATH ...]",
        help="compare models on ten thousand images and more, resumably",
        description="Compare where models look in many images, and write the results into a folder "
        "of Parquet\nfiles. If the run is interrupted, the same command continues it.",
        epilog=EXAMPLES,
    )
    parser.set_defaults(run=run_dataset)
    add_comparison_options(parser)
    _add_cluster_options(parser)
    parser.add_argument(
        "--compile",
        choices=tuple(COMPILING),
        default="never",
        help="compile models with torch: takes seconds to half a minute each, and saves up to a "
        "fifth of each pass; 'auto' does where it pays off; 'always' stops if there is no C++ "
        "compiler; default: never",
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="RUN",
        help="the folder of the run, or an address for fsspec, such as s3://bucket/run",
    )
    output.add_argument("--shard-size", type=int, metavar="N", help="images per file; default 4096")
    output.add_argument(
        "--max-errors", type=int, metavar="N", help="stop after more than N unreadable images"
    )
    output.add_argument(
        "--overwrite",
        action="store_true",
        help="replace a run with other images or settings in the folder",
    )
    add_output_options(output)
    add_summary_options(
        parser,
        "each measures the maps of the finished run, and prints a table",
        faithfulness=False,
    )


def _add_cluster_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("cluster")
    group.add_argument(
        "--backend",
        choices=("local", "ray"),
        default="local",
        help="'ray' runs on a Ray cluster; all nodes must have access to the images and the folder",
    )
    group.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="number of processes that run models; default: one per GPU, or one per node",
    )
    group.add_argument("--num-gpus", type=float, metavar="N", help="GPUs per worker, such as 0.5")
    group.add_argument(
        "--address", help="address of the cluster; default: the cluster of this machine"
    )


def run_dataset(options: argparse.Namespace) -> None:
    """Start or continue a run, and report the results."""
    with reserve_stdout(options.json):
        run, summary = _make(options)
        bad = run.errors()
        if not options.quiet:
            _note_skipped(bad)
    if options.json:
        echo_json("dataset", _document(run, options.output, bad, summary))
    elif not options.quiet:
        if summary is not None:
            echo(str(summary))
        for output in options.save_summary:
            echo(f"wrote {output} (summary)")
        size = f"{count(run.images, 'image')} x {count(len(run.columns), 'column')}"
        echo(f"wrote {options.output} ({size}, {len(bad):,} unreadable)")


def _make(options: argparse.Namespace) -> tuple[DatasetRun, Summary | None]:
    from effcam.dataset import compare_dataset

    # Read the files first: a broken one must not fail after a long run.
    summary_options = SummaryOptions.read(options)
    given = {
        name: getattr(options, name)
        for name in ("shard_size", "max_errors", "workers", "num_gpus", "address")
    }
    with path_as_found():
        specs = read_models(options)
        run = compare_dataset(
            expand_paths(options.paths),
            specs,
            options.output,
            **comparison_arguments(options),
            **{name: value for name, value in given.items() if value is not None},
            compile=COMPILING[options.compile],
            overwrite=options.overwrite,
            backend=options.backend,
            progress=False if options.quiet else None,
        )
    return run, None if summary_options is None else summary_options.summarize(run)


def _note_skipped(bad: Mapping[str, str]) -> None:
    for reason in list(bad.values())[:SHOWN]:
        note(f"skipped {reason}")
    if len(bad) > SHOWN:
        note(f"skipped {len(bad) - SHOWN} more, see the column error")


def _document(
    run: DatasetRun, place: str, bad: Mapping[str, str], summary: Summary | None
) -> dict[str, object]:
    return {
        "run": place,
        "complete": run.complete,
        "settings": run.settings,
        "images": run.images,
        "columns": run.columns,
        "models": [facts.record() for facts in run.facts],
        "cells": len(run),
        "skipped": [{"image": image, "reason": reason} for image, reason in bad.items()],
        "summary": None if summary is None else summary.to_dict(),
    }

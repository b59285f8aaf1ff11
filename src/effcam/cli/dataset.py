"""The command line for datasets: ``effcam dataset``."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from effcam.cli.console import document_alone, expand_paths, remark, say, say_json
from effcam.cli.model_arguments import (
    SHORT_OF_MEMORY,
    comparison_arguments,
    path_as_found,
    read_models,
)
from effcam.cli.options import add_comparison_options, add_output_options
from effcam.cli.scoreboard import Scorecard, add_summary_options
from effcam.text import count

if TYPE_CHECKING:
    from effcam.dataset import DatasetRun
    from effcam.metrics.summary import Summary

SHOWN = 3
"""How many of the images that could not be read are named at the end."""
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
        help="compare them in ten thousand images and more, resumably",
        description="Compares what models look at in many images, and writes what it finds into a "
        "folder of\nParquet files as it goes. Whatever ends it, the same command goes on from "
        "there.",
        epilog=EXAMPLES,
    )
    parser.set_defaults(run=run_dataset)
    add_comparison_options(parser)
    _add_cluster_options(parser)
    output = parser.add_argument_group("output")
    output.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="RUN",
        help="the folder of the run, or an address that fsspec knows, as s3://bucket/run",
    )
    output.add_argument(
        "--shard-size", type=int, metavar="N", help="images a file holds; default 4096"
    )
    output.add_argument(
        "--max-errors", type=int, metavar="N", help="stop at more than N unreadable images"
    )
    output.add_argument(
        "--overwrite", action="store_true", help="give up a run of something else in the folder"
    )
    add_output_options(output)
    add_summary_options(
        parser,
        "any of these measures the maps of the finished run, and prints the summary",
        faithfulness=False,
    )


def _add_cluster_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("cluster")
    group.add_argument(
        "--backend",
        choices=("local", "ray"),
        default="local",
        help="'ray' runs on a Ray cluster whose nodes all see the images and the folder",
    )
    group.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes that run models; default: one a GPU, or one a node",
    )
    group.add_argument("--num-gpus", type=float, metavar="N", help="GPUs of a worker, as 0.5")
    group.add_argument("--address", help="the cluster's; default: that of this machine")


def run_dataset(options: argparse.Namespace) -> None:
    """Make a run, or goes on with it, and tells what came of it."""
    with document_alone(options.json):
        run, summary = _make(options)
        bad = run.errors()
        if not options.quiet:
            _remark_skipped(bad)
    if options.json:
        say_json("dataset", _document(run, options.output, bad, summary))
    elif not options.quiet:
        if summary is not None:
            say(str(summary))
        if options.save_summary is not None:
            say(f"wrote {options.save_summary} (summary)")
        size = f"{count(run.images, 'image')} x {count(len(run.columns), 'column')}"
        say(f"wrote {options.output} ({size}, {len(bad):,} unreadable)")


def _make(options: argparse.Namespace) -> tuple[DatasetRun, Summary | None]:
    from effcam.dataset import compare_dataset

    # A broken file must fail before the run, which may take hours.
    scorecard = Scorecard.read(options)
    given = {
        name: getattr(options, name)
        for name in ("shard_size", "max_errors", "workers", "num_gpus", "address")
    }
    with path_as_found(), warnings.catch_warnings():
        # Libraries' remarks on their own future are not the reader's; those on the run are.
        warnings.simplefilter("ignore")
        if not options.quiet:
            warnings.filterwarnings("default", "the run in ")
            warnings.filterwarnings("default", SHORT_OF_MEMORY)
        specs = read_models(options)
        run = compare_dataset(
            expand_paths(options.paths),
            specs,
            options.output,
            **comparison_arguments(options),
            **{name: value for name, value in given.items() if value is not None},
            overwrite=options.overwrite,
            backend=options.backend,
            progress=False if options.quiet else None,
        )
    return run, None if scorecard is None else scorecard.summarize(run)


def _remark_skipped(bad: Mapping[str, str]) -> None:
    for reason in list(bad.values())[:SHOWN]:
        remark(f"skipped {reason}")
    if len(bad) > SHOWN:
        remark(f"skipped {len(bad) - SHOWN} more, see the column error")


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

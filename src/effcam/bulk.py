"""The command line for datasets: ``effcam dataset``."""

from __future__ import annotations

import argparse
import sys
import warnings
from typing import TYPE_CHECKING, Any

from effcam.arguments import (
    SHORT_OF_MEMORY,
    add_comparison_options,
    comparison_arguments,
    path_as_found,
    read_models,
)
from effcam.text import printable

if TYPE_CHECKING:
    from effcam.dataset import DatasetRun

SHOWN = 3
"""How many of the images that could not be read are named at the end."""


def add_dataset(commands: Any) -> None:
    """Adds the command to those of ``effcam``."""
    parser = commands.add_parser(
        "dataset",
        help="compare what models look at in ten thousand images and more, into a folder",
        description="Compares what models look at in many images, and writes what it finds into a "
        "folder of Parquet files as it goes. Whatever ends it, the same command goes on from "
        "there.",
    )
    parser.set_defaults(run=run_dataset)
    add_comparison_options(parser)
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="RUN",
        help="the folder of the run, or an address that fsspec knows, as s3://bucket/run",
    )
    parser.add_argument(
        "--shard-size", type=int, metavar="N", help="images a file holds; default 4096"
    )
    parser.add_argument(
        "--max-errors", type=int, metavar="N", help="stop at more than N unreadable images"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="give up a run of something else in the folder"
    )
    _add_cluster_options(parser)
    parser.add_argument(
        "--summary", action="store_true", help="print the scoreboard of the run at the end"
    )
    parser.add_argument(
        "--labels", metavar="FILE", help="the class of each image, for --summary: CSV, JSON or COCO"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")


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
    """Makes a run, or goes on with it, and tells what came of it."""
    from effcam.dataset import compare_dataset

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
        run = compare_dataset(
            options.paths,
            read_models(options),
            options.output,
            **comparison_arguments(options),
            **{name: value for name, value in given.items() if value is not None},
            overwrite=options.overwrite,
            backend=options.backend,
            progress=False if options.quiet else None,
        )
    if not options.quiet:
        _report(run, options)


def _report(run: DatasetRun, options: argparse.Namespace) -> None:
    bad = run.errors()
    for reason in list(bad.values())[:SHOWN]:
        print(f"effcam: skipped {reason}", file=sys.stderr)
    if len(bad) > SHOWN:
        print(f"effcam: skipped {len(bad) - SHOWN} more, see the column error", file=sys.stderr)
    if options.summary or options.labels:
        print(printable(str(run.summary(labels=options.labels))))
    size = f"{run.images:,} images x {len(run.columns)} columns, {len(bad):,} unreadable"
    print(printable(f"wrote {options.output} ({size})"))

"""The question of 2019, asked of real EfficientNets whose weights are on the package index.

    python benchmarks/notebook.py --packages [--images PHOTOS] [--boxes FILE] [--labels FILE]
                                  [--checkpoints MODELS.json] [--models [LABEL=]NAME ...]
                                  [--sizes 224 240 260] [--count N] [--view whole]
                                  [--placement pitch]

In 2019 the highlighted areas of EfficientNet-B0 and -B3 were called "very specific". This compares
EfficientNet-Lite0, 1 and 2: is the heat of the larger network on a smaller part of the photo, and
is more of it on the object? If their packages are not installed, the script prints the command that
installs them, and stops.

PHOTOS is a folder of photos; without it the script runs on drawn scenes, which shows that it works
and nothing about photos. Boxes and labels are files as `effcam.Comparison.summary` reads them. The
boxes' file is read for labels too, if there is no other. Without boxes, focus alone is measured.
``--checkpoints`` adds other networks, described as for `scoreboard.py`; ``--models`` chooses and
names them, or names networks with published weights.

Three ways are compared. *As in 2019* squashes photos to 224 px, and explains the last ``Conv2d``
that runs. *Own sizes* gives each network its own input size, and *at N px* all networks the same;
both explain the features that enter the head. A figure of localisation is not tested where grids
differ, as at own sizes, since a finer grid alone puts more heat on the object.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from efficientnet_lite import SIZES, install_command, load_lite, missing, packages
from notebook import SIZE, WAYS, find_specs, last_conv
from scoreboard import read_checkpoints

from effcam import Comparison, EffcamError, Model, ModelSpec, Summary, compare, load_model
from effcam.demo import scenes
from effcam.errors import AnnotationError
from effcam.images.annotations import read_image_labels
from effcam.images.discovery import iter_images
from effcam.images.refs import ImageRef
from effcam.metrics.summary import Measure

FIGURES = ("accuracy", "effective_area", "energy_pointing_game", "pointing_game")
STEPPED = FIGURES[1:]
"""The figures whose change from network to network is shown; that of accuracy needs more photos."""
SCENES = 24
STEPS = (*pairwise(SIZES), ("Lite0", "Lite2"))


@dataclass(frozen=True)
class Way:
    """One way to compare the networks.

    Attributes:
        name: Its title.
        size: The input size of all networks in px; ``None`` is each network's own.
        last_conv: Whether the target layer is the last convolution that runs.
    """

    name: str
    size: int | None = None
    last_conv: bool = False


@dataclass(frozen=True)
class Material:
    """Images, and what is known of them, as `effcam.Comparison.summary` takes it."""

    images: list[Any]
    known: dict[str, Any]
    note: str


def main(argv: Sequence[str] | None = None) -> int:
    """Print the comparison, and return the exit code: 0 for success, 1 for failure."""
    options = _options(argv)
    absent = missing()
    try:
        if absent:
            raise EffcamError(
                f"not installed: {', '.join(absent)}. Install with: {install_command(absent)}"
            )
        run(options)
    except EffcamError as error:
        print(f"notebook.py: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="notebook.py --packages",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--images", type=Path, metavar="PHOTOS")
    parser.add_argument("--boxes", type=Path, metavar="FILE")
    parser.add_argument("--labels", type=Path, metavar="FILE")
    parser.add_argument("--checkpoints", type=Path, metavar="MODELS.json")
    parser.add_argument("--models", nargs="+", metavar="[LABEL=]NAME")
    parser.add_argument("--sizes", type=int, nargs="+", default=[224, 240, 260], metavar="PX")
    parser.add_argument("--count", type=int, metavar="N", help="use N of the images, evenly spread")
    parser.add_argument("--view", choices=("model", "whole"), default="whole")
    parser.add_argument("--placement", choices=("pitch", "even", "measured"), default="pitch")
    options = parser.parse_args(argv)
    if options.images is None and (options.boxes or options.labels):
        parser.error("--boxes and --labels go with --images")
    if min([*options.sizes, options.count or 1]) < 1:
        parser.error("--sizes and --count must be positive")
    return options


def run(options: argparse.Namespace) -> None:
    """Compare the networks in every way, and print all tables."""
    material = find_material(options)
    others = find_others(options.models, options.checkpoints)
    names = ("effcam", "torch", "torchvision", "timm", *packages())
    print(f"{', '.join(f'{name} {version(name)}' for name in names)}; {material.note}\n")
    print(f"# Where cells lie\n\n{markdown(placement_rows(others, options.sizes))}\n", flush=True)
    ways = [Way(WAYS[0], SIZE, last_conv=True), Way("own sizes")]
    ways += [Way(f"at {size} px", size) for size in options.sizes]
    notes: dict[str, list[str]] = {}
    for way in ways:
        comparison = compare_as(way, material.images, others, options)
        for title, summary in summaries(way.name, comparison, material.known):
            print(report(title, summary), flush=True)
            for note in summary.notes:
                notes.setdefault(note, []).append(title)
    print("# Notes\n")
    for note, titles in notes.items():
        print(f"- {note} ({'; '.join(titles)})")


# what is compared


def find_material(options: argparse.Namespace) -> Material:
    """Return the images with their annotations; drawn scenes if there is no folder of photos.

    Raises:
        ImageError: If the folder does not exist or holds no image.
        AnnotationError: If a file is broken.
    """
    if options.images is None:
        drawn = scenes(options.count or SCENES)
        boxes = [scene.box for scene in drawn]
        note = f"{len(drawn)} drawn scenes, which show nothing about photos"
        return Material([scene.image for scene in drawn], {"boxes": boxes}, note)
    images = spread(list(iter_images(options.images)), options.count)
    known = {"boxes": options.boxes, "labels": options.labels}
    note = f"{len(images)} photos"
    if options.boxes and not options.labels:
        try:
            read_image_labels(options.boxes)
            known["labels"] = options.boxes
        except AnnotationError as error:
            note += f"; no accuracy, since there are no --labels, and {error}"
    return Material(images, {key: file for key, file in known.items() if file}, note)


def spread(images: Sequence[ImageRef], count: int | None) -> list[ImageRef]:
    """Return some of the images, evenly spread, since neighbours may be of one class."""
    if count is None or count >= len(images):
        return list(images)
    return [images[at * len(images) // count] for at in range(count)]


def find_others(models: Sequence[str] | None, checkpoints: Path | None) -> dict[str, ModelSpec]:
    """Return the other networks by label: those named, else all with a checkpoint."""
    described = read_checkpoints(checkpoints) if checkpoints else {}
    if models is None:
        return described
    found = {}
    for given in models:
        label, _, name = given.partition("=")
        spec = described.get(name or label)
        found |= {label: spec} if spec else find_specs([given], None)
    return found


def compare_as(
    way: Way, images: Sequence[Any], others: Mapping[str, ModelSpec], options: argparse.Namespace
) -> Comparison:
    """Return the comparison of all networks in one way."""
    models: dict[str, Any] = {label: load_lite(label, way.size) for label in SIZES} | dict(others)
    if way.last_conv:
        models = {label: at_last_conv(model, way.size) for label, model in models.items()}
    view = "whole" if way.last_conv else options.view
    return compare(images, models, view=view, size=way.size, placement=options.placement)


def at_last_conv(source: Model | ModelSpec, size: int | None) -> Model:
    """Return a network that is explained at the last convolution that runs."""
    model = load_model(source)
    pixels = (size, size) if size else model.preprocess.size
    name, _ = last_conv(model.module, torch.zeros(1, model.preprocess.channels, *pixels))
    return load_model(model, target_layer=name)


# results


def placement_rows(others: Mapping[str, ModelSpec], sizes: Sequence[int]) -> list[tuple[str, ...]]:
    """Return a table of where each network's cells lie, with the offset that effcam measures."""
    models = {(label, own): load_lite(label) for label, own in SIZES.items()}
    models |= {(label, size): load_lite(label, size) for label in SIZES for size in sizes}
    loaded = {label: load_model(spec) for label, spec in others.items()}
    models |= {(label, model.preprocess.size[0]): model for label, model in loaded.items()}
    rows = [(label, f"{size} px", str(model.placement)) for (label, size), model in models.items()]
    return [("model", "input", "cells"), *rows]


def summaries(
    way: str, comparison: Comparison, known: Mapping[str, Any]
) -> Iterator[tuple[str, Summary]]:
    """Yield a title and a summary: of the images that all get right, if known, and of all."""
    for fair in (True, False) if known.get("labels") else (False,):
        which = "images that all get right" if fair else "all images"
        yield f"{way}, {which}", comparison.summary(**known, fair=fair)


def report(title: str, summary: Summary) -> str:
    """Return the tables of a summary, and in words how each figure changes."""
    sentences = (f"- {sentence(measure, summary.columns)}" for measure in _stepped(summary))
    return "\n".join(
        [
            f"# {title[0].upper()}{title[1:]}: {summary.used} of {summary.images}\n",
            f"{markdown(figure_rows(summary))}\n",
            f"{markdown(step_rows(summary))}\n",
            *sentences,
            "",
        ]
    )


def figure_rows(summary: Summary) -> list[tuple[str, ...]]:
    """Return a table of each network's figures, and of maps that do not depend on the image."""
    measures = [measure for measure in summary.measures if measure.figure.key in FIGURES]
    rows = [("model", *(measure.figure.title for measure in measures))]
    for at, label in enumerate(summary.columns):
        rows.append((label, *(_value(measure, at) for measure in measures)))
    names = dict.fromkeys(name for measure in measures for name in measure.baselines)
    for name in names:
        values = [measure.baselines.get(name, np.nan) for measure in measures]
        shown = [
            each.figure.show(value, unit=True) for each, value in zip(measures, values, strict=True)
        ]
        rows.append((f"({name})", *shown))
    return rows


def _value(measure: Measure, at: int) -> str:
    figure = measure.figure
    interval = figure.interval(measure.low[at], measure.high[at])
    return f"{figure.show(measure.values[at], unit=True)} {interval}".rstrip()


def step_rows(summary: Summary) -> list[tuple[str, ...]]:
    """Return a table of the differences from network to network, significant ones in bold."""
    head = ("figure, points", *(f"{one} to {other}" for one, other in STEPS))
    return [head] + [
        (measure.figure.title, *(_step(measure, summary.columns, *step) for step in STEPS))
        for measure in _stepped(summary)
    ]


def _stepped(summary: Summary) -> list[Measure]:
    return [measure for measure in summary.measures if measure.figure.key in STEPPED]


def _step(measure: Measure, columns: Sequence[str], one: str, other: str) -> str:
    i, j = columns.index(other), columns.index(one)
    points = 100 * (measure.values[i] - measure.values[j])
    if not measure.compared(i, j):
        return f"{points:+.1f}, not tested"
    low, high = 100 * measure.difference_low[i, j], 100 * measure.difference_high[i, j]
    bold = "**" if measure.tells_apart(i, j) else ""
    return f"{bold}{points:+.1f}{bold} [{low:+.1f}, {high:+.1f}]"


def sentence(measure: Measure, columns: Sequence[str]) -> str:
    """Return in words how a figure changes from each network to the next."""
    changes = [f"{one} to {other} {_change(measure, columns, one, other)}" for one, other in STEPS]
    return f"{measure.figure.title}: {'; '.join(changes)}."


def _change(measure: Measure, columns: Sequence[str], one: str, other: str) -> str:
    i, j = columns.index(other), columns.index(one)
    if not measure.compared(i, j):
        return "not tested"
    if not measure.tells_apart(i, j):
        return "no significant difference"
    return f"significantly {'higher' if measure.values[i] > measure.values[j] else 'lower'}"


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown; the first row is its head."""
    head, *rest = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, f"|{'---|' * len(rows[0])}", *rest])


if __name__ == "__main__":
    sys.exit("run notebook.py --packages")

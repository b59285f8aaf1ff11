"""Summary of models on photos with human boxes: the tables of the documentation's page.

    python benchmarks/scoreboard.py IMAGES --boxes BOXES.json --labels LABELS.json
                                    [--models NAME ...] [--checkpoints MODELS.json]
                                    [--view whole] [--placement even] [--faithful 100]
                                    [--output FOLDER]

IMAGES is a folder of photos; boxes and labels are files as `effcam.Comparison.summary` reads them
(one JSON file of ``{image: {"boxes": [[left, top, right, bottom], ...], "class_index": 3}}`` serves
as both). Models are given by name, with their published weights, or by a JSON file that describes
local checkpoints: ``{stem: {"library", "architecture", "options", "mean", "std", "input_size"}}``,
with the file ``weights/stem.safetensors`` beside it; ``"constructor"`` names a function in place of
an architecture. The script prints the summary on the images that all models classify correctly and
on all images, the significant differences, and the agreement of the models. ``--faithful`` also
measures faithfulness, on that many images.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

import effcam
from effcam import Comparison, EffcamError, ModelSpec, Preprocess, Summary, compare
from effcam.metrics import faithfulness
from effcam.text import align

SEED = 0


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code: 0 done, 1 failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", type=Path)
    parser.add_argument("--boxes", type=Path, required=True)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--models", nargs="+", default=[])
    parser.add_argument("--checkpoints", type=Path)
    parser.add_argument("--view", choices=("model", "whole"), default="model")
    parser.add_argument("--placement", choices=("pitch", "even", "measured"), default="pitch")
    parser.add_argument("--faithful", type=int, default=0, metavar="N")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args(argv)
    try:
        run(options)
    except EffcamError as error:
        print(f"scoreboard: {error}", file=sys.stderr)
        return 1
    return 0


def run(options: argparse.Namespace) -> None:
    models: dict[str, Any] = {name: name for name in options.models}
    if options.checkpoints:
        models |= read_checkpoints(options.checkpoints)
    models = models or dict(effcam.DEFAULT_MODELS)
    known = {"boxes": options.boxes, "labels": options.labels}
    start = time.perf_counter()
    comparison = compare(options.images, models, view=options.view, placement=options.placement)
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    fair = comparison.summary(**known)
    share = (time.perf_counter() - start) / seconds
    print(f"comparison: {seconds:.1f} s; summary: {100 * share:.1f} % of that\n")
    show("On the images that every model classifies correctly", fair, options.output, "fair")
    every = comparison.summary(**known, fair=False)
    show("On all images", every, options.output, "all")
    show_agreement(comparison)
    if options.faithful:
        some = pick(comparison, options.faithful)
        start = time.perf_counter()
        found = faithfulness(some, models)
        print(f"faithfulness: {time.perf_counter() - start:.0f} s\n")
        summary = some.summary(**known, faithfulness=found)
        show(f"Faithfulness, on {options.faithful} images", summary, options.output, "faithful")


def read_checkpoints(file: Path) -> dict[str, ModelSpec]:
    """Return the models that a JSON file describes, by the names of their weights files."""
    described = json.loads(file.read_text("utf-8"))
    return {stem: describe(stem, known, file.parent) for stem, known in sorted(described.items())}


def describe(stem: str, known: dict[str, Any], folder: Path) -> ModelSpec:
    preprocess = Preprocess(
        size=known["input_size"],
        mean=tuple(known["mean"]),
        std=tuple(known["std"]),
        interpolation="bicubic",
    )
    common: dict[str, Any] = {
        "checkpoint": folder / "weights" / f"{stem}.safetensors",
        "preprocess": preprocess,
    }
    if "constructor" in known:
        module, _, function = known["constructor"].partition("(")[0].rpartition(".")
        options = {"variant": known["architecture"], "pretrained": False, **known["options"]}
        constructor = getattr(import_module(module), function)
        return ModelSpec(stem, constructor=constructor, options=options, **common)
    name = f"{known['library']}:{known['architecture']}"
    return ModelSpec(name, options=known["options"], **common)


def show(title: str, summary: Summary, folder: Path | None, stem: str) -> None:
    print(f"# {title}\n\n{summary}\n")
    for finding in summary.findings():
        print(f"- {finding}")
    print()
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        summary.save(folder / f"{stem}.md")


def show_agreement(comparison: Comparison) -> None:
    for measure in ("spearman", "iou"):
        matrix = comparison.agreement(measure=measure)
        rows = [("", *comparison.columns)]
        rows += [
            (label, *(f"{value:.2f}" for value in row))
            for label, row in zip(comparison.columns, matrix, strict=True)
        ]
        print(f"# Agreement, {measure}\n\n{align(rows, right=range(1, len(rows)))}\n")


def pick(comparison: Comparison, count: int) -> Comparison:
    """Return the comparison of randomly selected images, the same each time."""
    order = np.random.default_rng(SEED).permutation(len(comparison.images))[:count]
    return comparison.take(sorted(int(at) for at in order))


if __name__ == "__main__":
    sys.exit(main())

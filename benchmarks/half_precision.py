"""How far half precision moves maps and figures of trained models.

    python benchmarks/half_precision.py [--scenes 40] [--checkpoints MODELS.json
        --images FOLDER --boxes BOXES.json --photos 60] [--json FILE]

The demo models see drawn scenes whose objects are known. With ``--checkpoints``, a file as
`scoreboard.py` reads it, its models of the ImageNet classes see photos with boxes.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import measure
import numpy as np
from measure import goal, tell
from scipy.stats import spearmanr
from scoreboard import read_checkpoints

import effcam
from effcam import Comparison, Summary, compare

Half = Literal["bf16", "fp16"]
HALVES: tuple[Half, ...] = ("bf16", "fp16")
METHODS = ("gradcam", "layercam")
LEAST = 0.995
"""The correlation above which ``precision="auto"`` takes bf16."""
SEED = 0


@dataclass(frozen=True, slots=True)
class Group:
    """Models that see the same images, and the files of the images' annotations."""

    models: Mapping[str, object]
    images: Sequence[object]
    known: Mapping[str, Path]


@dataclass(frozen=True, slots=True)
class Moved:
    """How far half precision moves the maps of a model.

    Attributes:
        correlations: The correlation of each map with that in single precision.
        same: The share of the images with the same most probable class.
    """

    correlations: list[float]
    same: float


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    options = _options(argv)
    rows: list[list[object]] = []
    notes: list[str] = []
    typical: dict[str, float] = {}
    for group in _groups(options):
        tell(f"{len(group.models)} models, {len(group.images)} images, fp32")
        exact = _compare(group, "fp32")
        for half in HALVES:
            tell(half)
            rounded = _compare(group, half)
            for label in group.models:
                moved = _moved(exact, rounded, label)
                rows.append(_row(label, half, moved))
                typical[f"{label} {half}"] = float(np.median(moved.correlations))
            notes += _figures(group, exact, rounded, half)
    what = f"the median correlation of a model's maps at least {LEAST}"
    notes.append(goal(what, typical, lambda value: value >= LEAST, ".4f"))
    measure.report(_result(rows, notes, options), options.json)
    return 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--scenes", type=int, default=40)
    parser.add_argument("--checkpoints", type=Path)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--boxes", type=Path)
    parser.add_argument("--photos", type=int, default=60)
    measure.add_json_option(parser)
    return parser.parse_args(argv)


def _groups(options: argparse.Namespace) -> Iterator[Group]:
    yield Group(effcam.demo.MODELS, effcam.demo.scenes(options.scenes, seed=SEED), {})
    if options.checkpoints is not None:
        specs = read_checkpoints(options.checkpoints).items()
        models = {n: s for n, s in specs if s.options.get("num_classes", 1000) == 1000}
        files = sorted(each for each in options.images.iterdir() if each.suffix != ".json")
        order = np.random.default_rng(SEED).permutation(len(files))[: options.photos]
        known = {"boxes": options.boxes, "labels": options.boxes}
        yield Group(models, [files[at] for at in order], known)


def _compare(group: Group, precision: Literal["fp32", "bf16", "fp16"]) -> Comparison:
    images: Any = group.images
    models: Any = group.models
    return compare(images, models, method=METHODS, precision=precision, progress=False)


def _moved(exact: Comparison, rounded: Comparison, label: str) -> Moved:
    """Return how far the maps of a model moved; only those with evidence in both are compared."""
    correlations: list[float] = []
    same: list[bool] = []
    for one, other in zip(exact, rounded, strict=True):
        if one.model_label != label:
            continue
        same.append(one.predicted == other.predicted)
        if one.state == other.state == "ok" and one.target == other.target:
            both = one.heatmap.ravel(), other.heatmap.ravel()
            correlations.append(float(np.corrcoef(*both)[0, 1]))
    return Moved(correlations, float(np.mean(same)))


def _row(label: str, half: str, moved: Moved) -> list[object]:
    low, middle = np.quantile(moved.correlations, (0.01, 0.5))
    return [label, half, *(f"{value:.4f}" for value in (middle, low)), f"{moved.same:.1%}"]


def _figures(group: Group, exact: Comparison, rounded: Comparison, half: str) -> Iterator[str]:
    """Yield sentences on the figures of the summary, and on the order of the models by them."""
    one, other = (each.summary(**group.known) for each in (exact, rounded))
    keys = [each.figure.key for each in one.measures if each.counts.any()]  # not of models alone
    changes = {key: _change(one, other, key) for key in keys}
    worst = max(changes, key=lambda key: changes[key])
    orders = [_order(one, other, key) for key in keys]
    kept = [value for value in orders if not math.isnan(value)]
    full = sum(value > 1 - 1e-9 for value in kept)
    yield (
        f"{half}, {len(group.models)} models: of {len(keys)} figures, the one that moves most is "
        f"{worst}, by {changes[worst]:.1%} of its size at most; the order of the columns stays the "
        f"same for {full} of {len(kept)} figures, and its rank correlation is {min(kept):.2f} at "
        "least"
    )


def _change(one: Summary, other: Summary, key: str) -> float:
    """Return the largest relative change of a figure over the columns."""
    pairs = [(one[column, key], other[column, key]) for column in one.columns]
    sizes = [abs(before) for before, _ in pairs if math.isfinite(before)]
    moved = [abs(after - before) for before, after in pairs if math.isfinite(after - before)]
    return max(moved, default=0.0) / max(sizes, default=1.0) if max(sizes, default=0.0) else 0.0


def _order(one: Summary, other: Summary, key: str) -> float:
    """Return the rank correlation of a figure's columns, NaN where it does not tell them apart."""
    values = np.array([[each[column, key] for column in one.columns] for each in (one, other)])
    if not np.isfinite(values).all() or np.ptp(values[0]) == 0:
        return math.nan
    return float(spearmanr(*values).statistic)


def _result(
    rows: Sequence[Sequence[object]], notes: Sequence[str], options: argparse.Namespace
) -> measure.Result:
    return measure.Result(
        script="half_precision",
        title="Half precision",
        question=(
            f"Maps of {' and '.join(METHODS)} of trained models in half precision beside those in "
            "float32, on the same images: the correlation of each pair of maps, its median and the "
            "value that 1 % of the maps are below, and the share of the images whose most probable "
            "class stays the same."
        ),
        columns=["model", "precision", "median", "1 %", "same class"],
        rows=[list(each) for each in rows],
        notes=list(itertools.chain(notes)),
        settings={"scenes": options.scenes, "photos": options.photos if options.checkpoints else 0},
    )


if __name__ == "__main__":
    sys.exit(main())

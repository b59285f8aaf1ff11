"""Whether heat lies better where cells are laid by pitch, and by a measured offset.

    python benchmarks/placement.py [--photos FOLDER] [--parts PART ...] [--images N]

Three placements of the same maps are compared: "even" divides the input evenly, "pitch" lays cells
one stride apart around the middle of the input, "measured" moves these by the offset that
`effcam.models.tracing.offset` measures. Parts:

- estimators: offsets by several estimators, with standard errors and their cost in forward passes;
- scenes: the five demo models on drawn scenes of known truth;
- padding: one small network, trained with torch's padding, "same" padding and none, three seeds
  each, so that padding is all that differs;
- boxes: networks on photos with human boxes;
- agreement: how well the maps of two networks agree, all pairs of networks with photos;
- moved: the object's place in scenes that are moved by 0 to 31 px.

The parts "boxes" and "agreement", and the rows of trained networks in "estimators", need
``--photos``: a folder with ``expected.json``, ``weights/`` and ``images/boxes/`` as
`benchmarks/scoreboard.py` reads them. Differences are paired over images, with intervals of 95 %;
"+" marks one that is better than even, "-" one that is worse, beyond its interval.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from offset_estimators import by_gradient, by_mirror, by_patches
from padded_networks import PADDINGS, SEEDS, SHAPES, draw, train_padded
from scoreboard import read_checkpoints

import effcam
from effcam import Box, Comparison, Model, compare, load_model, metrics
from effcam.cam.explanation import Explanation
from effcam.metrics.box_overlap import OVERLAPS
from effcam.metrics.estimates import Means
from effcam.metrics.inference import ANY, CORRELATION, HITS, SHARE, Range
from effcam.models.tracing.offset import Offset, measure_offset
from effcam.models.tracing.probe import probe_inputs
from effcam.text import align

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Boxes = Sequence[Sequence[Box]]
    Row = Mapping[str, Array]

PLACEMENTS = ("even", "pitch", "measured")
PARTS = ("estimators", "scenes", "padding", "boxes", "agreement", "moved")
SEED = 4_000
SAMPLES = 56
"""Maps are compared at this many places across and down."""
MOVES = range(0, 32, 2)
SHIFTS = range(-16, 17, 4)
UNTRAINED = (
    "resnet18",
    "vgg11",
    "mobilenetv2_100",
    "tf_efficientnet_b0",
    "efficientnet_b0",
    "efficientnet_b3",
    "inception_v3",
    "alexnet",
    "squeezenet1_0",
    "xception",
    "convnext_tiny",
    "densenet121",
    "vit_tiny_patch16_224",
    "swin_tiny_patch4_window7_224",
)


@dataclass(frozen=True)
class Score:
    """A figure of images, given cells and the boxes of their objects."""

    name: str
    measure: Callable[[Sequence[Explanation], Boxes], Array]
    better: int  # 1: higher, -1: lower
    possible: Range = ANY
    scale: float = 1
    digits: int = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument(
        "--samples", type=int, default=24_000, help="to train each small network on"
    )
    options = parser.parse_args(argv)
    if options.photos is None:
        options.parts = [each for each in options.parts if each not in ("boxes", "agreement")]
    for part in options.parts:
        start = time.perf_counter()
        print(f"# {part}\n", flush=True)
        globals()[f"run_{part}"](options)
        print(f"\n({time.perf_counter() - start:.0f} s)\n", flush=True)
    return 0


# The same maps by three placements.


def placed(cell: Explanation, model: Model, how: Any) -> Explanation:
    """Return a cell with its map laid by another placement."""
    return replace(cell, canvas=model.placed(how).on(cell.frame))


def scores(
    comparison: Comparison, models: Mapping[str, Model], boxes: Boxes, score: Score
) -> dict[str, Array]:
    """Return (images, placements) values for each model, of the images whose map is drawn."""
    found = {}
    for label, model in models.items():
        cells = [comparison[at, label] for at in range(len(comparison.images))]
        drawn = [at for at, cell in enumerate(cells) if cell.state == "ok"]
        known = [boxes[at] for at in drawn]
        by_placement = [
            score.measure([placed(cells[at], model, how) for at in drawn], known)
            for how in PLACEMENTS
        ]
        found[label] = np.stack(by_placement, 1)
    return found


def show(score: Score, rows: Row) -> None:
    """Print means by placement, and their differences from even."""
    table = [(score.name, *PLACEMENTS, *(f"{each} - even" for each in PLACEMENTS[1:]))]
    for label, values in rows.items():
        table.append((label, *_line(values, score)))
    print(align(table, right=range(1, 6)), "\n", flush=True)


def _line(values: Array, score: Score) -> Iterator[str]:
    means = Means(len(PLACEMENTS))
    means.add(values)
    estimate = means.estimate(score.possible)
    for mean in estimate.values:
        yield f"{score.scale * mean:.{score.digits}f}"
    for at in (1, 2):
        low, high = estimate.difference_low[at, 0], estimate.difference_high[at, 0]
        low, high = (score.scale * each for each in (low, high))
        mark = "+" if score.better * (low + high) > 0 else "-"
        mark = mark if low * high > 0 else " "
        if np.array_equal(values[:, at], values[:, 0], equal_nan=True):
            yield "equal"
            continue
        yield f"{low:+.{score.digits}f} .. {high:+.{score.digits}f} {mark}"


# Scores.


def peak(cell: Explanation) -> tuple[float, float]:
    """Return x and y of the hottest pixel, or the middle of several, px of the image."""
    heat = cell.upsampled()
    rows, columns = np.nonzero(heat >= heat.max() * (1 - 1e-6))
    return float(columns.mean()) + 0.5, float(rows.mean()) + 0.5


def distances(cells: Sequence[Explanation], boxes: Boxes) -> Array:
    """Return how far the peak is from the middle of the nearest box, px of the image."""
    return np.array(
        [
            min(
                np.hypot(x - (box.left + box.right) / 2, y - (box.top + box.bottom) / 2)
                for box in known
            )
            for (x, y), known in zip(map(peak, cells), boxes, strict=True)
        ]
    )


def hits(cells: Sequence[Explanation], boxes: Boxes) -> Array:
    """Return whether the peak is in a box, 1 or 0."""
    return np.array(
        [
            float(any(b.left <= x < b.right and b.top <= y < b.bottom for b in known))
            for (x, y), known in zip(map(peak, cells), boxes, strict=True)
        ]
    )


def energies(cells: Sequence[Explanation], boxes: Boxes) -> Array:
    """Return the share of the heat that is in the boxes."""
    return np.array(
        [
            float(metrics.energy_pointing_game(cell.upsampled(), boxes=known))
            for cell, known in zip(cells, boxes, strict=True)
        ]
    )


def box_accuracies(cells: Sequence[Explanation], boxes: Boxes) -> Array:
    """Return the parts of MaxBoxAccV2 by image: the mean over overlaps, each at its threshold.

    The threshold of each overlap is the one at which most images reach it.
    """
    ious = np.stack(
        [
            metrics.box_ious(cell.upsampled(), known, largest=True)
            for cell, known in zip(cells, boxes, strict=True)
        ]
    )
    reached = [ious >= overlap for overlap in OVERLAPS]
    return np.mean([each[:, each.mean(0).argmax()] for each in reached], axis=0)


def show_fit(comparison: Comparison, models: Mapping[str, Model], boxes: Boxes) -> None:
    """Print the offset at which most heat is in the boxes, beside the measured one, in px.

    It is one number down and across, the top of a parabola through the three best of `SHIFTS`, with
    an interval of 95 % over drawn images.
    """
    table = [("offset, px of the input", "fits best", "95 % interval", "measured down", "across")]
    for label, model in models.items():
        pitch = model.placed("pitch")
        cells = [comparison[at, label] for at in range(len(comparison.images))]
        drawn = [at for at, cell in enumerate(cells) if cell.state == "ok"]
        values = np.stack(
            [
                energies(
                    [
                        replace(
                            cells[at],
                            canvas=replace(pitch, offset=(each, each)).on(cells[at].frame),
                        )
                        for at in drawn
                    ],
                    [boxes[at] for at in drawn],
                )
                for each in SHIFTS
            ]
        )
        rng = np.random.default_rng(0)
        again = [
            _top(values[:, rng.integers(len(drawn), size=len(drawn))].mean(1)) for _ in range(1000)
        ]
        low, high = np.percentile(again, [2.5, 97.5])
        placement = model.placement
        measured = ["unknown"] * 2
        if placement.error is not None:
            measured = [
                f"{at:+.1f} +- {error:.1f}"
                for at, error in zip(placement.offset, placement.error, strict=True)
            ]
        table.append(
            (label, f"{_top(values.mean(1)):+.1f}", f"{low:+.1f} .. {high:+.1f}", *measured)
        )
    print(align(table, right=range(1, 5)), "\n", flush=True)


def _top(values: Array) -> float:
    """Return the shift at the top of a curve over `SHIFTS`."""
    at = int(np.clip(values.argmax(), 1, len(values) - 2))
    before, top, after = values[at - 1 : at + 2]
    step = SHIFTS[1] - SHIFTS[0]
    return SHIFTS[at] + step * (before - after) / (2 * (before - 2 * top + after))


DISTANCE = Score("peak to centre, px", distances, -1)
HIT = Score("pointing game, %", hits, 1, HITS, 100)
ENERGY = Score("energy in the box, %", energies, 1, SHARE, 100, 2)
BOX = Score("MaxBoxAccV2, %", box_accuracies, 1, SHARE, 100, 2)


# Parts.


def run_estimators(options: argparse.Namespace) -> None:
    models = {label: load_model(name) for label, name in effcam.demo.MODELS.items()}
    models |= {f"{name}, random weights": load_model(name, pretrained=False) for name in UNTRAINED}
    if options.photos:
        specs = read_checkpoints(options.photos / "expected.json")
        models = {label: load_model(spec) for label, spec in specs.items()} | models
    table = [("offset, px of the input", "pitch", "way", "down", "across", "forward passes")]
    for label, model in models.items():
        pitch = model.placed("pitch").pitch[0]
        one = _time_pass(model)
        for name, way in ESTIMATORS.items():
            start = time.perf_counter()
            offset = way(model, pitch)
            passes = (time.perf_counter() - start) / one
            row = ["unknown"] * 2
            if offset is not None:
                row = [f"{at:+.1f} +- {error:.1f}" for at, error in zip(*offset, strict=True)]
            table.append((label, f"{pitch:g}", name, *row, f"{passes:.0f}"))
            print(f"{label}: {name} {row}", file=sys.stderr, flush=True)
    print(align(table, right=(1, 3, 4, 5)), flush=True)


def _by_stripes(model: Model, pitch: float) -> Offset | None:
    return measure_offset(model.module, model.layer, model.preprocess, (pitch, pitch), model.scores)


def _with_error(
    way: Callable[[Model, float, int], Array], pictures: int, model: Model, pitch: float
) -> Offset:
    found = way(model, pitch, pictures)
    (down, across), error = found.mean(0), found.std(0, ddof=1) / pictures**0.5
    return Offset((down, across), (error[0], error[1]))


ESTIMATORS: dict[str, Callable[[Model, float], Offset | None]] = {
    "stripes (effcam)": _by_stripes,
    "patches": partial(_with_error, by_patches, 14),
    "gradient, mean": partial(_with_error, by_gradient, 24),
    "gradient, median": partial(_with_error, partial(by_gradient, median=True), 24),
    "mirror images": partial(_with_error, by_mirror, 6),
}
"""Ways to measure an offset, the others with their numbers of pictures."""


def _time_pass(model: Model) -> float:
    """Return the seconds of a forward pass of one image, the median of nine."""
    images = probe_inputs(model.preprocess, 1)
    seconds = []
    with torch.no_grad():
        for _ in range(10):
            start = time.perf_counter()
            model.module(images)
            seconds.append(time.perf_counter() - start)
    return float(np.median(seconds[1:]))


def run_scenes(options: argparse.Namespace) -> None:
    scenes = effcam.demo.scenes(options.images, SEED)
    models = {label: load_model(name) for label, name in effcam.demo.MODELS.items()}
    labels, boxes = [scene.label for scene in scenes], [(scene.box,) for scene in scenes]
    _judge(scenes, labels, boxes, models)


def run_padding(options: argparse.Namespace) -> None:
    drawn = draw(options.images, SEED)
    models = {
        f"{padding} {seed}": train_padded(padding, seed, options.samples)
        for padding in PADDINGS
        for seed in range(SEEDS)
    }
    labels = [SHAPES[target] for target in drawn.targets]
    comparison = _judge(drawn.images(), labels, [(box,) for box in drawn.boxes], models)
    # Networks of one padding differ by their seeds, those of one seed by their padding too.
    pairs = list(combinations(models, 2))
    alike = [pair for pair in pairs if pair[0].split()[0] == pair[1].split()[0]]
    _agree(comparison, models, alike, "one padding")
    for one, other in combinations(PADDINGS, 2):
        apart = [pair for pair in pairs if [each.split()[0] for each in pair] == [one, other]]
        _agree(comparison, models, apart, f"{one}, {other}")


def _judge(
    images: Sequence[Any], labels: Sequence[str], boxes: Boxes, models: Mapping[str, Model]
) -> Comparison:
    """Print placements, accuracies and all scores, with the images' own classes explained."""
    for label, model in models.items():
        print(f"{label:12s} {model.placement}")
    print(flush=True)
    comparison = compare(images, dict(models), target=list(labels))
    for label in models:
        right = [comparison[at, label].predicted_label == each for at, each in enumerate(labels)]
        print(f"{label:12s} accuracy {np.mean(right):.0%}")
    print(flush=True)
    for score in (DISTANCE, HIT, ENERGY, BOX):
        show(score, scores(comparison, models, boxes, score))
    show_fit(comparison, models, boxes)
    return comparison


def run_boxes(options: argparse.Namespace) -> None:
    comparison, models, boxes = _photos(options)
    for score in (HIT, ENERGY, BOX):
        show(score, scores(comparison, models, boxes, score))
    show_fit(comparison, models, boxes)


def run_agreement(options: argparse.Namespace) -> None:
    comparison, models, _ = _photos(options)
    _agree(comparison, models, list(combinations(models, 2)), "all pairs")


def _photos(options: argparse.Namespace) -> tuple[Comparison, dict[str, Model], Boxes]:
    folder = options.photos
    specs = read_checkpoints(folder / "expected.json")
    models = {label: load_model(spec) for label, spec in specs.items()}
    for label, model in models.items():
        print(f"{label:28s} {model.placement}")
    print(flush=True)
    known = json.loads((folder / "images/boxes.json").read_text("utf-8"))
    names = sorted(known)[: options.images]
    comparison = compare(
        [folder / "images" / name for name in names],
        dict(models),
        target=[int(known[name]["class_index"]) for name in names],
        view="whole",
    )
    return comparison, models, [[Box(*box) for box in known[name]["boxes"]] for name in names]


def _agree(
    comparison: Comparison,
    models: Mapping[str, Model],
    pairs: Sequence[tuple[str, str]],
    title: str,
) -> None:
    """Print Pearson's correlation of two models' maps, at places spread over the image."""

    def sample(label: str, how: Any) -> list[Array | None]:
        cells = [comparison[at, label] for at in range(len(comparison.images))]
        return [
            placed(cell, models[label], how).evidence(SAMPLES, SAMPLES).ravel()
            if cell.state == "ok"
            else None
            for cell in cells
        ]

    maps = {(label, how): sample(label, how) for label in models for how in PLACEMENTS}

    def correlate(one: str, other: str, how: str) -> list[float]:
        both = zip(maps[one, how], maps[other, how], strict=True)
        return [
            float("nan") if a is None or b is None else float(np.corrcoef(a, b)[0, 1])
            for a, b in both
        ]

    rows = {
        f"{one}, {other}": np.array([correlate(one, other, how) for how in PLACEMENTS]).T
        for one, other in pairs
    }
    rows[f"mean of {title}"] = np.nanmean(np.stack(list(rows.values())), 0)
    show(Score("correlation of maps", distances, 1, CORRELATION, 1, 3), rows)


def run_moved(options: argparse.Namespace) -> None:
    """Move a window over each scene, and follow the peak: it should stay on the object."""
    models = {label: load_model(name) for label, name in effcam.demo.MODELS.items()}
    scenes = effcam.demo.scenes(max(options.images // 15, 2), SEED, size=256)
    windows = [
        (scene, move, scene.image.crop((move, move, move + 224, move + 224)))
        for scene in scenes
        for move in MOVES
    ]
    comparison = compare(
        [window for _, _, window in windows],
        dict(models),
        target=[scene.label for scene, _, _ in windows],
        view="whole",
    )

    def spread(cells: Sequence[Explanation], _boxes: Boxes) -> Array:
        places = np.array(
            [np.add(peak(cell), move) for cell, (_, move, _) in zip(cells, windows, strict=True)]
        ).reshape(len(scenes), len(MOVES), 2)
        return np.median(np.abs(places - np.median(places, 1, keepdims=True)), 1).mean(1)

    def away(cells: Sequence[Explanation], _boxes: Boxes) -> Array:
        found = []
        for cell, (scene, move, _) in zip(cells, windows, strict=True):
            box = scene.box
            middle = (box.left + box.right) / 2, (box.top + box.bottom) / 2
            found.append(np.hypot(*np.subtract(np.add(peak(cell), move), middle)))
        return np.array(found).reshape(len(scenes), len(MOVES)).mean(1)

    for name, measure in (
        ("peak's spread over moves, px", spread),
        ("peak to centre over moves, px", away),
    ):
        score = Score(name, measure, -1)
        rows = {
            label: np.stack(
                [
                    measure(
                        [placed(comparison[at, label], model, how) for at in range(len(windows))],
                        (),
                    )
                    for how in PLACEMENTS
                ],
                1,
            )
            for label, model in models.items()
        }
        show(score, rows)


if __name__ == "__main__":
    sys.exit(main())

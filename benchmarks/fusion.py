"""What it costs to make one map of several layers: sum, product, weighted mean, and the last alone.

    python benchmarks/fusion.py [--models demo_resnet] [--scenes 60] [--method gradcam++]
                                [--json FILE]

The layers are the last ones of three resolutions. For each way, on drawn scenes whose objects are
known: the share of the heat on the object, how often its hottest point is there, and how much of
its confidence the model loses if it sees the hot part alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import get_args

import measure
from measure import tell

import effcam
from effcam import Comparison, Model, compare
from effcam.cam.methods.options import Fuse
from effcam.metrics import faithfulness

MODELS = ("demo_alexnet", "demo_densenet", "demo_resnet", "demo_efficientnet_b0")
FIGURES = ("pointing_game", "energy_pointing_game", "average_drop", "insertion", "deletion")
ALONE = "last layer alone"
SEED = 7_500


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--scenes", type=int, default=60)
    parser.add_argument("--method", default="gradcam++")
    measure.add_json_option(parser)
    options = parser.parse_args(argv)
    rows = [row for name in options.models for row in _rows(name, options)]
    measure.report(
        measure.Result(
            script="fusion",
            title="One map of several layers",
            question=(
                "Whether the heat is on the object, and how much of its confidence the model loses "
                "when it sees the hot part alone, by how the maps of three layers become one."
            ),
            columns=["model", "way", *(_title(key) for key in FIGURES)],
            rows=rows,
            settings={"scenes": options.scenes, "method": options.method},
        ),
        options.json,
    )
    return 0


def _rows(name: str, options: argparse.Namespace) -> list[list[object]]:
    layers = _layers(name)
    tell(f"{name}: {', '.join(layers)}")
    several = effcam.load_model(name, target_layer=layers)
    ways: dict[str, tuple[Model, Fuse]] = {ALONE: (effcam.load_model(name), "sum")}
    ways |= {how: (several, how) for how in get_args(Fuse)}
    scenes = effcam.demo.scenes(options.scenes, seed=SEED)
    rows = []
    for way, (model, how) in ways.items():
        found = compare(scenes, {name: model}, method=options.method, fuse=how, progress=False)
        rows.append([name, way, *_figures(found, model, name)])
    return rows


def _figures(found: Comparison, model: Model, name: str) -> list[object]:
    known = faithfulness(found, {name: model}, figures=list(FIGURES[2:]), progress=False)
    summary = found.summary(faithfulness=known)
    return [float(summary[name, key]) for key in FIGURES]


def _layers(name: str) -> list[str]:
    """Return the last layer of each of the three coarsest resolutions, in order of execution."""
    by_grid = {layer.grid: layer.name for layer in effcam.load_model(name).layers()}
    return list(by_grid.values())[-3:]


def _title(key: str) -> str:
    from effcam.metrics.summary.definitions import FIGURES as KNOWN

    return KNOWN[key].title


if __name__ == "__main__":
    sys.exit(main())

"""What benchmarks of one batch share: their options, their loop over models, and their settings."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import measure
import torch
from engine import MODELS, SEED, SIZE, Seconds, load
from measure import tell

from effcam import Model

DEFAULT = ("resnet152", "densenet121", "EB0", "vit_small")
"""Models of four kinds, by the names of `engine.MODELS`."""


def read_options(argv: Sequence[str] | None, doc: str | None) -> argparse.Namespace:
    """Return the options of a script.

    Args:
        argv: Its arguments; ``None`` for those of the process.
        doc: Its docstring, whose first line describes it.
    """
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--models", nargs="+", default=list(DEFAULT), choices=MODELS)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--device", default="cpu")
    measure.add_json_option(parser)
    return parser.parse_args(argv)


def measure_models(
    options: argparse.Namespace, time_ways: Callable[[Model, int, int], Seconds]
) -> dict[str, Seconds]:
    """Return the seconds of each model's ways, given its model, batch size and rounds."""
    torch.manual_seed(SEED)
    found: dict[str, Seconds] = {}
    for label in options.models:
        tell(label)
        found[label] = time_ways(load(label, options.device), options.batch, options.rounds)
    return found


def settings_of(options: argparse.Namespace) -> dict[str, object]:
    """Return the settings that a result states."""
    return {
        "rounds": options.rounds,
        "batch": options.batch,
        "image": f"{SIZE} x {SIZE} px",
        "threads": torch.get_num_threads(),
        "device": options.device,
    }

"""Time of six gradient methods in one pass, over the time of one method.

    python benchmarks/methods.py [--rounds 9] [--models resnet152 EB0] [--batch 8] [--json FILE]

They share the forward pass and the head's gradient; each adds its own arithmetic on small maps.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence

import measure
import torch
from engine import MODELS, SEED, SIZE, TARGET, Seconds, load
from measure import goal, median_ms, paired, ratio, tell

from effcam import Model
from effcam.cam.explain import explaining
from effcam.cam.methods import METHODS

ONE = ("gradcam",)
SIX = METHODS[:6]
MOST = 1.3


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    options = _options(argv)
    torch.manual_seed(SEED)
    found: dict[str, Seconds] = {}
    for label in options.models:
        tell(label)
        found[label] = _measure(load(label, options.device), options.batch, options.rounds)
    measure.report(_result(found, options), options.json)
    return 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument(
        "--models",
        nargs="+",
        default=["resnet152", "densenet121", "EB0", "vit_small"],
        choices=MODELS,
    )
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--device", default="cpu")
    measure.add_json_option(parser)
    return parser.parse_args(argv)


def _measure(model: Model, batch: int, rounds: int) -> Seconds:
    images = torch.randn(batch, 3, SIZE, SIZE, device=model.device)
    targets = [TARGET] * batch
    with explaining(model) as explain:
        return paired(
            {
                "one": lambda: explain(images, list(ONE), targets),
                "six": lambda: explain(images, list(SIX), targets),
            },
            rounds,
        )


def _result(found: Mapping[str, Seconds], options: argparse.Namespace) -> measure.Result:
    over = {label: ratio(seconds, "six", "one") for label, seconds in found.items()}
    return measure.Result(
        script="methods",
        title="Several methods at once",
        question=(
            f"The time of effcam for a batch with {len(SIX)} methods ({', '.join(SIX)}), divided "
            "by its time with only the first."
        ),
        columns=["model", "one method, ms", "six methods, ms", "six / one"],
        rows=[
            [label, *(median_ms(found[label], way) for way in ("one", "six")), value]
            for label, value in over.items()
        ],
        notes=[goal(f"six methods at most {MOST} of one", over, lambda value: value <= MOST)],
        settings={
            "rounds": options.rounds,
            "batch": options.batch,
            "image": f"{SIZE} x {SIZE} px",
            "threads": torch.get_num_threads(),
            "device": options.device,
        },
    )


if __name__ == "__main__":
    sys.exit(main())

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
from engine import SIZE, TARGET, Seconds
from measure import goal, median_ms, paired, ratio
from one_batch import measure_models, read_options, settings_of

from effcam import Model
from effcam.cam.explain import explaining
from effcam.cam.methods.table import METHODS

ONE = ("gradcam",)
SIX = METHODS[:6]
MOST = 1.3


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    options = read_options(argv, __doc__)
    found = measure_models(options, _measure)
    measure.report(_result(found, options), options.json)
    return 0


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
        settings=settings_of(options),
    )


if __name__ == "__main__":
    sys.exit(main())

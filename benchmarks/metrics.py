"""Time of the summary, agreement and faithfulness, over that of their comparison.

    python benchmarks/metrics.py [--scenes 200] [--rounds 5] [--faithfulness]

The five demo models run on drawn scenes, whose boxes and masks are known, so that every figure of
focus and localisation is measured. Ratios are medians over rounds. Filling in pixels for ROAD is
timed beside grad-cam's own function, on the same holes; their results agree.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch
from pytorch_grad_cam.metrics.road import NoisyLinearImputer
from torch.nn import functional

import effcam
from effcam.demo import MODELS, scenes
from effcam.metrics import faithfulness
from effcam.metrics.road_imputation import fill_in
from effcam.text import align

SEED = 2019


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--faithfulness", action="store_true")
    options = parser.parse_args(argv)
    print(f"{options.scenes} scenes, {len(MODELS)} models, {torch.get_num_threads()} threads\n")
    print(align(whole(options.scenes, options.rounds), right=[1, 2]), "\n")
    print(align(filling(options.rounds), right=[1, 2, 3, 4]))
    if options.faithfulness:
        made = scenes(options.scenes, SEED)
        comparison = effcam.compare(made, MODELS, progress=False)
        seconds, _ = timed(lambda: faithfulness(comparison, MODELS, progress=False))
        print(f"\nfaithfulness: {seconds:.0f} s")
    return 0


def whole(count: int, rounds: int) -> list[tuple[str, ...]]:
    """Return a table: each step's median time, and its median ratio to the comparison."""
    made = scenes(count, SEED)
    effcam.compare(made[:2], MODELS, progress=False).summary()
    times: dict[str, list[float]] = {"comparison": [], "summary": [], "agreement": []}
    for _ in range(rounds):
        seconds, comparison = timed(lambda: effcam.compare(made, MODELS, progress=False))
        times["comparison"].append(seconds)
        times["summary"].append(timed(comparison.summary)[0])
        times["agreement"].append(timed(comparison.agreement)[0])
    rows = [("step", "seconds", "of the comparison")]
    for step, own in times.items():
        ratios = [one / all_ for one, all_ in zip(own, times["comparison"], strict=True)]
        rows.append((step, f"{median(own):.2f}", f"{100 * median(ratios):.1f} %"))
    return rows


def filling(rounds: int, side: int = 224) -> list[tuple[str, ...]]:
    """Return a table: the time to fill in the hottest pixels of an image."""
    torch.manual_seed(SEED)
    image = torch.randn(3, side, side)
    heat = functional.interpolate(torch.rand(1, 1, 7, 7), size=(side, side), mode="bilinear")[0, 0]
    rows = [("removed", "effcam, s", "grad-cam, s", "ratio", "largest difference")]
    for share in (0.2, 0.5):
        missing = heat >= heat.quantile(1 - share)
        imputer = NoisyLinearImputer(noise=0.0)
        pairs = [
            (
                timed(partial(fill_in, image.numpy(), missing.numpy())),
                timed(partial(imputer, image, (~missing).float())),
            )
            for _ in range(rounds)
        ]
        own, theirs = (median(pair[at][0] for pair in pairs) for at in (0, 1))
        ratio = median(other[0] / one[0] for one, other in pairs)
        difference = np.abs(pairs[0][0][1] - pairs[0][1][1].numpy()).max()
        cells = (f"{own:.3f}", f"{theirs:.3f}", f"{ratio:.1f}", f"{difference:.0e}")
        rows.append((f"{100 * share:.0f} %", *cells))
    return rows


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


if __name__ == "__main__":
    sys.exit(main())

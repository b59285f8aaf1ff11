"""What shuffling all weights does to maps: their complexity, and their likeness to the own ones.

Run ``python benchmarks/shuffled_maps.py [--scenes 20] [--models demo_resnet ...]``. For each demo
network and method it prints the mean relative rise of complexity (`efficient_mprt`), how many maps
have no evidence left and so no value, and the mean rank correlation with the map of the trained
network, of single maps (`sanity_check`) and of means over ten noisy inputs (`smooth_mprt`).
"""

from __future__ import annotations

import argparse

import numpy as np

from effcam.demo import MODELS, scenes
from effcam.metrics import efficient_mprt, sanity_check, smooth_mprt

SEED = 5
METHODS = ("gradcam", "gradcam++", "inputxgradient")


def main() -> None:
    """Measure, and print one line per network and method."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--scenes", type=int, default=20)
    parser.add_argument("--models", nargs="+", default=list(MODELS.values()))
    parser.add_argument("--methods", nargs="+", default=METHODS)
    options = parser.parse_args()
    made = scenes(options.scenes, seed=SEED)
    print(f"{len(made)} scenes, all weights shuffled")
    print(f"{'network':24}{'method':16}{'rise':>7}{'lost':>6}{'likeness':>10}{'smooth':>8}")
    for model in options.models:
        for method in options.methods:
            rise = efficient_mprt(made, model, method=method).rise
            plain, smooth = (
                np.nanmean(check(made, model, method=method, shares=[1.0]).similarity)
                for check in (sanity_check, smooth_mprt)
            )
            print(
                f"{model:24}{method:16}{np.nanmean(rise):7.2f}{int(np.isnan(rise).sum()):6}"
                f"{plain:10.2f}{smooth:8.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()

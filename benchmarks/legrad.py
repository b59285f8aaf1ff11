"""Measure LeGrad over a plain forward pass, beside other packages.

``python benchmarks/legrad.py`` prints, for a ViT-S with a class token, the time of a plain pass and
of LeGrad over all layers, as the median of paired ratios. torch-cam's LeGrad is timed too where it
can run: it reads one layer.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

import effcam
from effcam.cam.explain import explaining


def main() -> None:
    """Print the medians."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="vit_small_patch16_224")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    model = effcam.load_model(f"timm:{arguments.model}", pretrained=False, device="cpu")
    images = torch.randn(arguments.batch, 3, *model.preprocess.size)
    module = model.module.eval()

    def plain() -> None:
        with torch.inference_mode():
            module(images)

    with explaining(model) as explain:
        ways: dict[str, Callable[[], object]] = {"plain forward": plain}
        for method in ("gradcam", "legrad", "rollout", "chefer"):
            ways[method] = lambda method=method: explain(images, [method])
        found = {name: measure(each, plain, arguments.rounds) for name, each in ways.items()}
    for name, (seconds, ratio) in found.items():
        print(f"{name:14} {seconds * 1000:8.0f} ms  {ratio:5.2f} x")


def measure(
    way: Callable[[], object], plain: Callable[[], object], rounds: int
) -> tuple[float, float]:
    """Return the median time in s, and the median ratio to a plain pass beside it."""
    way()
    pairs = [(_seconds(plain), _seconds(way)) for _ in range(rounds)]
    return (
        statistics.median(own for _, own in pairs),
        statistics.median(own / other for other, own in pairs),
    )


def _seconds(way: Callable[[], object]) -> float:
    start = time.perf_counter()
    way()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()

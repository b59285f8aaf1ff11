"""Measure LeGrad over a plain forward pass, beside torch-cam's.

``python benchmarks/legrad.py`` prints, for a ViT-S of timm with a class token, the time of a plain
pass and of LeGrad over all layers, as the median of paired ratios. torch-cam's LeGrad refuses
timm's blocks, so both are also timed, over all layers, on torchvision's transformer of that size.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor
from torchvision.models import VisionTransformer

import effcam
from effcam import Model, Preprocess
from effcam.cam.explain import explaining

METHODS = ("gradcam", "legrad", "rollout", "chefer")
SIZE, TARGET = 224, 207
Way = Callable[[], object]


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
    ours = effcam.load_model(f"timm:{arguments.model}", pretrained=False, device="cpu")
    measure_model(arguments.model, ours, METHODS, arguments)
    module = VisionTransformer(SIZE, 16, 12, 6, 384, 1536)
    theirs = effcam.load_model(module, preprocess=Preprocess(size=SIZE), device="cpu")
    measure_model("torchvision, of ViT-S's size", theirs, ("legrad",), arguments, peer=True)


def measure_model(
    title: str,
    model: Model,
    methods: tuple[str, ...],
    arguments: argparse.Namespace,
    *,
    peer: bool = False,
) -> None:
    """Print the times of methods on a model, with torch-cam's LeGrad if asked for."""
    images = torch.randn(arguments.batch, 3, *model.preprocess.size)
    module = copy.deepcopy(model.module).eval()
    others: Mapping[str, Way] = {}
    if peer:
        others = {"torch-cam legrad": torch_cam(copy.deepcopy(model.module).eval(), images)}

    def plain() -> None:
        with torch.inference_mode():
            module(images)

    targets = [TARGET] * len(images)
    with explaining(model) as explain:
        ways = {name: partial(explain, images, [name], targets) for name in methods}
        found = {
            name: measure(way, plain, arguments.rounds)
            for name, way in {"plain forward": plain, **ways, **others}.items()
        }
    print(title)
    for name, (seconds, ratio) in found.items():
        print(f"{name:16} {seconds * 1000:8.0f} ms  {ratio:5.2f} x")


def torch_cam(module: VisionTransformer, images: Tensor) -> Way:
    """Return a call of torch-cam's LeGrad over all layers, for the same class."""
    from torchcam.methods import LeGrad

    layers = list(module.encoder.layers)

    def call() -> object:
        with LeGrad(module, layers) as extract:
            scores = module(images)
            return extract([TARGET] * len(images), scores)

    return call


def measure(way: Way, plain: Way, rounds: int) -> tuple[float, float]:
    """Return the median time in s, and the median ratio to a plain pass beside it."""
    way()
    pairs = [(_seconds(plain), _seconds(way)) for _ in range(rounds)]
    return (
        statistics.median(own for _, own in pairs),
        statistics.median(own / other for other, own in pairs),
    )


def _seconds(way: Way) -> float:
    start = time.perf_counter()
    way()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()

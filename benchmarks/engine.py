"""What a class activation map costs over a plain forward pass: effcam beside grad-cam.

    python benchmarks/engine.py [--rounds 9] [--models alexnet EB0] [--batches 1 8]

For each model and batch size, every round times, one after the other: the plain forward pass in
``inference_mode``, effcam's pass, and grad-cam's own. Each works on a copy of the model of its
own. The figures are medians over the rounds; the ratios are medians of each round's ratio, which
holds when the machine's speed drifts. Weights are random, which changes no figure.
"""

from __future__ import annotations

import argparse
import copy
import gc
import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version

import pytorch_grad_cam
import torch
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

from effcam import DEFAULT_MODELS, Model, Preprocess, load_model
from effcam.cam import compute_cams

SIZE = 224
TARGET = 207


def main() -> None:
    """Prints one line for each model and batch size."""
    options = _options()
    torch.manual_seed(0)
    print(
        f"{platform.machine()}, {os.cpu_count()} CPU cores, Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in ("torch", "timm", "grad-cam", "effcam"))
    )
    print(
        f"{SIZE} x {SIZE} px, {options.rounds} rounds, medians; ratios to the plain forward pass\n"
    )
    print(
        f"{'model':<12} {'batch':>5} {'plain':>9} {'effcam':>9} {'grad-cam':>9}"
        f" {'effcam/plain':>13} {'grad-cam/plain':>15}"
    )
    for label in options.models:
        model = load_model(
            DEFAULT_MODELS[label],
            pretrained=False,
            preprocess=Preprocess(size=SIZE),
            device=options.device,
        )
        for batch in options.batches:
            print(_line(label, batch, _measure(model, batch, options.rounds)), flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--models", nargs="+", default=list(DEFAULT_MODELS), choices=DEFAULT_MODELS)
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


def _measure(model: Model, batch: int, rounds: int) -> list[list[float]]:
    """Returns the seconds of every way in every round, after one round that is not counted."""
    images = torch.randn(batch, 3, SIZE, SIZE, device=model.device)
    ways = _plain(model, images), _effcam(model, images), _grad_cam(model, images)
    return [[_seconds(way) for way in ways] for _ in range(rounds + 1)][1:]


def _plain(model: Model, images: Tensor) -> Callable[[], object]:
    module = copy.deepcopy(model.module)

    def forward() -> object:
        with torch.inference_mode():
            return module(images)

    return forward


def _effcam(model: Model, images: Tensor) -> Callable[[], object]:
    return lambda: compute_cams(model, images, ["gradcam"], [TARGET] * len(images))


def _grad_cam(model: Model, images: Tensor) -> Callable[[], object]:
    module: nn.Module = copy.deepcopy(model.module).requires_grad_(True)
    cam = pytorch_grad_cam.GradCAM(module, [module.get_submodule(model.target_layer)])
    targets = [ClassifierOutputTarget(TARGET) for _ in images]
    return lambda: cam(images, targets)


def _seconds(way: Callable[[], object]) -> float:
    gc.collect()
    start = time.perf_counter()
    way()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _line(label: str, batch: int, rounds: list[list[float]]) -> str:
    plain, ours, theirs = (1000 * statistics.median(way) for way in zip(*rounds, strict=True))
    over = [statistics.median(each[way] / each[0] for each in rounds) for way in (1, 2)]
    return (
        f"{label:<12} {batch:>5} {plain:>6.0f} ms {ours:>6.0f} ms {theirs:>6.0f} ms"
        f" {over[0]:>11.2f} x {over[1]:>13.2f} x"
    )


if __name__ == "__main__":
    main()

"""Time of grad-cam's Score-CAM and Ablation-CAM over effcam's.

    python benchmarks/perturbation.py [--rounds 3] [--images 8] [--layer layer4] [--json FILE]

Both run a ResNet-18 with random weights, once for each channel of a layer. Score-CAM runs the whole
network on as many masked images as there are channels, so the plain forward pass of as many images
is the limit for any way that runs them all; Ablation-CAM needs the head alone.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import measure
import pytorch_grad_cam
import torch
import torchvision
from measure import goal, median_ms, paired, ratio
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

import effcam
from effcam.cam.explain import compute_cams
from effcam.cam.methods.options import MethodOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from effcam import Model

SIZE, BATCH, TARGET, SOME = 224, 8, 3, 64
PEERS = {"scorecam": pytorch_grad_cam.ScoreCAM, "ablationcam": pytorch_grad_cam.AblationCAM}
GOALS = {"scorecam": 2.5, "ablationcam": 50.0}


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--layer", default="layer4")
    parser.add_argument("--methods", nargs="+", default=list(PEERS), choices=PEERS)
    measure.add_json_option(parser)
    options = parser.parse_args(argv)
    torch.manual_seed(0)
    network = torchvision.models.resnet18().eval()
    peer, plain = copy.deepcopy(network), copy.deepcopy(network)
    plain.to(memory_format=torch.channels_last)
    model = effcam.load_model(
        network.to(memory_format=torch.channels_last), target_layer=options.layer, device="cpu"
    )
    images = torch.randn(options.images, 3, SIZE, SIZE)
    found = {
        method: paired(ways(method, model, peer, plain, images), options.rounds)
        for method in options.methods
    }
    measure.report(_result(found, options), options.json)
    return 0


def ways(
    method: str, model: Model, peer: nn.Module, plain: nn.Module, images: torch.Tensor
) -> dict[str, Callable[[], object]]:
    """Return what is timed, by name."""
    own = partial(compute_cams, model, images, [method], [TARGET] * len(images))
    passes = model.layer.channels if method == "scorecam" else 1
    return {
        "grad-cam": partial(_grad_cam, method, peer, model.target_layer, images),
        "effcam": own,
        "some": partial(own, options=MethodOptions(channels=SOME)),
        "plain": partial(_plain, plain, len(images) * passes),
    }


def _grad_cam(method: str, module: nn.Module, layer: str, images: torch.Tensor) -> None:
    cam = PEERS[method](module, [module.get_submodule(layer)])
    # Its progress bars would be timed too.
    with Path(os.devnull).open("w") as nothing, contextlib.redirect_stderr(nothing):
        cam(images, [ClassifierOutputTarget(TARGET)] * len(images))
    cam.activations_and_grads.release()


def _plain(module: nn.Module, count: int) -> None:
    inputs = torch.randn(BATCH, 3, SIZE, SIZE).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        for at in range(0, count, BATCH):
            module(inputs[: count - at])


def _result(
    found: dict[str, dict[str, list[float]]], options: argparse.Namespace
) -> measure.Result:
    over = {method: ratio(seconds, "grad-cam", "effcam") for method, seconds in found.items()}
    return measure.Result(
        script="perturbation",
        title="Methods of a pass for each channel",
        question=(
            "The time of grad-cam divided by that of effcam, and by that of effcam with "
            f"{SOME} channels, on a ResNet-18; and the time of effcam divided by that of the plain "
            "forward passes alone, in its memory format."
        ),
        columns=[
            *("method", "grad-cam, ms", "effcam, ms", "grad-cam / effcam"),
            *(f"with {SOME} channels", "effcam / plain"),
        ],
        rows=[
            [
                method,
                *(median_ms(seconds, way) for way in ("grad-cam", "effcam")),
                over[method],
                *(ratio(seconds, "grad-cam", "some"), ratio(seconds, "effcam", "plain")),
            ]
            for method, seconds in found.items()
        ],
        notes=[
            goal(
                f"{method} at least {GOALS[method]:g} times as fast as grad-cam",
                {method: value},
                lambda ratio_, least=GOALS[method]: ratio_ >= least,
            )
            for method, value in over.items()
        ],
        settings={
            "rounds": options.rounds,
            "images": f"{options.images} of {SIZE} x {SIZE} px",
            "layer": options.layer,
            "threads": torch.get_num_threads(),
        },
    )


if __name__ == "__main__":
    sys.exit(main())

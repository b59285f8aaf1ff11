"""How far maps of a few channels differ from those of all.

    python benchmarks/channels.py [--scenes 8] [--channels 8 16 32 64 128]

For each method that runs the network once per channel, the map of the channels with the highest
mean positive activation (``channels=``) is compared with that of all channels, on held-out demo
scenes: Spearman's correlation over the cells of the two maps, its mean over the scenes whose map is
not empty. The models are the demo's, which are trained, and a ResNet-18 with random weights.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.stats import spearmanr

import effcam
from effcam.cam.explain import compute_cams
from effcam.cam.methods.options import MethodOptions
from effcam.demo import MODELS, scenes
from effcam.text import align

if TYPE_CHECKING:
    from collections.abc import Sequence

    from effcam import Model

SEED, SIZE = 2_000, 160
METHODS = ("scorecam", "ablationcam")
UNTRAINED = "torchvision:resnet18"


def main() -> None:
    """Print the correlations."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--scenes", type=int, default=8)
    parser.add_argument("--channels", type=int, nargs="+", default=[8, 16, 32, 64, 128])
    parser.add_argument("--models", nargs="+", default=[*MODELS.values(), UNTRAINED])
    parser.add_argument("--methods", nargs="+", default=METHODS)
    options = parser.parse_args()
    rows = []
    for name in options.models:
        model = load(name)
        pictures = [each.image for each in scenes(options.scenes, SEED, SIZE)]
        images = torch.stack([model.preprocess(each)[0] for each in pictures])
        for method in options.methods:
            found = correlations(model, images, method, options.channels)
            rows.append([name, method, *(f"{each:.3f}" for each in found)])
    print(align([["model", "method", *map(str, options.channels)], *rows]))


def load(name: str) -> Model:
    torch.manual_seed(0)
    size = effcam.Preprocess(size=112) if name == UNTRAINED else None
    return effcam.load_model(name, pretrained=name != UNTRAINED, preprocess=size, device="cpu")


def correlations(
    model: Model, images: torch.Tensor, method: str, channels: Sequence[int]
) -> list[float]:
    """Return the mean correlation with the map of all channels, by the number of channels."""
    whole = compute_cams(model, images, [method])
    evident = [state == "ok" for state in whole.states[method]]
    found = []
    for most in channels:
        few = compute_cams(model, images, [method], options=MethodOptions(channels=most))
        both = (cams.maps[method][evident] for cams in (few, whole))
        pairs = [(one.ravel(), other.ravel()) for one, other in zip(*both, strict=True)]
        values = [spearmanr(*pair).statistic for pair in pairs if np.ptp(pair[0]) > 0]
        found.append(float(np.mean(values)) if values else np.nan)
    return found


if __name__ == "__main__":
    main()

"""The maps that the study compares: those of methods, and those that know nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from study_figures import resized
from study_subject import SIDE, Subject
from torch.nn import functional

import effcam
from effcam.metrics.localisation import centre_map

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from effcam.models.model import Model

METHODS = (
    "gradcam",
    "hirescam",
    "gradcam++",
    "layercam",
    "eigencam",
    "scorecam",
    "occlusion",
    "inputxgradient",
)
"""The methods that are compared."""

QUICK = ("gradcam", "hirescam", "gradcam++", "layercam", "eigencam", "inputxgradient")
"""Those of one pass, whose maps of changed inputs are measured too."""

BASELINES = ("random map", "edges", "centre")
"""Maps that know nothing of the network."""

GRID = 8
"""The cells along each side of a random map."""


def make_heats(subject: Subject) -> dict[str, NDArray[np.float32]]:
    """Return the maps of all methods and baselines over the pictures: (N, SIDE, SIDE) in [0, 1]."""
    pictures = [each.image for each in subject.scenes]
    found = method_heats(subject.model, pictures, subject.targets, METHODS)
    random = np.random.default_rng(0)
    cells = torch.from_numpy(random.random((len(pictures), GRID, GRID), dtype=np.float32))
    found["random map"] = scaled(resized(cells, (SIDE, SIDE)).numpy())
    found["edges"] = scaled(np.stack([edges_of(each) for each in pictures]))
    found["centre"] = np.repeat(scaled(centre_map(SIDE, SIDE)[None]), len(pictures), 0)
    return found


def method_heats(
    model: Model, pictures: Sequence[Image.Image], targets: list[int], methods: Sequence[str]
) -> dict[str, NDArray[np.float32]]:
    """Return each method's maps over the pictures, NaN for a map without evidence."""
    comparison = effcam.compare(
        list(pictures), model, method=list(methods), target=targets, progress=False
    )
    found: dict[str, list[NDArray[np.float32]]] = {name: [] for name in methods}
    for cell in comparison:
        heat = cell.upsampled()
        found[cell.method].append(heat if cell.state == "ok" else np.full_like(heat, np.nan))
    return {name: np.stack(heats) for name, heats in found.items()}


def edges_of(picture: Image.Image) -> NDArray[np.float32]:
    """Return the length of the gradient of a picture's lightness: (height, width) float32."""
    grey = np.asarray(picture.convert("L"), np.float32)
    down, across = np.gradient(grey)
    return np.asarray(np.hypot(down, across), np.float32)


def scaled(heats: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return (N, h, w) maps, each scaled to [0, 1]."""
    low, high = heats.min((1, 2), keepdims=True), heats.max((1, 2), keepdims=True)
    return np.asarray((heats - low) / np.where(high > low, high - low, 1), np.float32)


def coarsened(heats: NDArray[np.float32], times: int) -> NDArray[np.float32]:
    """Return maps as if their grid had so many times fewer cells a side."""
    cells = functional.avg_pool2d(torch.from_numpy(heats)[:, None], SIDE * times // GRID)
    side = heats.shape[1:]
    return scaled(functional.interpolate(cells, size=side, mode="bilinear")[:, 0].numpy())

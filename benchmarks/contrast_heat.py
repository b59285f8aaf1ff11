"""Whether the heat of a contrast of two look-alike classes differs from that of one class.

    python benchmarks/contrast_heat.py [--scenes 300] [--models demo_resnet ...]

The classes of the demo's scenes are outlines. Classes look alike if their outlines cover each other
well in the best turn and size, as a heart and a clover do: the intersection is at least 0.6 of the
union. On held-out scenes of such a class a, with the class b that it resembles most, the map of a
is compared with the map of ``Contrast(a, b)``:

- correlation: Spearman's, over the cells of the two maps; 1 if they have the same order;
- overlap: the intersection over the union of their hottest tenths of cells;
- distinct parts: the share of the heat on the object that lies where b would not cover it, for a
  and for the contrast, and the difference. The share of the area is that of heat that does not
  know these parts;
- occlusion: small patches of the object are blurred, one at a time. Spearman's correlation of the
  heat on a patch with the loss of the margin, the score of a less that of b, for the map of a and
  for that of the contrast, and the difference: above 0, the contrast shows better which parts tell
  a from b, as the model sees them.

All figures are means over the scenes, with 95 % bootstrap intervals over scenes.
"""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from PIL.ImageFilter import GaussianBlur
from resampling import mean, over_scenes
from scipy.stats import spearmanr

import effcam
from effcam.demo import LABELS, MODELS, Scene, scenes
from effcam.demo.rendering import Pose, Renderer
from effcam.demo.rng import Rng
from effcam.demo.scenes import pose_of_object
from effcam.demo.shapes import OBJECTS, Outline, placed, signed_distance
from effcam.targets import Contrast
from effcam.text import align

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

SEED, SIZE = 2_000, 160
ALIKE = 0.6
HOTTEST = 0.1
TURNS = [(math.cos(angle), math.sin(angle)) for angle in np.arange(36) * math.pi / 18]
RADII = (0.85, 1.0, 1.15)
PATCH, STEP = 16, 10
"""Side of the patches that are blurred, and how far they are apart, px of the scene."""
COLUMNS = (
    *("model", "correlation", "overlap", "distinct parts: a", "a - b", "difference"),
    *("share of area", "occlusion: a", "a - b", "difference"),
)


class Rival(NamedTuple):
    """The class that a class resembles most, laid over it as well as may be."""

    label: str
    outline: Outline
    overlap: float


def main() -> None:
    """Print the pairs of classes, and the figures of each model."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--models", nargs="+", default=list(MODELS.values()))
    options = parser.parse_args()
    rivals = look_alikes()
    for label, rival in rivals.items():
        print(f"{label} - {rival.label}: {rival.overlap:.2f} of their union")
    drawn = scenes(options.scenes, SEED, SIZE)
    chosen = [(index, scene) for index, scene in enumerate(drawn) if scene.label in rivals]
    print(f"{len(chosen)} scenes\n")
    distinct = [distinct_parts(scene, index, rivals[scene.label]) for index, scene in chosen]
    rows = [
        measure(name, [scene for _, scene in chosen], rivals, distinct) for name in options.models
    ]
    print(align([COLUMNS, *rows]))


def look_alikes() -> dict[str, Rival]:
    """Return the rival of each class that looks like another one."""
    found = {label: max(map(_laid_over(label), LABELS), key=_overlap) for label in LABELS}
    return {label: rival for label, rival in found.items() if rival.overlap >= ALIKE}


def _overlap(rival: Rival) -> float:
    return rival.overlap


def _laid_over(label: str) -> Callable[[str], Rival]:
    own = _mask(OBJECTS[label]())

    def lay(other: str) -> Rival:
        if other == label:
            return Rival(other, OBJECTS[other](), -1.0)
        ways = [
            placed(OBJECTS[other](), (0.0, 0.0), radius, turn) for turn in TURNS for radius in RADII
        ]
        masks = [_mask(each) for each in ways]
        overlaps = [(own & each).sum() / (own | each).sum() for each in masks]
        best = int(np.argmax(overlaps))
        return Rival(other, ways[best], float(overlaps[best]))

    return lay


def _mask(outline: Outline, side: int = 64) -> NDArray[np.bool]:
    here = placed(outline, (side / 2, side / 2), side / 3, (1.0, 0.0))
    return signed_distance(here, side, side) < 0


def distinct_parts(scene: Scene, index: int, rival: Rival) -> NDArray[np.bool]:
    """Return the part of an object that its rival would not cover in the same pose."""
    pose = _pose(index)
    own = _drawn(OBJECTS[scene.label](), pose)
    if (own & scene.mask).sum() < 0.98 * (own | scene.mask).sum():
        raise SystemExit(f"{scene.name}: the object does not lie where it was expected")
    return scene.mask & ~_drawn(rival.outline, pose)


def _pose(index: int) -> Pose:
    """Return the pose of a scene's object, by the first random numbers that drawing it takes."""
    rng = Rng(SEED, index)
    Renderer(rng, SIZE, SIZE)
    return pose_of_object(rng, SIZE, SIZE)


def _drawn(outline: Outline, pose: Pose) -> NDArray[np.bool]:
    here = placed(outline, pose.at, pose.radius, pose.turn, pose.stretch)
    return signed_distance(here, SIZE, SIZE) < 0


def measure(
    name: str,
    chosen: list[Scene],
    rivals: dict[str, Rival],
    distinct: list[NDArray[np.bool]],
) -> list[str]:
    """Return the row of a model."""
    model = effcam.load_model(name)
    asked = [
        [scene.label for scene in chosen],
        [Contrast(scene.label, rivals[scene.label].label) for scene in chosen],
    ]
    of_class, of_contrast = (
        list(effcam.compare(chosen, model, target=each, progress=False)) for each in asked
    )
    pairs = list(zip(of_class, of_contrast, strict=True))
    alike = np.array([_correlation(a.heatmap, b.heatmap) for a, b in pairs])
    overlap = np.array([_hottest(a.heatmap, b.heatmap) for a, b in pairs])
    parts = list(zip(chosen, distinct, strict=True))
    shares = np.array(
        [
            [_share(cell.upsampled(), scene.mask, part) for cell in pair]
            for pair, (scene, part) in zip(pairs, parts, strict=True)
        ]
    )
    area = np.array([part.sum() / scene.mask.sum() for scene, part in parts])
    losses = [_losses_of_margin(model, scene, rivals[scene.label].label) for scene in chosen]
    fits = np.array(
        [
            [_fit(cell.upsampled(), *loss) for cell in pair]
            for pair, loss in zip(pairs, losses, strict=True)
        ]
    )
    figures = [alike, overlap, *shares.T, shares[:, 1] - shares[:, 0], area]
    figures += [*fits.T, fits[:, 1] - fits[:, 0]]
    return [name, *(over_scenes(mean, each).text(3) for each in figures)]


@torch.no_grad()
def _losses_of_margin(
    model: effcam.Model, scene: Scene, rival: str
) -> tuple[list[tuple[int, int]], NDArray[np.float64]]:
    """Return patches (left, top) on an object, and what blurring each takes from the margin."""
    blurred = scene.image.filter(GaussianBlur(PATCH / 2))
    left, top, right, bottom = map(int, scene.box.as_tuple())
    patches = [
        (x, y)
        for y in range(top - PATCH // 2, bottom - PATCH // 2 + 1, STEP)
        for x in range(left - PATCH // 2, right - PATCH // 2 + 1, STEP)
    ]
    images = [scene.image]
    for x, y in patches:
        changed = scene.image.copy()
        changed.paste(blurred.crop((x, y, x + PATCH, y + PATCH)), (x, y))
        images.append(changed)
    scores = model.module(torch.stack([model.preprocess(each)[0] for each in images]))
    margins = (scores[:, scene.target] - scores[:, LABELS.index(rival)]).double().numpy()
    return patches, margins[0] - margins[1:]


def _fit(
    heat: NDArray[np.float32], patches: list[tuple[int, int]], losses: NDArray[np.float64]
) -> float:
    """Return the rank correlation of the heat on patches and what blurring them takes."""
    on = [heat[max(y, 0) : y + PATCH, max(x, 0) : x + PATCH].mean() for x, y in patches]
    return _correlation(np.array(on), losses)


def _correlation(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Return Spearman's correlation, NaN if one is constant."""
    if one.min() == one.max() or other.min() == other.max():
        return math.nan
    return float(spearmanr(one.ravel(), other.ravel()).statistic)


def _hottest(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    count = max(1, round(HOTTEST * one.size))
    first, second = (set(np.argsort(-each.ravel())[:count].tolist()) for each in (one, other))
    return len(first & second) / len(first | second)


def _share(heat: NDArray[np.float32], mask: NDArray[np.bool], part: NDArray[np.bool]) -> float:
    """Return the share of the heat on the object that is on its distinct parts."""
    whole = heat[mask].sum()
    return float(heat[part].sum() / whole) if whole > 0 else math.nan


if __name__ == "__main__":
    main()

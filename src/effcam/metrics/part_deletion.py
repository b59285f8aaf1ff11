"""How well heat fits the drop of a score when parts of the image are deleted, one at a time.

Each part is deleted alone, from the whole image, so the drops do not depend on an order. Images,
maps and ``predict`` are as in `effcam.metrics.perturbation`; ``predict`` may return scores as well
as probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from effcam.errors import check_number
from effcam.metrics.agreement import spearman
from effcam.metrics.perturbation import (
    Baseline,
    Predict,
    check_targets,
    make_baseline,
    rank,
    target_probabilities,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

PATCHES = 4
"""The patches per side of the image, each of which is deleted alone."""
GROUPS = 10
"""The groups of pixels of similar heat, each of which is deleted alone."""


def single_deletion(
    predict: Predict,
    images: Tensor,
    heats: Tensor,
    targets: Sequence[int],
    *,
    patches: int = PATCHES,
    baseline: Baseline = "mean",
) -> NDArray[np.float64]:
    """Return the rank correlation of the heat of patches with the score's drop without each.

    The image is divided into a grid of patches. This is the single deletion score of IDSDS, Hesse
    et al. 2024, arXiv:2407.11910. It compares *models* only if they were trained on images with
    patches deleted likewise, the "in-domain" of its name: to other models such images are foreign,
    each in its own way, and the score then compares methods on one model only.

    Args:
        predict: Returns the scores or probabilities of images.
        images: (B, channels, height, width).
        heats: (B, height, width).
        targets: (B,) the class of each image.
        patches: The patches per side, from 2.
        baseline: What replaces a patch: ``"mean"``, the mean colour of all images;
            ``"image_mean"``, that of the image; or ``"blur"``, the blurred image.

    Returns:
        (B,) in [-1, 1], 1 where more heat always means a larger drop; NaN for a constant map, or
        if all patches have the same heat or the same drop.

    Raises:
        ArgumentError: If an argument is impossible.
    """
    check_targets(images, heats, targets)
    drops = patch_drops(predict, images, targets, patches=patches, baseline=baseline)
    return compare_patches(heats, drops)


def patch_drops(
    predict: Predict,
    images: Tensor,
    targets: Sequence[int],
    *,
    patches: int = PATCHES,
    baseline: Baseline = "mean",
) -> NDArray[np.float64]:
    """Return the score's drop without each patch, (B, patches, patches); maps do not change it.

    Args:
        predict: As in `single_deletion`, like all others.
        images: (B, channels, height, width).
        targets: (B,) the class of each image.
        patches: The patches per side, from 2.
        baseline: What replaces a patch.

    Raises:
        ArgumentError: If an argument is impossible.
    """
    picked = check_targets(images, images[:, 0], targets)
    height, width = images.shape[2:]
    patches = check_number("patches", patches, least=2, most=min(height, width))
    parts = _patches(len(images), height, width, patches)
    drops = _drops(predict, images, parts, picked, baseline=baseline)
    return drops.reshape(len(images), patches, patches)


def compare_patches(heats: Tensor, drops: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rank correlation of the heat of patches with `patch_drops`: (B,), NaN if flat.

    Args:
        heats: (B, height, width).
        drops: (B, patches, patches).
    """
    count, patches, _ = drops.shape
    parts = _patches(count, heats.shape[1], heats.shape[2], patches)
    sums = _sums(heats, parts, patches**2)
    return np.where(_is_flat(heats), np.nan, spearman(sums.reshape(drops.shape), drops))


def _patches(count: int, height: int, width: int, patches: int) -> Tensor:
    """Return the number of the patch of each pixel: (count, height, width)."""
    rows, columns = (torch.arange(side) * patches // side for side in (height, width))
    return (rows[:, None] * patches + columns).expand(count, -1, -1)


def saco(
    predict: Predict,
    images: Tensor,
    heats: Tensor,
    targets: Sequence[int],
    *,
    groups: int = GROUPS,
    baseline: Baseline = "image_mean",
) -> NDArray[np.float64]:
    """Return the salience-guided faithfulness coefficient.

    Pixels are divided by rank of heat into groups of equal size, up to a pixel. Every two groups
    are compared by the score's drop when each is deleted alone. Their difference of heat counts
    for the map if the hotter group's drop is at least that of the other, and against it if not.
    Source: Wu et al. 2024 (SaCo), arXiv:2404.01415.

    Equally hot pixels are ranked in random order, the same each time. If no group changes the
    score, the formula gives 1; here that is NaN.

    Args:
        predict: Returns the probabilities or scores of images.
        images: (B, channels, height, width).
        heats: (B, height, width).
        targets: (B,) the class of each image.
        groups: The number of groups, from 2.
        baseline: What replaces a group: ``"image_mean"``, the mean colour of the image, as in the
            paper; ``"mean"``, that of all images; or ``"blur"``, the blurred image.

    Returns:
        (B,) in [-1, 1]; NaN for a constant map, or if all groups have the same drop.

    Raises:
        ArgumentError: If an argument is impossible.
    """
    picked = check_targets(images, heats, targets)
    pixels = heats[0].numel()
    groups = check_number("groups", groups, least=2, most=pixels)
    parts = rank(heats) * groups // pixels
    drops = _drops(predict, images, parts, picked, baseline=baseline)
    sums = _sums(heats, parts, groups)
    hotter, colder = np.triu_indices(groups, 1)
    weights = sums[:, hotter] - sums[:, colder]
    agree = np.where(drops[:, hotter] >= drops[:, colder], weights, -weights)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = agree.sum(1) / np.abs(weights).sum(1)
    undefined = _is_flat(heats) | ~(np.ptp(drops, axis=1) > 0)
    return np.where(undefined, np.nan, found)


def _drops(
    predict: Predict, images: Tensor, parts: Tensor, targets: Tensor, *, baseline: Baseline
) -> NDArray[np.float64]:
    """Return the drop of the target's score when each part is replaced: (B, parts).

    Args:
        predict: Returns the scores of images.
        images: (B, channels, height, width).
        parts: (B, height, width) int64, the part that each pixel belongs to, from 0.
        targets: (B,) the class of each image.
        baseline: What replaces a part.
    """
    without = make_baseline(images, baseline)
    parts = parts.to(images.device)
    whole = target_probabilities(predict, images, targets)
    drops = []
    for part in range(int(parts.max()) + 1):
        changed = torch.where((parts == part)[:, None], without, images)
        drops.append(whole - target_probabilities(predict, changed, targets))
    return np.asarray(torch.stack(drops, 1).numpy())


def _sums(heats: Tensor, parts: Tensor, count: int) -> NDArray[np.float64]:
    """Return the heat of each part: (B, count)."""
    sums = torch.zeros(len(heats), count, dtype=torch.float64)
    values = heats.detach().double().cpu().flatten(1)
    return np.asarray(sums.scatter_add_(1, parts.cpu().flatten(1), values).numpy())


def _is_flat(heats: Tensor) -> NDArray[np.bool_]:
    """Return whether each map is constant, or not finite: (B,)."""
    flat = heats.flatten(1)
    varies = (flat.amax(1) > flat.amin(1)) & flat.isfinite().all(1)
    return np.asarray(~varies.cpu().numpy())

"""The probability of a class while pixels of the image are inserted or deleted, hottest first.

Images are a model's own input, (B, channels, height, width), normalised, so that 0 is the mean
colour. ``predict`` returns the (n, classes) probabilities of any number of such images. Maps are
(B, height, width) over that input, in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from effcam.errors import ArgumentError, check_number

if TYPE_CHECKING:
    from numpy.typing import NDArray

Predict: TypeAlias = Callable[[Tensor], Tensor]
Baseline: TypeAlias = Literal["blur", "mean", "image_mean"]

STEPS = 8
"""The number of equal steps in which insertion and deletion turn one image into the other."""
BLUR = 0.05
"""The standard deviation of the blurred baseline, as a share of the input's shorter side."""
SEED = 0


def insertion(
    predict: Predict,
    images: Tensor,
    heats: Tensor,
    targets: Sequence[int],
    *,
    baseline: Baseline = "blur",
    steps: int = STEPS,
) -> NDArray[np.float64]:
    """Return the area under the target's probability while pixels are inserted, hottest first.

    Source: Petsiuk et al. 2018 (RISE), arXiv:1806.07421.

    Args:
        predict: Returns the probabilities of images.
        images: (B, channels, height, width).
        heats: (B, height, width).
        targets: (B,) the class of each image.
        baseline: The image to insert them into: ``"blur"``, the blurred one; ``"mean"``, the mean
            colour of all images; or ``"image_mean"``, that of the image.
        steps: The number of equal steps.

    Returns:
        (B,) in [0, 1], by the trapezoidal rule.

    Raises:
        ArgumentError: If an argument is impossible.
    """
    start = make_baseline(images, baseline)
    return area_under(removal_curve(predict, start, images, heats, targets, steps=steps))


def deletion(
    predict: Predict,
    images: Tensor,
    heats: Tensor,
    targets: Sequence[int],
    *,
    baseline: Baseline = "mean",
    steps: int = STEPS,
) -> NDArray[np.float64]:
    """Return the area under the target's probability while pixels are deleted, hottest first.

    Source: Petsiuk et al. 2018 (RISE), arXiv:1806.07421.

    Args:
        predict: Returns the probabilities of images.
        images: (B, channels, height, width).
        heats: (B, height, width).
        targets: (B,) the class of each image.
        baseline: What replaces them: ``"blur"``, the blurred image; ``"mean"``, the mean colour of
            all images; or ``"image_mean"``, that of the image.
        steps: The number of equal steps.

    Returns:
        (B,) in [0, 1], by the trapezoidal rule.

    Raises:
        ArgumentError: If an argument is impossible.
    """
    end = make_baseline(images, baseline)
    return area_under(removal_curve(predict, images, end, heats, targets, steps=steps))


def removal_curve(
    predict: Predict,
    start: Tensor,
    end: Tensor,
    heats: Tensor,
    targets: Sequence[int],
    *,
    steps: int = STEPS,
    ends: tuple[Tensor | None, Tensor | None] = (None, None),
) -> NDArray[np.float64]:
    """Return the target's probability while the pixels of one image replace another's.

    The hottest pixels are replaced first; equally hot ones in random order.

    Args:
        predict: Returns the probabilities of images.
        start: (B, channels, height, width).
        end: Likewise.
        heats: (B, height, width).
        targets: (B,) the class of each image.
        steps: The number of equal steps.
        ends: (B,) the probabilities of the first images and of the last, if known.

    Returns:
        (B, steps + 1) in [0, 1].

    Raises:
        ArgumentError: If an argument is impossible.
    """
    steps = check_number("steps", steps)
    picked = check_targets(start, heats, targets)
    order = rank(heats)[:, None]
    known = {0: ends[0], steps: ends[1]}
    points = []
    for step in range(steps + 1):
        probabilities = known.get(step)
        if probabilities is None:
            changed = order < round(step / steps * heats[0].numel())
            probabilities = target_probabilities(predict, torch.where(changed, end, start), picked)
        points.append(probabilities.double().cpu())
    return np.asarray(torch.stack(points, 1).numpy())


def area_under(curve: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the mean of (..., points) over their span, by the trapezoidal rule.

    >>> float(area_under(np.array([0.0, 1.0, 1.0])))
    0.75
    """
    return np.asarray((curve[..., :-1] + curve[..., 1:]).mean(-1) / 2, np.float64)


def make_baseline(images: Tensor, kind: str) -> Tensor:
    """Return images without their content: blurred, or of their mean colour.

    Args:
        images: (B, channels, height, width), normalised.
        kind: ``"blur"``, a Gaussian of a twentieth of the shorter side; ``"mean"``, the mean colour
            of all images, 0; or ``"image_mean"``, that of each image.

    Raises:
        ArgumentError: If there is no such baseline.
    """
    if kind == "mean":
        return torch.zeros_like(images)
    if kind == "image_mean":
        return images.mean((2, 3), keepdim=True).expand_as(images)
    if kind != "blur":
        raise ArgumentError(f"baseline must be 'blur', 'mean' or 'image_mean', not {kind!r}")
    sigma = BLUR * min(images.shape[2:])
    reach = min(round(3 * sigma), min(images.shape[2:]) - 1)
    offsets = torch.arange(-reach, reach + 1, dtype=torch.float32)
    weights = torch.exp(-(offsets**2) / (2 * sigma**2))
    line = (weights / weights.sum()).to(images).expand(images.shape[1], 1, 1, -1)
    padded = functional.pad(images, (reach,) * 4, mode="reflect")
    groups = images.shape[1]
    across = functional.conv2d(padded, line, groups=groups)
    return functional.conv2d(across, line.transpose(2, 3), groups=groups)


def rank(heats: Tensor) -> Tensor:
    """Return the rank of each pixel by heat, from 0 for the hottest: (B, height, width) int64.

    Equal pixels are in random order, the same each time.
    """
    flat = heats.reshape(len(heats), -1)
    # In reading order, a map that is 0 almost everywhere would lose the top of the image first.
    shuffle = torch.randperm(flat.shape[1], generator=torch.Generator().manual_seed(SEED))
    shuffle = shuffle.to(flat.device)
    order = shuffle[flat[:, shuffle].argsort(stable=True, dim=1, descending=True)]
    ranks = torch.empty_like(order)
    ranks.scatter_(1, order, torch.arange(flat.shape[1], device=flat.device).expand_as(order))
    return ranks.reshape(heats.shape)


def target_probabilities(predict: Predict, images: Tensor, targets: Tensor) -> Tensor:
    """Return the (B,) float64 probabilities of the targets."""
    # Convolutions run faster on this order of the same numbers.
    found = predict(images.contiguous(memory_format=torch.channels_last))
    return found.gather(1, targets.to(found.device)[:, None])[:, 0].double().cpu()


def check_targets(images: Tensor, heats: Tensor, targets: Sequence[int]) -> Tensor:
    """Return the targets as a (B,) tensor, if images, maps and targets fit each other.

    Raises:
        ArgumentError: If they do not.
    """
    if images.ndim != 4 or heats.shape != (len(images), *images.shape[2:]):
        raise ArgumentError(
            "images are (B, channels, height, width) and maps (B, height, width), not "
            f"{tuple(images.shape)} and {tuple(heats.shape)}"
        )
    if len(targets) != len(images):
        raise ArgumentError(f"give one target per image, not {len(targets)} for {len(images)}")
    return torch.as_tensor(list(targets), dtype=torch.int64)

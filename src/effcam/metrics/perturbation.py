"""What becomes of a model's answer when parts of an image are taken away, by order of heat.

Images are a model's own input, (B, channels, height, width), normalised, so that 0 is the mean
colour. ``predict`` returns the (n, classes) probabilities of any number of such images. Maps are
(B, height, width) over that input, in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from effcam.errors import ArgumentError, check_number
from effcam.metrics.road_imputation import fill_in

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Predict: TypeAlias = Callable[[Tensor], Tensor]
Baseline: TypeAlias = Literal["blur", "mean"]

STEPS = 8
"""In how many steps of equal size insertion and deletion go from one image to the other."""
BLUR = 0.05
"""The standard deviation of the blurred baseline, as a share of the input's shorter side."""
REMOVED = (0.2, 0.5)
"""The shares of the pixels that ROAD takes away."""
NOISE = 0.01
"""The standard deviation of the noise that ROAD adds to what it fills in, normalised units."""
SEED = 0


def average_drop(before: ArrayLike, after: ArrayLike) -> NDArray[np.float64]:
    """Return the share of its confidence that a model loses, in [0, 1]; 0 where it gains.

    Source: Chattopadhyay et al. 2018 (Grad-CAM++), arXiv:1710.11063. The mean over images is the
    average drop.

    Args:
        before: (n,) the probability of a class in each image.
        after: (n,) its probability in the image multiplied by the map, as ``masked`` does.

    >>> average_drop([0.5, 0.5], [0.25, 0.9]).tolist()
    [0.5, 0.0]
    """
    first, second = _pair(before, after)
    return np.asarray(np.maximum(first - second, 0) / np.maximum(first, np.finfo(float).tiny))


def increase_in_confidence(before: ArrayLike, after: ArrayLike) -> NDArray[np.float64]:
    """Return 1 where a model is surer than before, else 0.

    Source: Chattopadhyay et al. 2018 (Grad-CAM++), arXiv:1710.11063.

    Args:
        before: (n,) the probability of a class in each image.
        after: (n,) its probability in the image multiplied by the map, as ``masked`` does.
    """
    first, second = _pair(before, after)
    return (second > first).astype(np.float64)


def average_gain(before: ArrayLike, after: ArrayLike) -> NDArray[np.float64]:
    """Return the share of the confidence it lacked that a model gains, in [0, 1].

    Source: Zhang et al. 2023 (Opti-CAM), arXiv:2301.07002.

    Args:
        before: (n,) the probability of a class in each image.
        after: (n,) its probability in the image multiplied by the map, as ``masked`` does.

    >>> average_gain([0.8, 0.5], [0.2, 0.75]).tolist()
    [0.0, 0.5]
    """
    first, second = _pair(before, after)
    room = np.maximum(1 - first, np.finfo(float).tiny)
    return np.asarray(np.maximum(second - first, 0) / room)


def masked(images: Tensor, heats: Tensor) -> Tensor:
    """Return images multiplied by maps: without heat there is the mean colour."""
    return images * heats[:, None].to(images)


def insertion(
    predict: Predict,
    images: Tensor,
    heats: Tensor,
    targets: Sequence[int],
    *,
    baseline: Baseline = "blur",
    steps: int = STEPS,
) -> NDArray[np.float64]:
    """Return the area under the target's probability while the hottest pixels come first.

    Source: Petsiuk et al. 2018 (RISE), arXiv:1806.07421.

    Args:
        predict: Returns the probabilities of images.
        images: (B, channels, height, width).
        heats: (B, height, width).
        targets: (B,) the class of each image.
        baseline: Where they come into: the ``"blur"``red image, or the ``"mean"`` colour.
        steps: In how many steps of equal size.

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
    """Return the area under the target's probability while the hottest pixels go first.

    Source: Petsiuk et al. 2018 (RISE), arXiv:1806.07421.

    Args:
        predict: Returns the probabilities of images.
        images: (B, channels, height, width).
        heats: (B, height, width).
        targets: (B,) the class of each image.
        baseline: What takes their place: the ``"blur"``red image, or the ``"mean"`` colour.
        steps: In how many steps of equal size.

    Returns:
        (B,) in [0, 1], by the trapezoidal rule.

    Raises:
        ArgumentError: If an argument is impossible.
    """
    end = make_baseline(images, baseline)
    return area_under(removal_curve(predict, images, end, heats, targets, steps=steps))


def road(
    predict: Predict,
    images: Tensor,
    heats: Tensor,
    targets: Sequence[int],
    *,
    removed: Sequence[float] = REMOVED,
    noise: float = NOISE,
) -> NDArray[np.float64]:
    """Return how much more the target depends on the hottest pixels than on the coldest.

    It is half the difference between its probability without the coldest pixels and without the
    hottest, the mean over the shares removed; what is removed is filled in from around. It is 0
    on average for maps at random. Source: Rong et al. 2022 (ROAD), arXiv:2202.00449, the sum as in
    grad-cam's ``ROADCombined``.

    Args:
        predict: Returns the probabilities of images.
        images: (B, channels, height, width).
        heats: (B, height, width).
        targets: (B,) the class of each image.
        removed: Shares of the pixels, in (0, 1).
        noise: The standard deviation of the noise in what is filled in, normalised units.

    Returns:
        (B,) in [-0.5, 0.5].

    Raises:
        ArgumentError: If an argument is impossible.
    """
    if not removed or not all(0 < share < 1 for share in removed):
        raise ArgumentError(f"removed must be shares between 0 and 1, not {removed!r}")
    picked = _targets(images, heats, targets)
    generator = torch.Generator().manual_seed(SEED)
    total = torch.zeros(len(images), dtype=torch.float64)
    ranks, pixels = rank(heats), heats[0].numel()
    for share in removed:
        count = round(share * pixels)
        for gone, sign in ((ranks < count, -1), (ranks >= pixels - count, 1)):
            without = _fill_all(images, gone, noise, generator)
            total += sign * target_probabilities(predict, without, picked)
    return np.asarray((total / (2 * len(removed))).numpy())


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
    """Return (B, steps + 1): the target's probability while pixels of one image become another's.

    The hottest become so first; pixels that are equally hot in an order at random.

    Args:
        predict: Returns the probabilities of images.
        start: (B, channels, height, width).
        end: Likewise.
        heats: (B, height, width).
        targets: (B,) the class of each image.
        steps: In how many steps of equal size.
        ends: (B,) the probabilities of the first images and of the last, where they are known.

    Raises:
        ArgumentError: If an argument is impossible.
    """
    steps = check_number("steps", steps)
    picked = _targets(start, heats, targets)
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
    """Return what images are without their content: blurred, or their mean colour.

    Args:
        images: (B, channels, height, width), normalised.
        kind: ``"blur"``, a Gaussian of a twentieth of the shorter side, or ``"mean"``.

    Raises:
        ArgumentError: If there is no such baseline.
    """
    if kind == "mean":
        return torch.zeros_like(images)
    if kind != "blur":
        raise ArgumentError(f"baseline must be 'blur' or 'mean', not {kind!r}")
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
    """Return (B, height, width) int64: the place of each pixel by heat, the hottest 0.

    Equal pixels are in an order at random, the same each time.
    """
    flat = heats.reshape(len(heats), -1)
    # In reading order a map that is 0 in most places would lose the top of the image first.
    shuffle = torch.randperm(flat.shape[1], generator=torch.Generator().manual_seed(SEED))
    shuffle = shuffle.to(flat.device)
    order = shuffle[flat[:, shuffle].argsort(stable=True, dim=1, descending=True)]
    places = torch.empty_like(order)
    places.scatter_(1, order, torch.arange(flat.shape[1], device=flat.device).expand_as(order))
    return places.reshape(heats.shape)


def _fill_all(images: Tensor, gone: Tensor, noise: float, generator: torch.Generator) -> Tensor:
    holes = gone.cpu().numpy()
    arrays = images.detach().float().cpu().numpy()
    # The solver lets other threads run meanwhile.
    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        filled = np.stack(list(threads.map(fill_in, arrays, holes)))
    blurry = noise * torch.randn(images.shape, generator=generator) * gone[:, None].cpu()
    return (torch.from_numpy(filled) + blurry).to(images)


def target_probabilities(predict: Predict, images: Tensor, targets: Tensor) -> Tensor:
    """Return the (B,) float64 probabilities of the targets."""
    # Convolutions run faster on this order of the same numbers.
    found = predict(images.contiguous(memory_format=torch.channels_last))
    return found.gather(1, targets.to(found.device)[:, None])[:, 0].double().cpu()


def _targets(images: Tensor, heats: Tensor, targets: Sequence[int]) -> Tensor:
    if images.ndim != 4 or heats.shape != (len(images), *images.shape[2:]):
        raise ArgumentError(
            "images are (B, channels, height, width) and maps (B, height, width), not "
            f"{tuple(images.shape)} and {tuple(heats.shape)}"
        )
    if len(targets) != len(images):
        raise ArgumentError(f"give one target an image, not {len(targets)} for {len(images)}")
    return torch.as_tensor(list(targets), dtype=torch.int64)


def _pair(before: ArrayLike, after: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    first, second = np.asarray(before, np.float64), np.asarray(after, np.float64)
    if first.shape != second.shape:
        raise ArgumentError(
            f"probabilities before and after are of one shape, not {first.shape} and {second.shape}"
        )
    return first, second

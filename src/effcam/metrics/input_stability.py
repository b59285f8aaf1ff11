"""How much maps change when the image changes in a way that should not matter.

Images are a model's own input, (B, channels, height, width), normalised. ``explain`` returns the
(B, height, width) maps of such images, each for the class that it explains in the unchanged image.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from effcam.errors import ArgumentError, check_number
from effcam.metrics.agreement import spearman

if TYPE_CHECKING:
    from numpy.typing import NDArray

Explain: TypeAlias = Callable[[Tensor], Tensor]

RADIUS = 0.02
"""The largest change of a pixel by noise, normalised units: about 1 of 255 for most networks."""
SAMPLES = 10
"""The number of noisy images per image."""
SHIFT = 8
"""How far images are shifted, px."""
SEED = 0


def max_sensitivity(
    explain: Explain,
    images: Tensor,
    *,
    radius: float = RADIUS,
    samples: int = SAMPLES,
    seed: int = SEED,
) -> NDArray[np.float64]:
    """Return the largest relative change of a map when a little noise is added to the image.

    The change is the L2 norm of the difference of the maps, divided by that of the image's own
    map. Noise is uniform in [-radius, radius] for each value of the input, and the same for all
    images of a batch. The largest change of some samples is at most that of all noise of this
    radius, so that figures compare only for one number of samples. Source: Yeh et al. 2019,
    arXiv:1901.09392, divided by the norm of the map as Quantus does.

    Args:
        explain: Returns the maps of images. Scale them to [0, 1] to ignore changes of their scale.
        images: (B, channels, height, width).
        radius: The largest change of a value, normalised units, above 0.
        samples: The number of noisy images per image.
        seed: The seed of the noise.

    Returns:
        (B,) >= 0; NaN for a constant map, or if a value of a map is not finite.

    Raises:
        ArgumentError: If an argument is impossible, or the maps do not fit the images.
    """
    if not (math.isfinite(radius) and radius > 0):
        raise ArgumentError(f"radius must be a number above 0, not {radius!r}")
    samples = check_number("samples", samples)
    own = maps_of(explain, images)
    generator = torch.Generator().manual_seed(seed)
    largest = torch.zeros(len(images), dtype=torch.float64)
    for _ in range(samples):
        noise = (2 * torch.rand(images.shape[1:], generator=generator) - 1) * radius
        after = maps_of(explain, images + noise.to(images))
        largest = torch.maximum(largest, (after - own).flatten(1).norm(dim=1))
    flat = own.flatten(1)
    varies = flat.amax(1) > flat.amin(1)
    return np.asarray(torch.where(varies, largest / flat.norm(dim=1), math.nan).numpy())


def shift_stability(explain: Explain, images: Tensor, *, shift: int = SHIFT) -> NDArray[np.float64]:
    """Return how well maps move with the image when it is shifted by whole pixels.

    The image is shifted to the right, left, bottom and top, each edge continued by its last
    pixels. The map of a shifted image, shifted back, is compared with the image's own over the part
    that both show: by Spearman's rank correlation, since heat compares only within a map. The
    figure is the mean over the directions. It is the equivariance of explanations of Crabbé and
    van der Schaar 2023, arXiv:2304.06715, for shifts, with a rank correlation for their cosine,
    which is high for any two maps without negative values.

    A network with a stride of 32 px cannot follow a shift of 8 px exactly, so the figure
    is as much about the network as about the method.

    Args:
        explain: Returns the maps of images.
        images: (B, channels, height, width).
        shift: How far, px, less than the shorter side.

    Returns:
        (B,) in [-1, 1], 1 for maps that move as the image does; NaN if one of the five maps of an
        image is constant over the common part.

    Raises:
        ArgumentError: If an argument is impossible, or the maps do not fit the images.
    """
    own = maps_of(explain, images).numpy()
    height, width = images.shape[2:]
    shift = check_number("shift", shift, most=min(height, width) - 1)
    found = np.zeros(len(images))
    for down, across in ((0, shift), (0, -shift), (shift, 0), (-shift, 0)):
        after = maps_of(explain, shifted(images, down, across)).numpy()
        found += spearman(_overlap(own, -down, -across), _overlap(after, down, across)) / 4
    return found


def shifted(images: Tensor, down: int, across: int) -> Tensor:
    """Return images shifted by whole pixels, their edges continued by their last pixels.

    Args:
        images: (B, channels, height, width).
        down: How far to the bottom, px; negative to the top.
        across: How far to the right, px; negative to the left.
    """
    padding = (max(across, 0), max(-across, 0), max(down, 0), max(-down, 0))
    height, width = images.shape[2:]
    padded = functional.pad(images, padding, mode="replicate")
    top, left = max(-down, 0), max(-across, 0)
    return padded[:, :, top : top + height, left : left + width]


def maps_of(explain: Explain, images: Tensor) -> Tensor:
    """Return the (B, height, width) float64 maps of images, on the CPU; NaN if not finite.

    Raises:
        ArgumentError: If the images or the maps have another shape.
    """
    if images.ndim != 4:
        raise ArgumentError(f"images are (B, channels, height, width), not {tuple(images.shape)}")
    heats = explain(images)
    wanted = (len(images), *images.shape[2:])
    if tuple(heats.shape) != wanted:
        raise ArgumentError(
            f"explain must return the maps of its images, {wanted}, not {tuple(heats.shape)}: "
            "enlarge them to the images' size"
        )
    heats = heats.detach().double().cpu()
    finite = heats.isfinite().flatten(1).all(1)
    return torch.where(finite[:, None, None], heats, math.nan)


def _overlap(maps: NDArray[np.float64], down: int, across: int) -> NDArray[np.float64]:
    """Return the part of (B, height, width) maps without what a shift brought in."""
    rows, columns = (
        slice(step, None) if step > 0 else slice(None, step or None) for step in (down, across)
    )
    return maps[:, rows, columns]

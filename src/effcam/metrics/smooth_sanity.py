"""The sanity check of one model, with maps averaged over noisy copies of each image."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from effcam.cam.methods.table import Method
from effcam.errors import ArgumentError, check_number
from effcam.images.refs import ImageLike
from effcam.metrics.randomisation import SEED, similarity
from effcam.metrics.sanity import SHARES, SanityCheck, check_stages
from effcam.metrics.shuffled_run import ShuffledRun, is_flat
from effcam.models.sources import ModelLike
from effcam.models.tracing.torch_state import plain_torch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from effcam.metrics.shuffled_run import ChangeInputs, Maps

SAMPLES = 10
"""The number of noisy copies of an image."""
NOISE = 0.1
"""The standard deviation of the noise, as a share of the range of an image's values."""


@plain_torch()
def smooth_mprt(
    images: ImageLike | Iterable[ImageLike],
    model: ModelLike,
    *,
    method: Method = "gradcam",
    shares: Sequence[float] = SHARES,
    samples: int = SAMPLES,
    noise: float = NOISE,
    view: Literal["model", "whole"] = "model",
    size: int | None = None,
    batch_size: int = 16,
    device: str | torch.device | None = None,
    seed: int = SEED,
) -> SanityCheck:
    """Return the `sanity_check` of maps that are averaged over noisy copies of each image.

    This is the smooth model parameter randomisation test (sMPRT) of Hedström et al. 2023,
    arXiv:2401.06465: noise in single maps, which makes any two of them differ, is averaged out. The
    paper draws new weights, from the bottom up; here the weights of each layer are permuted, from
    the top down, as in `sanity_check`. Every state of the model gets the same noise. The model is
    restored afterwards.

    Args:
        images: As in `effcam.compare`.
        model: As in `effcam.compare`, one of them.
        method: A method, by its name or a function, as in `effcam.compare`.
        shares: The shares of the layers with weights to shuffle, in (0, 1].
        samples: The number of noisy copies of an image.
        noise: The standard deviation of the noise, as a share of the range of an image's values.
        view: As in `effcam.compare`.
        size: As in `effcam.compare`.
        batch_size: The number of images that run at once.
        device: Where to run a model that is built here; ``None`` takes a GPU if there is one.
        seed: The seed of the random numbers.

    Returns:
        The similarity is NaN where the model's own mean map is constant, and 0 where only that
        after shuffling is.

    Raises:
        ArgumentError: If an argument is impossible.
        ImageError: If an image is bad, or there is none.
        ModelError: If the model cannot be built or run.
        TargetError: If the model has no classes.

    >>> import effcam
    >>> scenes = effcam.demo.scenes(4, size=112)
    >>> check = smooth_mprt(scenes, "demo_densenet", shares=[1.0], samples=3)
    >>> bool(check.similarity.mean() < 0.5)
    True
    """
    if not shares:
        raise ArgumentError("shares must be one or more")
    samples = check_number("samples", samples)
    if not (math.isfinite(noise) and noise > 0):
        raise ArgumentError(f"noise must be a number above 0, not {noise!r}")
    run = ShuffledRun.prepare(
        images,
        model,
        method=method,
        view=view,
        size=size,
        batch_size=batch_size,
        device=device,
    )
    change = noisy(samples, noise, seed)
    return check_stages(run, shares, _similarity, seed=seed, change=change, samples=samples)


def _similarity(maps: Sequence[Maps], others: Sequence[Maps]) -> NDArray[np.float64]:
    """Return the similarities of maps, NaN where one before shuffling is constant."""
    return np.where(is_flat(np.stack(maps)), np.nan, similarity(maps, others))


def noisy(samples: int, noise: float, seed: int) -> ChangeInputs:
    """Return a function that yields noisy copies of images, with the same noise in every call.

    Args:
        samples: The number of copies.
        noise: The standard deviation, as a share of the range of an image's values.
        seed: The seed of the noise.
    """

    def change(images: Tensor) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(seed)
        spread = images.amax((1, 2, 3), keepdim=True) - images.amin((1, 2, 3), keepdim=True)
        for _ in range(samples):
            drawn = torch.randn(images.shape[1:], generator=generator).to(images)
            yield images + noise * spread * drawn

    return change

"""Photo-like pictures on which a network is examined when it is loaded."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from effcam.images.preprocess import Preprocess

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

MEAN, SPREAD = 0.45, 0.25
"""The mean and the standard deviation of the pixels, about those of photos, in [0, 1]."""
CHROMA = 0.3
"""The standard deviation of a channel's own part, as a share of that of all channels."""


@lru_cache(maxsize=4)
def probe_pixels(
    size: tuple[int, int], channels: int = 3, count: int = 2, *, seed: int = 0
) -> NDArray[np.uint8]:
    """Return pictures with the statistics of photos, the same each time.

    Their amplitude falls with the spatial frequency f as 1 / f, as that of natural images does
    (Field, 1987, J. Opt. Soc. Am. A 4), and their channels resemble each other.

    Args:
        size: Height and width in px.
        channels: The number of channels.
        count: The number of pictures, all different.
        seed: Another number gives other pictures.

    Returns:
        (count, height, width, channels) uint8, read-only.

    >>> pictures = probe_pixels((32, 32))
    >>> pictures.shape, bool(90 < pictures.mean() < 140)
    ((2, 32, 32, 3), True)
    """
    rng = np.random.default_rng(seed)
    shared = _pink_noise(rng, (count, 1, *size))
    own = _pink_noise(rng, (count, channels, *size))
    values = MEAN + SPREAD * (shared + CHROMA * own)
    pixels = np.asarray(np.rint(255 * values.clip(0, 1)).transpose(0, 2, 3, 1), np.uint8)
    pixels.setflags(write=False)
    return pixels


def probe_inputs(preprocess: Preprocess, count: int = 2, *, seed: int = 0) -> torch.Tensor:
    """Return the inputs of a model for `probe_pixels`.

    Args:
        preprocess: The model's transform.
        count: The number of pictures.
        seed: Another number gives other pictures.

    Returns:
        (count, channels, height, width) float32, normalised.
    """
    import torch

    pixels = probe_pixels(preprocess.size, preprocess.channels, count, seed=seed)
    return preprocess.normalise(torch.from_numpy(pixels.copy()))


def probe_standardised(size: tuple[int, int], channels: int, count: int) -> torch.Tensor:
    """Return `probe_pixels` of mean 0 and standard deviation about 1, for any network.

    Args:
        size: Height and width in px.
        channels: The number of channels.
        count: The number of pictures.

    Returns:
        (count, channels, height, width) float32.
    """
    import torch

    pixels = probe_pixels(size, channels, count).transpose(0, 3, 1, 2).copy()
    return (torch.from_numpy(pixels).float() / 255 - MEAN) / SPREAD


def _pink_noise(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return noise whose amplitude is 1 / f, of mean 0 and standard deviation 1 in each plane."""
    height, width = shape[-2:]
    waves = np.fft.rfft2(rng.standard_normal(shape))
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequency[0, 0] = np.inf  # the mean
    planes = np.fft.irfft2(waves / frequency, s=(height, width))
    spread = planes.std(axis=(-2, -1), keepdims=True)
    return np.asarray(np.divide(planes, spread, out=np.zeros_like(planes), where=spread > 0))

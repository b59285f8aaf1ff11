"""The confidence of a model before and after its image is multiplied by a map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from effcam.errors import ArgumentError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from torch import Tensor


def average_drop(before: ArrayLike, after: ArrayLike) -> NDArray[np.float64]:
    """Return the share of its confidence that a model loses, in [0, 1]; 0 where it gains some.

    Source: Chattopadhyay et al. 2018 (Grad-CAM++), arXiv:1710.11063. The mean over images is the
    average drop.

    Args:
        before: (n,) the probability of a class in each image.
        after: (n,) its probability in the image multiplied by the map.

    >>> average_drop([0.5, 0.5], [0.25, 0.9]).tolist()
    [0.5, 0.0]
    """
    first, second = _pair(before, after)
    return np.asarray(np.maximum(first - second, 0) / np.maximum(first, np.finfo(float).tiny))


def increase_in_confidence(before: ArrayLike, after: ArrayLike) -> NDArray[np.float64]:
    """Return 1 where a model is more confident than before, else 0.

    Source: Chattopadhyay et al. 2018 (Grad-CAM++), arXiv:1710.11063.

    Args:
        before: (n,) the probability of a class in each image.
        after: (n,) its probability in the image multiplied by the map.
    """
    first, second = _pair(before, after)
    return (second > first).astype(np.float64)


def average_gain(before: ArrayLike, after: ArrayLike) -> NDArray[np.float64]:
    """Return the share of the missing confidence that a model gains, in [0, 1].

    Source: Zhang et al. 2023 (Opti-CAM), arXiv:2301.07002.

    Args:
        before: (n,) the probability of a class in each image.
        after: (n,) its probability in the image multiplied by the map.

    >>> average_gain([0.8, 0.5], [0.2, 0.75]).tolist()
    [0.0, 0.5]
    """
    first, second = _pair(before, after)
    room = np.maximum(1 - first, np.finfo(float).tiny)
    return np.asarray(np.maximum(second - first, 0) / room)


def masked(images: Tensor, heats: Tensor) -> Tensor:
    """Return images multiplied by maps; pixels without heat get the mean colour."""
    return images * heats[:, None].to(images)


def _pair(before: ArrayLike, after: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    first, second = np.asarray(before, np.float64), np.asarray(after, np.float64)
    if first.shape != second.shape:
        raise ArgumentError(
            f"probabilities before and after differ in shape: {first.shape} and {second.shape}"
        )
    return first, second

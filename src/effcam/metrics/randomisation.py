"""Shuffle the weights of a model, to check that its maps depend on what it has learnt.

Source: Adebayo et al. 2018, Sanity Checks for Saliency Maps, arXiv:1810.03292, the cascading
randomisation from the top.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from effcam.errors import ArgumentError
from effcam.metrics.agreement import spearman
from effcam.models.model import Model
from effcam.models.tracing.trace import trace

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEED = 0


@dataclass(frozen=True, slots=True, eq=False)
class Shuffled:
    """Shuffled weights of the upper layers of a model.

    Attributes:
        layers: The names of the layers, the top one first.
        weights: Each parameter of the model that is replaced, with what replaces it.
    """

    layers: tuple[str, ...]
    weights: tuple[tuple[nn.Parameter, Tensor], ...]

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Replace the model's weights by the shuffled ones within the block."""
        own = [parameter.data for parameter, _ in self.weights]
        try:
            for parameter, shuffled in self.weights:
                parameter.data = shuffled
            yield
        finally:
            for (parameter, _), before in zip(self.weights, own, strict=True):
                parameter.data = before


def shuffle_from_top(model: Model, share: float, *, seed: int = SEED) -> Shuffled:
    """Return shuffled weights of the upper layers of a model; the model is not changed.

    Args:
        model: The model.
        share: The share of the layers with weights to shuffle, in (0, 1]: those that run last.
        seed: The seed of the random numbers.

    Raises:
        ArgumentError: If the share is impossible, or the model has no weights.
    """
    if not 0 < share <= 1:
        raise ArgumentError(f"share must be above 0 and at most 1, not {share!r}")
    layers = _from_top(model)
    if not layers:
        raise ArgumentError(f"{model.name} has no weights to shuffle")
    upper = layers[: max(1, round(share * len(layers)))]
    generator = torch.Generator().manual_seed(seed)
    weights: dict[nn.Parameter, Tensor] = {}
    for name in upper:
        for parameter in model.module.get_submodule(name).parameters(recurse=False):
            order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
            if parameter not in weights:
                mixed = parameter.detach().flatten()[order].reshape(parameter.shape)
                weights[parameter] = mixed
    return Shuffled(tuple(upper), tuple(weights.items()))


def similarity(
    maps: Sequence[NDArray[np.float32]], others: Sequence[NDArray[np.float32]]
) -> NDArray[np.float64]:
    """Return the (n,) rank correlations of each pair of maps; 0 if one is constant."""
    found = spearman(np.stack(maps), np.stack(others))
    return np.nan_to_num(found)


def _from_top(model: Model) -> list[str]:
    """Return the layers that have own weights, in reverse order of running."""
    preprocess = model.preprocess
    record = trace(model.module, preprocess.size, preprocess.channels)
    ran = dict.fromkeys(call.name for call in reversed(record.calls))
    owning = [
        name
        for name, module in model.module.named_modules()
        if any(True for _ in module.parameters(recurse=False))
    ]
    # Parameters outside of any call, such as a position embedding, come last.
    return [name for name in ran if name in owning] + [name for name in owning if name not in ran]

"""Whether maps depend on what a model has learnt: they must not survive the loss of its weights.

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
    """Weights of the upper part of a model, the numbers of each in an order at random.

    Attributes:
        layers: The layers that they belong to, by dotted name, the top one first.
        weights: Each parameter of the model that is replaced, with what replaces it.
    """

    layers: tuple[str, ...]
    weights: tuple[tuple[nn.Parameter, Tensor], ...]

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the shuffled weights into the model for the time being."""
        own = [parameter.data for parameter, _ in self.weights]
        try:
            for parameter, shuffled in self.weights:
                parameter.data = shuffled
            yield
        finally:
            for (parameter, _), before in zip(self.weights, own, strict=True):
                parameter.data = before


def shuffle_from_top(model: Model, share: float, *, seed: int = SEED) -> Shuffled:
    """Return the weights of the upper layers of a model, shuffled; the model is left as it is.

    Args:
        model: The model.
        share: Which share of the layers that have weights, in (0, 1]; those that run last.
        seed: Where the random numbers start.

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
    """Return the (n,) rank correlations of each two maps; 0 where one has no evidence."""
    found = spearman(np.stack(maps), np.stack(others))
    return np.nan_to_num(found)


def _from_top(model: Model) -> list[str]:
    """Return the layers that have weights of their own, those first that run last."""
    preprocess = model.preprocess
    record = trace(model.module, preprocess.size, preprocess.channels)
    ran = dict.fromkeys(call.name for call in reversed(record.calls))
    owning = [
        name
        for name, module in model.module.named_modules()
        if any(True for _ in module.parameters(recurse=False))
    ]
    # What never runs by itself, as a position embedding of the whole, is at the bottom.
    return [name for name in ran if name in owning] + [name for name in owning if name not in ran]

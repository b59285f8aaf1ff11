"""How much more complex a model's maps get when all of its weights are shuffled."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch.nn import functional

from effcam.cam.methods.table import Method
from effcam.errors import check_number
from effcam.images.refs import ImageLike
from effcam.metrics.estimates import estimate
from effcam.metrics.inference import ANY
from effcam.metrics.intervals import FEWEST
from effcam.metrics.randomisation import SEED, shuffle_from_top
from effcam.metrics.shuffled_run import ShuffledRun, is_flat
from effcam.models.sources import ModelLike
from effcam.models.tracing.torch_state import plain_torch
from effcam.text import align

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from effcam.metrics.shuffled_run import Maps

BINS = 100
"""The bins of the histogram of a map's values."""


@dataclass(frozen=True, slots=True, eq=False)
class ComplexityRise:
    """The complexity of a model's maps before and after shuffling all of its weights.

    Attributes:
        model: The model's name.
        method: The method that made the maps.
        layers: The number of layers that was shuffled.
        before: (images,) the entropy of each map's histogram, nats; NaN for a constant map.
        after: (images,) the same with shuffled weights.
    """

    model: str
    method: str
    layers: int
    before: NDArray[np.float64] = field(repr=False)
    after: NDArray[np.float64] = field(repr=False)

    @property
    def rise(self) -> NDArray[np.float64]:
        """(images,) the relative rise, above -1; NaN where one of the two maps is constant."""
        return np.asarray((self.after - self.before) / self.before)

    def __str__(self) -> str:
        """Return a table: complexity and its relative rise, means with their 95 % interval."""
        values = np.stack([self.before, self.after, self.rise], axis=1)
        found = estimate(values, ANY)
        rows = [("", "mean", "95 % interval")]
        for at, title in enumerate(("complexity", f"all shuffled ({self.layers})", "rise")):
            ends = f"[{found.low[at]:z.2f}, {found.high[at]:z.2f}]"
            if np.isnan(found.low[at]):
                few = found.units[at] < FEWEST
                ends = f"none: {f'fewer than {FEWEST} images' if few else 'all values are equal'}"
            rows.append((title, f"{found.values[at]:z.2f}", ends))
        return f"{self.model}, {self.method}\n{align(rows, right=[1])}"


@plain_torch()
def efficient_mprt(
    images: ImageLike | Iterable[ImageLike],
    model: ModelLike,
    *,
    method: Method = "gradcam",
    bins: int = BINS,
    view: Literal["model", "whole"] = "model",
    size: int | None = None,
    batch_size: int = 16,
    device: str | torch.device | None = None,
    seed: int = SEED,
) -> ComplexityRise:
    """Return how much more complex maps get when all weights of a model are shuffled.

    This is the efficient model parameter randomisation test (eMPRT) of Hedström et al. 2023,
    arXiv:2401.06465. Complexity is the entropy of the histogram of a map's values, enlarged
    bilinearly to the model's input. What a model has learnt makes its maps simpler than those of
    random weights, so that the complexity of a method that shows it should rise. The paper draws
    new weights; here those of each layer are permuted, as in `sanity_check`. Every map explains
    the class that the unchanged model predicts. The model is restored afterwards.

    Args:
        images: As in `effcam.compare`.
        model: As in `effcam.compare`, one of them.
        method: A method, by its name or a function, as in `effcam.compare`.
        bins: The number of bins of the histogram, from the map's lowest value to its highest.
        view: As in `effcam.compare`.
        size: As in `effcam.compare`.
        batch_size: The number of images that run at once.
        device: Where to run a model that is built here; ``None`` takes a GPU if there is one.
        seed: The seed of the random numbers.

    Raises:
        ArgumentError: If an argument is impossible.
        ImageError: If an image is bad, or there is none.
        ModelError: If the model cannot be built or run.
        TargetError: If the model has no classes.

    >>> import effcam
    >>> result = efficient_mprt(effcam.demo.scenes(4, size=112), "demo_densenet")
    >>> result.rise.shape
    (4,)
    """
    bins = check_number("bins", bins, least=2)
    run = ShuffledRun.prepare(
        images,
        model,
        method=method,
        view=view,
        size=size,
        batch_size=batch_size,
        device=device,
    )
    shuffled = shuffle_from_top(run.model, 1.0, seed=seed)
    before, after = np.full((2, len(run.job.images)), np.nan)
    for own, (maps,) in run.batches([shuffled]):
        height, width = own.images.shape[2:]
        before[own.positions] = map_complexity(own.maps, (height, width), bins)
        after[own.positions] = map_complexity(maps, (height, width), bins)
    return ComplexityRise(run.model.name, run.name, len(shuffled.layers), before, after)


def map_complexity(maps: Maps, size: tuple[int, int], bins: int = BINS) -> NDArray[np.float64]:
    """Return the entropy of the histogram of each map's values, in [0, ln bins] nats.

    Args:
        maps: (n, h, w), enlarged bilinearly.
        size: The height and width to which they are enlarged.
        bins: The number of bins, from the lowest value of a map to its highest.

    Returns:
        (n,), NaN for a constant map.
    """
    enlarged = functional.interpolate(torch.as_tensor(maps)[:, None], size, mode="bilinear")
    entropies = [_entropy(each, bins) for each in enlarged[:, 0].double().numpy()]
    return np.where(is_flat(maps), np.nan, entropies)


def _entropy(values: NDArray[np.float64], bins: int) -> float:
    counts, _ = np.histogram(values, bins)
    shares = counts[counts > 0] / values.size
    return float(-(shares * np.log(shares)).sum())

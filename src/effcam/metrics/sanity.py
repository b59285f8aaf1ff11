"""The sanity check of one model: how its maps change as its weights are shuffled from the top."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from effcam.cam.methods.table import Method
from effcam.errors import ArgumentError
from effcam.images.refs import ImageLike
from effcam.metrics.estimates import estimate
from effcam.metrics.inference import CORRELATION
from effcam.metrics.intervals import FEWEST
from effcam.metrics.randomisation import SEED, shuffle_from_top, similarity
from effcam.metrics.shuffled_run import ShuffledRun
from effcam.models.sources import ModelLike
from effcam.models.tracing.torch_state import plain_torch
from effcam.text import align

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from effcam.metrics.shuffled_run import ChangeInputs, Maps

SHARES = (0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class SanityCheck:
    """The similarity of a model's maps to those after shuffling weights from the top.

    Attributes:
        model: The model's name.
        method: The method that made the maps.
        shares: The share of the layers that was shuffled in each stage.
        layers: The number of layers that was shuffled in each stage.
        similarity: (images, stages) rank correlation with the model's own map, in [-1, 1].
        samples: The number of noisy inputs that each map is the mean of; 0 is the image alone.
    """

    model: str
    method: str
    shares: tuple[float, ...]
    layers: tuple[int, ...]
    similarity: NDArray[np.float64] = field(repr=False)
    samples: int = 0

    def __str__(self) -> str:
        """Return a table: each stage with the mean over images and its 95 % interval."""
        found = estimate(self.similarity, CORRELATION)
        rows = [("layers shuffled", "similarity", "95 % interval")]
        for stage, (share, count) in enumerate(zip(self.shares, self.layers, strict=True)):
            ends = f"[{found.low[stage]:z.2f}, {found.high[stage]:z.2f}]"
            if np.isnan(found.low[stage]):
                ends = f"none: fewer than {FEWEST} images"
            value = f"{found.values[stage]:z.2f}"
            rows.append((f"upper {100 * share:.0f} % ({count})", value, ends))
        noisy = f", means of {self.samples} noisy inputs" if self.samples else ""
        return f"{self.model}, {self.method}{noisy}\n{align(rows, right=[1])}"


@plain_torch()
def sanity_check(
    images: ImageLike | Iterable[ImageLike],
    model: ModelLike,
    *,
    method: Method = "gradcam",
    shares: Sequence[float] = SHARES,
    view: Literal["model", "whole"] = "model",
    size: int | None = None,
    batch_size: int = 16,
    device: str | torch.device | None = None,
    seed: int = SEED,
) -> SanityCheck:
    """Return the similarity of a model's maps to those after shuffling weights from the top.

    A method whose maps do not change shows the image, not what the model has learnt. Every map
    explains the class that the unchanged model predicts; the values of each weight are permuted.
    Source: Adebayo et al. 2018, arXiv:1810.03292. The model is restored afterwards.

    Args:
        images: As in `effcam.compare`.
        model: As in `effcam.compare`, one of them.
        method: A method, by its name or a function, as in `effcam.compare`.
        shares: The shares of the layers with weights to shuffle, in (0, 1].
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
    >>> check = sanity_check(effcam.demo.scenes(4, size=112), "demo_densenet", shares=[1.0])
    >>> bool(check.similarity.mean() < 0.5)
    True
    """
    if not shares:
        raise ArgumentError("shares must be one or more")
    run = ShuffledRun.prepare(
        images,
        model,
        method=method,
        view=view,
        size=size,
        batch_size=batch_size,
        device=device,
    )
    return check_stages(run, shares, similarity, seed=seed)


def check_stages(
    run: ShuffledRun,
    shares: Sequence[float],
    compare: Callable[[Sequence[Maps], Sequence[Maps]], NDArray[np.float64]],
    *,
    seed: int,
    change: ChangeInputs | None = None,
    samples: int = 0,
) -> SanityCheck:
    """Return how like the maps of a run are to those after each stage of shuffling.

    Args:
        run: The model, the images and the method.
        shares: The shares of the layers with weights to shuffle, in (0, 1].
        compare: Returns the (n,) similarities of maps before and after.
        seed: The seed of the random numbers.
        change: As in `ShuffledRun.batches`.
        samples: The number of noisy inputs that each map is the mean of; 0 is the image alone.
    """
    stages = [shuffle_from_top(run.model, share, seed=seed) for share in shares]
    found = np.zeros((len(run.job.images), len(stages)))
    for before, after in run.batches(stages, change):
        for stage, maps in enumerate(after):
            found[before.positions, stage] = compare(list(before.maps), list(maps))
    return SanityCheck(
        run.model.name,
        run.name,
        tuple(float(share) for share in shares),
        tuple(len(stage.layers) for stage in stages),
        found,
        samples,
    )

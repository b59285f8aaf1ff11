"""The sanity check of one model: how its maps change as its weights are shuffled from the top."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from effcam.cam.explain import compute_cams
from effcam.cam.job import Inputs, Job, name_models, naming
from effcam.cam.methods.checks import check_methods
from effcam.cam.methods.table import Method, name_of
from effcam.cam.settings import make_settings
from effcam.errors import ArgumentError, ImageError, TargetError
from effcam.images.discovery import iter_images
from effcam.images.refs import ImageLike
from effcam.metrics.estimates import estimate
from effcam.metrics.inference import CORRELATION
from effcam.metrics.intervals import FEWEST
from effcam.metrics.randomisation import SEED, shuffle_from_top, similarity
from effcam.models.sources import ModelLike
from effcam.models.tracing.torch_state import plain_torch
from effcam.text import align

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

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
    """

    model: str
    method: str
    shares: tuple[float, ...]
    layers: tuple[int, ...]
    similarity: NDArray[np.float64] = field(repr=False)

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
        return f"{self.model}, {self.method}\n{align(rows, right=[1])}"


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
    refs = list(iter_images(images))
    if not refs:
        raise ImageError("there are no images to check the model on")
    methods = check_methods((method,))
    job = Job(
        images=tuple(refs),
        models=name_models([model]),
        methods=methods,
        settings=make_settings(methods=methods, view=view, size=size),
        batch_size=batch_size,
        device=device,
    )
    name = name_of(method)
    if not shares:
        raise ArgumentError("shares must be one or more")
    loaded = job.load(next(iter(job.models)))
    if not loaded.scores.has_classes:
        raise TargetError(
            f"{loaded.name} has no class scores, and the sanity check explains the class that "
            "is predicted: give the model a classifier, by a checkpoint, by options, or, for a "
            "model of images and texts, by labels=[...]"
        )
    stages = [shuffle_from_top(loaded, share, seed=seed) for share in shares]
    found = np.zeros((len(refs), len(stages)))
    for batch in Inputs(job).batches(loaded):
        inputs = batch.images()
        with naming(loaded):
            own = compute_cams(loaded, inputs, methods)
            for stage, shuffled in enumerate(stages):
                with shuffled.in_place():
                    after = compute_cams(loaded, inputs, methods, own.targets.tolist())
                found[batch.positions, stage] = similarity(
                    list(own.maps[name]), list(after.maps[name])
                )
    return SanityCheck(
        loaded.name,
        name,
        tuple(float(share) for share in shares),
        tuple(len(stage.layers) for stage in stages),
        found,
    )

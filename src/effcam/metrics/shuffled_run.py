"""Run one model over images with its own weights and with shuffled ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from effcam.cam.explain import FLAT, compute_cams
from effcam.cam.job import Inputs, Job, name_models, naming
from effcam.cam.methods.checks import check_methods
from effcam.cam.methods.table import Method, name_of
from effcam.cam.settings import make_settings
from effcam.errors import ImageError, TargetError
from effcam.images.discovery import iter_images
from effcam.images.refs import ImageLike
from effcam.metrics.randomisation import Shuffled
from effcam.models.model import Model
from effcam.models.sources import ModelLike

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Maps: TypeAlias = NDArray[np.float32]

ChangeInputs: TypeAlias = Callable[[Tensor], Iterable[Tensor]]
"""Returns the inputs whose maps are averaged, (n, channels, height, width) each."""


@dataclass(frozen=True, slots=True, eq=False)
class Before:
    """A batch of images, and their maps with the model's own weights.

    Attributes:
        positions: (n,) the positions of the images.
        images: (n, channels, height, width), the model's input.
        maps: (n, h, w) float32, >= 0, for the class that is predicted.
    """

    positions: list[int]
    images: Tensor
    maps: Maps


@dataclass(frozen=True, slots=True, eq=False)
class ShuffledRun:
    """A model, images and a method, whose maps are compared before and after shuffling.

    Attributes:
        job: The images and settings.
        model: The model.
        method: The method.
    """

    job: Job
    model: Model
    method: Method

    @classmethod
    def prepare(
        cls,
        images: ImageLike | Iterable[ImageLike],
        model: ModelLike,
        *,
        method: Method,
        view: Literal["model", "whole"],
        size: int | None,
        batch_size: int,
        device: str | torch.device | None,
    ) -> ShuffledRun:
        """Check the arguments, and load the model.

        Raises:
            ArgumentError: If an argument is impossible.
            ImageError: If there is no image.
            ModelError: If the model cannot be built.
            TargetError: If the model has no classes.
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
        loaded = job.load(next(iter(job.models)))
        if not loaded.scores.has_classes:
            raise TargetError(
                f"{loaded.name} has no class scores, and the sanity check explains the class that "
                "is predicted: give the model a classifier, by a checkpoint, by options, or, for a "
                "model of images and texts, by labels=[...]"
            )
        return cls(job, loaded, methods[0])

    @property
    def name(self) -> str:
        """The method's name."""
        return name_of(self.method)

    def batches(
        self, stages: Sequence[Shuffled], change: ChangeInputs | None = None
    ) -> Iterator[tuple[Before, list[Maps]]]:
        """Yield each batch, and its maps for the same classes in each stage of shuffling.

        Args:
            stages: The shuffled weights.
            change: Changes the inputs: a map is then the mean over what it returns.
        """
        for batch in Inputs(self.job).batches(self.model):
            inputs = batch.images()
            with naming(self.model):
                own = compute_cams(self.model, inputs, (self.method,))
                targets = own.targets.tolist()
                maps = own.maps[self.name]
                if change is not None:
                    maps = self._maps(inputs, targets, change)
                after = []
                for shuffled in stages:
                    with shuffled.in_place():
                        after.append(self._maps(inputs, targets, change))
            yield Before(batch.positions, inputs, maps), after

    def _maps(self, images: Tensor, targets: list[int], change: ChangeInputs | None) -> Maps:
        """Return the (n, h, w) maps of a batch, the mean over changed inputs if there are any."""
        if change is None:
            return self._maps_of(images, targets)
        found = [self._maps_of(each, targets) for each in change(images)]
        mean: Maps = np.stack(found).mean(0, dtype=np.float64).astype(np.float32)
        return mean

    def _maps_of(self, images: Tensor, targets: list[int]) -> Maps:
        return compute_cams(self.model, images, (self.method,), targets).maps[self.name]


def is_flat(maps: Maps) -> NDArray[np.bool_]:
    """Return whether each of (n, h, w) maps is constant, but for rounding: (n,)."""
    peak = maps.max((1, 2))
    return np.asarray(peak - maps.min((1, 2)) <= FLAT * np.abs(peak))

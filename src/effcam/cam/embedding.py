"""The directions that images are compared with: embeddings of texts and of other images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from torch import Tensor

from effcam.cam.job import Job
from effcam.cam.precision import undecided
from effcam.cam.predict import running
from effcam.errors import ImageError, TargetError
from effcam.images.channels import wants_bands
from effcam.images.discovery import iter_images
from effcam.images.loader import Loader
from effcam.images.refs import ImageRef
from effcam.models.model import Model
from effcam.targets.checks import Corners
from effcam.targets.outputs import Similar, Text

if TYPE_CHECKING:
    from numpy.typing import NDArray

Vectors: TypeAlias = "NDArray[np.float32]"
Compared: TypeAlias = Text | Similar
"""A target that compares an image with something."""


class Directions:
    """Embeds what a job's images are compared with; each text and each image once."""

    def __init__(self, job: Job, model: Model, compared: Iterable[Compared]) -> None:
        """Embed all texts, and all images that are the same for every image of the job.

        Args:
            job: The job.
            model: The model.
            compared: All targets of this kind that the model is asked.

        Raises:
            ImageError: If an image cannot be read.
            TargetError: If the images, or their region, give nothing to compare with.
            ModelError: If the model cannot be run.
        """
        self._job, self._model = job, model
        wanted = list(dict.fromkeys(compared))
        self._known: dict[Compared, Vectors] = {}
        texts = [each for each in wanted if isinstance(each, Text)]
        if texts and model.text is not None:
            vectors = model.text.encode([each.text for each in texts])
            self._known |= zip(texts, vectors.float().cpu().numpy(), strict=True)
        for each in wanted:
            if isinstance(each, Similar) and each.images:
                self._known[each] = self._prototype(each)

    def __call__(self, targets: Sequence[Compared]) -> Vectors:
        """Return the (n, D) directions for the n images of the job, each of length 1.

        Raises:
            ImageError: If an image cannot be read, and the job does not skip it.
            TargetError: If a region lies outside of an image.
        """
        found = [self._known.get(each) for each in targets]
        own = [at for at, each in enumerate(found) if each is None]
        for at, vector in zip(own, self._own_parts(own, targets), strict=True):
            found[at] = vector
        return np.stack([each for each in found if each is not None])

    def _prototype(self, target: Similar) -> Vectors:
        """Return the mean of the embeddings of several images, made of length 1."""
        refs = iter_images(list(target.images))
        parts = [_part(ref, target.region, self._model) for ref in refs]
        if not parts:
            raise TargetError("there are no images to compare with")
        mean = self._embed(parts).mean(0)
        length = float(np.linalg.norm(mean))
        if not length > 0:  # NaN too
            raise TargetError(
                f"{self._model.name}: what is {target} has no direction: the mean of its "
                "embeddings is 0 or not finite"
            )
        return np.asarray(mean / length, np.float32)

    def _own_parts(self, positions: Sequence[int], targets: Sequence[Compared]) -> list[Vectors]:
        """Return the embedding of each image's own part; 0 for images that are skipped."""
        parts: list[ImageRef | None] = []
        for at in positions:
            target = targets[at]
            region = target.region if isinstance(target, Similar) else None
            try:
                parts.append(_part(self._job.images[at], region, self._model))
            except ImageError:
                if not self._job.skip_bad:
                    raise
                parts.append(None)
        vectors = iter(self._embed([each for each in parts if each is not None]))
        width = self._model.scores.classes or 0
        return [np.zeros(width, np.float32) if each is None else next(vectors) for each in parts]

    def _embed(self, refs: Sequence[ImageRef]) -> Vectors:
        """Return the (n, D) embeddings of n images, each of length 1."""
        if not refs:
            return np.empty((0, 0), np.float32)
        model, settings = self._model, self._job.settings
        batches = Loader(refs, []).batches(model.preprocess, self._job.batch_size)
        vectors = []
        with running(model, precision=undecided(settings.precision)) as run:
            for batch in batches:
                embedding = run(batch.images(model.device)).embedding
                if embedding is not None:
                    vectors.append(_unit(embedding.float()).cpu().numpy())
        return np.concatenate(vectors)


def _unit(vectors: Tensor) -> Tensor:
    """Return (n, D) vectors made of length 1; NaN for those without a direction."""
    lengths = vectors.norm(dim=1, keepdim=True)
    has_direction = lengths.isfinite() & (lengths > 0)
    units: Tensor = (vectors / lengths).where(has_direction, torch.nan)
    return units


def _part(ref: ImageRef, region: Corners | None, model: Model) -> ImageRef:
    """Return a part of an image as an image of its own.

    Raises:
        TargetError: If the region does not lie in the image.
    """
    if region is None:
        return ref
    channels = model.preprocess.channels
    photo = ref.photo(channels=channels if wants_bands(channels) else 3)
    width, height = photo.size
    left, top, right, bottom = (round(each) for each in region)
    if left == right or top == bottom:
        raise TargetError(
            f"region {region} is narrower than a pixel: it holds no pixel of an image"
        )
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise TargetError(
            f"region {region} does not lie in image {ref.name!r} of {width} x {height} px"
        )
    source: object = photo.picture.crop((left, top, right, bottom))
    if photo.bands is not None:
        source = photo.bands[top:bottom, left:right] / 255
    return ImageRef(f"{ref.name} {region}", source)

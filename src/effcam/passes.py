"""What runs models over images has in common: the columns, the batches, whose fault an error is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, count
from typing import TYPE_CHECKING, TypeAlias

from effcam.errors import ArgumentError, ImageError, LayerError, ModelError
from effcam.facts import ModelFacts
from effcam.geometry import Box
from effcam.images import ImageRef, cached_opener
from effcam.model import Model, ModelLike, load_as_seen
from effcam.preprocess import Preprocess
from effcam.registry import ModelSpec

if TYPE_CHECKING:
    import torch
    from PIL import Image

Models: TypeAlias = ModelLike | Sequence[ModelLike] | Mapping[str, ModelLike]


@dataclass(slots=True, kw_only=True)
class Job:
    """What the passes of one comparison share."""

    refs: list[ImageRef]
    columns: dict[str, ModelLike]
    methods: tuple[str, ...]
    view: str
    size: int | None
    batch_size: int
    device: str | torch.device | None
    skips: bool
    skipped: dict[ImageRef, str] = field(default_factory=dict)
    facts: dict[str, ModelFacts] = field(default_factory=dict)
    open: Callable[[ImageRef], Image.Image] = field(default_factory=cached_opener)

    def load(self, label: str) -> Model:
        """Returns the model of a column, seeing images as this comparison wants it."""
        return load_as_seen(self.columns[label], device=self.device, see=self.see)

    def see(self, preprocess: Preprocess) -> Preprocess:
        """Returns a model's own transform, changed as this comparison wants it."""
        if self.size is not None:
            preprocess = preprocess.with_size(self.size)
        return preprocess.whole() if self.view == "whole" else preprocess

    def batches(self, model: Model) -> Iterator[Batch]:
        """Yields the readable images in batches, as the model's input."""
        for start in range(0, len(self.refs), self.batch_size):
            batch = Batch()
            for position in range(start, min(start + self.batch_size, len(self.refs))):
                self._add(batch, position, model.preprocess)
            if batch.positions:
                yield batch

    def _add(self, batch: Batch, position: int, preprocess: Preprocess) -> None:
        ref = self.refs[position]
        if ref in self.skipped:
            return
        try:
            image = self.open(ref)
        except ImageError as error:
            if not self.skips:
                raise
            self.skipped[ref] = str(error)
            return
        tensor, region = preprocess(image)
        batch.positions.append(position)
        batch.sizes.append(image.size)
        batch.regions.append(region)
        batch.tensors.append(tensor)


@dataclass(slots=True)
class Batch:
    """Some images as a model's input, with their positions, sizes and regions."""

    positions: list[int] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    regions: list[Box] = field(default_factory=list)
    tensors: list[torch.Tensor] = field(default_factory=list)


@contextmanager
def naming(model: Model) -> Iterator[None]:
    """Puts the model's name before what goes wrong while it runs."""
    try:
        yield
    except LayerError as error:
        raise LayerError(f"{model.name}: {error}") from error
    except RuntimeError as error:  # a ModelError is one, and so is what torch raises
        raise ModelError(f"{model.name}: {error}") from error


def column_of(label: str, method: str, methods: Sequence[str]) -> str:
    """Returns the label of the column in which a model and one of the methods stand."""
    return label if len(methods) == 1 else f"{label} {method}"


def name_columns(models: Models) -> dict[str, ModelLike]:
    """Returns the models by unique column labels."""
    if isinstance(models, Mapping):
        named = [(str(label), model) for label, model in models.items()]
    elif isinstance(models, ModelLike | Iterable):
        several = [models] if isinstance(models, ModelLike) else list(models)
        named = [(_own_label(model), model) for model in several]
    else:
        raise ArgumentError(
            "models must be a name, a ModelSpec, an nn.Module or a Model, several of these, or a "
            f"mapping of labels to them, not {type(models).__name__}"
        )
    if not named:
        raise ArgumentError("there are no models to compare")
    columns: dict[str, ModelLike] = {}
    for label, model in named:
        numbered = (f"{label} ({number})" for number in count(2))
        free = next(each for each in chain([label], numbered) if each not in columns)
        columns[free] = model
    return columns


def _own_label(model: ModelLike) -> str:
    if isinstance(model, str):
        return model
    return model.name if isinstance(model, Model | ModelSpec) else type(model).__name__

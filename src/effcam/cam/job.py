"""What runs models over images has in common: the columns, the batches, whose fault an error is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, count
from typing import TYPE_CHECKING, TypeAlias

from effcam.cam.methods import Method, name_of
from effcam.cam.precision import Precision
from effcam.errors import ArgumentError, LayerError, ModelError
from effcam.images.loader import Batch, Loader
from effcam.images.preprocess import Preprocess
from effcam.images.refs import ImageRef, cached_opener
from effcam.models.downloads import read_ahead
from effcam.models.facts import ModelFacts
from effcam.models.loading import load
from effcam.models.model import Model
from effcam.models.registry import ModelSpec
from effcam.models.sources import ModelLike, Source, resolve

if TYPE_CHECKING:
    import torch
    from PIL import Image

Models: TypeAlias = ModelLike | Sequence[ModelLike] | Mapping[str, ModelLike]


@dataclass(slots=True, kw_only=True)
class Job:
    """What the passes of one comparison share."""

    refs: list[ImageRef]
    columns: dict[str, Source]
    methods: tuple[Method, ...]
    view: str
    size: int | None
    batch_size: int
    precision: Precision = "fp32"
    device: str | torch.device | None
    skips: bool
    passes: int = 1
    reduced: bool = False
    skipped: dict[ImageRef, str] = field(default_factory=dict)
    facts: dict[str, ModelFacts] = field(default_factory=dict)
    loader: Loader | None = None
    open: Callable[[ImageRef], Image.Image] = field(default_factory=cached_opener)

    def load(self, label: str) -> Model:
        """Return the model of a column, seeing images as this comparison wants it."""
        model = load(self.columns[label], device=self.device, change_preprocess=self.see)
        self._read_ahead(label)
        return model

    def _read_ahead(self, label: str) -> None:
        """Have the system read the weights of the model after this one while this one runs."""
        labels = list(self.columns)
        after = labels[labels.index(label) + 1 :]
        file = self.columns[after[0]].weights_file() if after else None
        if file is not None:
            read_ahead(file)

    def see(self, preprocess: Preprocess) -> Preprocess:
        """Return a model's own transform, changed as this comparison wants it."""
        if self.size is not None:
            preprocess = preprocess.with_size(self.size)
        return preprocess.whole() if self.view == "whole" else preprocess

    def batches(self, model: Model) -> Iterator[Batch]:
        """Yield the readable images in batches, as the model's input: one of the `passes`."""
        if self.loader is None:
            known = [each.preprocess() for each in self.columns.values()]
            planned = [self.see(each) for each in known * self.passes if each is not None]
            self.loader = Loader(self.refs, planned, reduced=self.reduced)
        return self.loader.batches(
            model.preprocess,
            self.batch_size,
            skipped=self.skipped if self.skips else None,
            on_gpu=model.device.type == "cuda",
        )


@contextmanager
def naming(model: Model) -> Iterator[None]:
    """Put the model's name before what goes wrong while it runs."""
    try:
        yield
    except (ArgumentError, LayerError) as error:
        raise type(error)(f"{model.name}: {error}") from error
    except RuntimeError as error:  # a ModelError is one, and so is what torch raises
        raise ModelError(f"{model.name}: {error}") from error


def column_of(label: str, method: Method, methods: Sequence[Method]) -> str:
    """Return the label of the column in which a model and one of the methods stand."""
    return label if len(methods) == 1 else f"{label} {name_of(method)}"


def name_columns(models: Models) -> dict[str, Source]:
    """Return the models' sources by unique column labels."""
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
    columns: dict[str, Source] = {}
    for label, model in named:
        numbered = (f"{label} ({number})" for number in count(2))
        free = next(each for each in chain([label], numbered) if each not in columns)
        columns[free] = resolve(model)
    return columns


def _own_label(model: ModelLike) -> str:
    if isinstance(model, str):
        return model
    return model.name if isinstance(model, Model | ModelSpec) else type(model).__name__

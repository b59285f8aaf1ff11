"""A job: the images, models, methods and settings of one comparison; and its inputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain, count
from typing import TYPE_CHECKING, TypeAlias

from effcam.cam.lighten import lighten
from effcam.cam.methods.table import Method, facts_of_method, name_of
from effcam.cam.precision import Precision, undecided
from effcam.cam.settings import Settings
from effcam.errors import ArgumentError, LayerError, ModelError
from effcam.images.loader import Batch, Loader
from effcam.images.preprocess import Preprocess
from effcam.images.refs import ImageRef
from effcam.models.downloads import read_ahead
from effcam.models.facts import ModelFacts, facts_of
from effcam.models.loading import load
from effcam.models.model import Model
from effcam.models.registry import ModelSpec
from effcam.models.sources import ModelLike, Source, resolve
from effcam.models.tracing.placement import Placement

if TYPE_CHECKING:
    import torch

Models: TypeAlias = ModelLike | Sequence[ModelLike] | Mapping[str, ModelLike]


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A model of a job that is ready to run over many images.

    Attributes:
        model: The model; its batch normalisations may be folded (`effcam.models.folding`).
        placement: Where the cells of its maps lie in its input.
        facts: What is known of it, as it was loaded.
        precision: The precision to run it in.
    """

    model: Model
    placement: Placement
    facts: ModelFacts
    precision: Precision = "fp32"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to run.

    Attributes:
        images: The images, by reference.
        models: The models' sources, by label.
        methods: The methods: names, and functions of the user's own.
        settings: The settings, which have the methods' names.
        batch_size: How many images run at once.
        device: Where to run models that are built here; ``None`` is a GPU if there is one.
        skip_bad: Whether images that cannot be read are skipped.
    """

    images: tuple[ImageRef, ...]
    models: Mapping[str, Source]
    methods: tuple[Method, ...]
    settings: Settings
    batch_size: int
    device: str | torch.device | None = None
    skip_bad: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """The labels of all columns, model by model."""
        return tuple(chain.from_iterable(map(self.settings.columns_of, self.models)))

    def load(self, label: str) -> Model:
        """Return a model with this job's transform; prefetch the next model's weights."""
        model = load(self.models[label], device=self.device, change_preprocess=self.see)
        self._prefetch_after(label)
        return model

    def prepare(self, label: str, model: Model) -> Prepared:
        """Place the cells of a model's maps, find its facts, and make its passes cheaper.

        Args:
            label: Its label.
            model: The model, as `load` returned it. If this job built it, it is changed.
        """
        precision = undecided(self.settings.precision)
        with naming(model):
            placement = model.placed(self.settings.placement)
            facts = replace(facts_of(model, self.settings.placement), precision=precision)
            self.lighten(label, model, precision)
        return Prepared(model, placement, facts, precision)

    def lighten(self, label: str, model: Model, precision: Precision) -> None:
        """Make a model's passes cheaper in place, if only this job has it.

        Args:
            label: Its label.
            model: The model, as `load` returned it.
            precision: The precision in which it will run.
        """
        if self.models[label].is_new:
            known = [facts_of_method(name_of(method)) for method in self.methods]
            reads = any(each is not None and each.reads_biases for each in known)
            lighten(model, precision, keep_norms=reads)

    def _prefetch_after(self, label: str) -> None:
        """Prefetch the next model's weights into the page cache."""
        labels = list(self.models)
        after = labels[labels.index(label) + 1 :]
        file = self.models[after[0]].weights_file() if after else None
        if file is not None:
            read_ahead(file)

    def see(self, preprocess: Preprocess) -> Preprocess:
        """Return a model's own transform, changed to this job's size and view."""
        if self.settings.size is not None:
            preprocess = preprocess.with_size(self.settings.size)
        return preprocess.whole() if self.settings.view == "whole" else preprocess


class Inputs:
    """The images of a job as batches of its models' inputs.

    Attributes:
        job: The images and models.
        skipped: The images that could not be read, and why; filled while batches are read.
    """

    def __init__(self, job: Job, *, passes: int = 1) -> None:
        """Open nothing yet.

        Args:
            job: The images and models.
            passes: How often each model runs over all images. When an image is opened, the inputs
                of all models are made and kept for that; 0 keeps none.
        """
        self.skipped: dict[ImageRef, str] = {}
        self.job = job
        self._passes = passes
        self._loader: Loader | None = None

    def batches(self, model: Model) -> Iterator[Batch]:
        """Yield the readable images in batches, as a model's input: one pass.

        Raises:
            ImageError: If an image cannot be read, and the job does not skip it.
        """
        if self._loader is None:
            self._loader = self._new_loader()
        return self._loader.batches(
            model.preprocess,
            self.job.batch_size,
            skipped=self.skipped if self.job.skip_bad else None,
            on_gpu=model.device.type == "cuda",
        )

    def _new_loader(self) -> Loader:
        job = self.job
        models = job.models.values() if self._passes else ()
        known = [each.preprocess() for each in models] * self._passes
        planned = [job.see(each) for each in known if each is not None]
        return Loader(job.images, planned, reduced=job.settings.decoding == "reduced")


@contextmanager
def naming(model: Model) -> Iterator[None]:
    """Add the model's name to the message of an error that is raised in this context."""
    try:
        yield
    except (ArgumentError, LayerError) as error:
        raise type(error)(f"{model.name}: {error}") from error
    except RuntimeError as error:  # a ModelError is one, and so is what torch raises
        raise ModelError(f"{model.name}: {error}") from error


def name_models(models: Models) -> dict[str, Source]:
    """Return the models' sources by unique labels.

    Raises:
        ArgumentError: If there are none, or they are not models.
        UnknownModelError: If nothing has one of the names.
    """
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
    found: dict[str, Source] = {}
    for label, model in named:
        numbered = (f"{label} ({number})" for number in count(2))
        free = next(each for each in chain([label], numbered) if each not in found)
        found[free] = resolve(model)
    return found


def _own_label(model: ModelLike) -> str:
    if isinstance(model, str):
        return model
    return model.name if isinstance(model, Model | ModelSpec) else type(model).__name__

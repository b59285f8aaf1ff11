"""One shard: run a slice of the images through one model, and write the rows."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import cycle
from typing import TYPE_CHECKING

from effcam.cam.explanation import Explanation
from effcam.cam.job import Inputs, Job
from effcam.cam.questions import Asked, check_target, per_image
from effcam.cam.run import explain_images
from effcam.comparison.parquet import Unread
from effcam.dataset.compiling import Compiling, compile_model
from effcam.dataset.image_list import Inventory
from effcam.dataset.manifest import Manifest
from effcam.dataset.shard_file import ShardKey
from effcam.dataset.storage import Store
from effcam.errors import OutputError
from effcam.images.refs import ImageRef
from effcam.models.facts import PLACES, UNKNOWN, ModelFacts
from effcam.models.sources import Source
from effcam.models.training_stage import TrainingStage

if TYPE_CHECKING:
    import torch

FOLDER, MODELS = "shards", "models"


@dataclass(frozen=True, slots=True)
class Plan:
    """The inputs of a worker, on this machine or another.

    Attributes:
        store: Where the run is.
        manifest: What the run is.
        columns: The models by label.
        batch_size: The number of images that run at once.
        device: Where models run; ``None`` takes a GPU if there is one.
        compiling: Whether models are compiled.
    """

    store: Store
    manifest: Manifest
    columns: Mapping[str, Source] = field(repr=False)
    batch_size: int
    device: str | torch.device | None
    compiling: Compiling = False

    @property
    def inventory(self) -> Inventory:
        """The images."""
        return inventory_of(self.store, self.manifest)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a shard.

    Attributes:
        model: The position of its model.
        number: The position of its slice of the images.
        images: The number of images.
        bad: The reason for each image that could not be read, by position among all images.
    """

    model: int
    number: int
    images: int
    bad: Mapping[int, str]


def inventory_of(store: Store, manifest: Manifest) -> Inventory:
    """Return the images of a run."""
    return Inventory(store, manifest.images, manifest.settings.shard_size, manifest.listed)


def folder_of(manifest: Manifest, model: int) -> str:
    """Return the folder of a model's shards."""
    label = list(manifest.models)[model]
    return f"{FOLDER}/{model:02d}-{re.sub(r'[^A-Za-z0-9._-]+', '_', label)[:60]}"


def name_of(manifest: Manifest, model: int, number: int) -> str:
    """Return the name of a shard's file."""
    return f"{folder_of(manifest, model)}/{number:08d}.parquet"


def key_of(manifest: Manifest, model: int, number: int, images: Sequence[str]) -> ShardKey:
    """Return what a shard's file has to hold.

    Args:
        manifest: What the run is.
        model: The position of the model.
        number: The position of the slice of the images.
        images: The names of these images.
    """
    label = list(manifest.models)[model]
    return ShardKey(manifest.identity, number, images, manifest.settings.columns_of(label))


def finished(plan: Plan, model: int, number: int) -> Outcome | None:
    """Return the outcome of a complete shard, ``None`` if it has to be made.

    The whole file is read, so that damage is found.

    Raises:
        OutputError: If the list of images cannot be read.
    """
    key = key_of(plan.manifest, model, number, plan.inventory.names_of(number))
    content = plan.store.read(name_of(plan.manifest, model, number))
    try:
        reasons = key.read_intact(content).column("error").to_pylist()[:: len(key.columns)]
    except OutputError:
        return None
    start = number * plan.manifest.settings.shard_size
    bad = {start + at: reason for at, reason in enumerate(reasons) if reason is not None}
    return Outcome(model, number, len(key.images), bad)


class Worker:
    """A loaded model that writes one shard after another."""

    def __init__(self, plan: Plan, model: int) -> None:
        """Load the model, and write its facts.

        Args:
            plan: The run.
            model: The position of the model.

        Raises:
            WeightsError: If its weights cannot be found, downloaded, read or loaded.
            ModelError: If it cannot be built.
            LayerError: If it has no layer with a map.
            OutputError: If the run cannot be written.
        """
        self._plan, self._position = plan, model
        self._label = list(plan.manifest.models)[model]
        job = self._job([])
        loaded = job.load(self._label)
        settings = plan.manifest.settings
        if not plan.inventory.has_targets:  # each image's own target is checked with its shard
            check_target(loaded, settings.target)  # before any image is read
        self._prepared = job.prepare(self._label, loaded)
        facts = json.dumps(_stored(self._prepared.facts), indent=1)
        plan.store.write(f"{MODELS}/{model:02d}.json", facts.encode("utf-8", "backslashreplace"))

    def compile(self, sizes: Sequence[int]) -> str:
        """Compile the model as the plan says; return what was done, in words.

        Args:
            sizes: The number of images of each shard that it will run on.

        Raises:
            ModelError: If it has to be compiled, and torch cannot compile here.
        """
        return compile_model(
            self._job([]), self._label, self._prepared, sizes, self._plan.compiling
        )

    def run(self, number: int, done: Callable[[int], object]) -> Outcome:
        """Write a shard, and return its outcome.

        Args:
            number: The position of the slice of the images.
            done: Called after each batch with its number of images.

        Raises:
            TargetError: If an image's target is no class of the model.
            LayerError: If the scores do not depend on the target layer.
            ModelError: If the model cannot be run.
            OutputError: If the shard cannot be written.
        """
        plan, settings = self._plan, self._plan.manifest.settings
        refs, own = plan.inventory.read(number)
        asked: Asked = per_image(settings.target, len(refs)) if own is None else {"": own}
        # Only this model runs over these images here, once.
        inputs = Inputs(self._job(refs), passes=0)
        cells: dict[tuple[ImageRef, str], Explanation] = {
            (cell.image, cell.column): cell
            for cell in explain_images(inputs, self._label, self._prepared, asked, done=done)
        }
        columns = list(zip(settings.columns_of(self._label), cycle(settings.method)))
        rows = [
            cells.get((ref, column))
            or Unread(ref.name, column, self._prepared.model.name, method, inputs.skipped[ref])
            for ref in refs
            for column, method in columns
        ]
        start = number * settings.shard_size
        skipped = inputs.skipped
        bad = {start + at: skipped[ref] for at, ref in enumerate(refs) if ref in skipped}
        key = key_of(plan.manifest, self._position, number, [ref.name for ref in refs])
        plan.store.write(name_of(plan.manifest, self._position, number), key.encode(rows))
        return Outcome(self._position, number, len(refs), bad)

    def _job(self, refs: list[ImageRef]) -> Job:
        plan, settings = self._plan, self._plan.manifest.settings
        return Job(
            images=tuple(refs),
            models=plan.columns,
            methods=settings.method,
            settings=settings,
            batch_size=plan.batch_size,
            device=plan.device,
            skip_bad=True,
        )


def _stored(facts: ModelFacts) -> dict[str, object]:
    """Return the facts of a model as JSON has them; an effcam without training reads the others."""
    found = asdict(replace(facts, training=None))
    del found["training"]
    return found if facts.training is None else found | {"training": facts.training.record()}


def read_facts(store: Store, model: int) -> ModelFacts | None:
    """Return the facts of a model that has run, ``None`` if it has not.

    Raises:
        OutputError: If it cannot be read.
    """
    name = f"{MODELS}/{model:02d}.json"
    if not store.exists(name):
        return None
    try:
        found = json.loads(store.read(name))
        for key in ("input_size", "grid", "labels"):
            found[key] = tuple(found[key])
        for key in PLACES:  # runs up to format 2 have none
            found[key] = tuple(found[key]) if found.get(key) else None
        found["synonyms"] = tuple(map(tuple, found["synonyms"]))
        found["notes"] = tuple(found.get("notes", ()))  # runs of 0.1 have none
        found.setdefault("precision", UNKNOWN)
        if found.get("training") is not None:
            found["training"] = TrainingStage.from_record(found["training"])
        return ModelFacts(**found)
    except (KeyError, TypeError, ValueError) as error:
        raise OutputError(f"{store.path(name)!r} is broken: {error}") from error

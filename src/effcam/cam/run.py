"""Run a model over the images of a job, batch by batch, and yield its cells."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias, TypedDict

import numpy as np

from effcam.cam.batching import Portions
from effcam.cam.embedding import Directions
from effcam.cam.explain import Cams, Explainer, explaining
from effcam.cam.explanation import Explanation
from effcam.cam.job import Inputs, Job, Prepared, naming
from effcam.cam.methods.options import FUSE
from effcam.cam.methods.table import Method, reads_layer
from effcam.cam.precision import undecided
from effcam.cam.predict import Predict, predicting
from effcam.cam.questions import Asked, ask, kind_of, name_target
from effcam.cam.scores import Questions
from effcam.cam.settings import Settings
from effcam.errors import LayerError
from effcam.images.loader import Batch
from effcam.models.model import Model
from effcam.models.tracing.placement import Placement
from effcam.targets.classes import Kind
from effcam.targets.outputs import Similar, Text, Value
from effcam.targets.plain import Single

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

Done: TypeAlias = Callable[[int], object]


def explain_images(
    inputs: Inputs,
    label: str,
    prepared: Prepared,
    asked: Asked,
    *,
    done: Done,
    seconds: list[float] | None = None,
) -> Iterator[Explanation]:
    """Yield a model's cells, target by target and method by method within each batch.

    Args:
        inputs: The images, and how to run.
        label: The model's label.
        prepared: The model, prepared by the job.
        asked: What is asked of each image.
        done: Called after each batch with its number of images, with those that were skipped.
        seconds: Filled with the time for each batch, in s an image.

    Raises:
        TargetError: If a class is unknown, ambiguous or out of range, or asked for twice; or the
            model does not return what is asked for.
        ImageError: If an image is bad, and the job does not skip it.
        LayerError: If the scores do not depend on the target layer.
        ModelError: If the model cannot be run.
        ArgumentError: If a method of the user's own fails, or returns no maps.
    """
    job, model, placement = inputs.job, prepared.model, prepared.placement
    questions = _ask(job, model, asked)
    with naming(model):
        _check_fusion(model, job.settings)
    settings = job.settings
    with explaining(model, precision=prepared.precision, options=settings.options) as explain:
        portions = Portions(label, job.batch_size)
        for batch in _counted(inputs.batches(model), len(job.images), done):
            picked = [each[batch.positions] for each in questions]
            images = batch.images(model.device)
            begin = time.perf_counter()
            with naming(model):
                cams = _explain_batch(portions, explain, images, job.methods, picked)
            if seconds is not None:
                seconds.append((time.perf_counter() - begin) / len(images))
            for (name, targets), found in zip(asked.items(), cams, strict=True):
                own = [None if targets is None else targets[at] for at in batch.positions]
                yield from _cells(job, (label, name), (model, placement), (batch, own), found)


def _ask(job: Job, model: Model, asked: Asked) -> list[Questions]:
    """Return what is asked of a model, target by target; checked before anything is embedded."""
    images = len(job.images)
    found = [ask(model, each, images) for each in asked.values()]
    several = [one for each in asked.values() for one in each or ()]
    compared = [each for each in several if isinstance(each, Text | Similar)]
    if not compared:
        return found
    with naming(model):
        directions = Directions(job, model, compared)
    return [ask(model, each, images, directions) for each in asked.values()]


def _check_fusion(model: Model, settings: Settings) -> None:
    """Check that a model has several target layers if their maps are to be fused.

    Raises:
        LayerError: If it has one.
    """
    how = settings.options.fuse
    if how != FUSE and len(model.target_layers) == 1:
        raise LayerError(
            f"fuse={how!r} makes one map of several target layers, and there is one, "
            f"{model.target_layer!r}: load the model with target_layer=[...], a list of some of "
            "those that layers() lists (--layer, several times)"
        )


def _counted(batches: Iterator[Batch], images: int, done: Done) -> Iterator[Batch]:
    """Yield batches, and count the images of each after its use, with those skipped before it."""
    counted = 0
    for batch in batches:
        yield batch
        reached = batch.positions[-1] + 1
        done(reached - counted)
        counted = reached
    done(images - counted)


def _explain_batch(
    portions: Portions,
    explain: Explainer,
    images: torch.Tensor,
    methods: Sequence[Method],
    asked: Sequence[Questions],
) -> list[Cams]:
    def compute(part: slice) -> list[Cams]:
        return explain.each(images[part], methods, [each[part] for each in asked])

    parts = portions.run(len(images), compute)
    return [Cams.join(each) for each in zip(*parts, strict=True)]


def _cells(
    job: Job,
    labels: tuple[str, str],
    placed: tuple[Model, Placement],
    read: tuple[Batch, Sequence[Single | None]],
    cams: Cams,
) -> Iterator[Explanation]:
    """Yield the cells of one batch for one target.

    Args:
        job: The job.
        labels: The labels of the model and of the target.
        placed: The model, and where its cells lie.
        read: The batch, and the target of each image.
        cams: The maps.
    """
    model, placement = placed
    batch, targets = read
    columns = dict(zip(job.settings.method, job.settings.columns_for(*labels), strict=True))
    for row, position in enumerate(batch.positions):
        size = batch.sizes[row]
        frame = model.preprocess.frame(*size)
        answer = _answer(model, targets[row], row, cams)
        for method, column in columns.items():
            yield Explanation(
                image=job.images[position],
                column=column,
                model=model.name,
                weights=model.weights,
                method=method,
                target_layer=cams.read_at.get(method, model.target_layer),
                **answer,
                heatmap=cams.maps[method][row],
                size=size,
                region=batch.regions[row],
                canvas=placement.on(frame) if reads_layer(method) else frame,
                frame=frame,
                state=cams.states[method][row],
                model_label=labels[0],
                asked=labels[1],
            )


class _Answer(TypedDict):
    """What was asked of one image, and what the model answered: fields of `Explanation`."""

    target: int | None
    label: str
    probability: float
    predicted: int | None
    predicted_label: str
    predicted_probability: float
    kind: Kind
    value: float
    unit: str
    multi_label: bool


def _answer(model: Model, target: Single | None, row: int, cams: Cams) -> _Answer:
    probabilities = cams.probabilities[row]
    classes = [each for each in cams.classes[row].tolist() if each >= 0]
    is_value = isinstance(target, Value)
    # The probabilities of a regression's values would mean nothing.
    top = int(probabilities.argmax()) if len(probabilities) and not is_value else None
    value = float(cams.values[row])
    return _Answer(
        target=classes[0] if classes else None,
        label=name_target(model, target, classes),
        probability=float(probabilities[classes[0]]) if classes else math.nan,
        predicted=top,
        predicted_label="" if top is None else model.labels[top],
        predicted_probability=math.nan if top is None else float(probabilities[top]),
        kind=kind_of(target),
        value=-value if isinstance(target, Value) and target.lowers else value,
        unit=target.unit if isinstance(target, Value) else "",
        multi_label=model.multi_label,
    )


def predict_images(
    inputs: Inputs, label: str, model: Model, *, done: Done
) -> Iterator[tuple[list[int], NDArray[np.float32]]]:
    """Yield the positions of the images of each batch, and their (batch, classes) probabilities.

    Args:
        inputs: The images, and how to run.
        label: The model's label.
        model: The model, loaded by the job.
        done: Called after each batch with its number of images, with those that were skipped.

    Raises:
        ImageError: If an image is bad, and the job does not skip it.
        ModelError: If the model cannot be run.
    """
    with predicting(model, precision=undecided(inputs.job.settings.precision)) as predict:
        portions = Portions(label, inputs.job.batch_size)
        for batch in _counted(inputs.batches(model), len(inputs.job.images), done):
            images = batch.images(model.device)
            with naming(model):
                yield batch.positions, _predict_batch(portions, predict, images)


def _predict_batch(
    portions: Portions, predict: Predict, images: torch.Tensor
) -> NDArray[np.float32]:
    def compute(part: slice) -> NDArray[np.float32]:
        return np.asarray(predict(images[part]).cpu().numpy())

    return np.concatenate(portions.run(len(images), compute))

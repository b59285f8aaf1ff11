"""Run a model over the images of a job, batch by batch, and yield its cells."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from effcam.cam.batching import Portions
from effcam.cam.explain import Cams, Explain, Predict, explaining, predicting
from effcam.cam.explanation import Explanation
from effcam.cam.job import Inputs, Job, naming
from effcam.cam.methods import Method
from effcam.images.loader import Batch
from effcam.models.model import Model
from effcam.models.tracing.placement import Placement

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

Done: TypeAlias = Callable[[int], object]


def explain_images(
    inputs: Inputs,
    label: str,
    model: Model,
    targets: Sequence[int | str] | None,
    *,
    done: Done,
    seconds: list[float] | None = None,
) -> Iterator[Explanation]:
    """Yield a model's cells, method by method within each batch.

    Args:
        inputs: The images, and how to run.
        label: The model's label.
        model: The model, loaded by the job.
        targets: The class to explain in each image; ``None`` is the model's own top-1.
        done: Called after each batch with its number of images, with those that were skipped.
        seconds: Filled with the time for each batch, in s an image.

    Raises:
        TargetError: If a class is unknown, ambiguous or out of range.
        ImageError: If an image is bad, and the job does not skip it.
        LayerError: If the scores do not depend on the target layer.
        ModelError: If the model cannot be run.
        ArgumentError: If a method of the user's own fails, or returns no maps.
    """
    job = inputs.job
    # Look each label up once, not once an image.
    classes = {target: model.find_class(target) for target in dict.fromkeys(targets or ())}
    with naming(model):
        placement = model.placed(job.settings.placement)
    with explaining(model, precision=job.settings.precision) as explain:
        portions = Portions(label, job.batch_size)
        for batch in _counted(inputs.batches(model), len(job.images), done):
            picked = None if targets is None else [classes[targets[at]] for at in batch.positions]
            images = batch.images(model.device)
            begin = time.perf_counter()
            with naming(model):
                cams = _explain_batch(portions, explain, images, job.methods, picked)
            if seconds is not None:
                seconds.append((time.perf_counter() - begin) / len(images))
            yield from _cells(job, label, (model, placement), batch, cams)


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
    explain: Explain,
    images: torch.Tensor,
    methods: Sequence[Method],
    targets: Sequence[int] | None,
) -> Cams:
    def compute(part: slice) -> Cams:
        return explain(images[part], methods, targets and targets[part])

    return Cams.join(portions.run(len(images), compute))


def _cells(
    job: Job, label: str, placed: tuple[Model, Placement], batch: Batch, cams: Cams
) -> Iterator[Explanation]:
    model, placement = placed
    predicted = cams.probabilities.argmax(1)
    columns = dict(zip(job.settings.method, job.settings.columns_of(label), strict=True))
    for row, position in enumerate(batch.positions):
        target, top = int(cams.targets[row]), int(predicted[row])
        size = batch.sizes[row]
        frame = model.preprocess.frame(*size)
        for method, column in columns.items():
            yield Explanation(
                image=job.images[position],
                column=column,
                model=model.name,
                weights=model.weights,
                method=method,
                target_layer=model.target_layer,
                target=target,
                label=model.labels[target],
                probability=float(cams.probabilities[row, target]),
                predicted=top,
                predicted_label=model.labels[top],
                predicted_probability=float(cams.probabilities[row, top]),
                heatmap=cams.maps[method][row],
                size=size,
                region=batch.regions[row],
                canvas=placement.on(frame),
                frame=frame,
                state=cams.states[method][row],
                model_label=label,
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
    with predicting(model, precision=inputs.job.settings.precision) as predict:
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

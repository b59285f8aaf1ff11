"""The probability of every label in every image, for models whose labels do not exclude each other.

A comparison keeps the probabilities of two classes in each cell. Average precision needs those of
all labels in all images, so the models run once more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from effcam.cam.job import Inputs, Job, Models
from effcam.cam.progress import progress_bar
from effcam.cam.run import predict_images
from effcam.errors import ArgumentError
from effcam.metrics.faithfulness_inputs import Compared, check_model, make_job, rows_of
from effcam.metrics.label_result import LabelProbabilities
from effcam.models.sources import check_weights
from effcam.models.tracing.torch_state import plain_torch

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from effcam.cam.methods.table import Method
    from effcam.models.model import Model


@plain_torch()
def label_probabilities(
    comparison: Compared,
    models: Models,
    *,
    method: Method | list[Method] | None = None,
    batch_size: int = 32,
    device: str | torch.device | None = None,
    progress: bool | None = None,
) -> LabelProbabilities:
    """Return the probability of every label in every image of a comparison.

    The models run again, one after another: one forward pass an image. Models of classes that
    exclude each other are left out. Pass the result to `effcam.Comparison.summary`, which needs it
    for the average precision of labels.

    Args:
        comparison: What `effcam.compare` returned.
        models: The models of that call, in the same form.
        method: The method or methods of that call, needed if one of them is your own function.
        batch_size: The number of images that run at once.
        device: Where to run models that are built here; ``None`` takes a GPU if there is one.
        progress: Whether to show a progress bar; ``None`` shows it on a terminal and in a
            notebook.

    Raises:
        ArgumentError: If these are not the comparison's models, or none has labels that do not
            exclude each other.
        ImageError: If an image's file is gone.
        ModelError: If a model cannot be built or run.
        WeightsError: If weights are not on disk and cannot be downloaded.
    """
    job = make_job(comparison, models, method, batch_size, device)
    check_weights(job.models.values())
    first = rows_of(comparison)[0]
    inputs = Inputs(job)
    found: dict[str, NDArray[np.float32]] = {}
    with progress_bar(len(job.models) * len(job.images), progress) as bar:
        for label in job.models:
            bar.set_description(f"loading {label}")
            model = job.load(label)
            for column in job.settings.columns_of(label):
                check_model(model, first[job.columns.index(column)])
            if model.multi_label:
                bar.set_description(f"{label}: labels")
                job.lighten(label, model, "fp32")
                found[label] = _predict(inputs, job, label, model, bar.update)
            else:
                bar.update(len(job.images))
            del model  # free this model before loading the next
    if not found:
        raise ArgumentError(
            "none of these models has classes that do not exclude each other: label_probabilities "
            "is for models of several labels an image, as with scores='sigmoid'"
        )
    owners = {column: label for label in job.models for column in job.settings.columns_of(label)}
    return LabelProbabilities(
        images=tuple(image.name for image in comparison.images),
        columns=comparison.columns,
        values=tuple(found.get(owners[column]) for column in comparison.columns),
    )


def _predict(
    inputs: Inputs, job: Job, label: str, model: Model, done: object
) -> NDArray[np.float32]:
    values = np.full((len(job.images), model.num_classes), np.nan, np.float32)
    for positions, probabilities in predict_images(inputs, label, model, done=done):  # type: ignore[arg-type]
        values[positions] = probabilities
    return values

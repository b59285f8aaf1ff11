"""One call: images and models in, a `Comparison` out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import torch

from effcam.cam.cells import Skipped
from effcam.cam.explanation import Explanation
from effcam.cam.job import Job, Models, column_of, name_columns
from effcam.cam.methods import Method, check_methods, name_of
from effcam.cam.precision import Precision, check_precision
from effcam.cam.progress import Bar, progress_bar
from effcam.cam.run import explain_images, predict_images
from effcam.comparison.comparison import Comparison
from effcam.errors import ImageError, TargetError, _index, check_choice, check_number
from effcam.images.discovery import iter_images
from effcam.images.refs import ImageLike
from effcam.models.facts import facts_of
from effcam.models.registry import DEFAULT_MODELS
from effcam.models.sources import check_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray


Target: TypeAlias = int | str | Sequence[int | str] | None
CONSENSUS = "consensus"


def compare(
    images: ImageLike | Iterable[ImageLike],
    models: Models = DEFAULT_MODELS,
    *,
    method: Method | Sequence[Method] = "gradcam",
    target: Target = None,
    view: Literal["model", "whole"] = "model",
    size: int | None = None,
    batch_size: int = 16,
    device: str | torch.device | None = None,
    precision: Precision = "fp32",
    decoding: Literal["exact", "reduced"] = "exact",
    every: int | None = None,
    fps: float | None = None,
    on_error: Literal["raise", "skip"] = "raise",
    progress: bool | None = None,
) -> Comparison:
    """Return what each model looked at in each image.

    Models run one after another and each is freed before the next is loaded. A model of the
    caller's own comes back exactly as it was.

    Args:
        images: A file, a folder, a glob, a PIL image, an array ((height, width), or with 1, 3 or
            4 channels first or last; uint8, or floats in [0, 1]), a tensor likewise, a batch of
            these with four dimensions, a demo scene, or any iterable of all that. A video
            (``pip install 'effcam[video]'``) or an animated picture that is named, or that a glob
            matches, means its frames, in order.
        models: A name, a `ModelSpec`, an ``nn.Module`` or a `Model`; several of these; or a
            mapping of column labels to them.
        method: One or several of ``gradcam``, ``gradcam++``, ``hirescam``, ``xgradcam``,
            ``layercam``, ``gradcamelementwise``, ``eigengradcam``, ``eigencam`` (which share one
            pass), ``scorecam``, ``ablationcam`` (which run the model once a channel); or functions
            of your own, which share that pass: of the layer's (images, channels, rows, columns)
            activations, and of the gradients of each image's score, they make (images, rows,
            columns) maps.
        target: The class to explain: ``None`` is each model's own most probable one; an index or
            a label; ``"consensus"``, the class of the highest mean probability over the models,
            which takes a second pass; or one index or label an image.
        view: ``"model"`` shows each model what its weights were made for, crop and all;
            ``"whole"`` squashes the whole image to the model's input.
        size: The input size in px, instead of each model's own.
        batch_size: How many images run at once; fewer, with a warning, if memory runs out.
        device: Where to run models that are built here; ``None`` takes a GPU if there is one.
        precision: ``"fp32"`` computes as the weights are; ``"bf16"`` and ``"fp16"`` under torch's
            autocast, which is faster where the hardware has it. Maps are float32 whatever it is.
        decoding: ``"exact"`` gives models the very pixels of their published transform;
            ``"reduced"`` lets JPEG files far larger than the model's input be decoded at a half,
            a quarter or an eighth of their size, which is faster and changes pixels by less than
            1/255 on average.
        every: Takes each so manieth frame of a film, the first one first; ``None`` takes all. With
            it or ``fps``, the films in folders are taken too.
        fps: Takes so many frames a second of a film's time, instead: at each multiple of 1 / fps s
            the latest frame, but none twice.
        on_error: What a bad image does: ``"raise"``, or ``"skip"`` it and list it in
            `Comparison.skipped`.
        progress: Whether to show a progress bar; ``None`` shows it on a terminal and in a
            notebook.

    Raises:
        ImageError: If an image is bad (with ``on_error="raise"``) or none is left.
        UnknownModelError: If no model has that name.
        WeightsError: If weights are neither on disk nor can be fetched; names all of them.
        TargetError: If a class is unknown, ambiguous or out of range.
        LayerError: If a model has no layer that gives a map.
        ModelError: If a model cannot be built or run.
        ArgumentError: If an argument has an impossible value.

    >>> import numpy as np
    >>> from effcam import ModelSpec
    >>> photo = np.random.default_rng(0).random((64, 96, 3))
    >>> spec = ModelSpec("resnet18", pretrained=False)
    >>> comparison = compare(photo, spec, view="whole", size=64, progress=False)
    >>> cell = comparison[0, "resnet18"]
    >>> cell.heatmap.shape, cell.region.as_tuple()
    ((2, 2), (0.0, 0.0, 96.0, 64.0))
    """
    asked = plain_target(target)
    job = Job(
        refs=list(iter_images(images, missing_ok=on_error == "skip", every=every, fps=fps)),
        columns=name_columns(models),
        methods=check_methods(method),
        view=view,
        size=None if size is None else check_number("size", size),
        batch_size=check_number("batch_size", batch_size),
        precision=check_precision(precision),
        device=device,
        skips=on_error == "skip",
        passes=2 if asked == CONSENSUS else 1,
        reduced=check_choice("decoding", decoding, ("exact", "reduced")) == "reduced",
    )
    _check_arguments(job, on_error)
    targets: Sequence[int | str] | None = _one_each(asked, len(job.refs))
    check_weights(job.columns.values())
    total = job.passes * len(job.columns) * len(job.refs)
    with progress_bar(total, progress) as bar:
        if asked == CONSENSUS:
            targets = _find_consensus(job, bar)
        cells = [cell for label in job.columns for cell in _explain(job, label, targets, bar)]
    return _assemble(job, cells, asked)


def _explain(
    job: Job, label: str, targets: Sequence[int | str] | None, bar: Bar
) -> Iterator[Explanation]:
    """Yield the cells of one model, method by method within each batch."""
    bar.set_description(f"loading {label}")
    model = job.load(label)
    bar.set_description(label)
    seconds: list[float] = []
    yield from explain_images(job, label, model, targets, done=bar.update, seconds=seconds)
    job.facts[label] = facts_of(model, seconds)


def _find_consensus(job: Job, bar: Bar) -> list[int]:
    """Return the class of the highest mean probability over the models, for each image."""
    classes: dict[str, tuple[str, ...]] = {}
    total: NDArray[np.float64] = np.zeros(())
    for label in job.columns:
        bar.set_description(f"loading {label}")
        model = job.load(label)
        classes[label] = model.labels
        _check_same_classes(classes)
        if total.ndim == 0:
            total = np.zeros((len(job.refs), model.num_classes))
        bar.set_description(f"{label}: consensus")
        for positions, probabilities in predict_images(job, label, model, done=bar.update):
            total[positions] += probabilities
        # Else it would stay until the next one is there to take its name.
        del model
    return [int(each) for each in total.argmax(1)]


def _check_same_classes(classes: Mapping[str, tuple[str, ...]]) -> None:
    (first, known), *_, (label, own) = (*classes.items(), *classes.items())
    if own == known:
        return
    if len(own) != len(known):
        differ = f"{first} has {len(known)}, {label} has {len(own)}"
    else:
        index = next(index for index, name in enumerate(own) if name != known[index])
        differ = f"class {index} is {known[index]!r} in {first}, {own[index]!r} in {label}"
    raise TargetError(f"target='consensus' needs models of the same classes: {differ}")


def _assemble(
    job: Job, cells: list[Explanation], target: int | str | list[int | str] | None
) -> Comparison:
    """Return the comparison of all cells, brought into row order."""
    refs = tuple(ref for ref in job.refs if ref not in job.skipped)
    skipped = tuple(Skipped(ref.name, reason) for ref, reason in job.skipped.items())
    if not refs:
        rest = f", and {len(skipped) - 1} more" if len(skipped) > 1 else ""
        raise ImageError(f"no image can be read: {skipped[0].reason}{rest}")
    columns = tuple(
        column_of(label, method, job.methods) for label in job.columns for method in job.methods
    )
    placed = {(cell.image, cell.column): cell for cell in cells}
    settings = {
        "method": [name_of(each) for each in job.methods],
        "target": target,
        "view": job.view,
        "size": job.size,
        "precision": job.precision,
        "decoding": "reduced" if job.reduced else "exact",
    }
    ordered = tuple(placed[ref, column] for ref in refs for column in columns)
    facts = tuple(job.facts[label] for label in job.columns for _ in job.methods)
    return Comparison(refs, columns, ordered, skipped, settings, facts)


def _check_arguments(job: Job, on_error: str) -> None:
    if not job.refs:
        raise ImageError("there are no images to compare")
    check_choice("view", job.view, ("model", "whole"))
    check_choice("on_error", on_error, ("raise", "skip"))


def plain_target(target: object) -> int | str | list[int | str] | None:
    """Return a target in Python's own types, whatever array or tensor it came in.

    Raises:
        TargetError: If it is none.
    """
    if target is None or isinstance(target, str):
        return target
    listed = target.tolist() if isinstance(target, np.ndarray | torch.Tensor) else target
    if isinstance(listed, Sequence):
        return [each if isinstance(each, str) else _class(each) for each in listed]
    return _class(listed)


def _class(target: object) -> int:
    index = _index(target)
    if index is None:
        raise TargetError(
            "a target is a class index, a label, a sequence of one of these an image, 'consensus' "
            f"or None, not {target!r}"
        )
    return index


def _one_each(target: int | str | list[int | str] | None, images: int) -> list[int | str] | None:
    """Return one target an image, ``None`` for each model's own."""
    if target is None:
        return None
    if not isinstance(target, list):
        return [target] * images
    if len(target) != images:
        raise TargetError(
            f"the number of targets is {len(target)}, that of images {images}: give one each"
        )
    return target

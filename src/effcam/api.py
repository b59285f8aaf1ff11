"""`compare`: from images and models to a `Comparison`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from effcam.cam.cells import Skipped
from effcam.cam.explanation import Explanation
from effcam.cam.job import Inputs, Job, Models, name_models
from effcam.cam.map_facts import facts_of_maps
from effcam.cam.methods.checks import check_methods, check_options
from effcam.cam.methods.options import RESOLUTION, Fuse, make_options
from effcam.cam.methods.table import Method
from effcam.cam.precision import AskedPrecision, undecided
from effcam.cam.progress import ProgressBar, progress_bar
from effcam.cam.questions import (
    Asked,
    check_answerable,
    check_has_classes,
    check_methods_of,
    per_image,
)
from effcam.cam.run import explain_images, predict_images
from effcam.cam.settings import make_settings
from effcam.comparison.comparison import Comparison
from effcam.errors import ImageError, TargetError, check_choice, check_number
from effcam.images.discovery import iter_images
from effcam.images.refs import ImageLike, ImageRef
from effcam.models.facts import ModelFacts
from effcam.models.registry import DEFAULT_MODELS
from effcam.models.sources import check_weights
from effcam.models.tracing.placement import HowPlaced
from effcam.models.tracing.torch_state import plain_torch
from effcam.targets.classes import CONSENSUS
from effcam.targets.plain import Target, plain

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray


@plain_torch()
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
    precision: AskedPrecision = "fp32",
    decoding: Literal["exact", "reduced"] = "exact",
    placement: HowPlaced = "pitch",
    resolution: int = RESOLUTION,
    samples: int | None = None,
    channels: int | None = None,
    fuse: Fuse = "sum",
    aug_smooth: bool = False,
    eigen_smooth: bool = False,
    every: int | None = None,
    fps: float | None = None,
    on_error: Literal["raise", "skip"] = "raise",
    progress: bool | None = None,
) -> Comparison:
    """Compare what each model looked at in each image.

    Models run one after another, and each is freed before the next is loaded. A model of the
    caller's own is left exactly as it was.

    Args:
        images: A file, a folder, a glob, a PIL image, an array ((height, width), or with 1, 3 or
            4 channels first or last; uint8, or floats in [0, 1]), a tensor of the same form, a
            four-dimensional batch of these, a demo scene, or an iterable of any of these. A video
            (``pip install 'effcam[video]'``) or an animated picture that is named, or that a glob
            matches, stands for its frames, in order.
        models: A name, a `ModelSpec`, an ``nn.Module`` or a `Model`; several of these; or a
            mapping of column labels to them, as `effcam.checkpoints` returns it.
        method: One or several of ``gradcam``, ``gradcam++``, ``hirescam``, ``xgradcam``,
            ``layercam``, ``gradcamelementwise``, ``eigengradcam``, ``eigencam`` (which share one
            pass), ``scorecam``, ``ablationcam`` (which run the model once for each channel);
            ``rise``, ``occlusion``, ``integratedgradients`` and others that map the input's
            pixels; ``legrad``, ``rollout`` and ``chefer``, which read attention; the other
            classes of grad-cam by their names in lower case, as ``finercam`` or ``fullgrad``
            (`effcam.methods` lists all); or functions of your own, which share that pass: from the
            layer's (images, channels, rows, columns) activations and the gradients of each
            image's score, they compute (images, rows, columns) maps.
        target: The class to explain: ``None`` for each model's own most probable class; an index
            or a label; ``"top2"`` for the class with the second highest score in each image, and
            so on; ``"consensus"`` for the class with the highest mean probability over the models,
            which needs a second pass; a target of `effcam.targets`, as ``Contrast("tabby", "tiger
            cat")``, ``Value(0)``, ``Similar("query.jpg")`` or ``Text("a dog")``; a function that
            computes a (B,) tensor from the model's output for B images; one of these for each
            image; or a mapping of names to these, with a column for each, which cost a backward
            pass each and share the forward pass.
        view: ``"model"`` applies each model's own transform, including its crop; ``"whole"``
            squashes the whole image to the model's input.
        size: The input size in px, instead of each model's own.
        batch_size: How many images run at once; fewer, with a warning, if memory runs out.
        device: Where to run models that are built here; ``None`` for a GPU if there is one.
        precision: ``"fp32"`` computes in the precision of the weights, also within a
            ``torch.autocast`` of the caller; ``"bf16"`` and ``"fp16"``
            use torch's autocast, which is faster on hardware that supports it. ``"auto"`` is
            ``"bf16"`` where the device has instructions for it and the first images of a model have
            the same top class and nearly the same maps (correlation at least 0.995), else
            ``"fp32"``, with a warning. Maps are always float32.
        decoding: ``"exact"`` gives models exactly the pixels of their published transform;
            ``"reduced"`` decodes JPEG files much larger than the model's input at a half, a
            quarter or an eighth of their size, which is faster and changes pixels by less than
            1/255 on average.
        placement: Where the cells of a map lie on the image. ``"pitch"`` lays them one stride of
            the network apart, around the middle of its input; ``"even"`` divides the input evenly,
            as other tools do, which is the same for many networks; ``"measured"`` is ``"pitch"``,
            moved by the offset that `effcam.Model.placement` measures.
        resolution: The most rows and columns of maps of the input's pixels, as of ``rise``.
        samples: How many changed copies of each image a method uses that makes some, as ``rise``
            its masks and ``smoothgrad`` its noise; ``None`` for each method's own number.
        channels: How many channels ``scorecam`` and its kin use, those of the highest activations;
            ``None`` for all.
        fuse: How the maps of several target layers become one: ``"sum"`` adds them as densities;
            ``"product"`` multiplies them, each scaled to [0, 1] (RefineCAM); ``"winsor"`` is their
            mean, weighted by the layers' importance without its extremes (Winsor-CAM).
        aug_smooth: Whether each map is the mean over six copies of the image: it and its mirror
            image, each with the input multiplied by 0.9, 1 and 1.1. It costs six passes.
        eigen_smooth: Whether each map is the first principal component of what it would add up
            over the channels.
        every: Use every n-th frame of a video, beginning with the first; ``None`` for all. With
            this or ``fps``, videos in folders are used too.
        fps: Use this number of frames per second of a video: at each multiple of 1 / fps s the
            latest frame, but no frame twice.
        on_error: What to do with an image that cannot be read: ``"raise"``, or ``"skip"`` it and
            list it in `Comparison.skipped`. Errors of a model are always raised.
        progress: Whether to show a progress bar; ``None`` shows it on a terminal and in a
            notebook.

    Raises:
        ImageError: If an image cannot be read (with ``on_error="raise"``), or there are none.
        UnknownModelError: If no model has that name.
        WeightsError: If weights are not on disk and cannot be downloaded; names all of them.
        TargetError: If a class is unknown, ambiguous or out of range, or a target is impossible.
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
    wanted = plain(target)
    refs = iter_images(images, missing_ok=on_error == "skip", every=every, fps=fps)
    methods = check_methods(method)
    check_methods_of(wanted, methods)
    options = make_options(
        resolution=resolution,
        samples=samples,
        channels=channels,
        fuse=fuse,
        aug_smooth=aug_smooth,
        eigen_smooth=eigen_smooth,
    )
    check_options(options, methods)
    job = Job(
        images=tuple(refs),
        models=name_models(models),
        methods=methods,
        settings=make_settings(
            methods=methods,
            target=wanted,
            view=view,
            size=size,
            precision=precision,
            decoding=decoding,
            placement=placement,
            options=options,
        ),
        batch_size=check_number("batch_size", batch_size),
        device=device,
        skip_bad=check_choice("on_error", on_error, ("raise", "skip")) == "skip",
    )
    if not job.images:
        raise ImageError("there are no images to compare")
    asked = per_image(wanted, len(job.images))
    for label, source in job.models.items():
        check_answerable(label, source.outputs(), wanted)
    check_weights(job.models.values())
    passes = 2 if wanted == CONSENSUS else 1
    inputs = Inputs(job, passes=passes)
    cells: list[Explanation] = []
    facts: list[ModelFacts] = []
    with progress_bar(passes * len(job.models) * len(job.images), progress) as bar:
        if wanted == CONSENSUS:
            asked = {"": _find_consensus(inputs, bar)}
        for label in job.models:
            own, fact = _explain(inputs, label, asked, bar)
            cells += own
            facts += [fact] * job.settings.columns_each
    return _assemble(job, inputs.skipped, cells, facts)


def _explain(
    inputs: Inputs, label: str, asked: Asked, bar: ProgressBar
) -> tuple[list[Explanation], ModelFacts]:
    """Return one model's cells, target by target within each batch, and its facts."""
    bar.set_description(f"loading {label}")
    model = inputs.job.load(label)
    bar.set_description(label)
    seconds: list[float] = []
    job, prepared = inputs.job, inputs.job.prepare(label, model)
    if job.settings.precision == "auto":
        from effcam.cam.precision_choice import decide_precision  # few comparisons need it

        prepared = decide_precision(job, label, prepared, asked)
    cells = explain_images(inputs, label, prepared, asked, done=bar.update, seconds=seconds)
    return list(cells), prepared.facts.timed(seconds)


def _find_consensus(inputs: Inputs, bar: ProgressBar) -> list[int]:
    """Return the class with the highest mean probability over the models, for each image."""
    job = inputs.job
    classes: dict[str, tuple[str, ...]] = {}
    total: NDArray[np.float64] = np.zeros(())
    for label in job.models:
        bar.set_description(f"loading {label}")
        model = job.load(label)
        check_has_classes(model)
        classes[label] = model.labels
        _check_same_classes(classes)
        if total.ndim == 0:
            total = np.zeros((len(job.images), model.num_classes))
        bar.set_description(f"{label}: consensus")
        job.lighten(label, model, undecided(job.settings.precision))
        for positions, probabilities in predict_images(inputs, label, model, done=bar.update):
            total[positions] += probabilities
        # Free this model before loading the next.
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
    job: Job,
    skipped: Mapping[ImageRef, str],
    cells: Sequence[Explanation],
    facts: Sequence[ModelFacts],
) -> Comparison:
    """Return the comparison, with the cells in row order."""
    images = tuple(ref for ref in job.images if ref not in skipped)
    left_out = tuple(Skipped(ref.name, reason) for ref, reason in skipped.items())
    if not images:
        rest = f", and {len(left_out) - 1} more" if len(left_out) > 1 else ""
        raise ImageError(f"no image can be read: {left_out[0].reason}{rest}")
    placed = {(cell.image, cell.column): cell for cell in cells}
    ordered = tuple(placed[ref, column] for ref in images for column in job.columns)
    known = facts_of_maps(facts, ordered[: len(job.columns)])
    return Comparison(images, job.columns, ordered, left_out, job.settings, known)

"""Start or resume a run: `compare_dataset`."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, Literal

from effcam.cam.job import Models, name_models
from effcam.cam.methods.checks import check_methods, check_options
from effcam.cam.methods.options import RESOLUTION, Fuse, make_options
from effcam.cam.precision import Precision
from effcam.cam.questions import check_answerable, check_methods_of
from effcam.cam.settings import make_settings
from effcam.dataset.compared_files import digest_compared
from effcam.dataset.compiling import Compiling, check_compiling
from effcam.dataset.identity import describe, unidentified
from effcam.dataset.image_list import (
    BrokenListError,
    differences,
    list_images,
    write_inventory,
)
from effcam.dataset.make_shards import Cluster, make_missing
from effcam.dataset.manifest import FILE as MANIFEST
from effcam.dataset.manifest import Manifest, current_versions
from effcam.dataset.run import DatasetRun
from effcam.dataset.shards import FOLDER, MODELS, Plan, inventory_of
from effcam.dataset.storage import Store
from effcam.errors import (
    ArgumentError,
    EffcamWarning,
    OutputError,
    TargetError,
    check_choice,
    check_number,
)
from effcam.images.refs import ImageLike
from effcam.models.sources import check_weights
from effcam.models.tracing.placement import HowPlaced
from effcam.models.tracing.torch_state import plain_torch
from effcam.targets.classes import CONSENSUS
from effcam.targets.plain import Target, plain
from effcam.targets.stored import check_stored

if TYPE_CHECKING:
    import torch

SHARD_SIZE = 4096
REMEDY = "Give another folder, or overwrite=True (--overwrite)"


@plain_torch()
def compare_dataset(
    images: ImageLike | Iterable[ImageLike],
    models: Models,
    out: str | PathLike[str],
    *,
    method: str | Sequence[str] = "gradcam",
    target: Target = None,
    view: Literal["model", "whole"] = "model",
    size: int | None = None,
    batch_size: int = 16,
    device: str | torch.device | None = None,
    precision: Precision = "fp32",
    compile: Compiling = False,  # noqa: A002  # torch's name for it
    decoding: Literal["exact", "reduced"] = "exact",
    placement: HowPlaced = "pitch",
    resolution: int = RESOLUTION,
    samples: int | None = None,
    channels: int | None = None,
    fuse: Fuse = "sum",
    aug_smooth: bool = False,
    eigen_smooth: bool = False,
    shard_size: int = SHARD_SIZE,
    max_errors: int | None = None,
    overwrite: bool = False,
    backend: Literal["local", "ray"] = "local",
    workers: int | None = None,
    num_gpus: float | None = None,
    address: str | None = None,
    progress: bool | None = None,
) -> DatasetRun:
    """Return a run: what each model looked at in each of many images, in Parquet files.

    The results are written in shards of one model and a slice of the images. If the run is
    interrupted, the same call resumes after the last complete shard and gives the same rows; a
    finished run is not changed. Damaged shards are made again. An image that cannot be read becomes
    a row with the reason; an error of a model stops the run. This needs pyarrow:
    ``pip install 'effcam[dataset]'``.

    Args:
        images: As in `compare`, but only files: paths, folders, globs, an iterable of these.
        models: As in `compare`.
        out: The folder of the run, created if needed, or an address that fsspec supports
            (``s3://bucket/run``).
        method: As in `compare`, but only effcam's own methods, by name.
        target: As in `compare`, but not ``"consensus"``, a function, or an image in memory.
        view: As in `compare`.
        size: As in `compare`.
        batch_size: As in `compare`; it may change when a run is resumed.
        device: As in `compare`; it may change when a run is resumed.
        precision: As in `compare`.
        compile: Whether to compile what runs before the target layer with torch's inductor, which
            takes some seconds to half a minute for each model and saves up to a fifth of each
            pass; ``"auto"`` compiles where the run is long enough, and keeps it where it saves
            time. For models built by name, methods of one pass that read the target layer, and
            ``backend="local"``; a line says what was done for each model. It may change when a run
            is resumed.
        decoding: As in `compare`.
        placement: As in `compare`.
        resolution: As in `compare`.
        samples: As in `compare`.
        channels: As in `compare`.
        fuse: As in `compare`.
        aug_smooth: As in `compare`.
        eigen_smooth: As in `compare`.
        shard_size: The number of images of a shard, the most that is lost if a run is killed.
        max_errors: The largest number of unreadable images; ``None`` is any number.
        overwrite: Whether to replace a run of other settings, models or images.
        backend: ``"local"`` runs here, one model after another; ``"ray"`` on a Ray cluster
            (``pip install 'effcam[ray]'``), whose nodes all see the images and ``out``.
        workers: With Ray, the number of processes that run models; ``None`` is one per GPU, else
            one per node.
        num_gpus: With Ray, the GPUs of a worker, 0.5 for two that share one; ``None`` is 1 if the
            cluster has GPUs, else 0.
        address: With Ray, the cluster's address; ``None`` is the one known here, else a new one
            of this machine.
        progress: Whether to show the progress, on a terminal in one line, elsewhere in a line
            every 30 s; ``None`` is yes.

    Raises:
        ImageError: If there are no images, a folder or a pattern has none, or more than
            ``max_errors`` cannot be read.
        OutputError: If ``out`` cannot be written, has another run, or is in use by another
            process; or if pyarrow or Ray is not installed.
        UnknownModelError: If no model has that name.
        WeightsError: If weights are not on disk and cannot be downloaded; names all of them.
        TargetError: If a class is unknown, ambiguous or out of range.
        LayerError: If a model has no layer that gives a map.
        ModelError: If a model cannot be built or run; or, for ``compile=True``, if there is no
            compiler that works.
        ArgumentError: If an argument has an impossible value.
        KeyboardInterrupt: After Ctrl-C, when the current shard is written.

    >>> import numpy as np
    >>> from PIL import Image
    >>> from effcam import ModelSpec
    >>> photos, out = getfixture("tmp_path") / "photos", getfixture("tmp_path") / "run"
    >>> photos.mkdir()
    >>> for seed in range(3):
    ...     pixels = np.random.default_rng(seed).integers(0, 256, (48, 64, 3), np.uint8)
    ...     Image.fromarray(pixels).save(photos / f"{seed}.png")
    >>> spec = ModelSpec("resnet18", pretrained=False)
    >>> run = compare_dataset(photos, spec, out, size=64, progress=False)
    >>> len(run), run.columns, run.complete
    (3, ('resnet18',), True)
    """
    asked = plain(target)
    if asked == CONSENSUS:
        raise TargetError(
            "a dataset has no consensus, which needs a pass of all models before the first map: "
            "run it once with target=None, then give one target per image"
        )
    if isinstance(asked, Mapping) and any(isinstance(each, tuple) for each in asked.values()):
        raise TargetError("a dataset run takes one target for each image, or several for all")
    check_stored(asked)
    if precision == "auto":  # type: ignore[comparison-overlap]  # the command line has it
        raise ArgumentError(
            "precision='auto' is decided on the first images of each model, and a run may continue "
            "on other images and machines: choose 'fp32', 'bf16' or 'fp16'; effcam.compare(..., "
            "precision='auto') on some of the images shows whether bf16 changes their maps"
        )
    cluster = _check_backend(backend, workers, num_gpus, address)
    methods = _names_of(method)
    check_methods_of(asked, methods)
    options = make_options(
        resolution=resolution,
        samples=samples,
        channels=channels,
        fuse=fuse,
        aug_smooth=aug_smooth,
        eigen_smooth=eigen_smooth,
    )
    check_options(options, methods)
    compiling = check_compiling(compile, methods)
    if compiling and cluster is not None:
        raise ArgumentError("compile is for backend='local': on Ray each worker would compile")
    settings = make_settings(
        methods=methods,
        target=None if isinstance(asked, tuple) else asked,
        view=view,
        size=size,
        precision=precision,
        decoding=decoding,
        placement=placement,
        options=options,
        shard_size=shard_size,
    )
    if max_errors is not None:
        check_number("max_errors", max_errors, least=0)
    batch_size = check_number("batch_size", batch_size)
    columns = name_models(models)
    for label, source in columns.items():
        check_answerable(label, source.outputs(), asked)
    check_weights(columns.values())
    store = Store.at(out)
    with store.locked(MANIFEST):
        batches = list_images(
            images, asked if isinstance(asked, tuple) else None, at_once=settings.shard_size
        )
        described = {label: describe(each) for label, each in columns.items()}
        wanted = Manifest(
            settings, described, 0, current_versions(), compared=digest_compared(asked)
        )
        manifest = _find_or_create(store, wanted, batches, overwrite=overwrite)
        plan = Plan(store, manifest, columns, batch_size, device, compiling)
        make_missing(plan, cluster, max_errors, progress)
    return DatasetRun(store, manifest)


def _names_of(methods: str | Sequence[str]) -> tuple[str, ...]:
    """Return the names of methods, which a run records.

    Raises:
        ArgumentError: If one is a function, which may change before the run is resumed.
    """
    checked = check_methods(methods)
    names = tuple(each for each in checked if isinstance(each, str))
    if len(names) < len(checked):
        raise ArgumentError(
            "a dataset accepts only effcam's own methods, by name: a function may change before "
            "the run is resumed, which would mix the maps of two methods. compare accepts functions"
        )
    return names


def _check_backend(
    backend: str, workers: int | None, num_gpus: float | None, address: str | None
) -> Cluster | None:
    """Return the workers requested of a cluster, ``None`` for this process."""
    check_choice("backend", backend, ("local", "ray"))
    if backend == "local":
        for name, value in (("workers", workers), ("num_gpus", num_gpus), ("address", address)):
            if value is not None:
                raise ArgumentError(f"{name} has no meaning without backend='ray'")
        return None
    _require_ray()
    if workers is not None:
        check_number("workers", workers)
    if num_gpus is not None and not (isinstance(num_gpus, int | float) and num_gpus >= 0):
        raise ArgumentError(f"num_gpus must be a number from 0, not {num_gpus!r}")
    return Cluster(workers=workers, num_gpus=num_gpus, address=address)


def _require_ray() -> None:
    """Check that Ray Data is installed.

    Raises:
        OutputError: If it is not.
    """
    try:
        import ray.data  # noqa: F401
    except ImportError as error:
        raise OutputError(
            "backend='ray' needs Ray Data, which is not installed: pip install 'effcam[ray]'"
        ) from error


def _find_or_create(
    store: Store, wanted: Manifest, batches: Iterator[object], *, overwrite: bool
) -> Manifest:
    """Return the manifest of the existing run if it is the same, else create a run."""
    known = None if overwrite else Manifest.read(store)
    if known is not None:
        found = known.differences(wanted) or _changed_images(store, known, batches)
        if found:
            raise OutputError(f"{store.address!r} has another run: {'; '.join(found)}. {REMEDY}")
        if other := known.other_versions(wanted):
            warnings.warn(
                f"the run in {store.address!r} continues with other versions, which may change "
                f"numbers slightly: {'; '.join(other)}",
                EffcamWarning,
                stacklevel=3,
            )
        return known
    for label, identity in wanted.models.items():
        if reason := unidentified(identity):
            warnings.warn(
                f"the run in {store.address!r} cannot be resumed if it is interrupted: nobody can "
                f"check whether {label} is the same model: {reason}",
                EffcamWarning,
                stacklevel=3,
            )

    def remove_other(_count: int, _digest: str) -> None:
        # Only now: if an image list cannot be made, an earlier run is still there.
        store.remove(MANIFEST)
        for folder in (FOLDER, MODELS):
            store.remove(folder, recursive=True)

    images, listed = write_inventory(store, batches, remove_other)
    manifest = replace(wanted, images=images, listed=listed)
    manifest.write(store)
    return manifest


def _changed_images(store: Store, known: Manifest, batches: Iterator[object]) -> list[str]:
    """Return the differences of images from the run's, in words; write a damaged list again.

    Raises:
        OutputError: If the list is damaged, and the images are not those that it had.
    """
    inventory = inventory_of(store, known)
    try:
        inventory.check()
    except BrokenListError as error:
        _write_again(store, known, batches, error)
        return []
    return differences(inventory, batches)


def _write_again(
    store: Store, known: Manifest, batches: Iterator[object], error: BrokenListError
) -> None:
    def check_same(count: int, listed: str) -> None:
        if (count, listed) != (known.images, known.listed):
            raise OutputError(
                f"{error}, and the images differ from those that it had. {REMEDY}"
            ) from error

    write_inventory(store, batches, check_same)

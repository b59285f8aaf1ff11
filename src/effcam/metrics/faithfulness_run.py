"""Faithfulness of a whole comparison: its models run again, on images with parts removed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import cycle
from typing import TYPE_CHECKING, TypeAlias

from effcam.cam.explanation import Explanation
from effcam.cam.job import Inputs, Job, Models, naming
from effcam.cam.kept_memory import keeping_memory
from effcam.cam.methods.table import Method
from effcam.cam.precision import Precision, check_precision
from effcam.cam.progress import progress_bar
from effcam.errors import ArgumentError
from effcam.images.loader import Batch
from effcam.metrics.faithfulness_batch import (
    CURVES,
    MASKING,
    PARTS,
    RANDOMISATION,
    ROAD,
    SINGLE_DELETION,
    CellBatch,
    Samples,
    measure_perturbed,
    measure_shuffled,
    pick_cells,
)
from effcam.metrics.faithfulness_inputs import (
    Compared,
    check_kinds,
    check_model,
    make_job,
    rows_of,
)
from effcam.metrics.faithfulness_result import GRID_FIGURE, Faithfulness
from effcam.metrics.grid_pointing import point_in_mosaics
from effcam.metrics.randomisation import shuffle_from_top
from effcam.models.model import Model
from effcam.models.sources import check_weights
from effcam.models.tracing.torch_state import plain_torch

if TYPE_CHECKING:
    import torch

SHUFFLED = 0.5
"""The share of the layers, from the top, that the sanity check shuffles."""
FAITHFULNESS_FIGURES = (*MASKING, *CURVES, ROAD, *PARTS, RANDOMISATION, GRID_FIGURE)
"""What `faithfulness` can measure."""
DEFAULT_FIGURES = ("deletion", ROAD, SINGLE_DELETION, RANDOMISATION, GRID_FIGURE)
"""What it measures by itself: the figures that the study of figures chose, on the documentation's
page *Which figure to trust for which question*, and two that ask something else."""


@plain_torch()
def faithfulness(
    comparison: Compared,
    models: Models,
    *,
    method: Method | Sequence[Method] | None = None,
    figures: Sequence[str] = DEFAULT_FIGURES,
    batch_size: int = 32,
    device: str | torch.device | None = None,
    precision: Precision = "fp32",
    progress: bool | None = None,
) -> Faithfulness:
    """Return how much the models' predictions depend on what their maps show.

    The models run again, one after another, on images with parts removed: about 40 forward passes
    per image. Each figure is also measured for random maps of the same resolution, or is known for
    them: 0 for ``road``, a quarter for ``grid_pointing_game``. Pass the result to
    `effcam.Comparison.summary`.

    Args:
        comparison: What `effcam.compare` returned.
        models: The models of that call, in the same form.
        method: The method or methods of that call, needed if one of them is your own function;
            ``None`` looks them up by name.
        figures: Which of ``average_drop``, ``increase_in_confidence``, ``average_gain``,
            ``insertion``, ``deletion``, ``road``, ``single_deletion``, ``saco``,
            ``randomisation`` and ``grid_pointing_game``. By default those that follow the truth
            where it is known, as a study found (*Which figure to trust for which question* in the
            documentation), and the last two.
        batch_size: The number of images that run at once.
        device: Where to run models that are built here; ``None`` takes a GPU if there is one.
        precision: The precision of the passes on images with parts removed. ``"bf16"`` is faster
            where the hardware has it, and moves figures slightly, as a note then says. Mosaics and
            networks with shuffled weights always run in float32.
        progress: Whether to show a progress bar; ``None`` shows it on a terminal and in a
            notebook.

    Raises:
        ArgumentError: If these are not the comparison's models or methods, there is no such figure
            or precision, or no figure is measured in half precision.
        ImageError: If an image's file is gone.
        ModelError: If a model cannot be built or run, or overflows in half precision.
        WeightsError: If weights are not on disk and cannot be downloaded.
    """
    wanted = _check_figures(figures)
    _check_precision(precision, wanted)
    check_kinds(comparison)
    job = make_job(comparison, models, method, batch_size, device)
    check_weights(job.models.values())
    rows = rows_of(comparison)
    measured = Samples.empty(len(rows), len(comparison.columns), wanted)
    passes = _passes(measured, precision)
    inputs = Inputs(job, passes=len(passes))
    bar_of = progress_bar(len(passes) * len(job.models) * len(rows), progress)
    with bar_of as bar, keeping_memory():
        for label in job.models:
            bar.set_description(f"loading {label}")
            model = job.load(label)
            bar.set_description(f"{label}: faithfulness")
            for column in _columns(job, label):
                check_model(model, rows[0][column])
            for measure in passes:
                for done in measure(inputs, label, model, rows, measured):
                    bar.update(done)
            del model  # free this model before loading the next
    samples = dict(measured.maps)
    known: dict[str, dict[str, float]] = {}
    notes = [] if precision == "fp32" else [f"Images with parts removed ran in {precision}."]
    if ROAD in wanted:
        known[ROAD] = {"random map": 0.0}  # the hottest and the coldest pixels are exchangeable
    if GRID_FIGURE in wanted:
        found, own_notes = point_in_mosaics(job, rows, comparison.columns)
        notes += own_notes
        if found is not None:
            samples[GRID_FIGURE] = found
            known[GRID_FIGURE] = {"random map": 0.25}
            notes += _label_notes(rows[0])
    return Faithfulness(
        images=tuple(image.name for image in comparison.images),
        columns=comparison.columns,
        samples=samples,
        random=measured.random,
        known=known,
        notes=tuple(notes),
    )


def _label_notes(row: Sequence[Explanation]) -> list[str]:
    """Return a note on mosaics of images that may have several labels."""
    several = [cell.column for cell in row if cell.multi_label]
    if not several:
        return []
    note = (
        f"{', '.join(several)}: GridPG counts heat on the other images of a mosaic as wrong. Where "
        "an image has several labels, one of them may be the label explained."
    )
    return [note]


def _check_figures(figures: Sequence[str]) -> tuple[str, ...]:
    wanted = (figures,) if isinstance(figures, str) else tuple(figures)
    unknown = [key for key in wanted if key not in FAITHFULNESS_FIGURES]
    if unknown or not wanted:
        raise ArgumentError(
            f"figures must be some of {', '.join(FAITHFULNESS_FIGURES)}, not {figures!r}"
        )
    return wanted


def _check_precision(precision: Precision, figures: Sequence[str]) -> None:
    if check_precision(precision) == "auto":
        raise ArgumentError("precision must be 'fp32', 'bf16' or 'fp16' here, not 'auto'")
    if precision != "fp32" and set(figures) <= {RANDOMISATION, GRID_FIGURE}:
        raise ArgumentError(
            f"precision={precision!r} is for passes on images with parts removed, and "
            f"{' and '.join(figures)} need none: leave it out"
        )


Measure: TypeAlias = Callable[
    [Inputs, str, Model, Sequence[Sequence[Explanation]], Samples], Iterator[int]
]
"""Fills in figures of a model's columns, and yields the number of images of each batch."""


def _passes(samples: Samples, precision: Precision) -> list[Measure]:
    """Return the passes over the images that the figures need, in order."""
    wanted: list[Measure] = []
    if RANDOMISATION in samples.maps:
        wanted.append(_shuffle)
    if samples.maps.keys() - {RANDOMISATION}:
        wanted.append(partial(_perturb, precision=precision))
    return wanted


def _shuffle(
    inputs: Inputs,
    label: str,
    model: Model,
    rows: Sequence[Sequence[Explanation]],
    samples: Samples,
) -> Iterator[int]:
    """Shuffle the layers as they are: before any are folded."""
    shuffled, options = shuffle_from_top(model, SHUFFLED), inputs.job.settings.options
    return _each_batch(
        inputs,
        label,
        model,
        rows,
        lambda cells: measure_shuffled(model, cells, shuffled, samples, options),
    )


def _perturb(
    inputs: Inputs,
    label: str,
    model: Model,
    rows: Sequence[Sequence[Explanation]],
    samples: Samples,
    *,
    precision: Precision,
) -> Iterator[int]:
    """Remove parts of the images, in passes that are as cheap as they can be."""
    with naming(model):
        inputs.job.lighten(label, model, precision)
    return _each_batch(
        inputs,
        label,
        model,
        rows,
        lambda cells: measure_perturbed(model, cells, samples, precision),
    )


def _each_batch(
    inputs: Inputs,
    label: str,
    model: Model,
    rows: Sequence[Sequence[Explanation]],
    measure: Callable[[CellBatch], object],
) -> Iterator[int]:
    """Measure the cells of each batch, and yield its number of images."""
    for batch in inputs.batches(model):
        for cells in _cells(inputs.job, label, batch, rows):
            with naming(model):
                measure(cells)
        yield len(batch.positions)


def _columns(job: Job, label: str) -> list[int]:
    """Return the positions of a model's columns, method by method."""
    return [job.columns.index(each) for each in job.settings.columns_of(label)]


def _cells(
    job: Job, label: str, batch: Batch, rows: Sequence[Sequence[Explanation]]
) -> Iterator[CellBatch]:
    """Yield those cells of a batch whose maps have evidence, column by column."""
    for column, method in zip(_columns(job, label), cycle(job.methods), strict=False):
        cells = pick_cells(batch, rows, column, method)
        if cells is not None:
            yield cells

"""Faithfulness of a whole comparison: its models run again, on images with parts taken away."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from effcam.cam.explain import compute_cams, predicting
from effcam.cam.explanation import Explanation
from effcam.cam.job import Inputs, Job, Models, name_models, naming
from effcam.cam.methods import METHODS, Method, check_methods, name_of
from effcam.cam.progress import progress_bar
from effcam.cam.settings import Settings, make_settings
from effcam.errors import ArgumentError
from effcam.images.loader import Batch
from effcam.images.refs import ImageRef
from effcam.metrics.faithfulness_result import GRID_FIGURE, Faithfulness
from effcam.metrics.grid_pointing import point_in_mosaics
from effcam.metrics.perturbation import (
    SEED,
    Predict,
    area_under,
    average_drop,
    average_gain,
    increase_in_confidence,
    make_baseline,
    masked,
    removal_curve,
    road,
    target_probabilities,
)
from effcam.metrics.randomisation import Shuffled, shuffle_from_top, similarity
from effcam.models.model import Model
from effcam.models.sources import check_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHUFFLED = 0.5
"""The share of the layers, from the top, that the sanity check shuffles."""
MASKING = ("average_drop", "increase_in_confidence", "average_gain")
CURVES = ("insertion", "deletion")
ROAD, RANDOMISATION = "road", "randomisation"
FAITHFULNESS_FIGURES = (*MASKING, *CURVES, ROAD, RANDOMISATION, GRID_FIGURE)
"""What `faithfulness` measures."""


class Compared(Protocol):
    """What a comparison has that is measured again."""

    @property
    def images(self) -> tuple[ImageRef, ...]:
        """The images."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns' labels."""

    @property
    def cells(self) -> tuple[Explanation, ...]:
        """The cells, row by row."""

    @property
    def settings(self) -> Settings:
        """How it was made."""


def faithfulness(
    comparison: Compared,
    models: Models,
    *,
    method: Method | Sequence[Method] | None = None,
    figures: Sequence[str] = FAITHFULNESS_FIGURES,
    batch_size: int = 32,
    device: str | torch.device | None = None,
    progress: bool | None = None,
) -> Faithfulness:
    """Return how much the models' answers depend on what their maps show.

    The models run again, one after another, on images with parts taken away: some forty forward
    passes an image. Each figure is measured for random maps too, of the same resolution, or is
    known for them: 0 for ``road``, a quarter for ``grid_pointing_game``. Give the result to
    `effcam.Comparison.summary`.

    Args:
        comparison: What `effcam.compare` returned.
        models: The models that it was given, in the same form.
        method: The method or methods that it was given, where one of them is a function of your
            own; ``None`` takes them by name.
        figures: Which of ``average_drop``, ``increase_in_confidence``, ``average_gain``,
            ``insertion``, ``deletion``, ``road``, ``randomisation`` and ``grid_pointing_game``.
        batch_size: How many images run at once.
        device: Where to run models that are built here; ``None`` takes a GPU if there is one.
        progress: Whether to show a progress bar; ``None`` shows it on a terminal and in a
            notebook.

    Raises:
        ArgumentError: If these are not the comparison's models or methods, or there is no such
            figure.
        ImageError: If an image's file is gone.
        ModelError: If a model cannot be built or run.
        WeightsError: If weights are neither on disk nor can be fetched.
    """
    wanted = _check_figures(figures)
    job = _job(comparison, models, method, batch_size, device)
    check_weights(job.models.values())
    rows = _rows(comparison)
    board = _Board.blank(len(rows), len(comparison.columns), wanted)
    inputs = Inputs(job)
    total = len(job.models) * len(rows)
    with progress_bar(total, progress) as bar:
        for label in job.models:
            bar.set_description(f"loading {label}")
            model = job.load(label)
            bar.set_description(f"{label}: faithfulness")
            positions = [job.columns.index(each) for each in job.settings.columns_of(label)]
            for column in positions:
                _check_model(model, rows[0][column])
            for done in _measure_model(inputs, model, rows, positions, board):
                bar.update(done)
            # Free this model before loading the next.
            del model
    samples = dict(board.samples)
    known: dict[str, dict[str, float]] = {}
    notes: list[str] = []
    if ROAD in wanted:
        known[ROAD] = {"random map": 0.0}  # the hottest and the coldest pixels are exchangeable
    if GRID_FIGURE in wanted:
        found, notes = point_in_mosaics(job, rows, comparison.columns)
        if found is not None:
            samples[GRID_FIGURE] = found
            known[GRID_FIGURE] = {"random map": 0.25}
    return Faithfulness(
        images=tuple(image.name for image in comparison.images),
        columns=comparison.columns,
        samples=samples,
        random=board.random,
        known=known,
        notes=tuple(notes),
    )


def _check_figures(figures: Sequence[str]) -> tuple[str, ...]:
    wanted = (figures,) if isinstance(figures, str) else tuple(figures)
    unknown = [key for key in wanted if key not in FAITHFULNESS_FIGURES]
    if unknown or not wanted:
        raise ArgumentError(
            f"figures must be some of {', '.join(FAITHFULNESS_FIGURES)}, not {figures!r}"
        )
    return wanted


def _job(
    comparison: Compared,
    models: Models,
    method: Method | Sequence[Method] | None,
    batch_size: int,
    device: str | torch.device | None,
) -> Job:
    methods = _methods(comparison, method)
    made = comparison.settings
    job = Job(
        images=comparison.images,
        models=name_models(models),
        methods=methods,
        settings=make_settings(methods=methods, view=made.view, size=made.size),
        batch_size=batch_size,
        device=device,
    )
    if job.columns != comparison.columns or not comparison.cells:
        raise ArgumentError(
            f"models must be those of the comparison, whose columns are "
            f"{', '.join(comparison.columns)}; these would be {', '.join(job.columns)}"
        )
    return job


def _methods(comparison: Compared, given: Method | Sequence[Method] | None) -> tuple[Method, ...]:
    """Return the methods of a comparison, which knows its functions by name alone."""
    made = tuple(dict.fromkeys(cell.method for cell in comparison.cells[: len(comparison.columns)]))
    if given is None:
        own = [name for name in made if name not in METHODS]
        if own:
            raise ArgumentError(
                f"{own[0]!r} is none of effcam's methods: give faithfulness the functions that the "
                "comparison was given, method=..."
            )
        return made
    methods = check_methods(given)
    names = tuple(name_of(each) for each in methods)
    if names != made:
        raise ArgumentError(
            f"method must be that of the comparison, {', '.join(made)}; this would be "
            f"{', '.join(names)}"
        )
    return methods


def _rows(comparison: Compared) -> list[tuple[Explanation, ...]]:
    width = len(comparison.columns)
    cells = comparison.cells
    return [tuple(cells[start : start + width]) for start in range(0, len(cells), width)]


def _check_model(model: Model, cell: Explanation) -> None:
    found = model.name, model.target_layer, model.layer.grid
    made = cell.model, cell.target_layer, cell.heatmap.shape
    if found != made:
        raise ArgumentError(
            f"column {cell.column!r} was made with another model: {made[0]}, layer {made[1]}, grid "
            f"{made[2]}; this is {found[0]}, layer {found[1]}, grid {found[2]}"
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Board:
    """What is filled in, model by model: (images, columns) by figure, for maps and random maps."""

    figures: tuple[str, ...]
    samples: dict[str, NDArray[np.float64]]
    random: dict[str, NDArray[np.float64]]

    @classmethod
    def blank(cls, images: int, columns: int, figures: Sequence[str]) -> _Board:
        """Return the board for some figures, with nothing in it."""
        own = [key for key in figures if key != GRID_FIGURE]
        samples, random = (
            {key: np.full((images, columns), np.nan) for key in keys}
            for keys in (own, [key for key in own if key != ROAD])
        )
        return cls(tuple(figures), samples, random)


@dataclass(frozen=True, slots=True, eq=False)
class _Some:
    """Some images and the cells of one column of them.

    Attributes:
        images: (n, channels, height, width), the model's input.
        maps: (n, h, w), the cells' heatmaps.
        targets: The class that each explains.
        method: The method that made them.
        rows: (n,) where the images are in the comparison.
        column: Where the column is.
    """

    images: Tensor
    maps: Tensor
    targets: list[int]
    method: Method
    rows: NDArray[np.intp]
    column: int

    def random(self) -> Tensor:
        """Return maps at random of the same grid, the same for an image in every model."""
        return torch.stack(
            [
                torch.rand(self.maps.shape[1:], generator=torch.Generator().manual_seed(seed))
                for seed in (SEED + int(row) for row in self.rows)
            ]
        )


def _measure_model(
    inputs: Inputs,
    model: Model,
    rows: Sequence[Sequence[Explanation]],
    columns: Sequence[int],
    board: _Board,
) -> Iterator[int]:
    """Fill in the columns of a model, and yields how many images are done after each batch."""
    shuffled = shuffle_from_top(model, SHUFFLED) if RANDOMISATION in board.figures else None
    for batch in inputs.batches(model):
        for column, method in zip(columns, inputs.job.methods, strict=True):
            some = _pick(batch, rows, column, method)
            if some is None:
                continue
            with naming(model):
                _take_away(model, some, board)
                if shuffled is not None:
                    _lose(model, some, shuffled, board)
        yield len(batch.positions)


def _pick(
    batch: Batch, rows: Sequence[Sequence[Explanation]], column: int, method: Method
) -> _Some | None:
    """Return what is measured of a batch: a map without heat shows nothing to take away."""
    found = [
        (tensor, at, rows[at][column])
        for tensor, at in zip(batch.images(), batch.positions, strict=True)
        if rows[at][column].state == "ok"
    ]
    if not found:
        return None
    tensors, at, cells = zip(*found, strict=True)
    return _Some(
        torch.stack(tensors),
        torch.from_numpy(np.stack([cell.heatmap for cell in cells])),
        [cell.target for cell in cells],
        method,
        np.array(at),
        column,
    )


def _take_away(model: Model, some: _Some, board: _Board) -> None:
    """Fill in what asks for forward passes alone."""
    images = some.images.to(model.device)
    with predicting(model) as predict:
        full = target_probabilities(predict, images, torch.tensor(some.targets))
        for maps, found in ((some.maps, board.samples), (some.random(), board.random)):
            heats = _to_input(maps, (images.shape[2], images.shape[3])).to(images.device)
            probe = _Probe(predict, images, heats, some.targets, full)
            for key, values in probe.measure(found).items():
                found[key][some.rows, some.column] = values


@dataclass(frozen=True, slots=True, eq=False)
class _Probe:
    """A model, some of its inputs, and maps over them by whose order parts are taken away."""

    predict: Predict
    images: Tensor
    heats: Tensor
    targets: list[int]
    full: Tensor

    def measure(self, wanted: Container[str]) -> dict[str, NDArray[np.float64]]:
        """Return those of the figures that are wanted: (n,) each."""
        found: dict[str, NDArray[np.float64]] = {}
        if any(key in wanted for key in MASKING):
            before, after = self.full.numpy(), self._masked()
            found["average_drop"] = average_drop(before, after)
            found["increase_in_confidence"] = increase_in_confidence(before, after)
            found["average_gain"] = average_gain(before, after)
        if "insertion" in wanted:
            blurred = make_baseline(self.images, "blur")
            found["insertion"] = self._curve(blurred, self.images, (None, self.full))
        if "deletion" in wanted:
            mean = make_baseline(self.images, "mean")
            found["deletion"] = self._curve(self.images, mean, (self.full, None))
        if ROAD in wanted:
            found[ROAD] = road(self.predict, self.images, self.heats, self.targets)
        return {key: values for key, values in found.items() if key in wanted}

    def _masked(self) -> NDArray[np.float64]:
        images = masked(self.images, self.heats)
        found = target_probabilities(self.predict, images, torch.tensor(self.targets))
        return np.asarray(found.numpy())

    def _curve(
        self, start: Tensor, end: Tensor, ends: tuple[Tensor | None, Tensor | None]
    ) -> NDArray[np.float64]:
        curve = removal_curve(self.predict, start, end, self.heats, self.targets, ends=ends)
        return area_under(curve)


def _lose(model: Model, some: _Some, shuffled: Shuffled, board: _Board) -> None:
    """Fill in how similar maps are to those without half of the weights, and to random ones."""
    maps = list(some.maps.numpy())
    with shuffled.in_place():
        lost = compute_cams(model, some.images, (some.method,), some.targets)
    where = some.rows, some.column
    board.samples[RANDOMISATION][where] = similarity(maps, list(lost.maps[name_of(some.method)]))
    board.random[RANDOMISATION][where] = similarity(maps, list(some.random().numpy()))


def _to_input(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Return (n, height, width) maps over the model's input, each scaled to [0, 1]."""
    spread = functional.interpolate(maps[:, None], size=size, mode="bilinear")[:, 0]
    low, high = spread.amin((1, 2), keepdim=True), spread.amax((1, 2), keepdim=True)
    return (spread - low) / (high - low)

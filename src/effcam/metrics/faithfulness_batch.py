"""Faithfulness of the maps of one batch: the model runs again on images with parts removed."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from effcam.cam.explain import compute_cams
from effcam.cam.explanation import Explanation
from effcam.cam.methods.options import MethodOptions
from effcam.cam.methods.table import Method, name_of
from effcam.cam.precision import Precision
from effcam.cam.predict import predicting
from effcam.errors import ModelError
from effcam.images.geometry import Box, weights_of
from effcam.images.loader import Batch
from effcam.metrics.confidence_change import (
    average_drop,
    average_gain,
    increase_in_confidence,
    masked,
)
from effcam.metrics.faithfulness_result import GRID_FIGURE
from effcam.metrics.part_deletion import compare_patches, patch_drops, saco
from effcam.metrics.perturbation import (
    SEED,
    Predict,
    area_under,
    make_baseline,
    removal_curve,
    target_probabilities,
)
from effcam.metrics.randomisation import Shuffled, similarity
from effcam.metrics.road_imputation import road
from effcam.models.model import Model

if TYPE_CHECKING:
    from numpy.typing import NDArray

MASKING = ("average_drop", "increase_in_confidence", "average_gain")
CURVES = ("insertion", "deletion")
SINGLE_DELETION, SACO = "single_deletion", "saco"
PARTS = (SINGLE_DELETION, SACO)
"""Figures of parts that are deleted one at a time."""
ROAD, RANDOMISATION = "road", "randomisation"


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """The figures of each cell, filled in model by model: (images, columns) by figure.

    Attributes:
        maps: The figures of the models' maps.
        random: The figures of random maps in their place.
    """

    maps: dict[str, NDArray[np.float64]]
    random: dict[str, NDArray[np.float64]]

    @classmethod
    def empty(cls, images: int, columns: int, figures: Sequence[str]) -> Samples:
        """Return samples of some figures, all of them NaN."""
        own = [key for key in figures if key != GRID_FIGURE]
        maps, random = (
            {key: np.full((images, columns), np.nan) for key in keys}
            for keys in (own, [key for key in own if key != ROAD])
        )
        return cls(maps, random)


@dataclass(frozen=True, slots=True, eq=False)
class CellBatch:
    """A batch of images, and the maps of one column of them.

    Attributes:
        images: (n, channels, height, width), the model's input.
        maps: (n, h, w), the cells' heatmaps.
        canvas: What the maps cover, px of the model's input.
        targets: The class that each map explains.
        method: The method that made the maps.
        rows: (n,) the positions of the images in the comparison.
        column: The position of the column.
    """

    images: Tensor
    maps: Tensor
    canvas: Box
    targets: list[int]
    method: Method
    rows: NDArray[np.intp]
    column: int

    def random(self) -> Tensor:
        """Return random maps of the same grid, the same for an image in every model."""
        return torch.stack(
            [
                torch.rand(self.maps.shape[1:], generator=torch.Generator().manual_seed(seed))
                for seed in (SEED + int(row) for row in self.rows)
            ]
        )


def pick_cells(
    batch: Batch, rows: Sequence[Sequence[Explanation]], column: int, method: Method
) -> CellBatch | None:
    """Return the cells of a batch whose map has evidence, ``None`` if no cell has."""
    found = [
        (tensor, at, rows[at][column])
        for tensor, at in zip(batch.images(), batch.positions, strict=True)
        if rows[at][column].state == "ok"
    ]
    if not found:
        return None
    tensors, at, cells = zip(*found, strict=True)
    height, width = tensors[0].shape[1:]
    return CellBatch(
        torch.stack(tensors),
        torch.from_numpy(np.stack([cell.heatmap for cell in cells])),
        cells[0].canvas.within(cells[0].frame, width, height),
        [cell.target for cell in cells],
        method,
        np.array(at),
        column,
    )


def measure_perturbed(
    model: Model, cells: CellBatch, samples: Samples, precision: Precision
) -> None:
    """Fill in the figures that need only forward passes.

    Raises:
        ModelError: If half precision overflows.
    """
    images = cells.images.to(model.device)
    with predicting(model, precision=precision) as plain:
        predict = plain if precision == "fp32" else _finite(plain, precision)
        full = target_probabilities(predict, images, torch.tensor(cells.targets))
        # The patches are the same for every map: their passes are shared.
        drops = None
        if SINGLE_DELETION in samples.maps:
            drops = patch_drops(predict, images, cells.targets)
        for maps, found in ((cells.maps, samples.maps), (cells.random(), samples.random)):
            heats = _to_input(maps, cells.canvas, images).to(images.device)
            perturbed = _Perturbed(predict, images, heats, cells.targets, full, drops)
            for key, values in perturbed.measure(found).items():
                found[key][cells.rows, cells.column] = values


def _finite(predict: Predict, precision: Precision) -> Predict:
    """Return a function that predicts, and refuses what is not finite.

    Figures would leave such images out, and be those of others.
    """

    def check(images: Tensor) -> Tensor:
        found = predict(images)
        if not bool(found.isfinite().all()):
            raise ModelError(
                f"its probabilities are not finite in {precision}, which overflows if they are in "
                'fp32: choose precision="fp32" or "bf16"'
            )
        return found

    return check


def measure_shuffled(
    model: Model,
    cells: CellBatch,
    shuffled: Shuffled,
    samples: Samples,
    options: MethodOptions,
) -> None:
    """Fill in the similarity of maps to those after shuffling weights, and to random maps."""
    maps = list(cells.maps.numpy())
    with shuffled.in_place():
        after = compute_cams(model, cells.images, (cells.method,), cells.targets, options)
    where = cells.rows, cells.column
    after_maps = list(after.maps[name_of(cells.method)])
    samples.maps[RANDOMISATION][where] = similarity(maps, after_maps)
    samples.random[RANDOMISATION][where] = similarity(maps, list(cells.random().numpy()))


@dataclass(frozen=True, slots=True, eq=False)
class _Perturbed:
    """A model, some of its inputs, and maps over them that order the pixels to remove."""

    predict: Predict
    images: Tensor
    heats: Tensor
    targets: list[int]
    full: Tensor
    drops: NDArray[np.float64] | None

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
        if self.drops is not None:
            found[SINGLE_DELETION] = compare_patches(self.heats.cpu(), self.drops)
        if SACO in wanted:
            found[SACO] = saco(self.predict, self.images, self.heats, self.targets)
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


def _to_input(maps: Tensor, canvas: Box, images: Tensor) -> Tensor:
    """Return (n, height, width) maps over the model's input, each scaled to [0, 1]."""
    height, width = images.shape[2:]
    rows, columns = weights_of(canvas, maps.shape[1:], width, height, Box(0, 0, width, height))
    spread = torch.tensor(rows[0]) @ maps @ torch.tensor(columns[0]).T
    low, high = spread.amin((1, 2), keepdim=True), spread.amax((1, 2), keepdim=True)
    return (spread - low) / (high - low)

"""The fields that FiftyOne's samples get: heat, boxes of heat, predictions, figures, truth."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from effcam.cam.cells import Cells
from effcam.cam.explanation import Explanation
from effcam.comparison.parquet import focus_of
from effcam.errors import ArgumentError, check_number
from effcam.files import atomic
from effcam.images.geometry import Box
from effcam.images.truth import NamedClass, Truth
from effcam.metrics.agreement import mean_agreements, pair_agreements
from effcam.models.facts import class_name

GROUND_TRUTH = "ground_truth"


@dataclass(frozen=True, slots=True, eq=False)
class FieldWriter:
    """Makes the fields of samples.

    Attributes:
        fo: The package `fiftyone`.
        comparison: The comparison.
        prefix: How the fields' names begin.
        threshold: The share of a map's range that a box encloses.
        longest: The longest side of maps in px.
        folder: Where maps are written; ``None`` to store them in samples.
    """

    fo: Any
    comparison: Cells
    prefix: str
    threshold: float
    longest: int
    folder: str | PathLike[str] | None

    def __post_init__(self) -> None:
        check_number("longest", self.longest)
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", self.prefix):
            raise ArgumentError(
                f"prefix must be letters, digits and _, and begin with a letter, not "
                f"{self.prefix!r}"
            )

    def fields(self, at: int) -> dict[str, Any]:
        """Return the fields of an image, by their names."""
        columns = self.comparison.columns
        row = self.comparison.cells[at * len(columns) : (at + 1) * len(columns)]
        found: dict[str, Any] = {}
        for cell, name, focus in zip(row, _field_names(columns), focus_of(row), strict=True):
            start = f"{self.prefix}_{name}"
            found |= {
                f"{start}_heat": self._heatmap(cell, f"{name}/{at:06}.png"),
                f"{start}_box": self._box(cell),
                f"{start}_prediction": self._prediction(cell),
            }
            figures = ("effective_area", "gini", "half_mass_area")
            found |= {f"{start}_{figure}": focus.get(figure) for figure in figures}
        if len(columns) > 1:
            agreement = float(mean_agreements(pair_agreements((row,), "spearman"))[0])
            found[f"{self.prefix}_agreement"] = _number(agreement)
        return found

    def ground_truth(self, row: Sequence[Explanation]) -> dict[str, Any]:
        """Return what is known of an image, by the names of fields."""
        truth, size = row[0].image.truth or Truth(), row[0].size
        found: dict[str, Any] = {}
        names = [self._name(each) for each in truth.classes or ()]
        if truth.label is not None:
            found[GROUND_TRUTH] = self.fo.Classification(label=names[0])
        elif truth.labels is not None:
            each = [self.fo.Classification(label=name) for name in names]
            found[GROUND_TRUTH] = self.fo.Classifications(classifications=each)
        if truth.boxes:
            label = names[0] if len(names) == 1 else "object"
            boxes = [
                self.fo.Detection(label=label, bounding_box=_relative(box, size))
                for box in truth.boxes
            ]
            found[f"{GROUND_TRUTH}_boxes"] = self.fo.Detections(detections=boxes)
        return found

    def _name(self, label: int | str | NamedClass) -> str:
        return str(class_name(label, self.comparison.facts))

    def _heatmap(self, cell: Explanation, name: str) -> Any:
        if cell.state != "ok":
            return None
        scale = min(1.0, self.longest / max(cell.size))
        heat = cell.heat(*(max(1, round(side * scale)) for side in cell.size))
        if self.folder is None:
            # Without a range, FiftyOne stretches a map to its own largest value.
            return self.fo.Heatmap(map=heat, range=[0, 1])
        path = Path(self.folder).expanduser().absolute() / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path) as partial:
            Image.fromarray(np.rint(heat * 255).astype(np.uint8)).save(partial, "png")
        return self.fo.Heatmap(map_path=str(path), range=[0, 255])

    def _box(self, cell: Explanation) -> Any:
        box = cell.box(threshold=self.threshold)
        if box is None:
            return self.fo.Detections(detections=[])
        found = self.fo.Detection(
            label=cell.label,
            bounding_box=_relative(box, cell.size),
            confidence=_number(cell.probability),
        )
        return self.fo.Detections(detections=[found])

    def _prediction(self, cell: Explanation) -> Any:
        if cell.predicted is None:
            return None
        return self.fo.Classification(
            label=cell.predicted_label, confidence=_number(cell.predicted_probability)
        )


def _field_names(columns: Sequence[str]) -> list[str]:
    """Return a part of a field's name for each column, each once."""
    found: list[str] = []
    for column in columns:
        stem = name = re.sub(r"[^A-Za-z0-9]+", "_", column).strip("_") or "column"
        number = 1
        while name in found:
            number += 1
            name = f"{stem}_{number}"
        found.append(name)
    return found


def _relative(box: Box, size: tuple[int, int]) -> list[float]:
    """Return FiftyOne's [x, y, width, height] of a box, as shares of the image's sides."""
    inside = box.scale(1 / size[0], 1 / size[1])
    return [float(each) for each in (inside.left, inside.top, inside.width, inside.height)]


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None

"""Facts on a model that a comparison keeps: its size, its cost and its classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from statistics import median, quantiles
from typing import TYPE_CHECKING

from effcam.errors import TargetError
from effcam.images.truth import NamedClass
from effcam.models.class_names import find_class
from effcam.models.tracing.map_layout import Grid
from effcam.models.tracing.placement import HowPlaced
from effcam.models.training_stage import TrainingStage

if TYPE_CHECKING:
    from effcam.models.model import Model

ENOUGH_BATCHES = 6
"""The smallest number of batches whose times have a spread.

Of two models that are equally quick, the middle 80 % of fewer batches often do not overlap.
"""
PLACES = ("pitch", "offset", "measured_offset")
"""The facts on where cells lie: each a pair, or ``None``."""
UNKNOWN = "unknown"
"""The ``precision`` of models in runs that did not keep it."""
RANDOM = "random"
"""The ``weights`` of an untrained model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """Facts on the model of a column.

    Attributes:
        name: The model's name.
        weights: Where its weights are from.
        parameters: The number of its parameters.
        flops: The floating-point operations of one image's forward pass at `input_size`, as torch
            counts them: two for each multiply-add; ``None`` where torch cannot count them.
        input_size: Height and width of its input in px.
        grid: Rows and columns of the layer looked at.
        target_layer: The dotted name of that layer.
        seconds: The time for an image in this comparison, from the input to all of its maps, in
            s: the median over batches, without the first one if there are more; ``None`` if it
            was not measured.
        labels: The name of each class, by index.
        synonyms: All names of each class, by index.
        bypass: The share of what the scores depend on that goes past the target layer, in [0, 1];
            ``None`` if it is not known (`effcam.Model.bypass`).
        notes: What the maps of this layer do not show, in sentences (`effcam.Model.notes`).
        pitch: The distance of neighbouring cells' centres as maps were laid, down and across, px of
            the input; ``None`` if it is not known.
        offset: How far the cells were moved from the middle of the input, down and across, px of
            the input; ``None`` if it is not known.
        measured_offset: The offset that was measured on its weights, whether or not the cells were
            moved by it; ``None`` if it was not measured yet (`effcam.Model.placement`).
        seconds_low: The 10th percentile of that time over the same batches, in s; ``None`` where
            fewer than six were measured.
        seconds_high: The 90th percentile, likewise.
        multi_label: Whether its classes are labels that do not exclude each other
            (`effcam.Model.multi_label`).
        precision: The precision it ran in: ``"fp32"``, ``"bf16"`` or ``"fp16"``; ``"unknown"`` for
            runs on disk that did not keep it.
        training: At which point of training its weights were saved; ``None`` if that is not known.
    """

    name: str
    weights: str
    parameters: int
    flops: int | None
    input_size: tuple[int, int]
    grid: Grid
    target_layer: str
    seconds: float | None
    labels: tuple[str, ...] = field(repr=False)
    synonyms: tuple[tuple[str, ...], ...] = field(repr=False)
    bypass: float | None = None
    notes: tuple[str, ...] = ()
    pitch: tuple[float, float] | None = None
    offset: tuple[float, float] | None = None
    measured_offset: tuple[float, float] | None = None
    seconds_low: float | None = None
    seconds_high: float | None = None
    multi_label: bool = False
    precision: str = "fp32"
    training: TrainingStage | None = None

    @property
    def untrained(self) -> bool:
        """Whether the model has random weights, so that its heat is meaningless."""
        return self.weights == RANDOM

    @property
    def covered(self) -> float:
        """The share of the input that the cells of its map cover, in [0, 1]; 1 if unknown.

        An offset is not considered.
        """
        lengths = zip(self.grid, self.pitch or (), self.input_size, strict=False)
        return math.prod(min(cells * pitch / size, 1) for cells, pitch, size in lengths)

    @property
    def shortcoming(self) -> str:
        """What the maps do not show, in a few words for pictures; empty if nothing is known."""
        if not self.notes:
            return ""
        share = round(100 * (self.bypass or 0))
        return (
            f"without {share} % of {self.name}'s evidence" if share else f"see {self.name}'s notes"
        )

    def find_class(self, target: int | str | NamedClass) -> int:
        """Return the index of a class that is given by index or by any of its names.

        Raises:
            TargetError: If there is no such class, or the name stands for several.
        """
        return find_class(target, self.labels, self.synonyms, owner=self.name)

    def timed(self, seconds: Sequence[float]) -> ModelFacts:
        """Return these facts with times.

        Args:
            seconds: The time for an image in each batch, in s.
        """
        if not seconds:
            return self
        kept = seconds[1:] or seconds
        if len(kept) < ENOUGH_BATCHES:
            return replace(self, seconds=median(kept))
        tenths = quantiles(kept, n=10, method="inclusive")
        return replace(self, seconds=median(kept), seconds_low=tenths[0], seconds_high=tenths[-1])

    def record(self) -> dict[str, object]:
        """Return all facts but the classes' names as one dict of plain values."""
        names = ("name", "weights", "parameters", "flops", "input_size", "grid", "target_layer")
        more = ("seconds", "bypass", "notes", *PLACES, "multi_label", "precision")
        found = {name: getattr(self, name) for name in (*names, *more)}
        plain = {
            key: list(value) if isinstance(value, tuple) else value for key, value in found.items()
        }
        return plain | {"training": self.training and self.training.record()}


def class_name(label: int | str | NamedClass | None, facts: Sequence[ModelFacts]) -> str | None:
    """Return the name of a true class as the first model has it, else as it was given.

    Args:
        label: The class; the result is ``None`` if it is.
        facts: Facts on the models of a comparison; empty if they are unknown.
    """
    if label is None:
        return None
    if facts:
        with suppress(TargetError):
            return facts[0].labels[facts[0].find_class(label)]
    if isinstance(label, NamedClass):
        return label.name
    return label if isinstance(label, str) else f"class {label}"


def class_names(
    labels: Sequence[int | str | NamedClass] | None, facts: Sequence[ModelFacts]
) -> str | None:
    """Return the names of an image's true classes, joined by commas; ``None`` if unknown.

    Args:
        labels: The classes.
        facts: As in `class_name`.
    """
    if labels is None:
        return None
    return ", ".join(str(class_name(each, facts)) for each in labels) or "none"


def facts_of(model: Model, how: HowPlaced = "pitch") -> ModelFacts:
    """Return the facts on a model, without times.

    Args:
        model: The model, with the input size of the comparison.
        how: How its maps were laid.
    """
    # It imports torch, which is not needed to look at a saved comparison.
    from effcam.models.tracing.flops import find_cost
    from effcam.models.tracing.known_offsets import known_offset

    preprocess = model.preprocess
    placement = model.placed(how)
    measured = known_offset(model.module, model.layer, preprocess)
    return ModelFacts(
        name=model.name,
        weights=model.weights,
        parameters=sum(each.numel() for each in model.module.parameters()),
        flops=find_cost(model.module, preprocess.size, preprocess.channels).flops,
        input_size=preprocess.size,
        grid=model.layer.grid,
        target_layer=model.target_layer,
        seconds=None,
        labels=model.labels,
        synonyms=model.synonyms,
        bypass=model.bypass,
        notes=model.notes,
        pitch=placement.pitch,
        offset=placement.offset,
        measured_offset=None if measured is None else measured.shift,
        multi_label=model.multi_label,
        training=model.training,
    )

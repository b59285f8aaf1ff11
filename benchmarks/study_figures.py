"""The figures that the study judges, each for a stack of maps of one network.

Maps lie over the network's input, in [0, 1]. Every function returns (N,) numbers, NaN where a
figure is undefined; `FIGURES` says which way each is better.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from effcam import Box, metrics
from effcam.metrics.complexity_rise import map_complexity
from effcam.metrics.confidence_change import masked
from effcam.metrics.perturbation import target_probabilities

if TYPE_CHECKING:
    from numpy.typing import NDArray

NOISES = 4
"""The number of noisy inputs of the maximum sensitivity."""

Values: TypeAlias = "NDArray[np.float64]"
Predict: TypeAlias = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Asked:
    """What a network is asked, and maps that answer it.

    Attributes:
        predict: Returns the (n, classes) probabilities of inputs.
        images: (N, 3, height, width), the network's inputs.
        heats: (N, height, width) float32 in [0, 1], NaN for a map without evidence.
        targets: (N,) the classes explained.
        masks: (N, height, width) bool, where the annotated object is.
        boxes: Its box in each image, px of the input.
        explain: Returns the maps of other inputs for some targets, or ``None`` for maps that no
            method made.
        explain_shuffled: The same after the network's weights were shuffled.
    """

    predict: Predict
    images: Tensor
    heats: Tensor
    targets: list[int]
    masks: NDArray[np.bool]
    boxes: list[Box]
    explain: Callable[[Tensor, list[int]], Tensor] | None = None
    explain_shuffled: Callable[[Tensor, list[int]], Tensor] | None = None


@dataclass(frozen=True)
class Figure:
    """A figure of the study.

    Attributes:
        name: As tables show it.
        family: What it asks for: focus, annotation, model, stability.
        sign: 1 if more is better, -1 if less is.
        measure: Returns it for each image.
    """

    name: str
    family: str
    sign: int
    measure: Callable[[Asked], Values]


def _each(function: Callable[..., object], **truth: str) -> Callable[[Asked], Values]:
    """Return a measure that applies a function of one map to each image, with its annotation."""

    def measure(asked: Asked) -> Values:
        annotation = {
            "box": [{"boxes": [box]} for box in asked.boxes],
            "mask": [{"mask": mask} for mask in asked.masks],
            "": [{} for _ in asked.boxes],
        }[truth.get("by", "")]
        return np.array(
            [
                float(np.asarray(function(heat, **own)))
                for heat, own in zip(asked.heats.numpy(), annotation, strict=True)
            ]
        )

    return measure


def _pixel_precision(asked: Asked) -> Values:
    pairs = zip(asked.heats.numpy(), asked.masks, strict=True)
    return np.array([metrics.pixel_average_precision([heat], [mask]) for heat, mask in pairs])


def _confidence(
    function: Callable[[Values, Values], Values],
) -> Callable[[Asked], Values]:
    def measure(asked: Asked) -> Values:
        targets = torch.tensor(asked.targets)
        before = target_probabilities(asked.predict, asked.images, targets).numpy()
        changed = masked(asked.images, asked.heats)
        return function(before, target_probabilities(asked.predict, changed, targets).numpy())

    return measure


def _perturbed(function: Callable[..., Values]) -> Callable[[Asked], Values]:
    return lambda asked: function(asked.predict, asked.images, asked.heats, asked.targets)


def _stable(function: Callable[..., Values]) -> Callable[[Asked], Values]:
    def measure(asked: Asked) -> Values:
        explain = asked.explain
        if explain is None:
            return np.full(len(asked.heats), np.nan)
        return function(lambda images: explain(images, asked.targets), asked.images)

    return measure


def _arcc(asked: Asked) -> Values:
    explain, targets = asked.explain, asked.targets
    if explain is None:
        return np.full(len(asked.heats), np.nan)
    return metrics.arcc(
        asked.predict, lambda images: explain(images, targets), asked.images, asked.heats, targets
    )


def _after_shuffling(asked: Asked) -> Values:
    """Return how like a map is to that of the network with shuffled weights, in absolute terms."""
    after = _shuffled(asked)
    if after is None:
        return np.full(len(asked.heats), np.nan)
    return np.abs(metrics.spearman(asked.heats.numpy(), after))


def _complexity_rise(asked: Asked) -> Values:
    """Return by how much more complex a map gets as weights are shuffled, as in efficient MPRT."""
    after = _shuffled(asked)
    if after is None:
        return np.full(len(asked.heats), np.nan)
    size = asked.heats.shape[1], asked.heats.shape[2]
    before, changed = (map_complexity(maps, size) for maps in (asked.heats.numpy(), after))
    return (changed - before) / before


def _shuffled(asked: Asked) -> NDArray[np.float32] | None:
    if asked.explain_shuffled is None:
        return None
    return np.asarray(asked.explain_shuffled(asked.images, asked.targets).numpy())


FIGURES: Mapping[str, Figure] = MappingProxyType(
    {
        each.name: each
        for each in (
            Figure("effective area", "focus", -1, _each(metrics.effective_area)),
            Figure("half-mass area", "focus", -1, _each(metrics.half_mass_area)),
            Figure("Gini index", "focus", 1, _each(metrics.gini)),
            Figure("pointing game", "annotation", 1, _each(metrics.pointing_game, by="box")),
            Figure(
                "energy in the box", "annotation", 1, _each(metrics.energy_pointing_game, by="box")
            ),
            Figure(
                "energy on the mask",
                "annotation",
                1,
                _each(metrics.energy_pointing_game, by="mask"),
            ),
            Figure("mass-area ratio", "annotation", 1, _each(metrics.mass_area_ratio, by="box")),
            Figure(
                "relevance rank accuracy",
                "annotation",
                1,
                _each(metrics.relevance_rank_accuracy, by="mask"),
            ),
            Figure("pixel average precision", "annotation", 1, _pixel_precision),
            Figure("average drop", "model", -1, _confidence(metrics.average_drop)),
            Figure(
                "increase in confidence", "model", 1, _confidence(metrics.increase_in_confidence)
            ),
            Figure("average gain", "model", 1, _confidence(metrics.average_gain)),
            Figure("insertion", "model", 1, _perturbed(metrics.insertion)),
            Figure("deletion", "model", -1, _perturbed(metrics.deletion)),
            Figure("ROAD", "model", 1, _perturbed(metrics.road)),
            Figure("single deletion", "model", 1, _perturbed(metrics.single_deletion)),
            Figure("SaCo", "model", 1, _perturbed(metrics.saco)),
            Figure("ARCC", "model", 1, _arcc),
            Figure("after shuffling", "stability", -1, _after_shuffling),
            Figure("efficient MPRT", "stability", 1, _complexity_rise),
            Figure(
                "max-sensitivity",
                "stability",
                -1,
                _stable(partial(metrics.max_sensitivity, samples=NOISES)),
            ),
            Figure("shift stability", "stability", 1, _stable(metrics.shift_stability)),
        )
    }
)
"""The figures by name."""


def measure_all(asked: Asked, names: list[str]) -> dict[str, Values]:
    """Return some figures of every image, NaN where its map has no evidence."""
    known = torch.isfinite(asked.heats).flatten(1).all(1).numpy()
    some = _only(asked, np.flatnonzero(known))
    found = {}
    for name in names:
        values = np.full(len(known), np.nan)
        if known.any():
            values[known] = FIGURES[name].measure(some)
        found[name] = values
    return found


def _only(asked: Asked, kept: NDArray[np.intp]) -> Asked:
    """Return some of the images, with their maps."""
    at = torch.from_numpy(kept)
    return Asked(
        asked.predict,
        asked.images[at],
        asked.heats[at],
        [asked.targets[each] for each in kept],
        asked.masks[kept],
        [asked.boxes[each] for each in kept],
        asked.explain,
        asked.explain_shuffled,
    )


def resized(planes: Tensor, size: tuple[int, int]) -> Tensor:
    """Return (N, h, w) maps at another size, without new extremes."""
    return functional.interpolate(planes[:, None], size=size, mode="bilinear", antialias=True)[:, 0]

"""What the study's measurements say of each figure, with 95 % intervals over networks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from study_figures import FIGURES
from study_heats import METHODS

from effcam.metrics import spearman
from effcam.metrics.intervals import share_interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

Array: TypeAlias = "NDArray[np.float64]"

RESAMPLES = 2_000
SHOWN = "gradcam"
"""The method whose maps compare networks."""
FEWEST = 3
"""The fewest networks or methods of a rank correlation."""


@dataclass(frozen=True)
class Measured:
    """A network and what was measured of it.

    Attributes:
        kind: The kind of its pictures.
        family: Its architecture.
        seed: The seed of its training.
        deleting: Whether patches were deleted in training.
        found: What `study_measure.measure_network` returned.
    """

    kind: str
    family: str
    seed: int
    deleting: bool
    found: Mapping[str, Any]

    def truth(self, truth: str, method: str) -> float:
        """Return the mean truth of a method's maps, NaN if no picture's truth is known.

        Args:
            truth: Which, of `study_truth.TRUTHS`.
            method: The method.
        """
        return mean(self.found[truth][method])

    def figure(self, name: str, method: str, view: str = "usual") -> float:
        """Return the mean of a figure, more being better, over the pictures that have it."""
        if view == "usual":
            values = self.found["figures"][method][name]
        else:
            values = self.found["views"][view].get(name, [])
        return FIGURES[name].sign * mean(values)


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval over networks, and their number."""

    value: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        """Return it as tables show it."""
        if not np.isfinite(self.value):
            return "-"
        return f"{self.value:z.2f} [{self.low:z.2f}, {self.high:z.2f}]"


def mean(values: Iterable[float | None]) -> float:
    """Return the mean of those that are known, NaN if none is."""
    known = [value for value in values if value is not None and np.isfinite(value)]
    return float(np.mean(known)) if known else np.nan


def across_methods(networks: Sequence[Measured], name: str, truth: str) -> Interval:
    """Return the mean over networks of a figure's rank correlation with the truth over methods."""
    found = []
    for each in networks:
        points = np.array(
            [(each.figure(name, one), each.truth(truth, one)) for one in METHODS], float
        )
        known = points[np.isfinite(points).all(1)]
        found.append(_correlation(known) if len(known) >= FEWEST else np.nan)
    return over_networks(found)


def across_networks(networks: Sequence[Measured], name: str, truth: str) -> Interval:
    """Return the mean over kinds of a figure's rank correlation with the truth over networks."""
    return _over_kinds([_points(own, name, truth) for own in by_kind(networks).values()])


def across_seeds(networks: Sequence[Measured], name: str, truth: str) -> Interval:
    """Return that correlation over networks that differ by the seed of their training alone.

    The mean of each group of such networks is taken away from their figures and truths.
    """
    found = []
    for own in by_kind(networks).values():
        groups = group(own, lambda each: (each.kind, each.family, each.deleting)).values()
        known = [points for each in groups if len(points := _points(each, name, truth)) > 1]
        if known:
            found.append(np.concatenate([points - points.mean(0) for points in known]))
    return _over_kinds(found)


def sees_shortcut(networks: Sequence[Measured], name: str) -> Interval:
    """Return the share of the pairs in which the shortcut learner has the worse figure."""
    pairs = _pairs_of_shortcuts(networks, lambda each: each.figure(name, SHOWN))
    known = np.array([value for value in pairs if np.isfinite(value)])
    if len(known) < FEWEST:
        return Interval(np.nan, np.nan, np.nan, len(known))
    # Resampling would give no interval at all where all pairs agree.
    low, high = share_interval(np.array([known.sum()]), np.array([len(known)]))
    return Interval(float(known.mean()), float(low[0]), float(high[0]), len(known))


def prefers(networks: Sequence[Measured], name: str, baseline: str) -> Interval:
    """Return the share of the pictures in which a map that knows nothing has the better figure."""
    sign, found = FIGURES[name].sign, []
    for each in networks:
        own, other = (each.found["figures"][one][name] for one in (SHOWN, baseline))
        pairs = [
            (sign * float(b) > sign * float(a)) + 0.5 * (a == b)
            for a, b in zip(own, other, strict=True)
            if a is not None and b is not None
        ]
        found.append(float(np.mean(pairs)) if pairs else np.nan)
    return over_networks(found)


def flips(networks: Sequence[Measured], name: str, view: str) -> Interval:
    """Return the share of the pairs of networks whose order changes as one is viewed otherwise.

    Pairs are networks of different families, else alike; intervals are over groups of such.
    """
    groups = group(networks, lambda each: (each.kind, each.seed, each.deleting)).values()
    return over_networks([_flipped(own, name, view) for own in groups])


def _flipped(networks: Sequence[Measured], name: str, view: str) -> float:
    """Return the share of the pairs of networks whose order changes, NaN if there is none."""
    usual, changed = (
        np.array([each.figure(name, SHOWN, of) for each in networks]) for of in ("usual", view)
    )
    found = [
        (usual[one] - usual[other]) * (changed[one] - usual[other]) < 0
        for one, other in permutations(range(len(networks)), 2)
        if np.isfinite([usual[one], usual[other], changed[one]]).all()
        and usual[one] != usual[other]
    ]
    return float(np.mean(found)) if found else np.nan


def over_networks(values: Sequence[float]) -> Interval:
    """Return the mean of those that are known, and its interval by resampling them."""
    known = np.array([value for value in values if np.isfinite(value)])
    if len(known) < FEWEST:
        return Interval(np.nan, np.nan, np.nan, len(known))
    random = np.random.default_rng(0)
    means = known[random.integers(0, len(known), (RESAMPLES, len(known)))].mean(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return Interval(float(known.mean()), float(low), float(high), len(known))


def by_kind(networks: Sequence[Measured]) -> dict[object, list[Measured]]:
    """Return the networks that see the same pictures, shortcut learners beside clean ones."""
    return group(networks, lambda each: "clean" if each.kind == "shortcut" else each.kind)


def group(
    networks: Sequence[Measured], key: Callable[[Measured], object]
) -> dict[object, list[Measured]]:
    """Return the networks by what a function returns for them."""
    found: dict[object, list[Measured]] = {}
    for each in networks:
        found.setdefault(key(each), []).append(each)
    return found


def _points(networks: Sequence[Measured], name: str, truth: str) -> Array:
    """Return (n, 2) the figure and the truth of those networks for which both are known."""
    points = np.array(
        [(each.figure(name, SHOWN), each.truth(truth, SHOWN)) for each in networks], float
    )
    return np.asarray(points[np.isfinite(points).all(1)].reshape(-1, 2))


def _over_kinds(kinds: Sequence[Array]) -> Interval:
    """Return the mean rank correlation of some kinds' points, by resampling those of each."""
    known = [points for points in kinds if len(points) >= FEWEST]
    if not known:
        return Interval(np.nan, np.nan, np.nan, 0)
    random = np.random.default_rng(0)
    means = [
        np.nanmean([_correlation(own[random.integers(0, len(own), len(own))]) for own in known])
        for _ in range(RESAMPLES)
    ]
    low, high = np.nanquantile(means, (0.025, 0.975))
    value = float(np.nanmean([_correlation(own) for own in known]))
    return Interval(value, float(low), float(high), sum(map(len, known)))


def _correlation(points: Array) -> float:
    """Return the rank correlation of (n, 2) points, 0 where one side is constant."""
    return float(np.nan_to_num(spearman(points[None, :, 0], points[None, :, 1])))


def _pairs_of_shortcuts(
    networks: Sequence[Measured], figure: Callable[[Measured], float]
) -> list[float]:
    """Return, for each pair, 1 if the clean network's figure is better, 0 if worse, else 0.5."""
    groups = group(
        [each for each in networks if each.kind in ("clean", "shortcut")],
        lambda each: (each.family, each.seed, each.deleting),
    )
    found = []
    for own in groups.values():
        kinds = {each.kind: figure(each) for each in own}
        if len(kinds) == 2:
            clean, shortcut = kinds["clean"], kinds["shortcut"]
            known = np.isfinite(clean) and np.isfinite(shortcut)
            found.append(float(np.sign(clean - shortcut) / 2 + 0.5) if known else np.nan)
    return found

"""All that the study says of each figure, computed when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from study_analysis import (
    Interval,
    Measured,
    across_methods,
    across_networks,
    across_seeds,
    flips,
    prefers,
    sees_shortcut,
)
from study_figures import FIGURES
from study_heats import BASELINES
from study_measure import VIEWS
from study_truth import TRUTHS

Correlations: TypeAlias = dict[str, dict[str, Interval]]
"""By figure and truth."""


@dataclass(frozen=True)
class Board:
    """All networks that were measured, and the number of pictures of each."""

    networks: Sequence[Measured]
    images: int

    @cached_property
    def methods(self) -> Correlations:
        """Each figure's correlation with each truth across methods."""
        return self._correlations(across_methods)

    @cached_property
    def models(self) -> Correlations:
        """Each figure's correlation with each truth across networks."""
        return self._correlations(across_networks)

    @cached_property
    def seeds(self) -> Correlations:
        """Each figure's correlation with each truth across seeds."""
        return self._correlations(across_seeds)

    def _correlations(
        self, across: Callable[[Sequence[Measured], str, str], Interval]
    ) -> Correlations:
        return {
            name: {truth: across(self.networks, name, truth) for truth in TRUTHS}
            for name in FIGURES
        }

    @cached_property
    def shortcuts(self) -> dict[str, Interval]:
        """The share of pairs in which each figure is worse for the shortcut learner."""
        return {name: sees_shortcut(self.networks, name) for name in FIGURES}

    @cached_property
    def preferred(self) -> dict[str, dict[str, Interval]]:
        """By baseline, the share of pictures in which each figure prefers it."""
        return {
            baseline: {name: prefers(self.networks, name, baseline) for name in FIGURES}
            for baseline in BASELINES
        }

    @cached_property
    def flipped(self) -> dict[str, dict[str, Interval]]:
        """By change, the share of pairs of networks whose order it changes."""
        return {
            view.name: {name: flips(self.networks, name, view.name) for name in FIGURES}
            for view in VIEWS
        }

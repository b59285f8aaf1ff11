"""What a scoreboard says in words: of how many images it is, what is best, what marks mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from effcam.metrics.summary.records import ARROWS, Measure, baseline_names, positions
from effcam.text import count


def opening(images: int, used: int) -> str:
    """Return of how many images a scoreboard is."""
    counted = count(images, "image")
    if used == images:
        return f"{counted}."
    return f"{counted}; every figure but accuracy is of {used} of them."


def legend(measures: Sequence[Measure], mark: str) -> list[str]:
    """Return what the marks in the tables mean, each only where it occurs."""
    sides = {measure.figure.better for measure in measures}
    signs = [f"{arrow.strip()} {side} is better" for side, arrow in ARROWS.items() if side]
    parts = [sign for sign, side in zip(signs, ARROWS, strict=False) if side in sides]
    if any(np.isfinite(measure.low).any() for measure in measures):
        parts.append("[ ] 95 % interval")
    if baseline_names(measures):
        parts.append("( ) baseline")
    lines = ["; ".join(parts)] if parts else []
    return lines + _best_legend(measures, mark)


def _best_legend(measures: Sequence[Measure], mark: str) -> list[str]:
    ranked = [m for m in measures if m.figure.better and np.isfinite(m.values).sum() > 1]
    lines = []
    if any(measure.winners() for measure in ranked):
        lines.append(
            f"{mark} best, or not told apart from it: the 95 % interval of the difference "
            "contains zero"
        )
    if ranked and not all(measure.winners() for measure in ranked):
        lines.append(f"no {mark.rstrip(':')} under ↑ or ↓: no model is told apart from the best")
    return lines


def findings(measures: Sequence[Measure], labels: Sequence[str]) -> list[str]:
    """Return one sentence a figure: which column is best, and from which it is told apart.

    Figures without a better side or with fewer than two values have none.
    """
    return [
        _finding(measure, best, labels)
        for measure in measures
        if (best := measure.best()) is not None and np.isfinite(measure.values).sum() > 1
    ]


def _finding(measure: Measure, best: int, labels: Sequence[str]) -> str:
    """Return which column is best, and from which it is told apart, as one sentence."""
    figure = measure.figure
    side = "highest" if figure.better == "higher" else "lowest"
    what = f"the {side} {figure.title}, {figure.show(measure.values[best], unit=True)}"
    others = [i for i in positions(np.isfinite(measure.values)) if i != best]
    if not any(measure.compared(best, i) for i in others):
        return _exact_finding(measure, labels, what)
    apart = [i for i in others if measure.tells_apart(best, i)]
    if not apart:
        return f"{labels[best]} has {what}, but is told apart from none of the others."
    if len(apart) == len(labels) - 1 > 1:
        return f"{labels[best]} has {what}; it is told apart from all others."
    rest = [labels[i] for i in others if i not in apart]
    end = f", not from {_listed(rest, 'or')}" if rest else ""
    told = _listed([labels[i] for i in apart], "and")
    return f"{labels[best]} has {what}; it is told apart from {told}{end}."


def _exact_finding(measure: Measure, labels: Sequence[str], what: str) -> str:
    """Return which columns are best where no interval could tell them apart."""
    best = [labels[i] for i in measure.among_best()]
    verb = "has" if len(best) == 1 else "have"
    # What is of no images, as the number of parameters, is known and needs no interval.
    open_end = "; there are no intervals to tell columns apart by" if measure.counts.any() else ""
    return f"{_listed(best, 'and')} {verb} {what}{open_end}."


def _listed(names: Sequence[str], word: str) -> str:
    """Return names in a row: ``a``, ``a and b``, ``a, b and c``."""
    *start, last = names
    return f"{', '.join(start)} {word} {last}" if start else last

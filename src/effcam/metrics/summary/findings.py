"""The sentences of a summary: its images, its best columns, the meaning of marks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from effcam.metrics.summary.records import ARROWS, Measure, baseline_names, positions
from effcam.text import count


def opening(images: int, used: int, others: Sequence[str] = ("accuracy",)) -> str:
    """Return a sentence on the number of images.

    Args:
        images: The number of images.
        used: The number of images that most figures include.
        others: The figures that include all images.
    """
    counted = count(images, "image")
    if used == images:
        return f"{counted}."
    return f"{counted}; every figure but {_listed(others, 'and')} uses {used:,} of them."


def legend(measures: Sequence[Measure], mark: str) -> list[str]:
    """Return the meaning of the marks that occur in the tables."""
    sides = {measure.figure.better for measure in measures}
    signs = [f"{arrow.strip()} {side} is better" for side, arrow in ARROWS.items() if side]
    parts = [sign for sign, side in zip(signs, ARROWS, strict=False) if side in sides]
    spreads = {each.spread for each in measures if np.isfinite(each.low).any()}
    if "interval" in spreads:
        parts.append("[ ] 95 % interval")
    if "batches" in spreads:
        parts.append("[ ] of the time: the middle 80 % of batches")
    if baseline_names(measures):
        parts.append("( ) baseline")
    lines = ["; ".join(parts)] if parts else []
    return lines + _best_legend(measures, mark)


def _best_legend(measures: Sequence[Measure], mark: str) -> list[str]:
    tested = [m for m in measures if m.figure.better and m.figure.tested]
    ranked = [m for m in tested if np.isfinite(m.values).sum() > 1]
    lines = []
    if any(measure.winners() for measure in ranked):
        lines.append(
            f"{mark} best, or not significantly different from the best, at 5 % for all pairs of "
            "models in a figure (Holm); of 20 figures in which no model differs, one has false "
            "marks"
        )
    if ranked and not all(measure.winners() for measure in ranked):
        lines.append(
            f"no {mark.rstrip(':')} under ↑ or ↓: no model is known to differ from the best"
        )
    return lines


def findings(measures: Sequence[Measure], labels: Sequence[str]) -> list[str]:
    """Return one sentence per figure: the best column, and those significantly different from it.

    Figures without a better direction, with fewer than two values, or with one value for all
    columns of a model have none.
    """
    return [
        _finding(measure, best, labels)
        for measure in measures
        if (best := measure.best()) is not None
        and np.isfinite(measure.values).sum() > 1
        and (np.unique(measure.values).size > 1 or measure.figure.group != "model")
    ]


def _finding(measure: Measure, best: int, labels: Sequence[str]) -> str:
    figure = measure.figure
    side = "highest" if figure.better == "higher" else "lowest"
    what = f"the {side} {figure.title}, {figure.show(measure.values[best], unit=True)}"
    others = [i for i in positions(np.isfinite(measure.values)) if i != best]
    if not any(measure.compared(best, i) for i in others):
        return _exact_finding(measure, labels, what)
    apart = [labels[i] for i in others if measure.tells_apart(best, i)]
    compared = [labels[i] for i in others if measure.compared(best, i)]
    alike = [label for label in compared if label not in apart]
    unknown = [labels[i] for i in others if labels[i] not in compared]
    if measure.spread == "batches":
        return _time_finding(alike, unknown, labels[best], what)
    return f"{labels[best]} has {what}{_difference(apart, alike, unknown, len(labels))}."


def _difference(
    apart: Sequence[str], alike: Sequence[str], unknown: Sequence[str], columns: int
) -> str:
    """Return from which columns the best differs, from which not, and which it was not tested."""
    end = f"; there is no test against {_listed(unknown, 'and')}" if unknown else ""
    if not apart:
        others = _listed(alike, "and") if unknown else "the others"
        return f", but is not significantly different from {others}{end}"
    if len(apart) == columns - 1 > 1:
        return "; it is significantly different from all others"
    rest = f", not from {_listed(alike, 'or')}" if alike else ""
    return f"; it is significantly different from {_listed(apart, 'and')}{rest}{end}"


def _time_finding(overlapping: Sequence[str], unknown: Sequence[str], best: str, what: str) -> str:
    """Return the sentence of a figure that was measured for each batch."""
    end = f"; there is no range for {_listed(unknown, 'and')}" if unknown else ""
    if not overlapping:
        return f"{best} has {what}; no other range of batches overlaps with its own{end}."
    others = _listed(overlapping, "and")
    return f"{best} has {what}, but the range of batches of {others} overlaps{end}."


def _exact_finding(measure: Measure, labels: Sequence[str], what: str) -> str:
    """Return the sentence of a figure whose columns are not tested against the best."""
    best = [labels[i] for i in positions(measure.values == measure.values[measure.best()])]
    verb = "has" if len(best) == 1 else "have"
    # Counts of the model itself, such as its parameters, are exact and need no test.
    open_end = "; there is no test to compare columns" if measure.sampled else ""
    return f"{_listed(best, 'and')} {verb} {what}{open_end}."


def _listed(names: Sequence[str], word: str) -> str:
    """Return ``a``, ``a and b``, or ``a, b and c``."""
    *start, last = names
    return f"{', '.join(start)} {word} {last}" if start else last

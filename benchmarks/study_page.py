"""Write what the study says as a page: a table, five sentences, and two predictions, scored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from study_analysis import (
    Interval,
    Measured,
    across_methods,
    across_networks,
    across_seeds,
    flips,
    mean,
    over_networks,
    prefers,
    sees_shortcut,
)
from study_figures import FIGURES
from study_measure import BASELINES, LEAST_EFFECT, METHODS, SIDE, VIEWS

from effcam.demo.study_kinds import KINDS, PLANTED

# Written down before the networks were measured.
PREDICTIONS = (
    (
        "Single deletion follows the truth across networks that were trained with deleted patches "
        "with a rank correlation of at least .5, and deletion step by step with one below .3."
    ),
    (
        "At least one figure that knows the object's place gives the shortcut learner the worse "
        "value in 90 % of the pairs or more; none of the others does in more than 65 %."
    ),
)
MEASURED = {
    "average drop": "average_drop",
    "increase in confidence": "increase_in_confidence",
    "average gain": "average_gain",
    "insertion": "insertion",
    "deletion": "deletion",
    "ROAD": "road",
    "single deletion": "single_deletion",
    "SaCo": "saco",
}
"""The key of each figure that `effcam.metrics.faithfulness` measures image by image."""
STEPWISE, SINGLE = "deletion", "single deletion"

HEAD = """\
% Written by benchmarks/study.py from its measurements: do not edit.

# Which figure to trust for which question

effcam prints many figures of maps. On photos nobody knows which of them tells the truth, since
nobody knows what a network really uses. Here it is known: pictures are drawn, small networks are
trained on them, and a network is asked again with one part of the picture taken away
({meth}`effcam.demo.Scene.without`). The fall of its score is the *effect* of that part.

The **truth** of a map is the overlap of its heat with the effects: for each part the smaller of
its share of the heat and its share of the effects, summed, from 0 to 1. A figure can be trusted
for a question if it follows the truth where that question is asked: for the choice of a method,
across methods; for that of a model, across networks.
"""


@dataclass(frozen=True)
class Board:
    """All networks that were measured, and the number of pictures of each."""

    networks: Sequence[Measured]
    images: int

    @cached_property
    def methods(self) -> dict[str, Interval]:
        """Each figure's correlation with the truth across methods."""
        return {name: across_methods(self.networks, name) for name in FIGURES}

    @cached_property
    def models(self) -> dict[str, Interval]:
        """Each figure's correlation with the truth across networks."""
        return {name: across_networks(self.networks, name) for name in FIGURES}

    @cached_property
    def seeds(self) -> dict[str, Interval]:
        """Each figure's correlation with the truth across seeds."""
        return {name: across_seeds(self.networks, name) for name in FIGURES}

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


def page(networks: Sequence[Measured], images: int) -> str:
    """Return the page, in Markdown."""
    board = Board(networks, images)
    parts = [
        HEAD,
        "## Five sentences\n\n" + _numbered(sentences(board)),
        "## Correlation with the truth\n\n" + CORRELATIONS.format(count=len(METHODS)),
        _correlations(board),
        "## What each figure sees\n\n" + SEES,
        _seen(board),
        "## The scoreboard's figures\n\n" + _about_choice(board),
        "## Two predictions\n\nThey were written down before the networks were measured.\n\n"
        + _numbered(predictions(board)),
        "## The networks\n\n" + _about_networks(board),
        _network_table(board),
        LIMITS,
    ]
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


CORRELATIONS = """\
Spearman's rank correlation of each figure with the truth, more being better for every figure,
with 95 % intervals over networks. *Methods*: over {count} methods on one network, the mean of all
networks. *Networks*: over networks that see the same pictures, for Grad-CAM, the mean of the
kinds of pictures. *Seeds*: the same, over networks that differ by the seed of their training
alone."""

SEES = """\
*Shortcut*: the share of pairs of a shortcut learner and a clean network, else alike, in which the
figure is worse for the shortcut learner; 50 % is blind. *Random map*, *edges*, *centre*: the
share of pictures in which a map that knows nothing of the network has a better figure than
Grad-CAM's. *Grid*, *input size*, *padding*: the share of pairs of networks whose order changes if
one of them is looked at with a grid of half as many cells a side, an input 1.5 times as large, or
a grey border of a tenth of the picture; Grad-CAM. In %, with 95 % intervals over pairs or
networks."""

LIMITS = """\
## What this cannot say

- The networks are small, the pictures drawn, and parts are few and do not overlap. That a figure
  follows the truth here does not prove that it does so on photos; that it fails here is a reason
  not to trust it there.
- What a network uses in the ground is not measured, since the ground cannot be taken away.
- Truth counts heat by area: a map of coarse cells spills over the border of a part, and has a
  lower truth than one of fine cells. This is a property of the map, and counted as such.
- Intervals are over networks, not over kinds of pictures that were not tried."""


def sentences(board: Board) -> list[str]:
    """Return five sentences, each with its numbers."""
    blind = _of(lambda family: family != "annotation")
    place = _of(lambda family: family == "annotation")
    best, worst = _ends(board.methods, blind)
    first, last = _ends(board.models, blind)
    sharpest, _ = _ends(board.shortcuts, place)
    others, _ = _ends(board.shortcuts, blind)
    fooled, _ = _ends(board.preferred["edges"], _of(lambda family: family != "stability"))
    sums = {
        name: over_networks([board.flipped[view.name][name].value for view in VIEWS])
        for name in FIGURES
    }
    shaky, steady = _ends(sums, _of(lambda family: family != "stability"))
    method, model, seen = board.methods, board.models, board.shortcuts
    edges = _percent(board.preferred["edges"][fooled])
    most, least = (f"{100 * sums[name].value:.0f} %" for name in (shaky, steady))
    return [
        (
            f"**Which method?** Without annotations, {best} follows the truth across methods most "
            f"closely ({method[best]}), {worst} least ({method[worst]})."
        ),
        (
            f"**Which model?** Without annotations, {first} follows the truth across networks most "
            f"closely ({model[first]}), {last} least ({model[last]}); {STEPWISE} step by step has "
            f"{model[STEPWISE]}, {SINGLE} {model[SINGLE]}."
        ),
        (
            f"**Does it use a shortcut?** {_upper(sharpest)} is worse for the shortcut learner in "
            f"{_percent(seen[sharpest])} of the pairs; of the figures without annotations, "
            f"{others} comes closest, with {_percent(seen[others])}."
        ),
        (
            f"**Can it be fooled?** {_upper(fooled)} prefers the picture's edges to Grad-CAM's map "
            f"in {edges} of the pictures."
        ),
        (
            "**Does it depend on the settings?** A coarser grid, a larger input or a border "
            f"changes the order of two networks by {shaky} in {most} of the pairs, and by {steady} "
            f"in {least}."
        ),
    ]


def predictions(board: Board) -> list[str]:
    """Return the predictions, each with what was found and whether it held."""
    deleting = [each for each in board.networks if each.deleting]
    single, stepwise = (across_networks(deleting, name) for name in (SINGLE, STEPWISE))
    place, blind = (
        _highest(board.shortcuts[name].value for name in FIGURES if _of_place(name) == wanted)
        for wanted in (True, False)
    )
    known = np.isfinite([single.value, stepwise.value]).all(), np.isfinite([place, blind]).all()
    held = single.value >= 0.5 and stepwise.value < 0.3, place >= 0.9 and blind <= 0.65
    found = f"{single} and {stepwise}", f"{100 * place:.0f} % and {100 * blind:.0f} %"
    return [_scored(*each) for each in zip(PREDICTIONS, known, held, found, strict=True)]


def _scored(prediction: str, known: bool, held: bool, found: str) -> str:
    if not known:
        return f"{prediction} **Not measured.**"
    return f"{prediction} **{'Held' if held else 'Did not hold'}.** Found: {found}."


def _highest(values: Iterable[float]) -> float:
    """Return the highest of those that are known, NaN if none is."""
    return max((value for value in values if np.isfinite(value)), default=np.nan)


def _of_place(name: str) -> bool:
    return FIGURES[name].family == "annotation"


def chosen(board: Board) -> list[str]:
    """Return the keys of the figures that `faithfulness` should measure by default."""
    return [
        key
        for name, key in MEASURED.items()
        if board.methods[name].low > 0 and board.preferred["random map"][name].high < 0.5
    ]


def _about_choice(board: Board) -> str:
    keys = chosen(board)
    others = [key for key in MEASURED.values() if key not in keys]
    return (
        "{func}`effcam.metrics.faithfulness` measures by default the figures that follow the truth "
        "across methods (the whole interval is above 0) and prefer Grad-CAM's map to a random one "
        "(the whole interval is below 50 %): "
        f"{_codes(keys)}. The others are measured when asked for: {_codes(others)}. "
        "`randomisation` and `grid_pointing_game` ask something else, and are measured too."
    )


def _codes(keys: Sequence[str]) -> str:
    return ", ".join(f"`{key}`" for key in keys) or "none"


def _numbered(texts: Sequence[str]) -> str:
    return "\n".join(f"{at}. {text}" for at, text in enumerate(texts, 1))


def _of(wanted: Callable[[str], bool]) -> list[str]:
    return [name for name, figure in FIGURES.items() if wanted(figure.family)]


def _ends(values: dict[str, Interval], names: Iterable[str]) -> tuple[str, str]:
    """Return the figures of the highest and of the lowest value."""
    known = [name for name in names if np.isfinite(values[name].value)]
    if not known:
        return (next(iter(names)),) * 2
    return (
        max(known, key=lambda name: values[name].value),
        min(known, key=lambda name: values[name].value),
    )


def _upper(name: str) -> str:
    return name[0].upper() + name[1:]


def _percent(found: Interval) -> str:
    if not np.isfinite(found.value):
        return "-"
    return f"{100 * found.value:.0f} % [{100 * found.low:.0f}, {100 * found.high:.0f}]"


def _correlations(board: Board) -> str:
    columns = board.methods, board.models, board.seeds
    rows = [
        (figure.family, name, *(str(each[name]) for each in columns))
        for name, figure in FIGURES.items()
    ]
    return _table(("kind", "figure", "methods", "networks", "seeds"), rows)


def _seen(board: Board) -> str:
    columns = [board.shortcuts, *board.preferred.values(), *board.flipped.values()]
    rows = [
        (name, *(_percent(each[name]).replace(" %", "") for each in columns)) for name in FIGURES
    ]
    return _table(("figure", "shortcut", *board.preferred, *board.flipped), rows)


def _about_networks(board: Board) -> str:
    known = [
        np.mean([value is not None for value in each.found["truth"]["random map"]])
        for each in board.networks
    ]
    return (
        f"{len(board.networks)} networks of five families, {board.images} pictures of {SIDE} px "
        f"for each. A shortcut learner is trained on pictures whose mark tells the class in "
        f"{100 * PLANTED:.0f} % of them, and measured where it says nothing. The truth is known "
        f"where a part has an effect of at least {LEAST_EFFECT:.0f} nat: in "
        f"{100 * float(np.mean(known)):.0f} % of the pictures. Right: the share of the pictures "
        f"whose class is found. Effects: the mean share of each part."
    )


def _network_table(board: Board) -> str:
    rows = []
    for kind in KINDS:
        for deleting in (False, True):
            own = [e for e in board.networks if e.kind == kind and e.deleting == deleting]
            if own:
                right = mean(each.found["accuracy"] for each in own)
                truth = mean(each.truth("gradcam") for each in own)
                rows.append(
                    (
                        kind.replace("_", " "),
                        "yes" if deleting else "no",
                        str(len(own)),
                        f"{100 * right:.0f} %",
                        _shares(own),
                        f"{truth:.2f}",
                    )
                )
    columns = ("pictures", "patches deleted", "networks", "right", "effects", "truth of Grad-CAM")
    return _table(columns, rows)


def _shares(networks: Sequence[Measured]) -> str:
    """Return the mean share of each part in the effects, over networks and pictures."""
    names = list(networks[0].found["effects"])
    effects = np.array(
        [[each.found["effects"][name] for name in names] for each in networks], float
    ).clip(0)
    totals = effects.sum(1, keepdims=True)
    shares = np.where(totals >= LEAST_EFFECT, effects / np.maximum(totals, 1e-9), np.nan)
    return ", ".join(
        f"{name} {100 * value:.0f} %"
        for name, value in zip(names, np.nanmean(shares, (0, 2)), strict=True)
    )


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)

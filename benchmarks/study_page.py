"""Write what the study says as a page: a table, five sentences, and two predictions, scored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from study_analysis import Interval, Measured, across_networks, mean
from study_board import Board, Correlations
from study_figures import FIGURES
from study_heats import METHODS
from study_measure import VIEWS
from study_subject import SIDE
from study_truth import LEAST_EFFECT, TRUTHS

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
CHOSEN = 3
"""How many of them are measured by default: each costs ten to thirty passes an image."""
STEPWISE, SINGLE = "deletion", "single deletion"

HEAD = """\
% Written by benchmarks/study.py from its measurements: do not edit.

# Which figure to trust for which question

effcam prints many figures of maps. On photos nobody knows which of them tells the truth, since
nobody knows what a network really uses. Here it is known: pictures are drawn, small networks
are trained on them, and a network is asked again with one part of the picture taken away
({meth}`effcam.demo.Scene.without`). The fall of its score is the *effect* of that part.

The truth of a map is measured in two ways, both from 0 to 1:

- Its **overlap** with the effects: for each part the smaller of its share of the heat and its
  share of the effects, summed. Heat that is spread has a low one.
- Its **order**: the probability that a pixel of a part is hotter than one of the rest of the
  picture, the mean over the parts, weighted by their effects. It ignores how heat is spread.

A figure can be trusted for a question if it follows both truths where that question is asked:
across methods for the choice of a method, across networks for that of a model.
"""


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
Spearman's rank correlation of each figure with both truths, overlap and order, more being
better for every figure, with 95 % intervals over networks. *Methods*: over {count} methods on
one network, the mean of all networks. *Networks*: over networks that see the same pictures, for
Grad-CAM, the mean of the kinds of pictures. *Seeds*: the same, over networks that differ by the
seed of their training alone."""

SEES = """\
*Shortcut*: the share of pairs of a shortcut learner and a clean network, else alike, in which
the figure is worse for the shortcut learner; 50 % is blind. *Random map*, *edges*, *centre*:
the share of pictures in which a map that knows nothing of the network has a better figure than
Grad-CAM's. *Grid*, *input size*, *padding*: the share of pairs of networks whose order changes
if one of them is looked at with a grid of half as many cells a side, an input 1.5 times as
large, or a grey border of a tenth of the picture; Grad-CAM. In %, with 95 % intervals over
pairs or networks."""

LIMITS = """\
## What this cannot say

- The networks are small, the pictures drawn, and parts are few and do not overlap. That a figure
  follows the truth here does not prove that it does so on photos; that it fails here is a reason
  not to trust it there.
- What a network uses in the ground is not measured, since the ground cannot be taken away.
- Both truths count heat by area: coarse cells spill over the border of a part. This is a property
  of the map, and counted as such.
- Intervals are over networks, not over kinds of pictures that were not tried.
- The order was added after a look at the first 57 networks, where figures of focus followed the
  overlap closely: it punishes heat that is spread, as they do. The rule for the scoreboard's
  figures is later than that, too. The predictions are earlier."""


def sentences(board: Board) -> list[str]:
    """Return five sentences, each with its numbers."""
    blind = _of(lambda family: family != "annotation")
    place = _of(lambda family: family == "annotation")
    unstable = _of(lambda family: family != "stability")
    method, model, seen = board.methods, board.models, board.shortcuts
    best, worst = _ends(_lower(method), blind)
    first, last = _ends(_lower(model), blind)
    sharpest, _ = _ends(_values(seen), place)
    others, _ = _ends(_values(seen), blind)
    fooled, _ = _ends(_values(board.preferred["edges"]), unstable)
    sums = {
        name: float(np.mean([board.flipped[view.name][name].value for view in VIEWS]))
        for name in FIGURES
    }
    shaky, steady = _ends(sums, unstable)
    edges = _percent(board.preferred["edges"][fooled])
    most, least = (f"{100 * sums[name]:.0f} %" for name in (shaky, steady))
    return [
        (
            f"**Which method?** Without annotations, {best} follows both truths across methods "
            f"most closely ({_both(method[best])}), {worst} least ({_both(method[worst])})."
        ),
        (
            f"**Which model?** Without annotations, {first} follows both truths across networks "
            f"most closely ({_both(model[first])}), {last} least ({_both(model[last])}); "
            f"{STEPWISE} step by step has {_both(model[STEPWISE])}, "
            f"{SINGLE} {_both(model[SINGLE])}."
        ),
        (
            f"**Does it use a shortcut?** By {sharpest}, the shortcut learner is worse in "
            f"{_percent(seen[sharpest])} of the pairs; of the figures without annotations, "
            f"{others} comes closest, with {_percent(seen[others])}."
        ),
        (
            f"**Can it be fooled?** By {fooled}, the picture's edges are better than Grad-CAM's "
            f"map in {edges} of the pictures."
        ),
        (
            "**Does it depend on the settings?** A coarser grid, a larger input or a border "
            f"changes the order of two networks by {shaky} in {most} of the pairs, and by {steady} "
            f"in {least}."
        ),
    ]


def predictions(board: Board) -> list[str]:
    """Return the predictions, each with what was found and whether it held under both truths."""
    deleting = [each for each in board.networks if each.deleting]
    single, stepwise = (
        {truth: across_networks(deleting, name, truth) for truth in TRUTHS}
        for name in (SINGLE, STEPWISE)
    )
    place, blind = (
        _highest(board.shortcuts[name].value for name in FIGURES if _of_place(name) == wanted)
        for wanted in (True, False)
    )
    values = [each.value for each in (*single.values(), *stepwise.values())]
    known = np.isfinite(values).all(), np.isfinite([place, blind]).all()
    held = (
        all(each.value >= 0.5 for each in single.values())
        and all(each.value < 0.3 for each in stepwise.values()),
        place >= 0.9 and blind <= 0.65,
    )
    found = (
        f"{_both(single)}, and {_both(stepwise)}",
        f"{100 * place:.0f} % and {100 * blind:.0f} %",
    )
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
    followed = _lower(board.methods)
    fit = [
        name
        for name in MEASURED
        if min(each.low for each in board.methods[name].values()) > 0
        and board.preferred["random map"][name].high < 0.5
    ]
    best = sorted(fit, key=lambda name: followed[name], reverse=True)[:CHOSEN]
    return [MEASURED[name] for name in MEASURED if name in best]


def _about_choice(board: Board) -> str:
    keys = chosen(board)
    others = [key for key in MEASURED.values() if key not in keys]
    return (
        f"By default {{func}}`effcam.metrics.faithfulness` measures the {CHOSEN} figures that "
        "follow both truths across methods most closely, of those whose intervals are above 0 and "
        "that prefer Grad-CAM's map to a random one (the whole interval is below 50 %): "
        f"{_codes(keys)}. The others are measured when asked for: {_codes(others)}. "
        "`randomisation` and `grid_pointing_game` ask something else, and are measured too."
    )


def _codes(keys: Sequence[str]) -> str:
    return ", ".join(f"`{key}`" for key in keys) or "none"


def _numbered(texts: Sequence[str]) -> str:
    return "\n".join(f"{at}. {text}" for at, text in enumerate(texts, 1))


def _of(wanted: Callable[[str], bool]) -> list[str]:
    return [name for name, figure in FIGURES.items() if wanted(figure.family)]


def _ends(values: Mapping[str, float], names: Iterable[str]) -> tuple[str, str]:
    """Return the figures of the highest and of the lowest value."""
    names = list(names)
    known = [name for name in names if np.isfinite(values[name])] or names[:1]
    return max(known, key=lambda name: values[name]), min(known, key=lambda name: values[name])


def _values(found: Mapping[str, Interval]) -> dict[str, float]:
    return {name: each.value for name, each in found.items()}


def _lower(found: Correlations) -> dict[str, float]:
    """Return the lower of each figure's correlations with the two truths."""
    return {name: min(each.value for each in own.values()) for name, own in found.items()}


def _both(found: Mapping[str, Interval]) -> str:
    return ", ".join(f"{truth} {each}" for truth, each in found.items())


def _percent(found: Interval) -> str:
    if not np.isfinite(found.value):
        return "-"
    return f"{100 * found.value:.0f} % [{100 * found.low:.0f}, {100 * found.high:.0f}]"


def _correlations(board: Board) -> str:
    groups = {"methods": board.methods, "networks": board.models, "seeds": board.seeds}
    rows = [
        (name, *(str(found[name][truth]) for found in groups.values() for truth in TRUTHS))
        for name in FIGURES
    ]
    columns = [f"{group}, {truth}" for group in groups for truth in TRUTHS]
    return _table(("figure", *columns), rows)


def _seen(board: Board) -> str:
    columns = [board.shortcuts, *board.preferred.values(), *board.flipped.values()]
    rows = [
        (name, *(_percent(each[name]).replace(" %", "") for each in columns)) for name in FIGURES
    ]
    return _table(("figure", "shortcut", *board.preferred, *board.flipped), rows)


def _about_networks(board: Board) -> str:
    known = [
        np.mean([value is not None for value in each.found["overlap"]["random map"]])
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
                truths = [mean(each.truth(name, "gradcam") for each in own) for name in TRUTHS]
                rows.append(
                    (
                        kind.replace("_", "-"),
                        "yes" if deleting else "no",
                        str(len(own)),
                        f"{100 * right:.0f} %",
                        _shares(own),
                        *(f"{truth:.2f}" for truth in truths),
                    )
                )
    columns = ["pictures", "patches deleted", "networks", "right", "effects"]
    columns += [f"Grad-CAM's {truth}" for truth in TRUTHS]
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

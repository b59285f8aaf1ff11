"""The page of `method_scoreboard.py`: a table for each figure, and what the tables say.

Every number of the page is computed here from what was measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import measure
import numpy as np

import effcam
from effcam import Summary
from effcam.types import Measure

LOCALISATION = ("pointing_game", "energy_pointing_game", "pixel_average_precision")
FAITHFULNESS = ("average_drop", "insertion", "road", "randomisation")
FIGURES = (*LOCALISATION, *FAITHFULNESS)
WIDTH = 100
BASELINE, RANDOM, REFINED = "gradcam", "randomcam", "refinecam"
HALF, LEVEL = 0.5, 0.05
NAMED = 3
"""How many of the best and of the worst methods a sentence names."""
INTRODUCTION = """\
% Written by benchmarks/method_scoreboard.py: do not edit.

# All methods on {networks}

Is the heat of a method on the object, and does the prediction depend on what the method shows?
Every method that a network allows explains the class that the network predicts, on images that all
networks of a table classify correctly. All see the whole image.
"""
CAUTIONS = (
    "Methods that are good at finding objects need not show what a network uses.",
    (
        "Insertion, ROAD and the average drop cover or remove pixels. This favours methods that do "
        "so themselves, as `occlusion`, `rise` and `scorecam`, and covered images are unlike any "
        "that the networks were trained on."
    ),
    "[](scoreboard.md) says where the photos and the five networks that see them are from.",
    "`refinecam` multiplies the maps of the last layers of each network's three coarsest grids.",
)
LEGEND = """\
[](../metrics.md) defines the figures; ↑ and ↓ show which direction is better. In brackets are 95 %
intervals. A row in italics is a map that does not depend on the image. `randomcam` weighs the
channels of the target layer at random.
"""


@dataclass(frozen=True, slots=True)
class Board:
    """The figures of all methods on one model; the summary's columns are methods.

    Attributes:
        model: The model's name.
        images: What the images are.
        summary: The figures.
        refused: By method, why it has no map of this model.
    """

    model: str
    images: str
    summary: Summary
    refused: Mapping[str, str]

    def find(self, key: str) -> Measure | None:
        """Return a figure's measure."""
        return next((each for each in self.summary.measures if each.figure.key == key), None)

    def values(self, key: str) -> dict[str, float]:
        """Return a figure's value of each method that has one."""
        found = self.find(key)
        pairs = () if found is None else zip(self.summary.columns, found.values, strict=True)
        return {method: float(value) for method, value in pairs if not np.isnan(value)}


def page(boards: Sequence[Board], settings: Mapping[str, Mapping[str, int]]) -> str:
    """Return the page in Markdown."""
    kinds = list(dict.fromkeys(board.images for board in boards))
    parts = [_head(boards, settings), "## What the figures say\n"]
    parts += ["".join(f"- {_wrapped(line)}\n" for line in sentences(boards))]
    for key in FIGURES:
        shown = [
            (kind, [each for each in boards if each.images == kind and each.find(key) is not None])
            for kind in kinds
        ]
        measures = [found for _, some in shown for each in some if (found := each.find(key))]
        if not measures:
            continue
        parts.append(f"## {_capital(measures[0].figure.heading)}\n")
        for kind, some in shown:
            if some:
                parts.append(f"On {kind}:\n\n{_table(some, key)}")
    return "\n".join(parts)


def _head(boards: Sequence[Board], settings: Mapping[str, Mapping[str, int]]) -> str:
    """Return what was measured, on what, and what to keep in mind."""
    seen: dict[tuple[int, str], list[str]] = {}
    for board in boards:
        seen.setdefault((board.summary.used, board.images), []).append(board.model)
    chosen = [
        f"`{method}` with {_options(options)}"
        for method, options in settings.items()
        if any(method in board.summary.columns for board in boards)
    ]
    cautions = [
        _of_marks(boards),
        *CAUTIONS,
        (
            "Perturbation methods ran with fewer samples or channels than they take by themselves, "
            f"since they would take hours otherwise: {', '.join(chosen)}. With their own numbers "
            "they may do better."
        ),
        _refused(boards),
    ]
    return "\n".join(
        [
            INTRODUCTION.format(networks=_networks(len(boards))),
            *(
                f"- {_wrapped(f'{count} {what}: {_names(models)}')}"
                for (count, what), models in seen.items()
            ),
            "\n**Read with care.**\n",
            *(f"- {_wrapped(each)}" for each in cautions),
            f"\n{LEGEND}",
        ]
    )


def _of_marks(boards: Sequence[Board]) -> str:
    """Return what bold figures mean, and where there can be none."""
    fewest = min(board.summary.used for board in boards)
    pairs = max(len(board.summary.columns) * (len(board.summary.columns) - 1) for board in boards)
    text = (
        "These are few images, so the intervals are wide, and the order of methods whose intervals "
        "overlap means little. A bold figure is the best of its column or does not differ "
        "significantly from it, corrected for all pairs of methods; where nothing is bold, no "
        "method is significantly worse than the best, or the methods' grids differ, so that they "
        "are not tested."
    )
    # The sign-flip test's smallest p-value, times the number of pairs.
    if 2 / 2**fewest * pairs / 2 > LEVEL:
        text += (
            f" With {fewest} images and {pairs // 2} pairs no difference can be significant: "
            "sentences below that compare two methods go by the interval of that pair alone."
        )
    return text


def _refused(boards: Sequence[Board]) -> str:
    """Return which methods have no map of which models."""
    where: dict[str, list[str]] = {}
    for board in boards:
        for method in board.refused:
            where.setdefault(method, []).append(board.model)
    never = [method for method, models in where.items() if len(models) == len(boards)]
    parts = []
    if never:
        parts.append(f"No network here has attention, which {_names(never)} read.")
    parts += [
        f"`{method}` is refused on {_names(models)}."
        for method, models in where.items()
        if method not in never
    ]
    return " ".join(parts) or "Every method has a map of every network."


def sentences(boards: Sequence[Board]) -> list[str]:
    """Return what the figures say, each sentence with its numbers."""
    found = [line for key in FIGURES for line in _extremes(boards, key)]
    found += _of_refined(boards)
    found += [line for key in ("average_drop", "road") for line in _like_random(boards, key)]
    found += [line for key in LOCALISATION for line in _above_centre(boards, key)]
    return found + _unchanged(boards)


def _extremes(boards: Sequence[Board], key: str) -> list[str]:
    """Return a figure's best and worst methods by their median over models, by kind of images."""
    lines = []
    for kind in dict.fromkeys(board.images for board in boards):
        measured = [each for each in boards if each.images == kind and each.find(key) is not None]
        medians = _medians(measured, key)
        if not measured or not medians:
            continue
        figure = measured[0].summary.measure(key).figure
        order = sorted(medians, key=medians.__getitem__, reverse=figure.better == "higher")
        shown = [f"`{name}` ({figure.show(medians[name], unit=True)})" for name in order]
        value = figure.show(medians[order[0]], unit=True)
        first = [name for name in order if figure.show(medians[name], unit=True) == value]
        best = f"best are {', '.join(shown[:NAMED])}"
        if len(first) > NAMED:
            best = f"{len(first)} of {len(order)} methods have the best value, {value}"
        line = (
            f"**{_capital(figure.title)}, {kind}**, median over {_networks(len(measured))}: "
            f"{best}; worst are {', '.join(shown[: -NAMED - 1 : -1])}"
        )
        if BASELINE in medians:
            line += f"; `{BASELINE}` has {figure.show(medians[BASELINE], unit=True)}"
        lines.append(f"{line}.")
    return lines


def _of_refined(boards: Sequence[Board]) -> list[str]:
    values = {
        board.model: board.values("average_drop")[REFINED]
        for board in boards
        if REFINED in board.values("average_drop")
    }
    plain = _medians(boards, "average_drop").get(BASELINE)
    if not values or plain is None:
        return []
    most, least = max(values, key=values.__getitem__), min(values, key=values.__getitem__)
    return [
        (
            "**RefineCAM loses confidence**: seeing only what it shows, a network loses "
            f"{100 * median(values.values()):.0f} % of its confidence (median over "
            f"{_networks(len(values))}; from {100 * values[least]:.0f} % for `{least}` to "
            f"{100 * values[most]:.0f} % for `{most}`). With Grad-CAM's map it loses "
            f"{100 * plain:.0f} %."
        )
    ]


def _like_random(boards: Sequence[Board], key: str) -> list[str]:
    """Return which methods are not told apart from random weights on most models."""
    measured = [board for board in boards if RANDOM in board.values(key)]
    if not measured:
        return []
    better = {method: 0 for board in measured for method in board.values(key) if method != RANDOM}
    for board in measured:
        found = board.summary.measure(key)
        at = board.summary.columns.index(RANDOM)
        for method in board.values(key):
            if method != RANDOM and _exceeds(found, board.summary.columns.index(method), at):
                better[method] += 1
    title = measured[0].summary.measure(key).figure.title
    few = {method: count for method, count in better.items() if count < HALF * len(measured)}
    shown = ", ".join(f"`{method}` ({count})" for method, count in sorted(few.items(), key=_second))
    line = (
        f"**{_capital(title)} against random weights**: {len(better) - len(few)} of {len(better)} "
        f"methods are better than `{RANDOM}` on at least half of the {_networks(len(measured))}, "
        "by the interval of each pair alone"
    )
    return [f"{line}. Not so: {shown}." if few else f"{line}."]


def _exceeds(found: Measure, i: int, j: int) -> bool:
    """Return whether a column is better than another, by the interval of their difference."""
    if found.figure.better == "higher":
        return bool(found.difference_low[i, j] > 0)
    return bool(found.difference_high[i, j] < 0)


def _above_centre(boards: Sequence[Board], key: str) -> list[str]:
    """Return how many maps find the object better than a centred map, by kind of images."""
    lines = []
    for kind in dict.fromkeys(board.images for board in boards):
        above = total = 0
        centres = []
        for board in boards:
            found = board.find(key)
            if board.images != kind or found is None or "centre" not in found.baselines:
                continue
            centre = found.baselines["centre"]
            centres.append(centre)
            above += int((found.low > centre).sum())
            total += int((~np.isnan(found.low)).sum())
        if total:
            figure = next(found for each in boards if (found := each.find(key))).figure
            lines.append(
                f"**{_capital(figure.title)} against the middle**, {kind}: a Gaussian in the "
                f"middle has {figure.show(median(centres), unit=True)}, and the interval of "
                f"{above} of {total} pairs of a method and a network lies above it."
            )
    return lines


def _unchanged(boards: Sequence[Board]) -> list[str]:
    """Return which methods' maps stay much the same when the network's weights are shuffled."""
    measured = [board for board in boards if board.find("randomisation") is not None]
    medians = _medians(measured, "randomisation")
    same = {method: value for method, value in medians.items() if value >= HALF}
    if not measured or not medians:
        return []
    figure = measured[0].summary.measure("randomisation").figure
    shown = ", ".join(
        f"`{method}` ({figure.show(value, unit=True)})"
        for method, value in sorted(same.items(), key=_second, reverse=True)
    )
    return [
        f"**Shuffled weights**: the maps of {len(same)} of {len(medians)} methods stay similar, at "
        f"{HALF} or more in the median over {_networks(len(measured))}"
        + (f": {shown}. What does not depend on the weights explains no network." if same else ".")
    ]


def _medians(boards: Sequence[Board], key: str) -> dict[str, float]:
    """Return each method's median over the models, of methods that at least half of them have."""
    values: dict[str, list[float]] = {}
    for board in boards:
        for method, value in board.values(key).items():
            values.setdefault(method, []).append(value)
    return {m: median(each) for m, each in values.items() if len(each) >= HALF * len(boards)}


def _table(boards: Sequence[Board], key: str) -> str:
    """Return a table in Markdown: methods x models, with intervals."""
    names = [each.name for each in effcam.methods()]
    shown = [name for name in names if any(name in board.summary.columns for board in boards)]
    lines = [f"| method | {' | '.join(board.model for board in boards)} |"]
    lines.append(f"|---|{'---|' * len(boards)}")
    lines += [
        _line(f"`{name}`", boards, lambda b, name=name: _cell(b, key, name)) for name in shown
    ]  # type: ignore[misc]
    baselines = dict.fromkeys(
        name for board in boards for name in board.summary.measure(key).baselines
    )
    lines += [
        _line(f"*{name}*", boards, lambda b, name=name: _baseline(b, key, name))  # type: ignore[misc]
        for name in baselines
    ]
    return "\n".join(lines) + "\n"


def _line(name: str, boards: Sequence[Board], cell: Callable[[Board], str]) -> str:
    return f"| {name} | {' | '.join(cell(board) for board in boards)} |"


def _cell(board: Board, key: str, method: str) -> str:
    found = board.summary.measure(key)
    if method not in board.summary.columns:
        return ""
    at = board.summary.columns.index(method)
    text = found.figure.show(float(found.values[at]))
    interval = found.figure.interval(float(found.low[at]), float(found.high[at]))
    text = f"**{text}**" if at in found.winners() else text
    return f"{text} {interval}".strip()


def _baseline(board: Board, key: str, name: str) -> str:
    found = board.summary.measure(key)
    value = found.baselines.get(name)
    return "" if value is None else f"*{found.figure.show(value)}*"


def table_of_all(boards: Sequence[Board], settings: dict[str, object]) -> measure.Result:
    """Return all figures as one result: a row for each model and method."""
    keys = [key for key in FIGURES if any(board.find(key) is not None for board in boards)]
    titles = [next(found for b in boards if (found := b.find(key))).figure.title for key in keys]
    return measure.Result(
        script="method_scoreboard",
        title="Every method on every model",
        question=(
            "Whether the heat of each method is on the object, and whether the prediction depends "
            "on it."
        ),
        columns=["model", "images", "method", *titles],
        rows=[
            [
                board.model,
                f"{board.summary.used} {board.images}",
                method,
                *(board.values(key).get(method) for key in keys),
            ]
            for board in boards
            for method in board.summary.columns
        ],
        notes=[line.replace("**", "").replace("`", "") for line in sentences(boards)],
        settings=settings,
    )


def _options(options: Mapping[str, int]) -> str:
    return " and ".join(f"`{name}={value}`" for name, value in options.items())


def _names(names: Sequence[str]) -> str:
    shown = [f"`{name}`" for name in names]
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _networks(count: int) -> str:
    return f"{count} network{'s' * (count != 1)}"


def _capital(text: str) -> str:
    """Return text with a capital letter at the beginning."""
    return text[:1].upper() + text[1:]


def _second(pair: tuple[str, float]) -> float:
    return pair[1]


def _wrapped(text: str) -> str:
    """Return text in lines, the later ones indented as in a list."""
    lines, line = [], ""
    for word in text.replace(" %", "\N{NO-BREAK SPACE}%").split(" "):
        if len(line) + len(word) > WIDTH and line:
            lines, line = [*lines, line], word
        else:
            line = f"{line} {word}".strip()
    return "\n  ".join([*lines, line])

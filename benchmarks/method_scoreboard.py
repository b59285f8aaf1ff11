"""Every method on every model: is the heat on the object, and does the prediction depend on it?

    python benchmarks/method_scoreboard.py [--scenes 60] [--methods gradcam legrad]
        [--checkpoints MODELS.json --images FOLDER --boxes BOXES.json --photos 60]
        [--page docs/explanation/method_scoreboard.md] [--json FILE]

The demo models see drawn scenes whose objects are known. With ``--checkpoints``, a file as
``scoreboard.py`` reads it, the models of that file see photos with boxes. Each method explains the
class that a model predicts, on the images that it classifies correctly if their labels are known.
``--page`` writes the tables with their intervals, and what they say.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import measure
import numpy as np
from measure import tell
from scoreboard import read_checkpoints

import effcam
from effcam import Comparison, EffcamError, Summary, compare
from effcam.metrics import faithfulness
from effcam.types import Measure

DEMO = ("demo_alexnet", "demo_densenet", "demo_resnet", "demo_efficientnet_b0")
LOCALISATION = ("pointing_game", "energy_pointing_game", "pixel_average_precision")
FAITHFULNESS = ("average_drop", "insertion", "deletion", "road", "randomisation")
SEED = 7_000
HEAD = """\
% Written by benchmarks/method_scoreboard.py: do not edit.

# Methods on the scoreboard

Every method that a model allows, on the same images: whether its heat is on the object, and whether
the model's prediction depends on what it shows. The numbers in brackets are 95 % intervals.
[](../metrics.md) explains the figures. A bold figure is the best of its column, or not told apart
from it.

Two warnings. A method that is good at finding objects need not show what a model uses. And the
figures of faithfulness remove pixels, which favours methods that do so themselves, such as
`occlusion` and `rise`.
"""


@dataclass(frozen=True, slots=True)
class Board:
    """The figures of all methods on one model.

    Attributes:
        model: The model's name.
        what: On how many images of which kind.
        summary: The figures; its columns are methods.
        seconds: The time of each method's comparison, s.
        refused: By method, why it has no map of this model.
    """

    model: str
    what: str
    summary: Summary
    seconds: Mapping[str, float]
    refused: Mapping[str, str]


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    options = _options(argv)
    boards = [_measure_demo(name, options) for name in options.demo]
    if options.checkpoints is not None:
        for name, spec in read_checkpoints(options.checkpoints).items():
            if spec.options.get("num_classes", 1000) == 1000:
                boards.append(_measure_photos(name, spec, options))
    measure.report(_result(boards, options), options.json)
    if options.page is not None:
        options.page.write_text(_page(boards), encoding="utf-8")
    return 0


def _measure_demo(name: str, options: argparse.Namespace) -> Board:
    images = effcam.demo.scenes(options.scenes, seed=SEED)
    shown = images, f"{options.scenes} drawn scenes"
    return _measure(name, name, shown, {}, options.methods)


def _measure_photos(name: str, spec: effcam.ModelSpec, options: argparse.Namespace) -> Board:
    files = sorted(each for each in options.images.iterdir() if each.suffix != ".json")
    order = np.random.default_rng(SEED).permutation(len(files))[: options.photos]
    images = [files[at] for at in sorted(order.tolist())]
    known = {"boxes": options.boxes, "labels": options.boxes}
    shown = images, f"{len(images)} photos"
    return _measure(name, spec, shown, known, options.methods)


def _measure(
    name: str,
    source: object,
    shown: tuple[Sequence[object], str],
    known: Mapping[str, Path],
    methods: Sequence[str],
) -> Board:
    """Return the figures of all methods that a model allows.

    Args:
        name: The model's name.
        source: The model.
        shown: The images, and what they are.
        known: The files of their annotations.
        methods: The methods.
    """
    images, what = shown
    model = effcam.load_model(source)  # type: ignore[arg-type]
    refused: dict[str, str] = {}
    seconds: dict[str, float] = {}
    for method in methods:
        try:
            compare(images[:1], {name: model}, method=method, progress=False)  # type: ignore[arg-type]
        except EffcamError as error:
            refused[method] = str(error)
            continue
        tell(f"{name}, {method}")
        start = time.perf_counter()
        compare(images[:8], {name: model}, method=method, progress=False)  # type: ignore[arg-type]
        seconds[method] = (time.perf_counter() - start) / len(images[:8])
    found: Comparison = compare(images, {name: model}, method=list(seconds), progress=False)  # type: ignore[arg-type]
    measured = faithfulness(found, {name: model}, figures=list(FAITHFULNESS), progress=False)
    summary = found.summary(**known, faithfulness=measured)  # type: ignore[arg-type]
    return Board(name, f"{what}, {summary.used} of them used", summary, seconds, refused)


def _measures(board: Board) -> list[Measure]:
    wanted = (*LOCALISATION, *FAITHFULNESS)
    return [each for each in board.summary.measures if each.figure.key in wanted]


def _result(boards: Sequence[Board], options: argparse.Namespace) -> measure.Result:
    figures = _measures(boards[0])
    return measure.Result(
        script="method_scoreboard",
        title="Every method on every model",
        question=(
            "Whether the heat of each method is on the object, and whether the prediction depends "
            "on it."
        ),
        columns=["model", "method", *(each.figure.title for each in figures), "ms / image"],
        rows=[
            [
                board.model,
                method,
                *(float(each.values[at]) for each in _measures(board)),
                1000 * board.seconds[method],
            ]
            for board in boards
            for at, method in enumerate(board.seconds)
        ],
        notes=[line for board in boards for line in _sentences(board)],
        settings={"scenes": options.scenes, "photos": options.photos},
    )


def _sentences(board: Board) -> list[str]:
    """Return what the figures of a model say, in sentences."""
    methods = list(board.seconds)
    found = []
    for each in _measures(board):
        best = each.among_best()
        if 0 < len(best) < len(methods):
            names = ", ".join(methods[at] for at in best)
            found.append(f"{board.model}, {each.figure.title}: best {names}.")
    drops = next((each for each in _measures(board) if each.figure.key == "average_drop"), None)
    if drops is not None:
        worst = int(np.nanargmax(drops.values))
        found.append(
            f"{board.model}: seeing only what {methods[worst]} shows, the model loses "
            f"{100 * drops.values[worst]:.0f} % of its confidence, more than with any other method."
        )
    return found


def _page(boards: Sequence[Board]) -> str:
    parts = [HEAD]
    for board in boards:
        parts.append(f"## {board.model}\n\nOn {board.what}.\n")
        parts.append(_table(board))
        parts.append("".join(f"- {line}\n" for line in _sentences(board)))
        if board.refused:
            names = ", ".join(f"`{name}`" for name in board.refused)
            reason = next(iter(board.refused.values()))
            parts.append(f"Without a map of this model: {names} (the first because: {reason})\n")
    return "\n".join(parts)


def _table(board: Board) -> str:
    """Return a table in Markdown: a row for each method, with intervals."""
    figures = _measures(board)
    heading = ["method", *(each.figure.title for each in figures), "ms / image"]
    lines = [f"| {' | '.join(heading)} |", f"|{'---|' * len(heading)}"]
    for at, method in enumerate(board.seconds):
        cells = [_cell(each, at) for each in figures]
        shown = f"{1000 * board.seconds[method]:.0f}"
        lines.append(f"| `{method}` | {' | '.join(cells)} | {shown} |")
    return "\n".join(lines) + "\n"


def _cell(found: Measure, at: int) -> str:
    value, low, high = (float(each[at]) for each in (found.values, found.low, found.high))
    if np.isnan(value):
        return ""
    percent = found.figure.unit == "%"
    scale, digits = (100, 0) if percent else (1, 2)
    text = f"{scale * value:.{digits}f}"
    if at in found.among_best():
        text = f"**{text}**"
    if np.isnan(low):
        return text
    return f"{text} [{scale * low:.{digits}f}, {scale * high:.{digits}f}]"


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = [each.name for each in effcam.methods()]
    parser.add_argument("--methods", nargs="+", default=names, choices=names, metavar="METHOD")
    parser.add_argument("--demo", nargs="*", default=list(DEMO), metavar="MODEL")
    parser.add_argument("--scenes", type=int, default=60)
    parser.add_argument("--checkpoints", type=Path)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--boxes", type=Path)
    parser.add_argument("--photos", type=int, default=60)
    parser.add_argument("--page", type=Path)
    measure.add_json_option(parser)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())

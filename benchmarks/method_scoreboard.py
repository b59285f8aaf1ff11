"""Every method on every model: is the heat on the object, and does the prediction depend on it?

    python benchmarks/method_scoreboard.py --rows FOLDER [--scenes 16] [--methods gradcam legrad]
        [--checkpoints MODELS.json --images FOLDER --boxes BOXES.json --photos 16]
        [--page docs/explanation/method_scoreboard.md] [--json FILE] [--no-run]

The demo models see drawn scenes whose objects are known. With ``--checkpoints``, a file as
``scoreboard.py`` reads it, the models of that file with ImageNet's classes see photos with boxes.
Each method explains the class that a model predicts, on images that all models of the group
classify correctly, the same for all of them. `SETTINGS` has the numbers of samples and channels.

What was measured is written to ``--rows`` as it comes, and a later run continues from there: some
images at a time, so that a run that was stopped has all methods on fewer images. Read only folders
that you wrote yourself: the files are pickles. ``--page`` writes the tables with their intervals,
and what they say; ``--no-run`` does so from what there is.
"""

from __future__ import annotations

import argparse
import pickle
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import measure
import numpy as np
from measure import tell
from method_scoreboard_page import Board, page, table_of_all
from scoreboard import read_checkpoints

import effcam
from effcam import Comparison, EffcamError, Model, compare
from effcam.files import atomic
from effcam.metrics import faithfulness
from effcam.metrics.faithfulness_result import Faithfulness

DEMO = ("demo_alexnet", "demo_densenet", "demo_resnet", "demo_efficientnet_b0")
SEED = 7_000
BLOCK = 8
"""How many images are measured before the next model's turn."""
SETTINGS: Mapping[str, Mapping[str, int]] = {
    "scorecam": {"channels": 32},
    "sscam": {"channels": 16, "samples": 3},
    "iscam": {"channels": 16, "samples": 3},
    "ablationcam": {"channels": 64},
    "rise": {"samples": 150},
    "integratedgradients": {"samples": 16},
    "smoothgrad": {"samples": 16},
}
"""The options of methods whose own would take hours; all other methods have none."""
VIEW = "whole"
"""Every model sees the whole image."""
DEPTHS = 3
"""How many layers ``refinecam`` multiplies."""


@dataclass(frozen=True, slots=True)
class Group:
    """Models that see the same images.

    Attributes:
        title: What the images are.
        models: The models by name.
        images: The images that all of them classify correctly.
        figures: The figures of faithfulness.
        known: The files of the images' annotations, if these do not come with the images.
    """

    title: str
    models: Mapping[str, object]
    images: Sequence[object]
    figures: tuple[str, ...]
    known: Mapping[str, Path]


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured of a method on a model and some images; a reason if there is no map."""

    refused: str = ""
    comparison: Comparison | None = None
    measured: Faithfulness | None = None


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    options = _options(argv)
    options.rows.mkdir(parents=True, exist_ok=True)
    groups = list(_groups(options))
    if not options.no_run:
        for at in range(0, max(len(each.images) for each in groups), BLOCK):
            for group in groups:
                _measure_block(group, at, options)
    boards = [_board(group, name, options) for group in groups for name in group.models]
    found = [board for board in boards if board is not None]
    measure.report(table_of_all(found, _settings(found)), options.json)
    if options.page is not None:
        options.page.write_text(page(found, SETTINGS), encoding="utf-8")
    return 0


def _groups(options: argparse.Namespace) -> Iterator[Group]:
    """Yield the demo models with their scenes, then the models of a file with photos."""
    if options.demo:
        models: dict[str, object] = {name: name for name in options.demo}
        scenes = effcam.demo.scenes(4 * options.scenes, seed=SEED)
        images = _right(models, scenes, {}, options.scenes, options.rows / "scenes.json")
        figures = ("average_drop", "insertion", "road", "randomisation")
        yield Group("drawn scenes", models, images, figures, {})
    if options.checkpoints is not None:
        specs = read_checkpoints(options.checkpoints).items()
        models = {n: s for n, s in specs if s.options.get("num_classes", 1000) == 1000}
        files = sorted(each for each in options.images.iterdir() if each.suffix != ".json")
        order = np.random.default_rng(SEED).permutation(len(files))
        known = {"boxes": options.boxes, "labels": options.boxes}
        mixed = [files[at] for at in order[: 8 * options.photos]]
        images = _right(models, mixed, known, options.photos, options.rows / "photos.json")
        # The other two figures take twice as long as these on networks of this size.
        yield Group("photos", models, images, ("average_drop", "road"), known)


def _right(
    models: Mapping[str, object],
    images: Sequence[object],
    known: Mapping[str, Path],
    count: int,
    file: Path,
) -> list[object]:
    """Return the first images that all models classify correctly, and keep which they are."""
    if file.is_file():
        kept = [int(at) for at in file.read_text("utf-8").split()]
        if len(kept) >= count:
            return [images[at] for at in kept[:count]]
    right: list[int] = []
    for start in range(0, len(images), 2 * BLOCK):
        found = compare(
            images[start : start + 2 * BLOCK],  # type: ignore[arg-type]
            models,  # type: ignore[arg-type]
            method="eigencam",
            view=VIEW,
            progress=False,
        ).annotate(**known)  # type: ignore[arg-type]
        used = (found.take([at]).summary().used for at in range(len(found.images)))
        right += [start + at for at, count in enumerate(used) if count]
        if len(right) >= count:
            break
    if len(right) < count:
        raise SystemExit(f"only {len(right)} of {len(images)} images are classified correctly")
    file.write_text("\n".join(map(str, right[:count])), "utf-8")
    return [images[at] for at in right[:count]]


def _measure_block(group: Group, start: int, options: argparse.Namespace) -> None:
    """Measure all methods of a group's models on the images from a position on, and store it."""
    images = group.images[start : start + BLOCK]
    for name, source in group.models.items() if images else ():
        missing = [m for m in options.methods if not _file(options.rows, name, m, start).is_file()]
        if not missing:
            continue
        model = effcam.load_model(source)  # type: ignore[arg-type]
        for method in missing:
            began = time.perf_counter()
            row = _measure(name, model, method, images, group.figures)
            tell(f"{name}, {method}, from {start}: {time.perf_counter() - began:.1f} s")
            with atomic(_file(options.rows, name, method, start)) as partial:
                partial.write_bytes(pickle.dumps(row))


def _file(folder: Path, model: str, method: str, start: int) -> Path:
    return folder / f"{model}-{method}-{start:04}.pickle"


def _measure(
    name: str, model: Model, method: str, images: Sequence[object], figures: tuple[str, ...]
) -> Row:
    """Return what a method makes of a model and images."""
    if method == "refinecam":
        model = effcam.load_model(model, target_layer=layers_of_depths(model))
    options = SETTINGS.get(method, {})
    try:
        found = compare(
            images,  # type: ignore[arg-type]
            {name: model},
            method=method,
            view=VIEW,
            progress=False,
            **options,  # type: ignore[arg-type]
        )
    except EffcamError as error:
        return Row(refused=str(error))
    measured = faithfulness(found, {name: model}, figures=figures, progress=False)
    return Row("", found, measured)


def layers_of_depths(model: Model) -> list[str]:
    """Return the last layer of each of the coarsest grids, in order of execution."""
    last = {layer.grid: layer.name for layer in model.layers()}
    return list(last.values())[-DEPTHS:]


def _board(group: Group, name: str, options: argparse.Namespace) -> Board | None:
    """Return the figures of a model's methods on the images that all of them have seen."""
    refused: dict[str, str] = {}
    rows: dict[str, list[Row]] = {}
    for method in options.methods:
        files = [_file(options.rows, name, method, at) for at in range(0, len(group.images), BLOCK)]
        # Written by this script, into a folder of the user's choice.
        stored = [pickle.loads(each.read_bytes()) for each in files if each.is_file()]  # noqa: S301
        if stored and stored[0].refused:
            refused[method] = stored[0].refused
        else:
            rows[method] = stored
    missing = [method for method, stored in rows.items() if not stored]
    if missing or not rows:
        tell(f"{name} is left out: {', '.join(missing) or 'all methods'} not measured yet")
        return None
    blocks = min(map(len, rows.values()))
    found, measured = _join({method: each[:blocks] for method, each in rows.items()})
    summary = found.summary(**group.known, faithfulness=measured)  # type: ignore[arg-type]
    return Board(name, group.title, summary, refused)


def _join(rows: Mapping[str, Sequence[Row]]) -> tuple[Comparison, Faithfulness]:
    """Return the blocks of several methods as one comparison, with a column for each method."""
    several = {
        method: [each.comparison for each in found if each.comparison is not None]
        for method, found in rows.items()
    }
    first = next(iter(several.values()))
    images = tuple(image for each in first for image in each.images)
    columns = tuple(several)
    by_column = [[cell for each in several[method] for cell in each.cells] for method in columns]
    cells = tuple(
        replace(found[at], column=column, image=image)
        for at, image in enumerate(images)
        for column, found in zip(columns, by_column, strict=True)
    )
    facts = tuple(several[method][0].facts[0] for method in columns)
    settings = replace(first[0].settings, method=columns)
    joined = Comparison(images=images, columns=columns, cells=cells, settings=settings, facts=facts)
    measured = [
        [each.measured for each in rows[method] if each.measured is not None] for method in columns
    ]
    return joined, _join_measured(images, columns, measured)


def _join_measured(
    images: Sequence[effcam.types.ImageRef],
    columns: tuple[str, ...],
    measured: Sequence[Sequence[Faithfulness]],
) -> Faithfulness:
    keys = measured[0][0].samples

    def stack(which: str) -> dict[str, np.ndarray]:
        found = {}
        for key in keys:
            by_column = [[getattr(each, which).get(key) for each in one] for one in measured]
            if all(part is not None for one in by_column for part in one):
                found[key] = np.concatenate([np.concatenate(one) for one in by_column], axis=1)
        return found

    return Faithfulness(
        images=tuple(image.name for image in images),
        columns=columns,
        samples=stack("samples"),
        random=stack("random"),
        known=measured[0][0].known,
    )


def _settings(boards: Sequence[Board]) -> dict[str, object]:
    """Return how many images of each kind were seen, and the options of methods."""
    counts: dict[str, object] = {board.images: board.summary.used for board in boards}
    chosen = {
        method: ", ".join(f"{name}={value}" for name, value in options.items())
        for method, options in SETTINGS.items()
    }
    return counts | chosen


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = [each.name for each in effcam.methods()]
    parser.add_argument("--rows", type=Path, required=True, help="the folder of what was measured")
    parser.add_argument("--methods", nargs="+", default=names, choices=names, metavar="METHOD")
    parser.add_argument("--demo", nargs="*", default=list(DEMO), metavar="MODEL")
    parser.add_argument("--scenes", type=int, default=16)
    parser.add_argument("--checkpoints", type=Path)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--boxes", type=Path)
    parser.add_argument("--photos", type=int, default=16)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--no-run", action="store_true", help="only show what was measured")
    measure.add_json_option(parser)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())

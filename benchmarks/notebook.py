"""The comparison of 2019, repeated: as it was done then, and like for like, side by side.

    python benchmarks/notebook.py PHOTOS [--weights FOLDER] [--per-category 5]
                                  [--output notebook.gif] [--models [LABEL=]NAME ...]
    python benchmarks/notebook.py --layers [--models [LABEL=]NAME ...]
    python benchmarks/notebook.py --packages [--help]

PHOTOS has one folder per category, named ``bear`` or, as in Caltech-256, ``009.bear``. Published
weights are downloaded if they are not on disk; ``--weights`` names a folder of checkpoints to use
instead, each named after a column's label (``EB0.safetensors``) or its model
(``torchvision_mobilenet_v2.pth``). ``--layers`` needs neither photos nor weights: it prints the
target layer of each model in both ways. ``--packages`` is another comparison, with options of its
own: of EfficientNets whose weights are on the package index (`notebook_packages.py`).

*As in 2019* squashes every photo to 224 x 224 px, and the target layer is the last ``Conv2d`` that
runs. *Like for like* is the default of `effcam.compare`: each model's own transform, and the
features that enter its head. In both, each model explains its own most probable class.

The measure of "specific" is the effective area of the heat: the exponential of the entropy of the
heat, which is scaled to a sum of 1 over the photo, as a share of the photo's pixels. Heat that is
uniform over a share of the photo, and 0 elsewhere, has that share as its effective area.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from effcam import DEFAULT_MODELS, Comparison, EffcamError, Explanation, ModelSpec, compare
from effcam.comparison.export import check_output
from effcam.errors import LayerError, WeightsError
from effcam.images.discovery import from_folders
from effcam.images.preprocess import Preprocess
from effcam.images.refs import ImageRef
from effcam.metrics import effective_area
from effcam.models.loading import load
from effcam.models.registry import find_spec
from effcam.models.sources import check_weights, resolve
from effcam.text import align

if TYPE_CHECKING:
    from numpy.typing import NDArray

CATEGORIES = ("bear", "chimp", "airplanes", "penguin", "snake", "butterfly", "ostrich")
SIZE = 224
WAYS = "as in 2019", "like for like"
MEASURES = *WAYS, "of what it saw"
DRAWS, SEED = 10_000, 0
PACKAGES = "--packages"
SUFFIXES = (".bin", ".ckpt", ".pt", ".pth", ".safetensors", ".tar")

LEGEND = f"""\
as in 2019, like for like  effective area of the heat, as a share of the photo: median over photos;
                           lower is more specific, and rank 1 the lowest
of what it saw             the same, like for like, as a share of the part that the model saw
seen                       the share of the photo that it saw, like for like, median; in 2019 all
same class                 photos for which it predicts the same class both ways
correlation                Pearson's, of the two ways' heat over the pixels seen in both, median

Intervals are paired bootstraps over the photos: {DRAWS:,} draws, seed {SEED}."""


def main(argv: Sequence[str] | None = None) -> int:
    """Print the comparison, and return the exit code: 0 for success, 1 for failure."""
    given = list(sys.argv[1:] if argv is None else argv)
    if PACKAGES in given:
        from notebook_packages import main as compare_packages  # it imports this module

        return compare_packages([each for each in given if each != PACKAGES])
    options = _options(given)
    try:
        specs = find_specs(options.models, options.weights)
        if options.layers:
            print(layer_table(looks(specs)))
        else:
            _compare(specs, options)
    except EffcamError as error:
        print(f"notebook.py: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    # No abbreviations: `--packages` is looked for before the options are parsed.
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], allow_abbrev=False
    )
    parser.add_argument("photos", nargs="?", metavar="PHOTOS", help="a folder of class folders")
    parser.add_argument("--weights", type=Path, metavar="FOLDER", help="checkpoints by label")
    parser.add_argument("--per-category", type=int, default=5, metavar="N")
    parser.add_argument("--output", type=Path, default=Path("notebook.gif"), metavar="FILE")
    parser.add_argument("--models", nargs="+", default=list(DEFAULT_MODELS), metavar="[LABEL=]NAME")
    parser.add_argument("--layers", action="store_true", help="print the layers and stop")
    parser.add_argument(
        PACKAGES,
        action="store_true",
        help="compare EfficientNets from the package index; see --packages --help",
    )
    options = parser.parse_args(argv)
    if options.photos is None and not options.layers:
        parser.error("give a folder of photos, or --layers")
    return options


def _compare(specs: Mapping[str, ModelSpec], options: argparse.Namespace) -> None:
    """Run both ways and print the results; do first what can fail early."""
    photos = find_photos(options.photos, options.per_category)
    check_output(options.output)
    check_weights(specs.values())
    found = looks(specs)
    versions = (f"{name} {version(name)}" for name in ("effcam", "torch", "torchvision", "timm"))
    print(f"{', '.join(versions)}; {len(photos)} photos\n\n{layer_table(found)}\n", flush=True)
    last = {label: replace(spec, target_layer=found[label].conv) for label, spec in specs.items()}
    then, now = compare(photos, last, view="whole", size=SIZE), compare(photos, specs)
    print(report(then, now))
    for way, comparison in zip(WAYS, (then, now), strict=True):
        print(f"\n{way.capitalize()}: {comparison.summary()}")
    print(f"\n{now.save(options.output)}")


# what is compared


def find_photos(root: str | Path, per_category: int) -> list[ImageRef]:
    """Return the first photos of each of the seven categories.

    Args:
        root: The folder of the class folders, called ``bear`` or ``009.bear``.
        per_category: The number of photos of each.

    Raises:
        ImageError: If the root or a category does not exist or holds no image.
        ArgumentError: If ``per_category`` is less than 1.
    """
    base = Path(root).expanduser()
    names = sorted(each.name for each in base.iterdir()) if base.is_dir() else []
    folders = {category_of(name): name for name in names} | {name: name for name in names}
    chosen = [folders.get(category, category) for category in CATEGORIES]
    return from_folders(root, categories=chosen, per_category=per_category)


def category_of(folder: str) -> str:
    """Return the category of a folder of Caltech-256, without its number.

    >>> category_of("251.airplanes-101"), category_of("009.bear"), category_of("bear")
    ('airplanes', 'bear', 'bear')
    """
    return re.sub(r"^\d+\.", "", folder).removesuffix("-101")


def find_specs(models: Iterable[str], weights: Path | None) -> dict[str, ModelSpec]:
    """Return the spec of each model, by its column's label.

    Args:
        models: ``"LABEL=NAME"``, a label of `DEFAULT_MODELS`, or another name that is its own
            label.
        weights: A folder of checkpoints to use instead of published weights.

    Raises:
        WeightsError: If the folder does not exist, or lacks one of the checkpoints.
    """
    specs = {}
    for model in models:
        label, _, given = model.partition("=")
        name = given or DEFAULT_MODELS.get(label, label)
        specs[label or name] = find_spec(name) or ModelSpec(name)
    return specs if weights is None else _with_checkpoints(specs, weights)


def _with_checkpoints(specs: Mapping[str, ModelSpec], folder: Path) -> dict[str, ModelSpec]:
    if not folder.is_dir():
        raise WeightsError(f"folder {str(folder)!r} does not exist")
    files = {file.stem: file for file in sorted(folder.iterdir()) if file.suffix in SUFFIXES}
    stems = {label: (label, spec.name.replace(":", "_")) for label, spec in specs.items()}
    missing = [
        " or ".join(dict.fromkeys(pair)) for pair in stems.values() if not files.keys() & pair
    ]
    if missing:
        raise WeightsError(
            f"folder {str(folder)!r} has no file called {', '.join(missing)}, "
            f"which may end in {', '.join(SUFFIXES)}"
        )
    return {
        label: replace(specs[label], checkpoint=files.get(own) or files[name])
        for label, (own, name) in stems.items()
    }


# the target layers of the two ways


@dataclass(frozen=True, slots=True)
class Look:
    """The target layers of a model in the two ways.

    Attributes:
        conv: The last ``Conv2d`` executed, by its dotted name.
        conv_map: Channels, rows and columns of its output at 224 px.
        layer: The layer that effcam finds.
        layer_map: Channels, rows and columns of its output at 224 px.
        size: Height and width of the model's own input in px.
        own_grid: Rows and columns of ``layer``'s output at that size.
    """

    conv: str
    conv_map: tuple[int, ...]
    layer: str
    layer_map: tuple[int, ...]
    size: tuple[int, int]
    own_grid: tuple[int, int]


def looks(specs: Mapping[str, ModelSpec]) -> dict[str, Look]:
    """Return the target layers of each model in the two ways, without its weights."""
    return {label: _look(spec) for label, spec in specs.items()}


def _look(spec: ModelSpec) -> Look:
    spec = replace(spec, pretrained=False, checkpoint=None)
    own = load(resolve(spec), device="cpu", change_preprocess=lambda preprocess: preprocess)
    small = own
    if own.preprocess.size != (SIZE, SIZE):
        small = load(resolve(spec), device="cpu", change_preprocess=_as_in_2019)
    conv, shape = last_conv(small.module, torch.zeros(1, small.preprocess.channels, SIZE, SIZE))
    return Look(
        conv,
        shape,
        small.target_layer,
        (small.layer.channels, *small.layer.grid),
        own.preprocess.size,
        own.layer.grid,
    )


def _as_in_2019(preprocess: Preprocess) -> Preprocess:
    return preprocess.with_size(SIZE).whole()


def last_conv(module: nn.Module, images: Tensor) -> tuple[str, tuple[int, ...]]:
    """Return the name of the last ``Conv2d`` executed, and its output's shape without the batch.

    This is how the notebook's Grad-CAM chose its layer.

    Args:
        module: The network.
        images: (batch, channels, height, width) float32, its input.

    Raises:
        LayerError: If no ``Conv2d`` runs.
    """
    ran: list[tuple[str, tuple[int, ...]]] = []
    with _on_convs(module, ran), torch.inference_mode():
        module(images)
    if not ran:
        raise LayerError(
            f"{type(module).__name__} runs no Conv2d to use as target layer as in 2019"
        )
    return ran[-1]


@contextmanager
def _on_convs(module: nn.Module, ran: list[tuple[str, tuple[int, ...]]]) -> Iterator[None]:
    """Record each ``Conv2d`` that runs."""

    def note(name: str, _module: nn.Module, _args: object, output: Tensor) -> None:
        ran.append((name, tuple(output.shape[1:])))

    hooks = [
        each.register_forward_hook(partial(note, name))
        for name, each in module.named_modules()
        if isinstance(each, nn.Conv2d)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def layer_table(found: Mapping[str, Look]) -> str:
    """Return a table of the target layers of the two ways."""
    small = f"at {SIZE} px"
    head = "model", WAYS[0], small, WAYS[1], small, "at its own size"
    rows = [
        (
            label,
            look.conv,
            _times(look.conv_map),
            look.layer,
            _times(look.layer_map),
            f"{_times(look.size)} px: {_times(look.own_grid)}",
        )
        for label, look in found.items()
    ]
    return align([head, *rows])


def _times(numbers: Iterable[int]) -> str:
    return " x ".join(map(str, numbers))


# results


def correlation(cell: Explanation, other: Explanation) -> float:
    """Return Pearson's correlation of two cells' heat over the pixels that both saw.

    It is NaN if one of them has no heat, or the same everywhere.
    """
    seen = _seen(cell) & _seen(other)
    one, two = cell.upsampled()[seen], other.upsampled()[seen]
    if not (one.size and np.ptp(one) and np.ptp(two)):
        return float("nan")
    return float(np.corrcoef(one, two)[0, 1])


def _seen(cell: Explanation) -> NDArray[np.bool_]:
    """Return which pixels of the photo the model saw, (height, width)."""
    _, inside = cell.region.spread(np.ones((1, 1), np.float32), *cell.size)
    return inside


def interval(
    areas: NDArray[np.float64], others: NDArray[np.float64], *, draws: int = DRAWS, seed: int = SEED
) -> tuple[float, float]:
    """Return the 95 % interval of the others' median minus this one, by a paired bootstrap.

    Args:
        areas: One number per photo, NaN if there is none; such photos are left out.
        others: Likewise, for the same photos.
        draws: The number of resamples of the photos.
        seed: The seed of the random numbers.

    Returns:
        The 2.5th and 97.5th percentile; NaN if fewer than two photos are left.
    """
    pairs = np.stack([areas, others])
    pairs = pairs[:, np.isfinite(pairs).all(axis=0)]
    count = pairs.shape[1]
    if count < 2:
        return float("nan"), float("nan")
    picked = np.random.default_rng(seed).integers(count, size=(draws, count))
    medians = np.median(pairs[:, picked], axis=2)
    low, high = np.percentile(medians[1] - medians[0], [2.5, 97.5])
    return float(low), float(high)


def report(then: Comparison, now: Comparison) -> str:
    """Return the results of the two ways as a table, and the conclusion as text.

    Args:
        then: The comparison as in 2019.
        now: The comparison like for like, of the same photos and columns.
    """
    seen = _by_cell(now, lambda cell: float(_seen(cell).mean()))
    areas = [_by_cell(each, lambda cell: effective_area(cell.upsampled())) for each in (then, now)]
    areas.append(areas[1] / seen)
    pairs = list(zip(then, now, strict=True))
    same = [one.predicted == two.predicted for one, two in pairs]
    agree = [correlation(one, two) for one, two in pairs]
    columns = [
        now.columns,
        *(text for each in areas for text in (_percents(_medians(each)), _ranks(each))),
        _percents(_medians(seen)),
        _percents(np.reshape(same, seen.shape).mean(axis=0)),
        [f"{number:.2f}" for number in _medians(np.reshape(agree, seen.shape))],
    ]
    ranked = (head for measure in MEASURES for head in (measure, "rank"))
    head = "model", *ranked, "seen", "same class", "correlation"
    table = align([head, *zip(*columns, strict=True)], right=range(1, len(columns)))
    legend = LEGEND + _without_heat(areas[:2], now.columns)
    return "\n\n".join([table, legend, conclude(now.columns, areas)])


def _by_cell(
    comparison: Comparison, measure: Callable[[Explanation], float]
) -> NDArray[np.float64]:
    """Return a number for every cell, (photos, columns)."""
    return np.array([[measure(cell) for cell in row] for row in comparison.rows()])


def _medians(values: NDArray[np.float64]) -> list[float]:
    """Return each column's median without NaN; NaN if it has no other values."""
    kept = (column[np.isfinite(column)] for column in values.T)
    return [float(np.median(column)) if column.size else float("nan") for column in kept]


def _percents(shares: Iterable[float]) -> list[str]:
    return [f"{100 * share:.1f} %" for share in shares]


def _order(values: NDArray[np.float64]) -> list[int]:
    """Return the columns sorted by their medians, ascending, those without one last."""
    return [int(column) for column in np.argsort(_medians(values), kind="stable")]


def _ranks(values: NDArray[np.float64]) -> list[str]:
    order = _order(values)
    return [str(order.index(column) + 1) for column in range(len(order))]


def _without_heat(areas: Sequence[NDArray[np.float64]], columns: Sequence[str]) -> str:
    """Return a note on cells without heat, which are left out; empty if there are none."""
    counts = [
        f"{label} {count} {way}"
        for way, each in zip(WAYS, areas, strict=True)
        for label, count in zip(columns, np.isnan(each).sum(axis=0), strict=True)
        if count
    ]
    return f"\nPhotos left out because there is no heat: {', '.join(counts)}." if counts else ""


# conclusion


def conclude(columns: Sequence[str], areas: Sequence[NDArray[np.float64]]) -> str:
    """Return which model is the most specific by the effective areas, as text.

    Args:
        columns: The models' labels.
        areas: By measure, the area in every cell, (photos, columns), NaN if it has no heat.
    """
    if len(columns) < 2:
        return "One model alone cannot be ranked."
    judged = [_judge(columns, each) for each in areas]
    lines = [
        f"{measure.capitalize()}: {text}"
        for measure, (text, _) in zip(MEASURES, judged, strict=True)
    ]
    return "\n".join([*lines, _sum_up(columns, areas, [apart for _, apart in judged])])


def _judge(columns: Sequence[str], areas: NDArray[np.float64]) -> tuple[str, bool]:
    """Return how the two most specific models compare, and whether they differ significantly."""
    one, two, *_ = _order(areas)
    medians = _medians(areas)
    low, high = interval(areas[:, one], areas[:, two])
    apart = low > 0 or high < 0  # never if they are not numbers
    return (
        f"{columns[one]} is first with {100 * medians[one]:.1f} %, {columns[two]} second with "
        f"{100 * medians[two]:.1f} %; 95 % interval of the difference {100 * low:.1f} to "
        f"{100 * high:.1f} points: {'' if apart else 'not '}significant."
    ), apart


def _sum_up(
    columns: Sequence[str], areas: Sequence[NDArray[np.float64]], apart: Sequence[bool]
) -> str:
    first = [columns[_order(each)[0]] for each in areas]
    if len(set(first)) == 1:
        verdict = f"{first[0]} is first throughout"
    else:
        each = (f"{label} {measure}" for label, measure in zip(first, MEASURES, strict=True))
        verdict = f"Which model is first depends on the way: {', '.join(each)}"
    unsure = [measure for measure, sure in zip(MEASURES, apart, strict=True) if not sure]
    rest = f", but not significantly before the second {' or '.join(unsure)}" if unsure else ""
    return f"Conclusion: {verdict}{rest}."


if __name__ == "__main__":
    sys.exit(main())

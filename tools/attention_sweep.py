"""Find the attention of every architecture of timm and torchvision, and check where it is mapped.

``python tools/attention_sweep.py designs`` counts the attention layers of each in a pass without
numbers, and finds which architectures are of one design (``attention_designs.py``).
``python tools/attention_sweep.py run`` runs the smallest of each design with random weights: it
finds where tokens lie, and runs LeGrad and the two rollouts. Where tokens lie is checked by another
way than the one that found it: a part of the image is changed while what attention adds is held,
and the values that change must be those of the tokens there. A large network is run with fewer
blocks, if it then is of the same design. The other architectures of the design get the row.
The results go to ``docs/attention.csv``; after an interruption it continues.

``--only PATTERN ...`` chooses names, ``--again`` runs what is recorded, ``--timeout`` seconds each.
"""

from __future__ import annotations

import argparse
import csv
import fnmatch
import gc
import logging
import signal
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import torch
from torch import Tensor

import effcam
from attention_designs import Design, read_design
from effcam.cam.attention.layout import Layer
from effcam.cam.attention.reading import layout_of
from effcam.cam.attention.recording import Attention, visiting_attention
from effcam.cam.attention.token_map import arrange
from effcam.cam.explain import compute_cams
from effcam.cam.head_cam import HeadCAM
from effcam.models.tracing.isolation import untouched
from effcam.models.tracing.probe import probe_standardised
from effcam.models.tracing.target_layer import find_target_layers
from effcam.models.tracing.trace import trace
from sweep import ROOT, build, calibrate, names, own_options, own_size, read_shipped

TABLE = ROOT / "docs" / "attention.csv"
METHODS = ("legrad", "rollout", "chefer")
NONE = "no attention"
CHANGED = ((0.125, 0.625), (0.75, 0.25))
"""The top left corners of the parts of the image that are changed, as shares of its sides."""
SIDE = 0.125
FOLLOWS = 0.2
"""The least share of the way between these parts by which the centre of what changes moves."""
LARGE = 60e6
"""The most weights of an architecture that is run with all its blocks."""
MOST = 230e6
"""The most weights of an architecture that is run."""
BLOCKS = 3

Pair = tuple[str, str]


@dataclass(slots=True)
class Row:
    """The results of one architecture: the columns of ``docs/attention.csv``.

    ``layers`` is the number of its attention layers, ``design`` names the architectures that are
    run as one. The columns that follow are of the run of that design: ``run`` is what was run,
    ``found`` how many attention layers it has, ``mapped`` how many of those have tokens of the
    image, ``exact`` how many of those have no keys that overlap, ``checked`` how many have the
    tokens that the check found where they are mapped. A method's column is what its map was read
    at, or why it was refused.
    """

    library: str
    name: str
    layers: str = ""
    design: str = ""
    run: str = ""
    found: str = ""
    mapped: str = ""
    exact: str = ""
    checked: str = ""
    legrad: str = ""
    rollout: str = ""
    chefer: str = ""
    seconds: str = ""
    problem: str = ""

    @property
    def pair(self) -> Pair:
        """Its library and name."""
        return self.library, self.name


OF_RUN = ("run", "found", "mapped", "exact", "checked", *METHODS, "seconds", "problem")


def run(library: str, name: str) -> Row:
    """Return the results of running one architecture."""
    row, start = Row(library, name), time.perf_counter()
    try:
        _run(row)
    except Exception as error:  # noqa: BLE001  # errors are recorded
        row.problem = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    row.seconds = f"{time.perf_counter() - start:.1f}"
    return row


def _run(row: Row) -> None:
    size, own = own_size(*row.pair), own_options(*row.pair)
    design = read_design(*row.pair)
    row.layers, row.design = str(design.layers), design.digest
    if not design.layers:
        row.legrad = row.rollout = row.chefer = NONE
        return
    fewer = smaller(row, design)
    row.run = " ".join([row.name, *(f"{key}={value}" for key, value in fewer.items())])
    sketch = build(*row.pair, meta=True, **own, **fewer).eval()
    weights = sum(each.numel() for each in sketch.parameters())
    if weights > MOST:
        row.problem = f"not run: {weights / 1e6:.0f} million weights"
        return
    targets = find_target_layers(trace(sketch, size, graph=True))
    del sketch
    module = build(*row.pair, meta=False, **own, **fewer)
    calibrate(module, size)
    preprocess = effcam.Preprocess(size=size)
    model = effcam.Model("", module, targets, preprocess, (), (), "random")
    _examine(row, model, probe_standardised(size, 3, 2))


def _examine(row: Row, model: effcam.Model, images: Tensor) -> None:
    with untouched(model.module):
        cam = HeadCAM(model)
        try:
            layers = layout_of(cam, images).layers
            checked = check(cam, layers, images[:1])
        finally:
            cam.release()
    row.found = str(len(layers))
    row.mapped = str(sum(each.tokens is not None for each in layers))
    row.exact = str(sum(each.tokens is not None and each.tokens.exact for each in layers))
    row.checked = str(sum(checked))
    row.problem = next((each.problem for each in layers if each.problem), "")
    for method in METHODS:
        setattr(row, method, method_result(model, images, method))


def smaller(row: Row, design: Design) -> dict[str, object]:
    """Return options that make a large architecture one of fewer blocks, of the same design."""
    sizes = {pair: int(each["parameters"]) for pair, each in read_shipped().items()}
    if sizes[row.pair] <= LARGE:
        return {}
    for options in ({"depth": BLOCKS}, {"layers": BLOCKS}, {"num_layers": BLOCKS}):
        with suppress(Exception):  # not every constructor has the option
            if read_design(*row.pair, **options).digest == design.digest:
                return options
    return {}


def method_result(model: effcam.Model, images: Tensor, method: str) -> str:
    """Return what a method's map was read at, or why it was refused."""
    try:
        found = compute_cams(model, images[:1], [method])
    except effcam.EffcamError as error:
        return f"refused: {shorten(str(error), method)}"
    state = found.states[method][0]
    return found.read_at[method] + ("" if state == "ok" else f" ({state})")


def shorten(text: str, method: str) -> str:
    """Return why a method was refused, without what to do instead."""
    beginning = (
        f"{method} multiplies the matrices of all attention layers, which is not possible at layer "
    )
    text = text.removeprefix(beginning)
    for end in (". Use ", ": use "):
        text = text.partition(end)[0]
    return text


def check(cam: HeadCAM, layers: Iterable[Layer], images: Tensor) -> list[bool]:
    """Return for each layer whether its values change where the image is changed.

    Two parts of the image are changed in turn. Convolutions before a layer spread a change, so the
    centre of what changes need not reach the part, but must move from one to the other.
    """
    clean: list[Attention] = []

    def keep(attention: Attention) -> Tensor:
        clean.append(attention)
        return attention.output

    with torch.no_grad(), visiting_attention(keep):
        cam.run(images)
    first, second = (_values(cam, images, corner, clean) for corner in CHANGED)
    return [
        _follows(layer, before.value, each)
        for layer, before, *each in zip(layers, clean, first, second, strict=True)
    ]


def _values(
    cam: HeadCAM, images: Tensor, corner: tuple[float, float], clean: list[Attention]
) -> list[Tensor]:
    """Return the values of each attention for a changed image, with what attention adds held."""
    top, left = (int(part * side) for part, side in zip(corner, images.shape[2:], strict=True))
    height, width = (int(SIDE * side) for side in images.shape[2:])
    changed = images.clone()
    part = changed[:, :, top : top + height, left : left + width]
    part.copy_(1 - part)
    held, moved = iter(clean), []

    def hold(attention: Attention) -> Tensor:
        moved.append(attention.value)
        return _held(next(held), attention)

    with torch.no_grad(), visiting_attention(hold):
        cam.run(changed)
    return moved


def _held(before: Attention, after: Attention) -> Tensor:
    """Return what attention adds without a change of the image.

    Where queries are fewer than keys, as where attention makes a map smaller, no shortcut carries
    a change on: each query carries its own.
    """
    if before.output.shape[:-1] == before.value.shape[:-1]:
        return before.output
    if before.query is None or after.query is None:
        return before.output
    if before.query.shape[:-1] != before.output.shape[:-1]:
        return before.output
    return before.output + (after.query - before.query).sum(-1, keepdim=True)


def _follows(layer: Layer, before: Tensor, after: list[Tensor]) -> bool:
    if layer.tokens is None:
        return False
    first, second = (_centre(layer, each - before) for each in after)
    way = [end - begin for begin, end in zip(*CHANGED, strict=True)]
    moved = [end - begin for begin, end in zip(first, second, strict=True)]
    return all(each / whole >= FOLLOWS for each, whole in zip(moved, way, strict=True))


def _centre(layer: Layer, change: Tensor) -> list[float]:
    """Return the centre of a change of values, as shares of the image's height and width."""
    square = arrange(change, 1, layer.placed.windows).square().sum((2, 4))
    heat = layer.placed.to_map(square)[0]
    shares = heat / heat.sum().clamp(min=1e-30)
    centres = [(torch.arange(count) + 0.5) / count for count in heat.shape]
    return [float((shares.sum(1 - at) * centres[at]).sum()) for at in (0, 1)]


def designs(rows: dict[Pair, Row], wanted: Iterable[Pair], table: Path) -> None:
    """Record the designs of architectures; what was run of another design is void."""
    for at, pair in enumerate(wanted):
        design = read_design(*pair)
        old = rows.get(pair, Row(*pair))
        if (old.layers, old.design) != (str(design.layers), design.digest):
            old = Row(*pair, str(design.layers), design.digest)
        if not design.layers:
            old.legrad = old.rollout = old.chefer = NONE
        rows[pair] = old
        gc.collect()
        if at % 50 == 0:
            write(table, rows.values())
    write(table, rows.values())


def run_all(rows: dict[Pair, Row], wanted: Collection[Pair], table: Path, options: Options) -> None:
    """Run the smallest architecture of each design, and record each for all of its design."""
    for pair in smallest(rows.values()):
        row = rows[pair]
        if pair not in wanted or (row.run and not options.again):
            continue
        found = timed(*pair, options.timeout)
        found = replace(found, layers=row.layers, design=row.design, run=found.run or row.name)
        print(found, flush=True)
        share(rows, found)
        write(table, rows.values())


@dataclass(frozen=True, slots=True)
class Options:
    """How long a run may take, in seconds, and whether what is recorded runs again."""

    timeout: int
    again: bool


def smallest(rows: Iterable[Row]) -> list[Pair]:
    """Return the smallest architecture of each design with attention.

    Small ones, and those that stand for many, are first.
    """
    sizes = {pair: int(each["parameters"]) for pair, each in read_shipped().items()}
    groups: dict[str, list[Pair]] = defaultdict(list)
    for row in rows:
        if row.design:
            groups[row.design].append(row.pair)
    found = {
        min(group, key=lambda pair: (sizes[pair], pair)): len(group) for group in groups.values()
    }
    # Most of the large ones run with fewer blocks.
    return sorted(found, key=lambda pair: (min(sizes[pair], LARGE) / found[pair], pair))


def share(rows: dict[Pair, Row], found: Row) -> None:
    """Give the results of a run to all rows of its design."""
    results = {name: getattr(found, name) for name in OF_RUN}
    for pair, row in rows.items():
        if row.design == found.design:
            rows[pair] = replace(row, **results)


def main() -> int:
    """Run the sweep; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("job", choices=("designs", "run"))
    parser.add_argument("--only", nargs="*", default=["*"])
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--timeout", type=int, default=300)
    parser.add_argument("--table", type=Path, default=TABLE)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    wanted = [
        each for each in names() if any(fnmatch.fnmatch(each[1], only) for only in options.only)
    ]
    rows = read(options.table)
    if options.job == "designs":
        designs(rows, wanted, options.table)
    else:
        run_all(rows, set(wanted), options.table, Options(options.timeout, options.again))
    return 0


def timed(library: str, name: str, timeout: int) -> Row:
    """Return the results of one architecture, or that it took too long."""

    def stop(_signal: int, _frame: object) -> None:
        raise TimeoutError(f"not finished in {timeout} s")

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(timeout)
    try:
        return run(library, name)
    finally:
        signal.alarm(0)
        gc.collect()


def read(table: Path) -> dict[tuple[str, str], Row]:
    """Return the rows of a table by library and name."""
    if not table.is_file():
        return {}
    with table.open(encoding="utf-8", newline="") as file:
        return {(each["library"], each["name"]): Row(**each) for each in csv.DictReader(file)}


def write(table: Path, rows: Iterable[Row]) -> None:
    """Write a table, sorted."""
    ordered = sorted(rows, key=lambda each: (each.library, each.name))
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [each.name for each in fields(Row)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(asdict, ordered))


if __name__ == "__main__":
    sys.exit(main())

"""Find the attention of every architecture of timm and torchvision, and check where it is mapped.

``python tools/attention_sweep.py`` builds each with random weights, finds its attention layers and
where their tokens lie, and runs LeGrad and the two rollouts. Where tokens lie is checked by another
way than the one that found it: a part of the image is changed while what attention adds is held,
and the values that change must be those of the tokens there. The results go to
``docs/attention.csv``; after an interruption it continues.

``--only PATTERN ...`` runs some names, ``--first`` one of each kind, ``--timeout`` seconds each.
"""

from __future__ import annotations

import argparse
import csv
import fnmatch
import gc
import signal
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from torch import Tensor

import effcam
from effcam.cam.attention.layout import Layer
from effcam.cam.attention.reading import layout_of
from effcam.cam.attention.recording import Attention, visiting_attention
from effcam.cam.attention.token_map import arrange
from effcam.cam.explain import compute_cams
from effcam.cam.head_cam import HeadCAM
from effcam.models.tracing.isolation import untouched
from effcam.models.tracing.probe import probe_standardised
from sweep import ROOT, build, calibrate, names, own_options, own_size

TABLE = ROOT / "docs" / "attention.csv"
METHODS = ("legrad", "rollout", "chefer")
CHANGED = ((0.125, 0.625), (0.75, 0.25))
"""The top left corners of the parts of the image that are changed, as shares of its sides."""
SIDE = 0.125
FOLLOWS = 0.2
"""The least share of the way between these parts by which the centre of what changes moves."""
MOST = 120e6
"""The most weights of an architecture that is run."""


@dataclass(slots=True)
class Row:
    """The results of one architecture: the columns of ``docs/attention.csv``.

    ``layers`` is the number of attention layers, ``mapped`` of those with tokens of the image,
    ``checked`` of those whose tokens the check found where they are mapped. A method's column is
    what its map was read at, or why it was refused.
    """

    library: str
    name: str
    layers: str = ""
    mapped: str = ""
    exact: str = ""
    checked: str = ""
    legrad: str = ""
    rollout: str = ""
    chefer: str = ""
    seconds: str = ""
    problem: str = ""


def run(library: str, name: str) -> Row:
    """Return the results of one architecture."""
    row, start = Row(library, name), time.perf_counter()
    try:
        _run(row)
    except Exception as error:  # noqa: BLE001  # errors are recorded
        row.problem = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    row.seconds = f"{time.perf_counter() - start:.1f}"
    return row


def _run(row: Row) -> None:
    size, options = own_size(row.library, row.name), own_options(row.library, row.name)
    sketch = build(row.library, row.name, meta=True, **options)
    weights = sum(each.numel() for each in sketch.parameters())
    if weights > MOST:
        row.problem = f"not run: {weights / 1e6:.0f} million weights"
        return
    module = build(row.library, row.name, meta=False, **options)
    calibrate(module, size)
    model = effcam.load_model(module, preprocess=effcam.Preprocess(size=size))
    images = probe_standardised(size, 3, 2)
    with untouched(module):
        cam = HeadCAM(model)
        try:
            layers = layout_of(cam, images).layers
            checked = check(cam, layers, images[:1])
        finally:
            cam.release()
    row.layers = str(len(layers))
    row.mapped = str(sum(each.tokens is not None for each in layers))
    row.exact = str(sum(each.tokens is not None and each.tokens.exact for each in layers))
    row.checked = str(sum(checked))
    row.problem = next((each.problem for each in layers if each.problem), "")
    for method in METHODS:
        setattr(row, method, method_result(model, images, method))


def method_result(model: effcam.Model, images: Tensor, method: str) -> str:
    """Return what a method's map was read at, or why it was refused."""
    try:
        found = compute_cams(model, images[:1], [method])
    except effcam.EffcamError as error:
        return f"refused: {error}"
    state = found.states[method][0]
    return found.read_at[method] + ("" if state == "ok" else f" ({state})")


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
        return next(held).output

    with torch.no_grad(), visiting_attention(hold):
        cam.run(changed)
    return moved


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


def first_of_each(every: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return one small architecture of each kind, by the beginning of its name."""
    small = ("test", "atto", "femto", "pico", "nano", "tiny", "xxs", "xs", "small", "_t", "_s")
    best: dict[tuple[str, str], tuple[int, str]] = {}
    for library, name in every:
        rank = next((at for at, word in enumerate(small) if word in name), len(small))
        kind = library, name.partition("_")[0]
        best[kind] = min(best.get(kind, (99, "")), (rank, name))
    return sorted((library, name) for (library, _), (_, name) in best.items())


def main() -> int:
    """Run the sweep; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="*", default=["*"])
    parser.add_argument("--first", action="store_true")
    parser.add_argument("--timeout", type=int, default=120)
    parser.add_argument("--table", type=Path, default=TABLE)
    options = parser.parse_args()
    torch.set_num_threads(1)
    every = [
        each for each in names() if any(fnmatch.fnmatch(each[1], only) for only in options.only)
    ]
    rows = read(options.table)
    for library, name in first_of_each(every) if options.first else every:
        if (library, name) in rows:
            continue
        rows[library, name] = timed(library, name, options.timeout)
        print(rows[library, name], flush=True)
        write(options.table, rows.values())
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

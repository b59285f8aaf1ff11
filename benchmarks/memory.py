"""Memory of a comparison: its peak, the size of a cell, and its growth.

    python benchmarks/memory.py [--images 1000 10000] [--calls 200] [--batch-size 8] [--json FILE]

Every figure of a process's memory comes from a fresh process. It is read from Linux, so the script
needs Linux.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from material import draw_photos, link_photos, save_weights
from measure import MEMORY, Result, add_json_option, goal, process_memory, report, run_part, tell

PHOTOS, DRAWN, SIZE = 35, 16, 224
SMALL = {"mobilenetv3_small": "timm:mobilenetv3_small_050", "resnet10": "timm:resnet10t"}
SETTLED = 20
MOST_OVER, MOST_CELL, MOST_GROWTH = 300, 1024, 50


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    options = _options(argv)
    if options.part:
        print(json.dumps(PARTS[options.part](*options.arguments)))
        return 0
    if not MEMORY.exists():
        print(f"{MEMORY} does not exist: nothing is measured")
        return 0
    with TemporaryDirectory() as temporary:
        rows, notes = _measure(options, Path(temporary))
    report(
        Result(
            script="memory",
            title="Memory",
            question=(
                "The peak memory (resident set) of fresh processes: one that loads a model from a "
                "file and runs one plain forward pass, one that compares all five on "
                f"{PHOTOS} photos and writes a GIF, and some that compare {len(SMALL)} small "
                "models on many photos. A cell is the stored result of one image and one model."
            ),
            columns=["what", "MiB", "bytes per cell"],
            rows=rows,
            notes=notes,
            settings={"batch": options.batch_size, "image": f"{SIZE} x {SIZE} px"},
        ),
        options.json,
    )
    return 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, nargs=2, default=[1000, 10000])
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("arguments", nargs="*", help=argparse.SUPPRESS)
    add_json_option(parser)
    return parser.parse_args(argv)


def _measure(options: argparse.Namespace, folder: Path) -> tuple[list[list[object]], list[str]]:
    """Return the table, and notes on the goals."""
    batch = str(options.batch_size)
    (folder / "weights").mkdir()
    (folder / "drawn").mkdir()
    files = draw_photos(folder / "drawn", PHOTOS)
    tell("writing weights")
    specs = save_weights(folder / "weights")
    alone = {}
    for label in specs:
        tell(f"{label} alone")
        alone[label] = run_part(__file__, "alone", label, str(folder / "weights"), batch)["peak"]
    tell("all five")
    five = run_part(__file__, "five", str(folder), batch)["peak"]
    largest = max(alone, key=lambda label: alone[label])
    rows: list[list[object]] = [
        *([f"{label} alone, plain forward pass", peak, None] for label, peak in alone.items()),
        ["five models compared, GIF written", five, None],
    ]
    many = {}
    for count in options.images:
        tell(f"{count} images")
        links = folder / str(count)
        links.mkdir()
        link_photos(files[:DRAWN], links, count)
        many[count] = run_part(__file__, "many", str(links), batch)["peak"]
        rows.append([f"{count} images, {len(SMALL)} models", many[count], None])
    tell("size of a cell")
    cell = run_part(__file__, "cell", str(folder / str(min(options.images))), batch)["bytes"]
    rows.append([f"cells of {min(options.images)} images", None, round(cell)])
    tell(f"{options.calls} calls")
    calls = run_part(__file__, "calls", str(folder / "drawn"), str(options.calls), batch)
    rows.append([f"after {SETTLED} calls", calls["settled"], None])
    rows.append([f"after {options.calls} calls", calls["last"], None])
    few, most = options.images
    return rows, [
        goal(
            f"five models take at most {MOST_OVER} MiB more than the largest alone",
            {f"over {largest}, MiB": five - alone[largest]},
            lambda value: value <= MOST_OVER,
            ".0f",
        ),
        goal(
            f"a cell takes at most {MOST_CELL} bytes",
            {"bytes": cell},
            lambda value: value <= MOST_CELL,
            ".0f",
        ),
        goal(
            f"the peak is within {MOST_GROWTH} MiB from {few} to {most} images, and memory over "
            f"{options.calls} calls",
            {"images": many[most] - many[few], "calls": calls["last"] - calls["settled"]},
            lambda value: value <= MOST_GROWTH,
            "+.0f",
        ),
    ]


# in their own processes


def _alone(label: str, weights: str, batch: str) -> dict[str, float]:
    import torch
    from end_to_end import build

    from effcam import DEFAULT_MODELS, ModelSpec

    file = Path(weights) / f"{label}.pth"
    module = build(ModelSpec(DEFAULT_MODELS[label], checkpoint=file))
    with torch.inference_mode():
        module(torch.zeros(int(batch), 3, SIZE, SIZE))
    return {"peak": process_memory("VmHWM")}


def _five(folder: str, batch: str) -> dict[str, float]:
    from dataclasses import replace

    from effcam import DEFAULT_MODELS, ModelSpec, compare
    from effcam.models.registry import find_spec

    specs = {
        label: replace(
            find_spec(name) or ModelSpec(name),
            checkpoint=Path(folder) / "weights" / f"{label}.pth",
        )
        for label, name in DEFAULT_MODELS.items()
    }
    comparison = compare(
        Path(folder) / "drawn",
        specs,
        view="whole",
        size=SIZE,
        batch_size=int(batch),
        device="cpu",
        progress=False,
    )
    comparison.save(Path(folder) / "five.gif")
    return {"peak": process_memory("VmHWM")}


def _many(folder: str, batch: str) -> dict[str, float]:
    _compare_small(Path(folder), batch)
    return {"peak": process_memory("VmHWM")}


def _cell(folder: str, batch: str) -> dict[str, float]:
    _compare_small(next(Path(folder).iterdir()), batch)  # fills the caches
    gc.collect()
    tracemalloc.start()
    comparison = _compare_small(Path(folder), batch)
    gc.collect()
    return {"bytes": tracemalloc.get_traced_memory()[0] / len(comparison)}


def _calls(folder: str, calls: str, batch: str) -> dict[str, float]:
    settled = 0.0
    files = sorted(Path(folder).iterdir())
    for at in range(int(calls)):
        _compare_small(files[at % len(files)], batch)
        if at + 1 == SETTLED:
            settled = process_memory("VmRSS")
    return {"settled": settled, "last": process_memory("VmRSS")}


def _compare_small(images: Path, batch: str) -> Any:
    """Compare the small models on a folder or a file."""
    from effcam import ModelSpec, compare

    return compare(
        images,
        {label: ModelSpec(name, pretrained=False) for label, name in SMALL.items()},
        view="whole",
        size=SIZE,
        batch_size=int(batch),
        device="cpu",
        progress=False,
    )


PARTS: dict[str, Callable[..., dict[str, float]]] = {
    "alone": _alone,
    "five": _five,
    "many": _many,
    "cell": _cell,
    "calls": _calls,
}

if __name__ == "__main__":
    sys.exit(main())

"""Runs of many images on disk: images per second, memory, bytes per cell, and reading them.

    python benchmarks/dataset.py [--images 1000 10000] [--throughput 200] [--json FILE]

Two small models run on symlinks to a few hundred photos, which shows what grows with the number of
images; two of the usual size run on fewer, which shows how long a million would take. The same
networks then predict the same photos by torchvision's transforms and a plain loader of torch, in as
many worker processes as there are cores. Each figure comes from a fresh process, and memory is read
from Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from material import draw_photos, link_photos
from measure import MEMORY, Result, add_json_option, goal, process_memory, report, run_part, tell

DRAWN, SIZE, BATCH = 200, 224, 16
SMALL = ("timm:mobilenetv3_small_050", "timm:resnet10t")
USUAL = ("timm:resnet50", "timm:efficientnet_b0")
MOST_GROWTH = 50
LISTED = 100_000
MILLION, LARGE, COLUMNS = 1e6, 1e8, 5


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    options = _options(argv)
    if options.part:
        begin = time.perf_counter()
        found = PARTS[options.part](*options.arguments)
        seconds = found.pop("seconds", time.perf_counter() - begin)
        print(json.dumps({"seconds": seconds, "peak": process_memory("VmHWM"), **found}))
        return 0
    if not MEMORY.exists():
        print(f"{MEMORY} does not exist: nothing is measured")
        return 0
    with TemporaryDirectory() as temporary:
        rows, notes = _measure(options, Path(temporary))
    report(
        Result(
            script="dataset",
            title="Many images, on disk",
            question=(
                "The speed of `compare_dataset`, the peak memory of its process (resident set), "
                "and the size on disk of a cell or, for the list, of an image. The listed files "
                "are symlinks in one folder. The first section has the cost of maps over a plain "
                "forward pass."
            ),
            columns=["what", "images", "seconds", "images/s per model", "peak, MiB", "bytes each"],
            rows=rows,
            notes=notes,
            settings={"batch": BATCH, "image": f"{SIZE} x {SIZE} px", "photos": f"{DRAWN} drawn"},
        ),
        options.json,
    )
    return 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, nargs=2, default=[1000, 10000])
    parser.add_argument("--throughput", type=int, default=200)
    parser.add_argument("--listed", type=int, default=LISTED)
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("arguments", nargs="*", help=argparse.SUPPRESS)
    add_json_option(parser)
    return parser.parse_args(argv)


def _measure(options: argparse.Namespace, folder: Path) -> tuple[list[list[object]], list[str]]:
    """Return the table, and notes on the goals."""
    (folder / "drawn").mkdir()
    files = draw_photos(folder / "drawn", DRAWN)
    rows: list[list[object]] = []
    notes: list[str] = []
    peaks = []
    few, most = options.images
    for count in (few, most):
        tell(f"{count} images through small models")
        links = _links(files, folder, count)
        written = run_part(__file__, "write", str(links), f"{folder}/run-{count}", *SMALL)
        # Repeated photos would be compressed to almost nothing.
        rows.append(_row("two small models", count, {**written, "bytes": None}, len(SMALL)))
        peaks.append(written["peak"])
    for what in ("summary", "agreement"):
        tell(what)
        read = {count: run_part(__file__, what, f"{folder}/run-{count}") for count in (few, most)}
        rows += [_row(f"reading back: {what}", count, each, None) for count, each in read.items()]
        notes.append(_grows(what, [each["peak"] for each in read.values()], few, most))
    notes.insert(0, _grows("writing", peaks, few, most))
    over: dict[str, float] = {}
    tell("throughput of models of the usual size")
    links = _links(files, folder, options.throughput)
    for name in USUAL:
        found = run_part(__file__, "write", str(links), f"{folder}/{name.replace(':', '-')}", name)
        short = name.partition(":")[2]
        rows.append(_row(short, options.throughput, found, 1))
        tell(f"{short}: plain loader and forward pass")
        bare = run_part(__file__, "plain", str(links), name)
        rows.append(_row(f"{short}: plain loader and forward pass", options.throughput, bare, 1))
        over[short] = bare["seconds"] / found["seconds"]
        cell = found["bytes"]
        hours = found["seconds"] / options.throughput * MILLION / 3600
        notes.append(
            f"{short}: at this rate a million images take {hours:.0f} hours on this machine."
        )
    what = "images per second of a run, over those of a plain loader and forward pass, at least 1"
    notes.append(goal(what, over, lambda value: value >= 1, ".2f"))
    tell("listing")
    begin = run_part(__file__, "list", str(_links(files, folder, few)))
    found = run_part(__file__, "list", str(_links(files, folder, options.listed)))
    rows.append(_row("listing", options.listed, found, None))
    notes += _projected(found, found["peak"] - begin["peak"], cell, options.listed)
    return rows, notes


def _projected(found: dict[str, float], grown: float, cell: float, listed: int) -> Iterator[str]:
    """Yield sentences on the cost of a run of a hundred million images in five columns."""
    yield (
        f"Projected, not measured: {LARGE:.0e} images by {COLUMNS} columns take "
        f"{LARGE * COLUMNS * cell / 1e9:.0f} GB, their list {LARGE * found['bytes'] / 1e9:.1f} GB."
    )
    yield (
        f"Projected, not measured: listing a million images takes "
        f"{found['seconds'] / listed * MILLION:.0f} s and {grown / listed * MILLION:.0f} MiB."
    )


def _links(files: list[Path], folder: Path, count: int) -> Path:
    links = folder / f"links-{count}"
    if not links.exists():
        links.mkdir()
        link_photos(files, links, count)
    return links


def _row(
    what: str, count: int, found: Mapping[str, float | None], models: int | None
) -> list[object]:
    rate = None if models is None else round(models * count / found["seconds"], 1)
    size = found.get("bytes")
    return [
        *(what, count, round(found["seconds"], 2), rate, round(found["peak"])),
        None if size is None else round(size),
    ]


def _grows(what: str, peaks: Sequence[float], few: int, most: int) -> str:
    return goal(
        f"{what}: the peak is within {MOST_GROWTH} MiB from {few} to {most} images",
        {"MiB": peaks[1] - peaks[0]},
        lambda value: value <= MOST_GROWTH,
        "+.0f",
    )


# in their own processes


def _write(images: str, out: str, *names: str) -> dict[str, float]:
    from effcam import compare_dataset

    models = _models(names)
    begin = time.perf_counter()
    run = compare_dataset(images, models, out, shard_size=512, **SEEN)
    seconds = time.perf_counter() - begin
    size = sum(each.stat().st_size for each in Path(out).rglob("*.parquet"))
    return {"seconds": seconds, "bytes": size / len(run)}


def _plain(images: str, name: str) -> dict[str, float]:
    """Predict the images as it is usually written: nothing but classes comes out."""
    import torch
    from torch.utils.data import DataLoader

    begin = time.perf_counter()
    library, _, architecture = name.partition(":")
    module = import_module(library).create_model(architecture).eval()
    loader = DataLoader(
        Photos(sorted(Path(images).iterdir())), batch_size=BATCH, num_workers=os.cpu_count() or 1
    )
    with torch.inference_mode():
        for batch in loader:
            module(batch)
    return {"seconds": time.perf_counter() - begin}


class Photos:
    """Photos as a model's input, one by one, as a loader of torch takes them."""

    def __init__(self, files: Sequence[Path]) -> None:
        from torchvision import transforms

        self.files = files
        self.transform = transforms.Compose(
            [
                transforms.Resize((SIZE, SIZE)),
                transforms.ToTensor(),
                transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
            ]
        )

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, at: int) -> Any:
        from PIL import Image

        with Image.open(self.files[at]) as image:
            return self.transform(image.convert("RGB"))


def _summary(run: str) -> dict[str, float]:
    from effcam import open_run

    begin = time.perf_counter()
    open_run(run).summary()
    return {"seconds": time.perf_counter() - begin}


def _agreement(run: str) -> dict[str, float]:
    from effcam import open_run

    begin = time.perf_counter()
    open_run(run).agreement()
    return {"seconds": time.perf_counter() - begin}


def _list(images: str) -> dict[str, float]:
    from effcam.dataset.image_list import list_images, write_inventory
    from effcam.dataset.storage import Store

    begin = time.perf_counter()
    with TemporaryDirectory() as folder:
        count, _ = write_inventory(Store.at(folder), list_images(images, None, at_once=4096))
        size = (Path(folder) / "images.parquet").stat().st_size
    return {"seconds": time.perf_counter() - begin, "bytes": size / count}


def _models(names: Sequence[str]) -> dict[str, Any]:
    from effcam import ModelSpec

    return {name: ModelSpec(name, pretrained=False) for name in names}


SEEN: dict[str, Any] = {
    "view": "whole",
    "size": SIZE,
    "batch_size": BATCH,
    "device": "cpu",
    "progress": False,
}
PARTS: dict[str, Callable[..., dict[str, float]]] = {
    "write": _write,
    "plain": _plain,
    "summary": _summary,
    "agreement": _agreement,
    "list": _list,
}

if __name__ == "__main__":
    sys.exit(main())

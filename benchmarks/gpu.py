"""Images per second on a GPU: effcam beside plain inference, by model and precision.

    python benchmarks/gpu.py [--rounds 5] [--models resnet152] [--precisions fp32 bf16 fp16]
        [--batches 32 64 128 256 512] [--files 256] [--json FILE]
    python benchmarks/gpu.py --device cpu --smoke

First with images on the device, each way at its best batch size, then from JPEG files. Finally the
maps are compared with those of the CPU. ``--smoke`` runs a tiny version of everything on any
machine; its figures are meaningless.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import measure
import numpy as np
import torch
from engine import MODELS, SEED, SIZE, TARGET, Way, format_of, load, plain
from measure import goal, paired, ratio, tell
from PIL import Image
from torch import Tensor

import effcam
from effcam import Model, load_model
from effcam.cam.explain import explaining
from effcam.demo import MODELS as DEMO_MODELS
from effcam.demo import scenes

if TYPE_CHECKING:
    from numpy.typing import NDArray

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
PLAIN, SAME, OURS = "plain", "plain, same format", "effcam"
# A plain loop queues several batches before it waits for one.
QUEUED = 2
SCENES = 32
PHOTO = (500, 375)
AGREE = 8
LEAST, MOST_APART = 0.90, 1e-3


@dataclass(slots=True)
class Found:
    """The measurements.

    Attributes:
        rows: The table.
        shares: effcam's throughput over that of plain inference, images on the device.
        from_files: The same from files.
        apart: The largest difference of maps from the CPU's, by precision and model.
    """

    rows: list[list[object]] = field(default_factory=list)
    shares: dict[str, float] = field(default_factory=dict)
    from_files: dict[str, float] = field(default_factory=dict)
    apart: dict[str, dict[str, float]] = field(default_factory=dict)


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    options = _options(argv)
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        print("no GPU: nothing is measured")
        return 0
    torch.manual_seed(SEED)
    found = Found()
    with tempfile.TemporaryDirectory() as folder:
        files = _photos(Path(folder), options.files)
        for label in options.models:
            model = load(label, options.device)
            for precision in options.precisions:
                tell(f"{label}, {precision}")
                _add_throughput(found, label, model, precision, options)
                _add_from_files(found, label, model, precision, files=files, options=options)
    for precision in options.precisions:
        tell(f"maps in {precision}")
        found.apart[precision] = _compare_maps(options, precision)
    measure.report(_result(found, options), options.json)
    return 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS)
    parser.add_argument("--precisions", nargs="+", default=list(PRECISIONS), choices=PRECISIONS)
    parser.add_argument("--batches", nargs="+", type=int, default=[32, 64, 128, 256, 512])
    parser.add_argument("--files", type=int, default=256, help="how many JPEG files to look at")
    parser.add_argument("--file-batch", type=int, default=64, help="how many files at once")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--smoke", action="store_true", help="all of it, in a tiny form")
    measure.add_json_option(parser)
    options = parser.parse_args(argv)
    if options.smoke:
        options.rounds, options.batches, options.files, options.file_batch = 1, [1, 2], 3, 2
        options.models, options.precisions = ["alexnet"], ["fp32", "bf16"]
    return options


@contextmanager
def _in_precision(device: str, precision: str) -> Iterator[None]:
    with torch.autocast(
        torch.device(device).type, PRECISIONS[precision], enabled=precision != "fp32"
    ):
        yield


def _within(precision: str, device: str, way: Way, times: int = 1) -> Way:
    """Return a way that runs several times in a precision."""

    def run() -> None:
        with _in_precision(device, precision):
            for _ in range(times):
                way()

    return run


def _add_throughput(
    found: Found, label: str, model: Model, precision: str, options: argparse.Namespace
) -> None:
    """Add images per second with images on the device, each way at its best batch size."""
    best: dict[str, tuple[float, int]] = {}
    for batch in options.batches:
        rates = _rates(model, batch, precision, options)
        if rates is None:
            tell(f"  batch {batch} does not fit")
            break
        for way, rate in rates.items():
            best[way] = max(best.get(way, (0.0, 0)), (rate, batch))
    if not best:
        return
    share = best[OURS][0] / max(best[PLAIN][0], best[SAME][0])
    found.shares[f"{label} {precision}"] = share
    cells = [f"{best[way][0]:.0f} ({best[way][1]})" for way in (PLAIN, SAME, OURS)]
    found.rows.append([label, precision, "on the device", *cells, share])


def _rates(
    model: Model, batch: int, precision: str, options: argparse.Namespace
) -> Mapping[str, float] | None:
    """Return images per second by way, or ``None`` if the batch does not fit."""
    try:
        images = torch.randn(batch, 3, SIZE, SIZE, device=options.device)
        with explaining(model) as explain:
            ways: dict[str, Way] = {
                PLAIN: plain(model, images, torch.contiguous_format),
                SAME: plain(model, images, format_of(model)),
                OURS: lambda: explain(images, ["gradcam"], [TARGET] * batch),
            }
            several = {
                name: _within(precision, options.device, way, QUEUED) for name, way in ways.items()
            }
            seconds = paired(several, options.rounds)
    except RuntimeError as error:  # effcam's own errors are some, too
        if not _is_out_of_memory(error):
            raise
        torch.cuda.empty_cache()
        return None
    return {name: QUEUED * batch / float(np.median(each)) for name, each in seconds.items()}


def _is_out_of_memory(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, torch.OutOfMemoryError | MemoryError):
            return True
        error = error.__cause__
    return False


def _photos(folder: Path, count: int) -> list[Path]:
    """Return JPEG files of a usual size."""
    drawn = [each.image.resize(PHOTO) for each in scenes(min(count, SCENES), SEED)]
    files = [folder / f"{at:04}.jpg" for at in range(count)]
    for at, file in enumerate(files):
        drawn[at % len(drawn)].save(file, quality=90)
    return files


def _add_from_files(
    found: Found,
    label: str,
    model: Model,
    precision: str,
    *,
    files: Sequence[Path],
    options: argparse.Namespace,
) -> None:
    """Add images per second from files, effcam beside a loop as users write it."""
    ways: dict[str, Callable[[], object]] = {
        PLAIN: _within(precision, options.device, partial(_loop, model, files, options.file_batch)),
        OURS: partial(
            effcam.compare,
            [str(file) for file in files],
            {label: model},
            precision=precision,
            batch_size=options.file_batch,
            progress=False,
        ),
    }
    seconds = paired(ways, options.rounds)
    share = ratio(seconds, PLAIN, OURS)
    found.from_files[f"{label} {precision}"] = share
    rates = {way: len(files) / float(np.median(each)) for way, each in seconds.items()}
    cells = [f"{rates[PLAIN]:.0f} ({options.file_batch})", None]
    ours = f"{rates[OURS]:.0f} ({options.file_batch})"
    found.rows.append([label, precision, "in files", *cells, ours, share])


def _loop(model: Model, files: Sequence[Path], batch: int) -> None:
    """Read, prepare and classify files, batch by batch."""
    with torch.inference_mode():
        for start in range(0, len(files), batch):
            tensors = []
            for file in files[start : start + batch]:
                with Image.open(file) as image:
                    tensors.append(model.preprocess(image.convert("RGB"))[0])
            model.module(torch.stack(tensors).to(model.device)).argmax(1).cpu()


def _compare_maps(options: argparse.Namespace, precision: str) -> dict[str, float]:
    """Return, by model, the largest difference of maps from the CPU's, over each map's maximum.

    The demo models are trained. The others' weights are random: their maps are small remainders
    of sums that cancel out, which half precision does not resolve.
    """
    names = list(DEMO_MODELS.values())[: 1 if options.smoke else None]
    makers: dict[str, Callable[[str], Model]] = {name: partial(_load_demo, name) for name in names}
    if precision == "fp32":
        makers |= {label: partial(load, label) for label in options.models}
    found = {}
    for name, make in makers.items():
        here, there = make("cpu"), make(options.device)
        images = torch.stack([here.preprocess(each.image)[0] for each in scenes(AGREE, SEED)])
        targets = [at % here.num_classes for at in range(AGREE)]
        exact = _maps(here, images, targets, "fp32")
        found[name] = _apart(exact, _maps(there, images, targets, precision))
    return found


def _load_demo(name: str, device: str) -> Model:
    return load_model(name, device=device)


def _maps(
    model: Model, images: Tensor, targets: Sequence[int], precision: str
) -> NDArray[np.float32]:
    with _in_precision(model.device.type, precision), explaining(model) as explain:
        return explain(images, ["gradcam"], list(targets)).maps["gradcam"]


def _apart(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the largest difference of two batches of maps, over the maximum of each map."""
    most = one.max((1, 2))
    lit = most > 0
    differences = np.abs(one - other).max((1, 2))
    return float((differences[lit] / most[lit]).max(initial=0))


def _result(found: Found, options: argparse.Namespace) -> measure.Result:
    notes = [
        goal(
            f"at least {100 * LEAST:.0f} % of the faster plain forward pass, images on the device",
            found.shares,
            lambda value: value >= LEAST,
            ".2f",
        ),
        goal(
            f"at least {100 * LEAST:.0f} % of the plain loop, images in files",
            found.from_files,
            lambda value: value >= LEAST,
            ".2f",
        ),
    ]
    for precision, apart in found.apart.items():
        what = f"maps in {precision} differ from the CPU's in fp32"
        if precision == "fp32":
            what = f"{what} by at most {MOST_APART} of a map's maximum"
            notes.append(goal(what, apart, lambda value: value <= MOST_APART, ".1e"))
        else:
            figures = ", ".join(f"{name} {value:.1e}" for name, value in apart.items())
            notes.append(f"Largest: {what}, over a map's maximum: {figures}.")
    if options.smoke:
        notes.append("A smoke test: these figures are meaningless.")
    return measure.Result(
        script="gpu",
        title="On a GPU",
        question=(
            "Images per second (and the batch size) of plain inference and of effcam with Grad-CAM "
            "maps, by precision: with images on the device, each way at its best batch size, and "
            f"from JPEG files of {PHOTO[0]} x {PHOTO[1]} px, where plain inference is a loop that "
            "reads, prepares and classifies one batch after the other. The share is effcam's "
            "throughput over that of plain inference, in the faster memory format."
        ),
        columns=["model", "precision", "images", PLAIN, SAME, OURS, "share"],
        rows=found.rows,
        notes=notes,
        settings={
            "rounds": options.rounds,
            "batches": ", ".join(map(str, options.batches)),
            "files": options.files,
            "image": f"{SIZE} x {SIZE} px",
            "device": options.device,
        },
    )


if __name__ == "__main__":
    sys.exit(main())

"""Examine every architecture of timm and torchvision, and record the results.

``python tools/sweep.py derive`` finds the target layer of each by a trace, and shows how it differs
from the shipped ``src/effcam/models/architectures.csv``; ``--write`` writes both tables.
``python tools/sweep.py run`` runs each with random weights, compares its Grad-CAM with that of the
grad-cam package, and writes ``docs/sweep.csv``; after an interruption it continues.
``python tools/sweep.py bypass`` measures which share of what the scores of each untrained network
depend on goes past its target layers, where the graph does not show that there is none, and writes
it to the shipped table; after an interruption it continues.

Each chunk of architectures runs in its own process, which frees its memory.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
import os
import re
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

import timm
import torch
import torchvision
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

import effcam
from effcam.cam.head_cam import HeadCAM
from effcam.models.architectures import HEADLESS, JOINT, TABLE
from effcam.models.checked_layers import check_layers
from effcam.models.lookup import KINDS, find_architecture
from effcam.models.tracing.causal_check import check_causes
from effcam.models.tracing.logits import read_logits
from effcam.models.tracing.probe import probe_standardised
from effcam.models.tracing.score_source import ScoreSource
from effcam.models.tracing.target_layer import (
    JOINED,
    TargetLayer,
    all_passes_through,
    find_target_layers,
)
from effcam.models.tracing.trace import Trace, trace

ROOT = Path(__file__).parents[1]
RUNS = ROOT / "docs" / "sweep.csv"
SHIPPED = ROOT / "src" / "effcam" / "models" / TABLE

CHUNK = 8
LARGE = 1.6e9
HEAVY = 4e9
EQUAL = 1e-4
CLASS = 1

Sized: TypeAlias = tuple[tuple[int, int], dict[str, object], tuple[TargetLayer, ...]]
"""An input size, the options to build an architecture for it, and its target layers there."""


@dataclass(slots=True)
class Run:
    """The results of one architecture: the columns of ``docs/sweep.csv``.

    ``size`` is the input size of the run, smaller than the architecture's own if that needs many
    operations; ``precision`` is float64 for those that differ in float32. ``difference`` is the
    largest difference to grad-cam's map before its ReLU, over the largest absolute value in it.
    """

    library: str
    name: str
    resolved: bool = False
    layer: str = ""
    layout: str = ""
    grid: str = ""
    size: str = ""
    precision: str = ""
    finite: str = ""
    varies: str = ""
    support: str = ""
    difference: str = ""
    equal: str = ""
    seconds: str = ""
    reason: str = ""

    @property
    def verified(self) -> bool:
        """Whether it ran, and its map is valid and equals grad-cam's."""
        sound = self.finite == self.varies == self.equal == "yes"
        return sound and int(self.support) > 1


class Fast(TorchFunctionMode):
    """Fills tensors with a repeated block of random numbers, in place of slow initialisers."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.normal = torch.randn(1_000_003, generator=generator)
        self.uniform = torch.rand(1_000_003, generator=generator)

    def __torch_function__(
        self, function: Any, kinds: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if function in (Tensor.normal_, Tensor.uniform_) and not args[0].is_meta:
            low, high = _range(function is Tensor.normal_, args[1:], kwargs)
            block = self.normal if function is Tensor.normal_ else self.uniform
            return self.fill(args[0], block, low, high)
        return function(*args, **kwargs)

    def fill(self, tensor: Tensor, block: Tensor, low: float, high: float) -> Tensor:
        """Fill a tensor with ``low + high * block``, block after block."""
        with torch.no_grad():
            scaled = block * high + low
            if tensor.is_contiguous():
                flat = tensor.detach().view(-1)
                for start in range(0, flat.numel(), len(block)):
                    part = flat[start : start + len(block)]
                    part.copy_(scaled[: len(part)])
            else:
                repeats = -(-tensor.numel() // len(block))
                values = scaled.repeat(repeats)[: tensor.numel()]
                tensor.copy_(values.view(tensor.shape))
        return tensor

    def enliven(self, module: nn.Module) -> None:
        """Give random values to constant parameters: heads of zeros, scales of 1e-5."""
        with torch.no_grad():
            for parameter in module.parameters():
                if not parameter.is_floating_point() or parameter.numel() < 2:
                    continue
                if parameter.min() != parameter.max():
                    continue
                fan = parameter[0].numel() if parameter.ndim > 1 else 100
                noise = torch.empty_like(parameter, requires_grad=False)
                parameter.add_(self.fill(noise, self.normal, 0.0, fan**-0.5))


def _range(normal: bool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[float, float]:
    names, defaults = (("mean", "std") if normal else ("from", "to")), (0.0, 1.0)
    first, second = (
        float(args[at] if len(args) > at else kwargs.get(names[at], defaults[at])) for at in (0, 1)
    )
    return (first, second) if normal else (first, second - first)


def names() -> list[tuple[str, str]]:
    """Return every architecture, by library."""
    torchvisions = torchvision.models.list_models(module=torchvision.models)
    return [("timm", name) for name in timm.list_models()] + [
        ("torchvision", name) for name in torchvisions
    ]


def build(library: str, name: str, *, meta: bool, **options: object) -> nn.Module:
    """Build the architecture with random weights, or without any."""
    architecture = KINDS[library](name)
    if meta:
        # torchvision's RegNets read values of tensors during construction.
        with suppress(effcam.EffcamError), torch.device("meta"):
            return architecture.build(pretrained=False, options=options)
    torch.manual_seed(0)
    fast = Fast()
    with fast:
        module = architecture.build(pretrained=False, options=options)
    module = module.eval().requires_grad_(False)
    fast.enliven(module)
    return module


def calibrate(module: nn.Module, size: tuple[int, int]) -> None:
    """Give batch normalisation the statistics of pictures: with others, all signals may vanish."""
    norms = [each for each in module.modules() if isinstance(each, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    with torch.no_grad():
        module(probe_standardised(size, 3, 8))
    module.eval()


def own_size(library: str, name: str) -> tuple[int, int]:
    """Return the input size of an architecture's published weights, in px."""
    return find_architecture(f"{library}:{name}").preprocess().size


def own_options(library: str, name: str) -> dict[str, object]:
    """Return the options that build an architecture for its own size, if it needs any."""
    option = KINDS[library](name).size_option()
    return {option: own_size(library, name)[0]} if option == "image_size" else {}


def run(library: str, name: str) -> dict[str, object]:
    """Run one architecture, and return the results or the error."""
    row = Run(library, name)
    start = time.perf_counter()
    try:
        _run(row)
    except Exception as error:  # noqa: BLE001  # errors are recorded
        row.reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    row.seconds = f"{time.perf_counter() - start:.1f}"
    return asdict(row)


def _run(row: Run) -> None:
    sketch = build(row.library, row.name, meta=True, **own_options(row.library, row.name)).eval()
    layers, operations = examine(row.library, row.name, sketch)
    row.resolved = True
    row.layer = JOINT.join(layer.name for layer in layers)
    row.layout = layers[0].layout
    row.grid = " + ".join("x".join(map(str, layer.grid)) for layer in layers)
    size, options, layers = quick_size(row.library, row.name, sketch, layers, operations)
    row.size = "x".join(map(str, size))
    del sketch
    module = build(row.library, row.name, meta=False, **options)
    generator = torch.Generator().manual_seed(1)
    coarse = torch.randn(1, 3, 8, 8, generator=generator)
    images = nn.functional.interpolate(coarse, size=size, mode="bilinear")
    images += 0.3 * torch.randn(images.shape, generator=generator)
    compare(row, module, layers, images)
    if row.equal != "yes":
        # If rounding errors of a deep network make the difference, double precision removes it.
        compare(row, module.double(), layers, images.double())


def compare(row: Run, module: nn.Module, layers: tuple[TargetLayer, ...], images: Tensor) -> None:
    """Compare effcam's maps with grad-cam's, and record the difference."""
    target = pick_class(module, images)
    ours, support = own_maps(module, layers, images, target)
    theirs = reference_maps(module, layers, images, target)
    row.precision = str(images.dtype).partition(".")[2]
    row.finite = _yes(all(bool(each.isfinite().all()) for each in ours))
    row.varies = _yes(all(float(each.max() - each.min()) > 0 for each in ours))
    row.support = str(support)
    worst = max(
        float((our - their).abs().max()) / max(float(their.abs().max()), 1e-30)
        for our, their in zip(ours, theirs, strict=True)
    )
    row.difference = f"{worst:.1e}"
    row.equal = _yes(worst <= EQUAL)


def target_layers(library: str, name: str, record: Trace) -> tuple[TargetLayer, ...]:
    """Return the target layers that a trace shows.

    A trace without numbers does not tell cells from as many hidden states: of several layers, only
    those stay whose cells follow the image in passes of the untrained network.
    """
    layers = find_target_layers(record)
    if layers[0].reason != JOINED:
        return layers
    module = build(library, name, meta=False, **own_options(library, name))
    calibrate(module, record.size)
    transform = effcam.Preprocess(size=record.size)
    return check_layers(
        module,
        layers,
        transform,
        ScoreSource(),
        lambda without: find_target_layers(record, without),
    ).layers


def examine(library: str, name: str, sketch: nn.Module) -> tuple[tuple[TargetLayer, ...], float]:
    """Return the target layers of an architecture, and its multiplications, at its own size."""
    counter = FlopCounterMode(display=False)
    with counter:
        record = trace(sketch, own_size(library, name), graph=True)
    # The trace has two images, and counts additions too.
    return target_layers(library, name, record), counter.get_total_flops() / 2 / 2


def quick_size(
    library: str,
    name: str,
    sketch: nn.Module,
    layers: tuple[TargetLayer, ...],
    operations: float,
) -> Sized:
    """Return an input size at which an architecture needs few operations, and what it needs there.

    Args:
        library: Its library.
        name: Its name there.
        sketch: It, without weights.
        layers: Its target layers at its own size.
        operations: Its multiplications there.

    Returns:
        Its own size, or a smaller one with the same target layers; the options to build it with;
        and the target layers there.
    """
    own, options = own_size(library, name), own_options(library, name)
    if operations <= HEAVY:
        return own, options, layers
    strides = [own[at] // layers[0].grid[at] for at in (0, 1)]
    step = 32 if max(strides) <= 32 and 32 % max(strides) == 0 else max(strides)
    option = KINDS[library](name).size_option()
    for share in (0.25, 0.34, 0.5, 0.67):
        size = tuple(max(round(each * share / step), 3) * step for each in own)
        if size[0] >= own[0]:
            break
        options = {option: size if option == "img_size" else size[0]} if option else {}
        with suppress(Exception):  # not every architecture accepts every size
            module = build(library, name, meta=True, **options) if option else sketch
            found = find_target_layers(trace(module.eval(), size, graph=True))
            if [layer.name for layer in found] == [layer.name for layer in layers]:
                return size, options, found
    return own, own_options(library, name), layers


def pick_class(module: nn.Module, images: Tensor) -> int:
    """Return the class to explain: a fixed one, unless a last ReLU sets its score to zero."""
    with torch.no_grad():
        scores = read_logits(module(images), 1).values[0]
    return CLASS if float(scores[CLASS]) != 0 else int(scores.argmax())


def own_maps(
    module: nn.Module, layers: tuple[TargetLayer, ...], images: Tensor, target: int
) -> tuple[list[Tensor], int]:
    """Return effcam's maps before the ReLU, (1, h, w) per layer, and how many values count."""
    preprocess = effcam.Preprocess(size=tuple(images.shape[2:]))
    cam = HeadCAM(effcam.Model("", module, layers, preprocess, (), (), "random"))
    try:
        with torch.enable_grad():
            values = cam.scores(images).values
            gradients = cam.gradients(values, values[:, target])
        activations = cam.maps(cam.leaves)
        maps = [
            (gradient.mean((2, 3), keepdim=True) * activation).sum(1)
            for activation, gradient in zip(activations, gradients, strict=True)
        ]
        support = min(int((each.abs().sum((0, 1)) > 0).sum()) for each in gradients)
        return maps, support
    finally:
        cam.release()


class Recorder(GradCAM):
    """grad-cam's GradCAM, which also records its maps before the ReLU and before resizing."""

    def get_cam_image(self, *args: Any, **kwargs: Any) -> Any:
        image = super().get_cam_image(*args, **kwargs)
        self.raw = torch.as_tensor(image)
        return image


def reference_maps(
    module: nn.Module, layers: tuple[TargetLayer, ...], images: Tensor, target: int
) -> list[Tensor]:
    """Return grad-cam's maps before the ReLU, (1, h, w) per layer, one layer at a time."""
    maps = []
    for layer in layers:
        part = module.get_submodule(layer.name)
        cam = Recorder(module, [part], reshape_transform=lambda out, at=layer: reshape(out, at))
        try:
            cam(images.clone().requires_grad_(), [ClassifierOutputTarget(target)])
            maps.append(cam.raw)
        finally:
            cam.activations_and_grads.release()
    return maps


def reshape(output: Tensor, layer: TargetLayer) -> Tensor:
    """Reshape a layer's output as users of grad-cam do, by layout."""
    height, width = layer.grid
    if layer.layout == "NHWC":
        return output.transpose(2, 3).transpose(1, 2).clone()
    if layer.layout == "tokens":
        cells = output[:, layer.prefix :, :]
        cells = cells.reshape(output.size(0), height, width, output.size(2))
        return cells.transpose(2, 3).transpose(1, 2).clone()
    return output.clone()


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def read_runs(path: Path = RUNS) -> dict[tuple[str, str], Run]:
    """Return the recorded runs by library and name."""
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = [Run(**row) for row in csv.DictReader(file)]
    for row in rows:
        row.resolved = str(row.resolved) == "yes"
    return {(row.library, row.name): row for row in rows}


def write_runs(rows: Iterable[Run], path: Path = RUNS) -> None:
    """Write the runs, those of timm first, by name."""
    columns = [field.name for field in fields(Run)]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        for row in sorted(rows, key=lambda row: (row.library, row.name)):
            writer.writerow(asdict(row) | {"resolved": _yes(row.resolved)})


def work(job: Callable[[str, str], object]) -> None:
    """Do a job for the architectures on standard input, and print the results as JSON."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    for line in sys.stdin:
        library, name = line.split()
        print(json.dumps(job(library, name)), flush=True)


def run_chunk(
    job: str, chunk: list[tuple[str, str]], threads: int
) -> list[tuple[dict[str, Any] | None, str]]:
    """Do a job for a chunk in a separate process, with a new one after each that ends early.

    Returns:
        The result of each, or ``None`` and the reason why there is none.
    """
    found: list[tuple[dict[str, Any] | None, str]] = []
    while len(found) < len(chunk):
        rest = chunk[len(found) :]
        process = subprocess.run(
            [sys.executable, __file__, f"{job}-worker"],
            input="".join(f"{library} {name}\n" for library, name in rest),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=False,
            env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        )
        done = process.stdout.splitlines()
        found += [(json.loads(line), "") for line in done]
        if len(done) < len(rest):
            reason = f"its process ended with {process.returncode}: it does not fit in memory"
            found.append((None, reason))
    return found


def derive(library: str, name: str) -> dict[str, str]:
    """Derive the row of one architecture in ``architectures.csv``."""
    size = own_size(library, name)
    module = build(library, name, meta=True, **own_options(library, name)).eval()
    record = trace(module, size, graph=True)
    try:
        layers = target_layers(library, name, record)
        rule = layers[0].reason
    except effcam.EffcamError as error:
        layers, rule = (), " ".join(str(error).split())
    pool = getattr(module, "global_pool", "")
    return {
        "library": library,
        "name": name,
        "version": version(library).partition("+")[0],
        "constructor": constructor(library, name),
        "size": "x".join(map(str, size)),
        "layers": JOINT.join(layer.name for layer in layers),
        "layout": layers[0].layout if layers else "",
        "prefix": str(layers[0].prefix) if layers else "",
        "grid": "x".join(map(str, layers[0].grid)) if layers else "",
        "pooling": pool if isinstance(pool, str) else str(getattr(pool, "pool_type", "")),
        "parameters": str(sum(each.numel() for each in module.parameters())),
        "weights": " ".join(weights(library, name)),
        "rule": rule,
        # Otherwise it is measured: job "bypass".
        "bypass": "0" if layers and all_passes_through(record, layers) else "",
    }


def measure_bypass(library: str, name: str) -> dict[str, str]:
    """Measure the share of evidence past the target layers of an architecture with random weights.

    It is ``unknown`` if the scores do not change between pictures.
    """
    sketch = build(library, name, meta=True, **own_options(library, name)).eval()
    size, options, layers = quick_size(library, name, sketch, *examine(library, name, sketch))
    module = build(library, name, meta=False, **options)
    calibrate(module, size)
    found = check_causes(module, layers, effcam.Preprocess(size=size)).bypass
    return {"bypass": "unknown" if found is None else f"{found:.2f}"}


def constructor(library: str, name: str) -> str:
    """Return the dotted path of the function that builds an architecture."""
    if library == "timm":
        return f"{timm.models.model_entrypoint(name).__module__}.{name}"
    return f"{torchvision.models.get_model_builder(name).__module__}.{name}"


def weights(library: str, name: str) -> Iterator[str]:
    """Yield the names of an architecture's weights, with top-1 accuracy if stated."""
    for each in KINDS[library].library_weights(name):
        accuracy = None
        if library == "torchvision":
            entry = torchvision.models.get_model_weights(name)[each]
            accuracy = entry.meta.get("_metrics", {}).get("ImageNet-1K", {}).get("acc@1")
        yield each if accuracy is None else f"{each}={accuracy:g}"


def derive_all(pattern: str, workers: int, *, write: bool) -> int:
    """Derive the table, print differences from the shipped one, and return 1 if any."""
    order = {pair: at for at, pair in enumerate(names())}
    pairs = [pair for pair in order if re.search(pattern, ":".join(pair))]
    chunks = [pairs[at::workers] for at in range(workers)]
    with ThreadPoolExecutor(workers) as pool:
        found = [row for rows in pool.map(derive_chunk, chunks) for row in rows]
    runs = read_runs()
    shipped = read_shipped()
    for row in found:
        pair = row["library"], row["name"]
        done, old = runs.get(pair), shipped.get(pair, {})
        if row["layers"] and row["layers"] == old.get("layers"):
            row["bypass"] = row["bypass"] or old.get("bypass", "")
        row["verified"] = _yes(done is not None and done.verified)
    different = [row for row in found if shipped.get((row["library"], row["name"])) != row]
    for row in different:
        old = shipped.get((row["library"], row["name"]), {})
        changes = [
            f"{key} {old.get(key)!r} -> {row[key]!r}" for key in row if old.get(key) != row[key]
        ]
        print(f"{row['library']}:{row['name']}: {', '.join(changes) if old else 'new'}")
    gone = shipped.keys() - order.keys()
    for library, name in sorted(gone):
        print(f"{library}:{name}: gone")
    print(
        f"{len(found)} architectures, {len(different) + len(gone)} different from what is shipped"
    )
    if write:
        rows = shipped | {(row["library"], row["name"]): row for row in found}
        write_shipped(rows[pair] for pair in order if pair in rows)
        write_headless()
    return int(bool(different or gone) and not write)


def write_shipped(rows: Iterable[dict[str, str]]) -> None:
    """Write the shipped table."""
    listed = list(rows)
    with SHIPPED.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(listed[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(listed)


def write_headless() -> None:
    """Write the shipped list of published weights that have no classifier."""
    found = [
        f"timm,{name}.{weights}\n"
        for name in timm.list_models()
        for weights in KINDS["timm"].library_weights(name)
        if KINDS["timm"](name, weights).num_classes() == 0
    ]
    (SHIPPED.parent / HEADLESS).write_text("".join(["library,name\n", *found]), "utf-8")


def mark_verified(runs: dict[tuple[str, str], Run]) -> None:
    """Mark the architectures that have been run in the shipped table."""
    shipped = read_shipped()
    for pair, row in shipped.items():
        row["verified"] = _yes(pair in runs and runs[pair].verified)
    write_shipped(shipped.values())


def derive_chunk(chunk: list[tuple[str, str]]) -> list[dict[str, str]]:
    """Derive the rows of a chunk.

    Raises:
        RuntimeError: If one cannot be derived.
    """
    found = run_chunk("derive", chunk, 1)
    for pair, (row, reason) in zip(chunk, found, strict=True):
        if row is None:
            raise RuntimeError(f"{':'.join(pair)}: {reason}")
    return [row for row, _ in found if row is not None]


def read_shipped() -> dict[tuple[str, str], dict[str, str]]:
    """Return the rows of the shipped table by library and name."""
    if not SHIPPED.is_file():
        return {}
    with SHIPPED.open(newline="", encoding="utf-8") as file:
        return {(row["library"], row["name"]): row for row in csv.DictReader(file)}


def in_chunks(
    job: str, waiting: list[tuple[str, str]], workers: int
) -> Iterator[list[tuple[tuple[str, str], dict[str, Any] | None, str]]]:
    """Do a job for architectures, small ones first, and yield the results of each chunk."""
    sizes = {pair: int(row["parameters"]) for pair, row in read_shipped().items()}
    waiting = sorted(waiting, key=sizes.__getitem__)
    small = [pair for pair in waiting if sizes[pair] < LARGE]
    large = [pair for pair in waiting if sizes[pair] >= LARGE]

    def do(chunk: list[tuple[str, str]], threads: int = 1) -> list[Any]:
        found = run_chunk(job, chunk, threads)
        return [(pair, *result) for pair, result in zip(chunk, found, strict=True)]

    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(do, (small[at : at + CHUNK] for at in range(0, len(small), CHUNK)))
    for pair in large:
        yield do([pair], workers)


def sweep(pattern: str, workers: int) -> None:
    """Run the missing architectures, and record each chunk at once."""
    known = read_runs()
    waiting = [pair for pair in names() if pair not in known and re.search(pattern, ":".join(pair))]
    print(f"{len(known)} recorded, {len(waiting)} to run", flush=True)
    for results in in_chunks("run", waiting, workers):
        rows = []
        for pair, found, reason in results:
            rows.append(Run(*pair, reason=reason) if found is None else Run(**found))
        _record(known, rows)


def measure_all(pattern: str, workers: int) -> None:
    """Measure the missing shares of evidence past the target layers, and record each at once."""
    shipped = read_shipped()
    waiting = [
        pair
        for pair, row in shipped.items()
        if row["layers"] and not row["bypass"] and re.search(pattern, ":".join(pair))
    ]
    print(f"{len(waiting)} to measure", flush=True)
    for results in in_chunks("bypass", waiting, workers):
        for pair, found, reason in results:
            shipped[pair]["bypass"] = "unknown" if found is None else found["bypass"]
            print(f"{':'.join(pair)}: {reason or shipped[pair]['bypass']}", flush=True)
        write_shipped(shipped.values())


def _record(known: dict[tuple[str, str], Run], rows: list[Run]) -> None:
    known.update({(row.library, row.name): row for row in rows})
    write_runs(known.values())
    mark_verified(known)
    for row in rows:
        if not row.verified:
            print(f"{row.library}:{row.name}: {row.reason or row}", flush=True)
    done = sum(row.verified for row in known.values())
    print(f"{len(known)} recorded, {done} verified", flush=True)


JOBS: dict[str, Callable[[str, str], object]] = {
    "derive": derive,
    "run": run,
    "bypass": measure_bypass,
}
"""What each command does with one architecture."""


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("job", choices=[*JOBS, *(f"{job}-worker" for job in JOBS)])
    parser.add_argument("--write", action="store_true", help="write the derived table")
    parser.add_argument("--only", default="", help="a regular expression for library:name")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    if options.job.endswith("-worker"):
        work(JOBS[options.job.removesuffix("-worker")])
    elif options.job == "run":
        sweep(options.only, options.workers)
    elif options.job == "bypass":
        measure_all(options.only, options.workers)
    else:
        return derive_all(options.only, options.workers, write=options.write)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Gain of torch.compile, and the time to compile.

    python benchmarks/compiled.py [--rounds 9] [--models resnet50 vit_small] [--batch 16]
        [--json FILE]

Only the plain forward pass is compiled. This is the upper limit for maps, because the hook at the
target layer would split the compiled graph in two.
"""

from __future__ import annotations

import argparse
import copy
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import measure
import torch
from engine import SEED, SIZE, Seconds, Way
from measure import median_ms, paired, ratio, tell
from one_batch import settings_of
from torch import Tensor, nn

from effcam import Preprocess, load_model

MODELS = {
    "resnet50": "torchvision:resnet50",
    "EB0": "timm:tf_efficientnet_b0",
    "vit_small": "timm:vit_small_patch16_224",
    "convnext_tiny": "timm:convnext_tiny",
}
EAGER, COMPILED = "eager", "compiled"


@dataclass(frozen=True, slots=True)
class Found:
    """The times to compile a model and then to run it, or the reason that it does not compile."""

    compiling: float = 0.0
    seconds: Seconds | None = None
    error: str = ""


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    options = _options(argv)
    torch.manual_seed(SEED)
    found = {}
    # Otherwise earlier results would be found in the cache and cost nothing.
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        for label in options.models:
            tell(label)
            found[label] = _measure(label, options)
    measure.report(_result(found, options), options.json)
    return 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--device", default="cpu")
    measure.add_json_option(parser)
    return parser.parse_args(argv)


def _measure(label: str, options: argparse.Namespace) -> Found:
    model = load_model(
        MODELS[label],
        pretrained=False,
        preprocess=Preprocess(size=SIZE),
        device=options.device,
    )
    module = model.module.to(memory_format=torch.channels_last)
    images = torch.randn(options.batch, 3, SIZE, SIZE, device=model.device)
    images = images.contiguous(memory_format=torch.channels_last)
    torch.compiler.reset()
    compiled = _forward(torch.compile(copy.deepcopy(module)), images)
    eager = _forward(module, images)
    try:
        compiling = _until_steady(compiled)
    except Exception as error:  # noqa: BLE001  # without a compiler, or for many other reasons
        return Found(error=f"{type(error).__name__}: {_first_line(error)}")
    return Found(compiling, paired({EAGER: eager, COMPILED: compiled}, options.rounds))


def _forward(module: nn.Module, images: Tensor) -> Way:
    def forward() -> object:
        with torch.inference_mode():
            return module(images)

    return forward


def _until_steady(compiled: Way) -> float:
    """Return the seconds of the first pass, which compiles, minus those of the second."""
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        compiled()
        seconds.append(time.perf_counter() - start)
    return seconds[0] - seconds[1]


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[0][:200]


def _result(found: Mapping[str, Found], options: argparse.Namespace) -> measure.Result:
    return measure.Result(
        script="compiled",
        title="Compiling the forward pass",
        question=(
            "The plain channels_last forward pass, eager and compiled by `torch.compile` with its "
            "default backend, the time to compile (without a cache), and the number of images "
            "after which compiling pays off."
        ),
        columns=[
            *("model", "eager, ms", "compiled, ms", "compiled / eager"),
            *("compiling, s", "pays off after, images"),
        ],
        rows=[_row(label, each, options.batch) for label, each in found.items()],
        notes=[_note(label, each, options.batch) for label, each in found.items()],
        settings=settings_of(options),
    )


def _row(label: str, found: Found, batch: int) -> list[object]:
    if found.seconds is None:
        return [label, None, None, None, None, None]
    times = [median_ms(found.seconds, way) for way in (EAGER, COMPILED)]
    over = ratio(found.seconds, COMPILED, EAGER)
    return [label, *times, over, found.compiling, _pays_after(found, batch)]


def _pays_after(found: Found, batch: int) -> int | None:
    """Return the number of images after which compiling pays off; ``None`` if never."""
    if found.seconds is None:
        return None
    gained = (median_ms(found.seconds, EAGER) - median_ms(found.seconds, COMPILED)) / 1000 / batch
    return round(found.compiling / gained) if gained > 0 else None


def _note(label: str, found: Found, batch: int) -> str:
    if found.error:
        return f"{label} cannot be compiled here: {found.error}."
    images = _pays_after(found, batch)
    if images is None:
        return f"{label}: compiling does not make it faster."
    return f"{label}: compiling pays off after {images} images."


if __name__ == "__main__":
    sys.exit(main())

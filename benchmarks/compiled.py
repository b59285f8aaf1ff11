"""Gain of compiling what runs before the target layer, as dataset runs do, and what it takes.

    python benchmarks/compiled.py [--rounds 9] [--models swin_tiny vit_small] [--batch 8]
        [--json FILE]

Beside it: the plain forward pass, and that pass compiled by `torch.compile` with its defaults.
"""

from __future__ import annotations

import argparse
import copy
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import measure
import torch
from engine import SEED, SIZE, TARGET, Seconds, Way, plain
from measure import goal, median_ms, paired, ratio, tell
from one_batch import settings_of
from torch import Tensor

from effcam import Model, Preprocess, load_model
from effcam.cam.explain import explaining
from effcam.cam.lighten import lighten
from effcam.cam.predict import placing
from effcam.models.compiled_body import compile_body

MODELS = {
    "resnet50": "torchvision:resnet50",
    "EB0": "timm:tf_efficientnet_b0",
    "vit_small": "timm:vit_small_patch16_224",
    "swin_tiny": "timm:swin_tiny_patch4_window7_224",
    "convnext_tiny": "timm:convnext_tiny",
}
PLAIN, TORCH, MAPS, COMPILED = "plain", "torch.compile", "maps", "maps, compiled"
LIMITS = {"swin_tiny": 0.80, "convnext_tiny": 0.88}
"""The goals for maps of a compiled network over the plain forward pass."""


@dataclass(frozen=True, slots=True)
class Found:
    """The time to compile a model, and the times of each way of running it.

    Attributes:
        compiling: What effcam takes to compile it, in s.
        seconds: The times of a batch.
        error: Why `torch.compile` cannot compile it; empty if it can.
    """

    compiling: float
    seconds: Seconds
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
    parser.add_argument("--batch", type=int, default=8)
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
    images = torch.randn(options.batch, 3, SIZE, SIZE, device=model.device)
    targets = [TARGET] * options.batch
    own, compiled = (replace(model, module=copy.deepcopy(model.module)) for _ in range(2))
    for each in (own, compiled):
        lighten(each)
    start = time.perf_counter()
    layers = [each.name for each in compiled.target_layers]
    compile_body(compiled.module.eval(), placing(compiled)(images), layers)
    compiling = time.perf_counter() - start
    with ExitStack() as stack:
        explain, faster = (stack.enter_context(explaining(each)) for each in (own, compiled))
        ways: dict[str, Way] = {
            PLAIN: plain(model, images, torch.contiguous_format),
            MAPS: lambda: explain(images, ["gradcam"], targets),
            COMPILED: lambda: faster(images, ["gradcam"], targets),
        }
        torch.compiler.reset()
        # effcam runs networks uncompiled, and torch has one setting for that.
        other, error = _torch_compiled(model, images), ""
        try:
            other()
        except Exception as raised:  # noqa: BLE001  # for many reasons
            error = f"{type(raised).__name__}: {_first_line(raised)}"
        else:
            ways[TORCH] = other
        return Found(compiling, paired(ways, options.rounds), error)


def _torch_compiled(model: Model, images: Tensor) -> Way:
    module = torch.compile(copy.deepcopy(model.module))

    def forward() -> object:
        with torch.inference_mode(), torch.compiler.set_stance("default"):
            return module(images)

    return forward


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[0][:200]


def _result(found: Mapping[str, Found], options: argparse.Namespace) -> measure.Result:
    return measure.Result(
        script="compiled",
        title="Compiling long runs",
        question=(
            "Maps of a network that is compiled before its target layer, as "
            '`compare_dataset(..., compile="auto")` does it, and maps without that, both with '
            "folded batch normalisations, over a plain contiguous `inference_mode` forward pass; "
            "beside them that pass compiled by `torch.compile` with its defaults. Then the time "
            "that effcam takes to compile (without a cache), and the number of images after which "
            "it pays off."
        ),
        columns=[
            *("model", "plain, ms", MAPS, COMPILED, TORCH),
            *("compiling, s", "pays off after, images"),
        ],
        rows=[_row(label, each, options.batch) for label, each in found.items()],
        notes=_notes(found),
        settings=settings_of(options),
    )


def _row(label: str, found: Found, batch: int) -> list[object]:
    over = [
        ratio(found.seconds, way, PLAIN) if way in found.seconds else None
        for way in (MAPS, COMPILED, TORCH)
    ]
    took = [found.compiling, _pays_after(found, batch)]
    return [label, median_ms(found.seconds, PLAIN), *over, *took]


def _pays_after(found: Found, batch: int) -> int | None:
    """Return the number of images after which compiling pays off; ``None`` if never."""
    gained = (median_ms(found.seconds, MAPS) - median_ms(found.seconds, COMPILED)) / 1000 / batch
    return round(found.compiling / gained) if gained > 0 else None


def _notes(found: Mapping[str, Found]) -> list[str]:
    notes = [
        f"torch.compile fails on {label}: {each.error}."
        for label, each in found.items()
        if each.error
    ]
    for label, limit in LIMITS.items():
        if label in found:
            what = f"at most {limit} of a plain forward pass ({label})"
            over = {label: ratio(found[label].seconds, COMPILED, PLAIN)}
            notes.append(goal(what, over, lambda value, most=limit: value <= most))
    return notes


if __name__ == "__main__":
    sys.exit(main())

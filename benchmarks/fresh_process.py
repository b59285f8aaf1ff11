"""Time of maps over a plain forward pass, each in a process of its own, as users run them.

    python benchmarks/fresh_process.py [--rounds 9] [--models resnet50 swin_tiny] [--batch 16]
        [--json FILE]

In one process, whatever ran before changes how the C library handles memory, and so the times of
what runs later. Here the plain forward pass and effcam's maps have a process each. Both are also
timed with the environment set so that glibc keeps memory in all of them, as
``MALLOC_TRIM_THRESHOLD_`` does; effcam keeps it by itself while it runs.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from statistics import median

import measure
import torch
from compiled import MODELS
from engine import SEED, SIZE, TARGET
from measure import CLOCKS, tell, timed
from one_batch import settings_of

from effcam import Preprocess, load_model
from effcam.cam.explain import explaining
from effcam.cam.lighten import lighten

KEEPS = {"MALLOC_TRIM_THRESHOLD_": str(2**33), "MALLOC_MMAP_THRESHOLD_": str(2**33)}
"""The environment in which glibc keeps memory."""
WAYS = {
    "plain": ("plain", {}),
    "maps": ("maps", {}),
    "plain, memory kept": ("plain", KEEPS),
    "maps, memory kept": ("maps", KEEPS),
}
"""What runs, and what the environment has."""


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    options = _options(argv)
    if options.way:
        print(json.dumps(_run(options.models[0], options.way, options)))
        return 0
    found: dict[str, dict[str, dict[str, float]]] = {}
    for label in options.models:
        tell(label)
        # Twice, in both orders: the machine may be slower for a while.
        runs = [(name, _in_process(label, *WAYS[name], options)) for name in (*WAYS, *WAYS)]
        found[label] = {
            name: min((each for own, each in runs if own == name), key=lambda each: each["ms"])
            for name in WAYS
        }
    measure.report(_result(found, options), options.json)
    return 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--way", choices=("plain", "maps"), help=argparse.SUPPRESS)
    measure.add_json_option(parser)
    return parser.parse_args(argv)


def _in_process(
    label: str, way: str, environment: Mapping[str, str], options: argparse.Namespace
) -> dict[str, float]:
    command = [sys.executable, __file__, "--models", label, "--way", way]
    command += ["--rounds", str(options.rounds), "--batch", str(options.batch)]
    own = {name: value for name, value in os.environ.items() if name not in KEEPS}
    done = subprocess.run(
        command, env={**own, **environment}, check=True, capture_output=True, text=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _run(label: str, way: str, options: argparse.Namespace) -> dict[str, float]:
    """Return the median ms of a batch, and how many pages the system gave for it."""
    torch.manual_seed(SEED)
    model = load_model(MODELS[label], pretrained=False, preprocess=Preprocess(size=SIZE))
    images = torch.randn(options.batch, 3, SIZE, SIZE)
    if way == "plain":
        module = model.module.to(memory_format=torch.contiguous_format)

        def plain() -> object:
            with torch.inference_mode():
                return module(images)

        return _timed(plain, options.rounds)
    lighten(model)
    targets = [TARGET] * options.batch
    with explaining(model) as explain:
        return _timed(lambda: explain(images, ["gradcam"], targets), options.rounds)


def _timed(call: Callable[[], object], rounds: int) -> dict[str, float]:
    for _ in range(2):
        call()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    times = [timed(call, CLOCKS["wall"]) for _ in range(rounds)]
    pages = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    return {"ms": 1000 * median(times), "pages": pages / rounds}


def _result(
    found: Mapping[str, Mapping[str, Mapping[str, float]]], options: argparse.Namespace
) -> measure.Result:
    return measure.Result(
        script="fresh_process",
        title="In a process of its own",
        question=(
            "The time of a batch with Grad-CAM maps over that of a plain contiguous "
            "`inference_mode` forward pass, each in a new process; and how many pages of memory "
            "the system had to fill with zeros for one batch. Memory kept is with "
            "the C library told by the environment to keep freed memory, which effcam does by "
            "itself while it runs."
        ),
        columns=[
            *("model", "plain, ms", "maps / plain", "maps / plain, memory kept"),
            *("plain / plain, memory kept", "pages, plain", "pages, maps"),
        ],
        rows=[
            [
                label,
                each["plain"]["ms"],
                each["maps"]["ms"] / each["plain"]["ms"],
                each["maps, memory kept"]["ms"] / each["plain, memory kept"]["ms"],
                each["plain"]["ms"] / each["plain, memory kept"]["ms"],
                round(each["plain"]["pages"]),
                round(each["maps"]["pages"]),
            ]
            for label, each in found.items()
        ],
        notes=[],
        settings=settings_of(options),
    )


if __name__ == "__main__":
    sys.exit(main())

"""Start-up time: importing, the command line, tracing a network.

    python benchmarks/startup.py [--rounds 9] [--architectures 25] [--json FILE]

Processes are fresh, but their files are in the page cache. The commands that run models are set
against the import of torch, torchvision and timm in the same round. The traced networks are spread
over timm's names and built on meta tensors; each is traced once and loaded twice. With
``--architectures 0`` only the processes are timed.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import measure
import numpy as np
import timm
import torch
from engine import SEED
from measure import goal, paired, ratio, tell
from torch import nn

from effcam import demo, load_model
from effcam.errors import EffcamError
from effcam.models.tracing.trace import trace

BARE = "python -c pass"
IMPORT = "import effcam"
HELP = "effcam --help"
LIST = "effcam models 'eff*'"
TRACE = "trace of a network"
LIBRARIES = "import torch, torchvision, timm"
COMPARE = "effcam compare one.png -m demo_resnet -o x.png"
INFO = "effcam info"
DEMO = "effcam demo"
COMMANDS = {
    BARE: ("-c", "pass"),
    IMPORT: ("-c", "import effcam"),
    HELP: ("-m", "effcam", "--help"),
    LIST: ("-m", "effcam", "models", "eff*"),
    LIBRARIES: ("-c", LIBRARIES),
    COMPARE: ("-m", *COMPARE.split()),
    INFO: ("-m", *INFO.split()),
    DEMO: ("-m", *DEMO.split()),
}
MOST_IMPORT, MOST_HELP, MOST_LIST, MOST_TRACE = 100, 300, 3000, 1000
MOST_OF_LIBRARIES = {COMPARE: 1.15, INFO: 0.37, DEMO: 1.23}
"""The largest shares of the time of the import: 3 and 10 seconds where that takes 8.1."""


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    options = _options(argv)
    tell("processes")
    with TemporaryDirectory() as folder:
        demo.scenes(1)[0].image.save(Path(folder) / "one.png")
        worked: dict[str, list[float]] = {name: [] for name in COMMANDS}
        commands = {
            name: partial(_process, command, folder, worked[name])
            for name, command in COMMANDS.items()
        }
        seconds = paired(commands, options.rounds)
    processes = _processes(seconds)
    networks = _networks(options.architectures) if options.architectures else {}
    table = processes | networks
    medians = {name: 1000 * statistics.median(seconds) for name, seconds in table.items()}
    measure.report(
        measure.Result(
            script="startup",
            title="Start-up",
            question=(
                "The time of fresh processes, and of tracing a network that effcam does not "
                "know: one pass on meta tensors, which gives the layers and their shapes."
            ),
            columns=["what", "median, ms", "9 of 10 within, ms", "times"],
            rows=[_row(name, seconds) for name, seconds in table.items()],
            notes=[*_goals(medians), *_shares(seconds, worked)],
            settings={
                "rounds": options.rounds,
                "architectures": options.architectures,
                "seed": SEED,
                "threads": torch.get_num_threads(),
            },
        ),
        options.json,
    )
    return 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--architectures", type=int, default=25)
    measure.add_json_option(parser)
    return parser.parse_args(argv)


def _process(command: Sequence[str], folder: str, worked: list[float]) -> None:
    """Run a command, and note the seconds for which a processor worked on it."""
    nowhere, before = subprocess.DEVNULL, os.times()
    subprocess.run(
        [sys.executable, *command], check=True, cwd=folder, stdout=nowhere, stdin=nowhere
    )
    after = os.times()
    worked.append(
        after.children_user + after.children_system - before.children_user - before.children_system
    )


def _processes(seconds: dict[str, list[float]]) -> dict[str, list[float]]:
    """Return the seconds by process; for the import, minus the time of Python itself."""
    pairs = zip(seconds[IMPORT], seconds[BARE], strict=True)
    extra = {f"{IMPORT}, over {BARE}": [one - other for one, other in pairs]}
    others = {name: each for name, each in seconds.items() if name not in (BARE, IMPORT)}
    return {BARE: seconds[BARE], **extra, **others}


def _networks(count: int) -> dict[str, list[float]]:
    """Return the seconds to trace and to load networks."""
    first = _seconds(partial(trace, _build("resnet18"), (224, 224)))
    found: dict[str, list[float]] = {"trace": [], "load": [], "again": []}
    for name in _sample(count):
        tell(name)
        try:
            one, other = _build(name), _build(name)
            size = one.pretrained_cfg["input_size"][1:]
            traced = _seconds(partial(trace, one, size))
            loads = [_seconds(partial(load_model, other)) for _ in range(2)]
        except (EffcamError, RuntimeError) as error:
            # It is not a classifier, or cannot be built on meta tensors.
            tell(f"  is left out: {error}"[:100])
            continue
        for key, value in zip(found, (traced, *loads), strict=True):
            found[key].append(value)
    return {
        f"{TRACE}, the first of a process": [first],
        TRACE: found["trace"],
        "load_model(module)": found["load"],
        "load_model(module), again": found["again"],
    }


def _build(name: str) -> Any:
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")
        module: nn.Module = timm.create_model(name, pretrained=False)
    return module.eval()


def _sample(count: int) -> list[str]:
    """Return names spread over all of timm's: a random one from each part of the list."""
    names, chance = timm.list_models(), np.random.default_rng(SEED)
    bounds = [round(at * len(names) / count) for at in range(count + 1)]
    return [names[chance.integers(start, stop)] for start, stop in pairwise(bounds)]


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _row(name: str, seconds: Sequence[float]) -> list[object]:
    ordered = sorted(seconds)
    most = ordered[math.ceil(0.9 * len(ordered)) - 1]
    return [name, 1000 * statistics.median(seconds), 1000 * most, len(seconds)]


def _goals(medians: dict[str, float]) -> list[str]:
    imports = next(name for name in medians if name.startswith(IMPORT))
    limits = {imports: MOST_IMPORT, HELP: MOST_HELP, LIST: MOST_LIST, TRACE: MOST_TRACE}
    return [
        goal(
            f"at most {most} ms",
            {name: medians[name]},
            lambda value, most=most: value <= most,
            ".0f",
        )
        for name, most in limits.items()
        if name in medians
    ]


def _shares(seconds: dict[str, list[float]], worked: dict[str, list[float]]) -> list[str]:
    """Return the goals of the commands that run models: shares of the time of the import.

    The processors' time is the same on a machine that does other work too.
    """
    found = {"by the clock": seconds, "processors' time": worked}
    return [
        goal(
            f"'{name}' takes at most {most} of '{LIBRARIES}'",
            {what: ratio(times, name, LIBRARIES) for what, times in found.items()},
            lambda value, most=most: value <= most,
            ".2f",
        )
        for name, most in MOST_OF_LIBRARIES.items()
    ]


if __name__ == "__main__":
    sys.exit(main())

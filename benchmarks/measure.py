"""Shared by all benchmarks: paired rounds, their medians, and one format for results.

Every way runs once per round, and ratios are taken within a round, so that a drift of the machine's
speed affects both sides of a ratio equally.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from effcam.text import align

PACKAGES = (
    *("effcam", "torch", "torchvision", "timm", "grad-cam", "torchcam", "captum"),
    *("pillow", "imageio", "av", "matplotlib"),
)
GIB = 2**30
Clock = Callable[[], float]
CLOCKS: dict[str, Clock] = {"wall": time.perf_counter, "cpu": time.process_time}
"""What is timed: what passes, or what the processor works for this process, on all of its threads
together; the latter on a machine that others use, with one thread."""
MEMORY = Path("/proc/self/status")
"""The file in which Linux reports the memory of a process."""


def process_memory(name: str) -> float:
    """Return this process's memory in MiB: ``VmRSS`` is the current value, ``VmHWM`` the peak."""
    lines = MEMORY.read_text("utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def run_part(script: str, part: str, *arguments: str) -> dict[str, float]:
    """Run a part of a script in its own process, and return the JSON that it prints."""
    command = [sys.executable, script, "--part", part, *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def machine() -> dict[str, str]:
    """Return the properties of this machine, without anything that identifies its owner."""
    return {
        "processor": _processor(),
        "cores": str(_cores()),
        "memory": _memory(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "accelerator": _accelerator(),
    }


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of the installed packages, by name."""
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def paired(
    ways: Mapping[str, Callable[[], object]],
    rounds: int,
    *,
    warmup: int = 1,
    clock: Clock = time.perf_counter,
) -> dict[str, list[float]]:
    """Return the seconds that each way took in each round.

    Every way runs once per round; each round begins with another way.

    Args:
        ways: What to time, by name.
        rounds: The number of rounds that count.
        warmup: The number of rounds before these, which do not count.
        clock: Returns seconds.
    """
    names = list(ways)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for at in range(-warmup, rounds):
        turn = at % len(names)
        for name in names[turn:] + names[:turn]:
            took = timed(ways[name], clock)
            if at >= 0:
                seconds[name].append(took)
    return seconds


def timed(way: Callable[[], object], clock: Clock = time.perf_counter) -> float:
    """Return the seconds that a call takes, including its queued work on a GPU."""
    gc.collect()
    _synchronize()
    start = clock()
    # The time includes freeing its result.
    way()
    _synchronize()
    return clock() - start


def ratio(seconds: Mapping[str, Sequence[float]], way: str, base: str) -> float:
    """Return the median over the rounds of one way's time over another's in the same round."""
    pairs = zip(seconds[way], seconds[base], strict=True)
    return statistics.median(one / other for one, other in pairs)


def lowest_ratio(seconds: Mapping[str, Sequence[float]], way: str, base: str) -> float:
    """Return the shortest time of one way over that of another.

    Other work on the machine only adds time, so the shortest of several is the least disturbed.
    """
    return min(seconds[way]) / min(seconds[base])


def median_ms(seconds: Mapping[str, Sequence[float]], way: str) -> float:
    """Return the median time of a way over the rounds, in milliseconds."""
    return 1000 * statistics.median(seconds[way])


@dataclass(kw_only=True)
class Result:
    """The result of one benchmark.

    Attributes:
        script: The script's name, without ``.py``.
        title: What was measured.
        question: The method, in a sentence or two.
        columns: The headings of the table.
        rows: Its rows: text, whole numbers, floats, which are shown with two decimals, and
            ``None`` for values that could not be measured.
        notes: Sentences about the goals reached and missed.
        settings: The options that affect the figures.
    """

    script: str
    title: str
    question: str
    columns: list[str]
    rows: list[list[object]]
    notes: list[str] = field(default_factory=list)
    settings: dict[str, object] = field(default_factory=dict)

    def print(self) -> None:
        """Print the table, the machine, and the notes."""
        print(f"{self.title}\n{self.question}\n")
        print(describe(machine(), versions(*PACKAGES)))
        print(", ".join(f"{name} {value}" for name, value in self.settings.items()), "\n")
        shown = [[show(cell) for cell in row] for row in self.rows]
        print(align([self.columns, *shown], right=numeric(self.rows)))
        print("".join(f"\n- {note}" for note in self.notes), flush=True)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything as JSON, with the machine, the versions and the date (UTC)."""
        found = asdict(self) | {
            "machine": machine(),
            "versions": versions(*PACKAGES),
            "date": datetime.now(UTC).date().isoformat(),
        }
        Path(path).write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--json FILE``, for `Result.save`."""
    parser.add_argument("--json", metavar="FILE", help="also write the result to this file")


def report(result: Result, file: str | None) -> None:
    """Print a result, and save it if a file is given."""
    result.print()
    if file is not None:
        result.save(file)


def goal(
    what: str, found: Mapping[str, float], reached: Callable[[float], bool], form: str = ".3f"
) -> str:
    """Return a note that lists where a goal is reached and where it is missed.

    Args:
        what: The goal, in words.
        found: The figure of each model or item to which the goal applies.
        reached: Whether a figure reaches the goal.
        form: The format of a figure.
    """
    parts = []
    for word, holds in (("Reached", True), ("Missed", False)):
        named = [
            f"{key} ({value:{form}})" for key, value in found.items() if reached(value) is holds
        ]
        if named:
            parts.append(f"{word}: {', '.join(named)}")
    return f"Goal: {what}. {'. '.join(parts) or 'Not measured'}."


def tell(text: str) -> None:
    """Print progress to standard error."""
    print(text, file=sys.stderr, flush=True)


def describe(machine: Mapping[str, str], versions: Mapping[str, str]) -> str:
    """Return a machine and versions as a sentence each."""
    of = [machine["processor"], f"{machine['cores']} cores", f"{machine['memory']} of memory"]
    of += [machine["accelerator"], machine["system"], f"Python {machine['python']}"]
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"{', '.join(filter(None, of))}.\n{named}."


def show(cell: object) -> str:
    """Return a cell of a table as text."""
    if cell is None:
        return "-"
    return f"{cell:.2f}" if isinstance(cell, float) else str(cell)


def numeric(rows: Sequence[Sequence[object]]) -> list[int]:
    """Return which columns hold numbers alone, from 0."""
    return [
        at
        for at, column in enumerate(zip(*rows, strict=True))
        if all(cell is None or isinstance(cell, int | float) for cell in column)
    ]


def _processor() -> str:
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text("utf-8").splitlines() if listed.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory() -> str:
    if not hasattr(os, "sysconf"):
        return "an unknown amount"
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / GIB:.0f} GiB"


def _accelerator() -> str:
    import torch

    return str(torch.cuda.get_device_name()) if torch.cuda.is_available() else ""


def _synchronize() -> None:
    """Wait for a GPU, if this process has used one."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.synchronize()


if __name__ == "__main__":
    sys.exit("this module is what the other scripts here share; run one of them")

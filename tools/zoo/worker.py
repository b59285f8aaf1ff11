"""Judge the classifiers of one family, each in its own process with limits of time and memory."""

from __future__ import annotations

import json
import logging
import resource
import sys
import traceback
import warnings
from contextlib import suppress
from dataclasses import asdict
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from zoo.entries import Entry, Family

SECONDS = 900
CPU_SECONDS = 150
PRELOADED = ("zoo.judge", "effcam.cam.head_cam", "effcam.comparison.comparison", "timm")
"""What takes seconds to import is imported once, before the processes part."""
MEMORY = 8 * 2**30


def work(family: Family, results: Path, only: str | None) -> None:
    """Append a line of JSON to a file for every classifier of a family."""
    import torch

    torch.set_num_threads(1)
    for name in (*PRELOADED, *(each for pack in family.packages for each in pack.modules)):
        # A package that cannot be imported fails in each of its classifiers, which say so.
        with suppress(Exception), warnings.catch_warnings(action="ignore"):
            import_module(name)
    entries = [
        each for each in family.entries() if only is None or only in (each.package, each.name)
    ]
    for entry in entries:
        row = _in_process(entry)
        print(f"{entry.package} {entry.name}: {row['verdict']}", file=sys.stderr, flush=True)
        with results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def _in_process(entry: Entry) -> dict[str, Any]:
    """Judge a classifier in a copy of this process; it is ended after `SECONDS`."""
    context = get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(entry, theirs))
    process.start()
    theirs.close()
    row = None
    with suppress(EOFError):
        row = ours.recv() if ours.poll(SECONDS) else _failed(entry, f"no result in {SECONDS} s")
    process.kill()
    process.join()
    return row or _failed(entry, f"the process ended with {process.exitcode}")


def _child(entry: Entry, results: Connection) -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    from zoo.judge import judge

    try:
        results.send(judge(entry))
    except Exception as error:  # noqa: BLE001  # what fails, and where, goes into the table
        text = " ".join(f"{type(error).__name__}: {error}".split())[:400]
        results.send(_failed(entry, f"{text} ({_place(error)})"))


def _place(error: Exception) -> str:
    """Return the last line of effcam in a traceback, else the last one of this sweep."""
    frames = traceback.extract_tb(error.__traceback__)
    for folder in ("src/effcam/", "tools/zoo/"):
        ours = [each for each in frames if folder in each.filename]
        if ours and ours[-1].name != "_child":
            return f"{folder.split('/')[1]} {Path(ours[-1].filename).name}:{ours[-1].lineno}"
    return "outside of both"


def _failed(entry: Entry, reason: str) -> dict[str, Any]:
    from zoo.judge import UNJUDGED, Finding

    return asdict(Finding(entry.package, entry.name, verdict=UNJUDGED, remarks=[reason]))

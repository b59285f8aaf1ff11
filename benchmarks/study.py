"""Which figure tells the truth: every figure of every method on networks whose truth is known.

    python benchmarks/study.py [--folder build/study] [--images 16]
        [--page docs/explanation/which_figure.md]
    python benchmarks/study.py --quick

Networks that are not in the folder are first trained (``tools/train_study.py``, at most two hours
on 2 cores); then each is measured, one per core at a time, and what was measured is written beside
it, so that a run can be stopped and started again. ``--page`` writes what all of them say, with
95 % intervals over networks. ``--quick`` does all of it on a few networks that are trained for a
moment, in a folder of its own: its numbers mean nothing, but everything runs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from study_analysis import Measured
from study_measure import measure_network
from study_page import page
from study_subject import Trained

from effcam.demo.study_kinds import Network, networks
from effcam.files import atomic

ROOT = Path(__file__).parent.parent
TRAIN = ROOT / "tools" / "train_study.py"
FEWER, FEW_IMAGES = 40, 4
"""With ``--quick``: by how much training is shorter, and the number of pictures."""
QUICK = tuple(
    Network(kind, family, 0)
    for kind in ("clean", "shortcut", "linear")
    for family in ("efficientnet_b0", "resnet", "alexnet")
)


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    options = _options(argv)
    wanted = list(QUICK) if options.quick else networks()
    images = FEW_IMAGES if options.quick else options.images
    start = time.perf_counter()
    _train(wanted, options.folder, FEWER if options.quick else 1)
    measured = measure(wanted, options.folder, images)
    text = page(measured, images)
    if options.page:
        options.page.write_text(text, "utf-8")
    else:
        print(text)
    print(f"{len(measured)} networks, {time.perf_counter() - start:.0f} s", file=sys.stderr)
    return 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, help="default build/study, or build/study-quick")
    parser.add_argument("--images", type=int, default=16, help="per network; default 16")
    parser.add_argument("--page", type=Path, help="the file to write; default the terminal")
    parser.add_argument("--quick", action="store_true", help="a few networks, for a moment")
    options = parser.parse_args(argv)
    name = "study-quick" if options.quick else "study"
    options.folder = options.folder or ROOT / "build" / name
    return options


def _train(wanted: Sequence[Network], folder: Path, fewer: int) -> None:
    """Train the networks that are not there, in a process of its own: it forks before it runs."""
    names = [str(each) for each in wanted]
    command = [sys.executable, str(TRAIN), *names, "--folder", str(folder), "--fewer", str(fewer)]
    subprocess.run(command, check=True)


def measure(wanted: Sequence[Network], folder: Path, images: int) -> list[Measured]:
    """Return what was measured of each network, now or in an earlier run."""
    files = {each: folder / f"{each}-{images}.json" for each in wanted}
    missing = [each for each, file in files.items() if not file.is_file()]
    with get_context("spawn").Pool(os.cpu_count()) as pool:
        todo = partial(_measure_and_save, folder=folder, images=images)
        for at, (name, seconds) in enumerate(pool.imap_unordered(todo, missing), 1):
            print(f"{at} of {len(missing)}: {name}, {seconds:.0f} s", file=sys.stderr, flush=True)
    return [
        Measured(each.kind, each.family, each.seed, each.deleting, json.loads(file.read_text()))
        for each, file in files.items()
    ]


def _measure_and_save(network: Network, folder: Path, images: int) -> tuple[str, float]:
    start = time.perf_counter()
    weights = folder / f"{network}.safetensors"
    found = measure_network(Trained(network.kind, network.family, weights), images)
    with atomic(folder / f"{network}-{images}.json") as part:
        part.write_text(json.dumps(found), "utf-8")
    return str(network), time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())

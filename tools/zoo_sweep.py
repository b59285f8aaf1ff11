"""Show what effcam does with classifiers of other packages, and judge it.

``python tools/zoo_sweep.py`` makes an environment with uv for each family of packages, builds small
classifiers with random weights there, and compares effcam's choice of layer and its map with what a
causal check and a Grad-CAM by hand give. Nothing is downloaded but the packages. The exit code is 1
if a map is wrong without a word.

``--only PACKAGE`` runs one package or one classifier, ``--env-folder DIR`` keeps the environments,
``--table docs/other_packages.md`` writes the page of the documentation.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zoo.entries import Family
from zoo.environments import make_environment, python_of
from zoo.families import FAMILIES
from zoo.page import table, write_page

OFFLINE = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", "YOLO_OFFLINE": "1"}
ASK_VERSIONS = (
    "import json; from importlib.metadata import version;"
    "print(json.dumps({each: version(each) for each in ('effcam', 'torch', 'timm')}))"
)


def main() -> int:
    """Run the sweep; return the exit code."""
    arguments = _parser().parse_args()
    if arguments.worker:
        from zoo.worker import work

        work(_family(arguments.worker), arguments.results, arguments.only)
        return 0
    rows: list[dict[str, Any]] = []
    versions: dict[str, str] = {}
    with _folder(arguments.env_folder) as folder:
        for family in _chosen(arguments.only):
            found, versions = run_family(family, folder / family.name, arguments.only)
            rows += found
            if arguments.env_folder is None:
                shutil.rmtree(folder / family.name)
    print(table(rows))
    if arguments.table:
        write_page(arguments.table, rows, versions)
    return int(any(row["verdict"] == "SILENTLY WRONG" for row in rows))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", help="one package or one classifier")
    parser.add_argument("--env-folder", type=Path, help="where to keep the environments")
    parser.add_argument("--table", type=Path, help="the Markdown page to write")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--results", type=Path, help=argparse.SUPPRESS)
    return parser


@contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given.resolve()
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def _family(name: str) -> Family:
    return next(each for each in FAMILIES if each.name == name)


def _chosen(only: str | None) -> list[Family]:
    if only is None:
        return list(FAMILIES)
    found = [
        each
        for each in FAMILIES
        if any(only in (entry.package, entry.name) for entry in each.entries())
    ]
    return found or sys.exit(f"no package and no classifier is called {only!r}")


def run_family(
    family: Family, folder: Path, only: str | None
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return the findings of one family's classifiers, and the versions they ran with."""
    failed = make_environment(family, folder)
    for name, reason in failed.items():
        print(f"{name} could not be installed: {reason}", file=sys.stderr)
    results = folder / "results.jsonl"
    results.unlink(missing_ok=True)
    python = str(python_of(folder))
    options = ["--only", only] if only else []
    command = [python, __file__, "--worker", family.name, "--results", str(results), *options]
    settings = OFFLINE | {"YOLO_CONFIG_DIR": str(folder)}
    subprocess.run(command, check=False, env=os.environ | settings, stdout=subprocess.DEVNULL)
    lines = results.read_text("utf-8").splitlines() if results.is_file() else []
    rows = [json.loads(line) for line in lines]
    for row in rows:
        if row["package"] in failed and row["verdict"] == "not judged":
            row["remarks"] = [f"not installed: {failed[row['package']]}"]
    versions = json.loads(subprocess.check_output([python, "-c", ASK_VERSIONS], text=True))
    return rows, versions


if __name__ == "__main__":
    sys.exit(main())

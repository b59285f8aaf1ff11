"""Write docs/performance.md from the results of the other scripts.

    python benchmarks/performance.py results/*.json
    python benchmarks/performance.py --update results/gpu.json
    python benchmarks/performance.py --run [--keep FOLDER]

Nothing on the page is written by hand: the tables, notes and settings come from the results, the
rest is below. ``--run`` first runs the scripts, one after the other, on an otherwise idle machine.
``--update`` replaces the sections of the given results, and adds their machine and date there if
these differ from the others; the other sections are kept.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from measure import describe, numeric, show

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "performance.md"
# Titles and remarks for missing results.
MISSING = {
    "engine": ("Maps over a plain forward pass", ""),
    "fresh_process": ("In a process of its own", ""),
    "methods": ("Several methods at once", ""),
    "targets": ("Other targets", ""),
    "end_to_end": ("End to end", ""),
    "animation": ("Animations", ""),
    "decoding": ("Decoding", ""),
    "memory": ("Memory", ""),
    "dataset": ("Many images, on disk", ""),
    "startup": ("Start-up", ""),
    "compiled": ("Compiling long runs", ""),
    "gpu": ("On a GPU", ", which needs a GPU"),
}
NOT_MEASURED = "Not measured:"
PLACE = "Machine and versions"
ELSEWHERE = "Unless a section states otherwise:"
HEAD = """\
% Written by benchmarks/performance.py from the results of the other scripts there: do not edit.

# Performance

effcam is compared with its alternatives, and with a limit: a plain forward pass of the same models
on the same images. Each section states what was compared, and which goals were reached and missed.

All ways run in each round, in an order that changes from round to round. Ratios are computed within
a round, and the median over the rounds is shown, so that a drift of the machine's speed has no
effect. Times are medians too; they are those of one machine and differ on others, ratios less so.
Unless stated otherwise, weights are random, which does not change any time.
{download}`benchmarks/README.md <../benchmarks/README.md>` explains how to run the scripts;
`python benchmarks/performance.py --run` writes this page.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code: 1 if a script failed."""
    options = _options(argv)
    if not options.run:
        _write([Path(each) for each in options.results], options.output, update=options.update)
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(options.keep or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        failed = [name for name in MISSING if not _run(name, folder / f"{name}.json")]
        files = [folder / f"{name}.json" for name in MISSING if name not in failed]
        _write([file for file in files if file.exists()], options.output)
    for name in failed:
        print(f"{name}.py failed", file=sys.stderr)
    return 1 if failed else 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("results", nargs="*", metavar="RESULT.json")
    parser.add_argument("--run", action="store_true", help="run all scripts first")
    parser.add_argument("--update", action="store_true", help="keep the page's other sections")
    parser.add_argument("--keep", metavar="FOLDER", help="with --run: keep the results here")
    parser.add_argument("--output", type=Path, default=PAGE)
    options = parser.parse_args(argv)
    if options.run == bool(options.results):
        parser.error("give results, or --run")
    if options.keep and not options.run:
        parser.error("--keep goes with --run")
    if options.update and options.run:
        parser.error("--update goes with results")
    return options


def _run(name: str, file: Path) -> bool:
    """Run a script; return whether it succeeded."""
    file.unlink(missing_ok=True)
    command = [sys.executable, str(HERE / f"{name}.py"), "--json", str(file)]
    return subprocess.run(command, check=False).returncode == 0


def _write(files: Sequence[Path], output: Path, *, update: bool = False) -> None:
    found: dict[str, dict[str, Any]] = {}
    for file in files:
        result = json.loads(file.read_text("utf-8"))
        name = result["script"]
        if name in found:
            sys.exit(f"{file}: this is a second result of {name}.py")
        if name not in MISSING:
            sys.exit(f"{file}: there is no section for {name}.py")
        found[name] = result
    kept, usual = _kept(output.read_text("utf-8")) if update else ({}, "")
    text = page(found, kept, usual)
    output.write_text(text, "utf-8")
    print(f"wrote {output.name}, {text.count(NOT_MEASURED)} of {len(MISSING)} not measured")


def _kept(text: str) -> tuple[dict[str, str], str]:
    """Return a page's sections by script, and the machine and date of most of them."""
    _, *sections, last = text.split("\n## ")
    if not last.startswith(PLACE):
        sys.exit(f"the page does not end with '{PLACE}'")
    by_script = {}
    for section in sections:
        (name,) = {name for name in MISSING if f"benchmarks/{name}.py" in section}
        by_script[name] = f"## {section.strip()}\n"
    return by_script, last.removeprefix(PLACE).strip().removeprefix(ELSEWHERE).strip()


def page(
    found: Mapping[str, Mapping[str, Any]],
    kept: Mapping[str, str] = MappingProxyType({}),
    usual: str = "",
) -> str:
    """Return the page.

    Args:
        found: The results that `measure.Result.save` wrote, by script.
        kept: Existing sections by script, for scripts without a result.
        usual: The machine and date of sections that do not state their own; by default, those of
            most results.
    """
    places = Counter(_place(result) for result in found.values())
    usual = usual or (places.most_common(1)[0][0] if places else "")
    parts = [HEAD]
    for name, (title, why) in MISSING.items():
        if name in found:
            parts.append(_section(found[name], placed=_place(found[name]) != usual))
        else:
            empty = f"## {title}\n\n{NOT_MEASURED} no result of `benchmarks/{name}.py`{why}.\n"
            parts.append(kept.get(name, empty))
    if usual:
        elsewhere = f"{ELSEWHERE}\n\n" if any("Measured on" in part for part in parts) else ""
        parts.append(f"## {PLACE}\n\n{elsewhere}{usual}\n")
    return "\n".join(parts)


def _place(result: Mapping[str, Any]) -> str:
    """Return the machine and the date of a result."""
    where = describe(result["machine"], result["versions"]).replace("\n", "\n\n")
    return f"{where}\n\nMeasured on {result['date']}."


def _section(result: Mapping[str, Any], *, placed: bool) -> str:
    settings = ", ".join(f"{name} {value}" for name, value in result["settings"].items())
    parts = [f"## {result['title']}", result["question"], _table(result)]
    if result["notes"]:
        parts.append("\n".join(f"- {note}" for note in result["notes"]))
    made = f"`python benchmarks/{result['script']}.py`"
    parts.append(f"{made}: {settings}." if settings else f"{made}.")
    if placed:
        parts.append(_place(result))
    return "\n\n".join(parts) + "\n"


def _table(result: Mapping[str, Any]) -> str:
    right = numeric(result["rows"])
    rule = ["---:" if at in right else "---" for at in range(len(result["columns"]))]
    rows = [result["columns"], rule, *([show(cell) for cell in row] for row in result["rows"])]
    return "\n".join(f"| {' | '.join(map(_escape, row))} |" for row in rows)


def _escape(cell: str) -> str:
    """Return a cell with Markdown's characters escaped."""
    return cell.replace("|", "\\|").replace("*", "\\*")


if __name__ == "__main__":
    sys.exit(main())

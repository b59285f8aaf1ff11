"""Size of a report and of a PDF, time to write them, and time until a browser shows a report.

    python benchmarks/report.py [--images 35 500] [--rounds 5] [--photos FOLDER] [--json FILE]

Five demo models on 35 drawn scenes, or on your photos; further rows repeat these under other names.
The browser is the system's Chromium without a window, controlled by Playwright.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from material import given_or_drawn
from measure import Result, add_json_option, goal, report, tell

from effcam import Comparison, compare
from effcam.demo import MODELS

if TYPE_CHECKING:
    from playwright.sync_api import Browser

DIFFERENT = 35
MANY = 500
MOST_MEGABYTES, MOST_FIRST_ROW = 4, 1000
MOST_PDF_MEGABYTES, MOST_PDF_SECONDS = 6, 20
WINDOW = {"width": 1400, "height": 1000}
NAMES = ("chromium", "chromium-browser", "google-chrome")
TIMES = """() => {
  const [loaded] = performance.getEntriesByType("navigation");
  const [row] = performance.getEntriesByName("first-row");
  return row ? [loaded.domContentLoadedEventEnd, row.startTime] : null;
}"""
FILTER = """async () => {
  const find = document.getElementById("find");
  const start = performance.now();
  find.value = "1";
  find.dispatchEvent(new Event("input", { bubbles: true }));
  const frame = () => new Promise(requestAnimationFrame);
  await frame();
  await frame();
  return performance.now() - start;
}"""


@dataclass(frozen=True)
class Seen:
    """Measurements of a page in a browser: milliseconds, and the number of drawn canvases."""

    ready: float
    first_row: float
    filtered: float
    canvases: int


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    options = _options(argv)
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        print(f"no browser found: looked for {', '.join(NAMES)}", file=sys.stderr)
        return 1
    tell("comparing")
    with given_or_drawn(options.photos, DIFFERENT) as photos:
        base = compare(photos, MODELS, progress=False)
        rows = _rows(base, options.images, options.rounds, program)
        tell("writing a PDF")
        megabytes, seconds = _pdf(base)
    report(
        Result(
            script="report",
            title="A report",
            question=(
                f"Five models; {len(base.images)} different photos, repeated. Times are medians "
                f"over {options.rounds} rounds: writing, without computing the maps; in Chromium "
                f"of {WINDOW['width']} x {WINDOW['height']} px from the navigation until the page "
                "responds, until its first row is drawn, and from a letter typed into the filter "
                "until the frame after next."
            ),
            columns=[
                *("images", "MB", "s to write", "ms to respond", "ms to first row", "ms to filter"),
                *("cells", "maps drawn"),
            ],
            rows=rows,
            notes=[
                *_goals(rows),
                (
                    f"A PDF of {len(base.images)} x {len(base.columns)} cells: {megabytes:.2f} MB "
                    f"in {seconds:.1f} s."
                ),
                goal(
                    f"a PDF of at most {MOST_PDF_MEGABYTES} MB in {MOST_PDF_SECONDS} s",
                    {
                        "share of the limit": max(
                            megabytes / MOST_PDF_MEGABYTES, seconds / MOST_PDF_SECONDS
                        )
                    },
                    lambda value: value <= 1,
                    ".2f",
                ),
            ],
            settings={"images": options.images, "rounds": options.rounds},
        ),
        options.json,
    )
    return 0


def _rows(base: Comparison, counts: Sequence[int], rounds: int, program: str) -> list[list[object]]:
    from playwright.sync_api import sync_playwright

    alone = ["--no-sandbox"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
    found: list[list[object]] = []
    with TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=alone)
        for count in counts:
            tell(f"{count} images")
            comparison = repeat(base, count)
            start = time.perf_counter()
            path = comparison.report(Path(folder) / f"{count}.html")
            wrote = time.perf_counter() - start
            visits = [visit(browser, path) for _ in range(rounds + 1)][1:]
            found.append(
                [
                    count,
                    path.stat().st_size / 1e6,
                    wrote,
                    *(
                        statistics.median(getattr(each, name) for each in visits)
                        for name in ("ready", "first_row", "filtered")
                    ),
                    len(comparison),
                    visits[-1].canvases,
                ]
            )
        browser.close()
    return found


def _pdf(base: Comparison) -> tuple[float, float]:
    """Return the MB of a comparison as a PDF, and the seconds to write it."""
    with TemporaryDirectory() as folder:
        start = time.perf_counter()
        path = base.save(Path(folder) / "figure.pdf")
        return path.stat().st_size / 1e6, time.perf_counter() - start


def _goals(rows: list[list[object]]) -> list[str]:
    """Return which goals the reports reach: the size of one of 500 images, and its first row."""
    many = [row for row in rows if row[0] == MANY]
    megabytes = {f"{row[0]} images, MB": float(str(row[1])) for row in many}
    shown = {f"{row[0]} images, ms": float(str(row[4])) for row in rows}
    return [
        goal(
            f"a report of {MANY} images of at most {MOST_MEGABYTES} MB",
            megabytes,
            lambda value: value <= MOST_MEGABYTES,
            ".2f",
        ),
        goal(
            f"the first row within {MOST_FIRST_ROW} ms",
            shown,
            lambda value: value <= MOST_FIRST_ROW,
            ".0f",
        ),
    ]


def repeat(base: Comparison, count: int) -> Comparison:
    """Return a comparison of ``count`` images: those of another one, repeated."""
    known = list(base.rows())
    rows = [known[at % len(known)] for at in range(count)]
    images = [replace(row[0].image, name=f"{at:04} {row[0].image}") for at, row in enumerate(rows)]
    pairs = zip(images, rows, strict=True)
    cells = tuple(replace(cell, image=image) for image, row in pairs for cell in row)
    return replace(base, images=tuple(images), cells=cells)


def visit(browser: Browser, path: Path) -> Seen:
    """Open a page in a new context, and return its measurements."""
    context = browser.new_context(viewport=WINDOW)
    page = context.new_page()
    page.goto(path.as_uri())
    page.evaluate("document.getElementById('grid').scrollIntoView({ behavior: 'instant' })")
    page.wait_for_selector(".row canvas.heat")
    ready, row = page.evaluate(TIMES)
    drawn = page.locator("canvas.heat").count()
    filtered = page.evaluate(FILTER)
    context.close()
    return Seen(ready, row, filtered, drawn)


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, nargs="+", default=[35, 500], help="default 35 500")
    parser.add_argument("--rounds", type=int, default=5, help="default 5")
    parser.add_argument("--photos", type=Path, help="a folder of photos instead of drawn scenes")
    add_json_option(parser)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())

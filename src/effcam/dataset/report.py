"""The HTML report of a run: its summary, and the images that show most."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from effcam.comparison.report import Look, Snippet, check_report_output, gather, write_report
from effcam.dataset.measures import find_least, image_agreements, image_confidences
from effcam.dataset.reader import ShardReader
from effcam.errors import check_number
from effcam.images.annotations.truths import GroundTruth, Labels
from effcam.models.result_tables import Results

if TYPE_CHECKING:
    from os import PathLike

    from effcam.dataset.run import DatasetRun

FILE = "report.html"


def write_run_report(
    run: DatasetRun,
    reader: ShardReader,
    path: str | PathLike[str],
    look: Look,
    *,
    n: int,
    labels: Labels,
    fair: bool | None,
    results: Results = None,
) -> Path:
    """Write the report of a run, and return its path; arguments are those of `DatasetRun.report`.

    The images shown are those on which the columns differ most; of a single column, those of which
    it is least confident.
    """
    check_report_output(path)
    check_number("n", n)
    several = len(run.columns) > 1
    positions = find_least(reader, n, image_agreements if several else image_confidences)
    shown = run.comparison(positions)
    truths = GroundTruth(run.images, labels=labels).take(shown.images, positions)
    which = "on which the columns differ most" if several else "of which it is least confident"
    material = gather(
        shown,
        truths=truths,
        summary=run.summary(labels=labels, fair=fair, results=results),
        agreement=run.agreement() if several else None,
        snippets=[_snippet(run, n, labels=labels is not None, results=results is not None)],
        scope=f"Shown are the {len(shown.images)} of {run.images} images {which}; "
        "figures and agreement include all images.",
    )
    return write_report(material, path, look)


def _snippet(run: DatasetRun, n: int, **given: bool) -> Snippet:
    """Return the Python code that writes the report again."""
    more = "".join(f", {name}={name}" for name, is_given in given.items() if is_given)
    code = f"import effcam\n\nrun = effcam.open_run({run.store.address!r})\n"
    return Snippet("Python", f"{code}run.report({FILE!r}, n={n}{more})")

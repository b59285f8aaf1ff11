"""What is logged of a comparison: pictures, the table, the summary, the report."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from effcam.comparison.parquet import readable
from effcam.comparison.pictures.grid import grid, image_frames
from effcam.comparison.pictures.style import Style
from effcam.comparison.trackers.names import check_name
from effcam.errors import OutputError, check_flag, check_number
from effcam.metrics.summary import Summary
from effcam.text import count, listed

if TYPE_CHECKING:
    from PIL import Image

    from effcam.comparison.comparison import Comparison
    from effcam.metrics.faithfulness_result import Faithfulness
    from effcam.metrics.label_result import LabelProbabilities

MOST_PICTURES = 100
"""The most images that are drawn: W&B drops what is beyond 108 pictures of a step."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Entry:
    """What is logged of a comparison at one step.

    Attributes:
        name: The name under which everything is logged.
        step: The step, ``None`` without one.
        grid: The images that are drawn, a row each, as RGB; ``None`` if none are.
        pictures: A picture for each image that is drawn, by the image's name, all of one size, as
            RGB.
        table: `Comparison.table`, in valid UTF-8.
        summary: The scoreboard.
        page: The report as HTML, ``None`` without one.
        notes: Notes of the summary, and on what is not logged.
    """

    name: str
    step: int | None
    grid: Image.Image | None
    pictures: Mapping[str, Image.Image]
    table: list[dict[str, object]]
    summary: Summary
    page: str | None
    notes: tuple[str, ...]

    def figures(self) -> Iterator[tuple[str, int, float]]:
        """Yield the key, the position of the column and the value of each figure that has one."""
        for measure in self.summary.measures:
            for column, value in enumerate(measure.values.tolist()):
                if math.isfinite(value):
                    yield measure.figure.key, column, value


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to log, and how it looks.

    Attributes:
        name: The name under which everything is logged.
        step: The step, ``None`` without one.
        report: Whether to log the report.
        pictures: The most images that are drawn, 0 for none.
        style: How pictures are drawn.
        fair: As in `Comparison.summary`.
        faithfulness: As in `Comparison.summary`.
        label_probabilities: As in `Comparison.summary`.

    Raises:
        ArgumentError: If a value is impossible.
    """

    name: str
    step: int | None
    report: bool
    pictures: int
    style: Style
    fair: bool | None
    faithfulness: Faithfulness | None
    label_probabilities: LabelProbabilities | None

    def __post_init__(self) -> None:
        """Check values that would otherwise fail late, as numbers of any type."""
        check_name(self.name)
        check_flag("report", self.report)
        object.__setattr__(
            self, "pictures", check_number("pictures", self.pictures, least=0, most=MOST_PICTURES)
        )
        if self.step is not None:
            object.__setattr__(self, "step", check_number("step", self.step, least=0))


def make_entry(content: Comparison, wanted: Wanted) -> Entry:
    """Measure and draw a comparison.

    Raises:
        OutputError: If there are no images.
        ArgumentError: If there is no such colour map.
        ImageError: If an image's file is gone.
    """
    if not content.cells:
        raise OutputError("there is nothing to log: the comparison holds no images")
    summary = content.summary(
        fair=wanted.fair,
        faithfulness=wanted.faithfulness,
        label_probabilities=wanted.label_probabilities,
    )
    drawn = content.take(range(min(wanted.pictures, len(content.images))))
    pictures = (image.convert("RGB") for image in image_frames(drawn, wanted.style))
    names = (readable(image.name) for image in drawn.images)
    return Entry(
        name=wanted.name,
        step=wanted.step,
        grid=grid(drawn, wanted.style).convert("RGB") if drawn.cells else None,
        pictures=dict(zip(names, pictures, strict=True)),
        table=[_readable(row) for row in content.table()],
        summary=summary,
        page=_page(content, summary, wanted) if wanted.report else None,
        notes=(*map(readable, summary.notes), *_left_out(content, drawn, summary)),
    )


def _page(content: Comparison, summary: Summary, wanted: Wanted) -> str:
    from effcam.comparison.report import Look, gather
    from effcam.comparison.report.page import build

    material = gather(content, summary=summary, fair=wanted.fair, faithfulness=wanted.faithfulness)
    look = Look(alpha=wanted.style.alpha, colormap=wanted.style.colormap)
    return readable(build(material, look))


def _readable(row: Mapping[str, object]) -> dict[str, object]:
    return {
        name: readable(value) if isinstance(value, str) else value for name, value in row.items()
    }


def _left_out(content: Comparison, drawn: Comparison, summary: Summary) -> Iterator[str]:
    """Yield notes on images that are not drawn and figures that have no value."""
    if len(drawn.images) < len(content.images):
        yield (
            f"Pictures show the first {len(drawn.images)} of "
            f"{count(len(content.images), 'image')}; the figures cover all of them."
        )
    missing = [
        f"{measure.figure.key} of {readable(column)}"
        for measure in summary.measures
        for column, value in zip(summary.columns, measure.values.tolist(), strict=True)
        if not math.isfinite(value)
    ]
    if missing:
        yield f"Figures without a value are not logged: {listed(missing)}."

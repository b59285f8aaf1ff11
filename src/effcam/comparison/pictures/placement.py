"""Placement: which cell stands where on a page, and the text above and beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from effcam.cam.cells import Cells
from effcam.cam.explanation import Explanation
from effcam.cam.map_checks import BORDER, SAME, SHORT, Finding, column_findings
from effcam.comparison.pictures.style import Rows
from effcam.drawing.sheet import Heading
from effcam.models.architectures import JOINT

Place: TypeAlias = "tuple[int, int | None] | None"
"""What stands at a place: an image and a column, both by position; with ``None`` for the column,
the image's photo; or nothing."""


@dataclass(frozen=True, slots=True)
class Placement:
    """What stands where on a page.

    Attributes:
        headings: The text above each column of the page.
        sides: The text beside each row of the page; empty if no row has any.
        places: The places of each row of the page, column by column.
        block: How many rows of the page belong together.
    """

    headings: tuple[Heading, ...]
    sides: tuple[Heading, ...]
    places: tuple[tuple[Place, ...], ...]
    block: int = 1


@dataclass(frozen=True, slots=True)
class PagePlan:
    """How to place the cells of any of a comparison's images.

    Attributes:
        rows: What a row of the page is.
        names: The images' names.
        photo: The heading of the photos; ``None`` leaves them out.
        columns: The headings of the comparison's columns.
        models: The headings of its models, without the method; for rows of methods only.
        methods: By method, the position of each model's column; for rows of methods only.
    """

    rows: Rows
    names: tuple[str, ...]
    photo: str | None
    columns: tuple[Heading, ...]
    models: tuple[Heading, ...] = ()
    methods: Mapping[str, tuple[int | None, ...]] | None = None

    def place(self, images: Sequence[int]) -> Placement:
        """Return the placement of some images' cells, by the images' positions."""
        if self.methods is not None:
            return self._by_method(images, self.methods)
        if self.rows == "models":
            return self._by_model(images)
        return self._by_image(images)

    def _by_image(self, images: Sequence[int]) -> Placement:
        columns = self._columns()
        return Placement(
            (*self._photo_heading(), *self.columns),
            () if self.photo is not None else tuple(Heading(self.names[at]) for at in images),
            tuple(tuple((at, column) for column in columns) for at in images),
        )

    def _by_model(self, images: Sequence[int]) -> Placement:
        return Placement(
            tuple(Heading(self.names[at]) for at in images),
            (*self._photo_heading(), *self.columns),
            tuple(tuple((at, column) for at in images) for column in self._columns()),
        )

    def _by_method(
        self, images: Sequence[int], methods: Mapping[str, tuple[int | None, ...]]
    ) -> Placement:
        places: list[tuple[Place, ...]] = []
        sides = []
        for at in images:
            for row, (method, columns) in enumerate(methods.items()):
                cells: list[Place] = [None if each is None else (at, each) for each in columns]
                photo: Place = (at, None) if row == 0 else None
                places.append((*([photo] if self.photo is not None else []), *cells))
                sides.append(Heading(method, "" if self.photo is not None else self.names[at]))
        headings = (*self._photo_heading(), *self.models)
        return Placement(headings, tuple(sides), tuple(places), len(methods))

    def _columns(self) -> list[int | None]:
        """Return the columns to show; ``None``, the photo, is first."""
        columns: list[int | None] = list(range(len(self.columns)))
        return columns if self.photo is None else [None, *columns]

    def _photo_heading(self) -> list[Heading]:
        return [] if self.photo is None else [Heading(self.photo)]


def plan_page(content: Cells, *, rows: Rows, photo: str | None) -> PagePlan:
    """Return how to place a comparison's cells.

    Args:
        content: The comparison.
        rows: What a row of the page is: ``"images"``, columns models; ``"models"``, columns images;
            ``"methods"``, columns models, with a block of rows for each image.
        photo: The heading of the photos; ``None`` leaves them out.
    """
    names = tuple(image.name for image in content.images)
    columns = column_headings(content)
    if rows != "methods":
        return PagePlan(rows, names, photo, columns)
    first = content.cells[: len(content.columns)]
    owners = _model_labels(first)
    models = tuple(dict.fromkeys(owners))
    found = {
        (cell.method, model): at for at, (cell, model) in enumerate(zip(first, owners, strict=True))
    }
    methods = {
        method: tuple(found.get((method, model)) for model in models)
        for method in dict.fromkeys(cell.method for cell in first)
    }
    headings = tuple(
        _model_heading(content, model, [at for at, other in enumerate(owners) if other == model])
        for model in models
    )
    return PagePlan(rows, names, photo, columns, headings, methods)


def column_headings(content: Cells) -> tuple[Heading, ...]:
    """Return the heading of each column; each of several methods has its own line."""
    first = content.cells[: len(content.columns)]
    several = len({cell.method for cell in first}) > 1
    return tuple(
        _heading(
            cell, [*_warnings(column_findings(content.column(at))), *metric], with_method=several
        )
        for at, (cell, metric) in enumerate(zip(first, training_metrics(content), strict=True))
    )


def training_metrics(content: Cells) -> list[list[str]]:
    """Return a metric of each column's training, as ``["val_acc 0.81"]``, empty if unknown.

    It is the same metric in all columns, the one that most of them have.
    """
    known = [{} if each.training is None else each.training.metrics for each in content.facts]
    names = Counter(name for metrics in known for name in metrics)
    if not names:
        return [[] for _ in content.columns]
    # Of those that equally many have, it is the first.
    name = names.most_common(1)[0][0]
    return [[f"{name} {each[name]:.3g}"] if name in each else [] for each in known]


def _heading(cell: Explanation, notes: Sequence[str], *, with_method: bool) -> Heading:
    if not with_method:
        return Heading(cell.column, " · ".join([*notes, *_origin(cell)]))
    return Heading(_subject(cell), " · ".join([*notes, cell.method, *_origin(cell)]))


def _model_heading(content: Cells, model: str, columns: Sequence[int]) -> Heading:
    """Return the heading of a model, whatever the method; a warning names its method."""
    cells = [content.cells[at] for at in columns]
    warnings = [
        f"{cell.method}: {warning}"
        for at, cell in zip(columns, cells, strict=True)
        for warning in _warnings(column_findings(content.column(at)))
    ]
    return Heading(model, " · ".join([*warnings, *_origin(cells[0])]))


def _model_labels(first: Sequence[Explanation]) -> list[str]:
    """Return the column labels without methods, or the columns' own if two of these coincide."""
    pairs = {(cell.method, _subject(cell)) for cell in first}
    return [_subject(cell) if len(pairs) == len(first) else cell.column for cell in first]


def _subject(cell: Explanation) -> str:
    """Return the label of a cell's model, with the name of the target if there are several."""
    return f"{cell.model_label} {cell.asked}" if cell.asked else cell.model_label


def _warnings(findings: Sequence[Finding]) -> list[str]:
    # Warnings on a single map stand below that map.
    return [SHORT[finding.flag] for finding in findings if finding.flag in (BORDER, SAME)]


def _origin(cell: Explanation) -> list[str]:
    rows, columns = cell.heatmap.shape
    first, *others = cell.target_layer.split(JOINT)
    parts = [f"{first} + {len(others)} more" if others else first, f"{rows}\u00a0x\u00a0{columns}"]
    return [*parts, "random weights"] if cell.untrained else parts

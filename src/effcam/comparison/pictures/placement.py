"""Which cell stands where on a page, and what is written above and beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from effcam.cam.cells import Cells
from effcam.cam.explanation import Explanation
from effcam.cam.map_checks import BORDER, SAME, SHORT, Finding, column_findings
from effcam.drawing.sheet import Heading
from effcam.models.architectures import JOINT

Rows: TypeAlias = Literal["images", "models", "methods"]
ROWS: tuple[Rows, ...] = ("images", "models", "methods")

Place: TypeAlias = "tuple[int, int | None] | None"
"""What stands at a place: an image, by position, in a column, by position, or, with ``None`` for
the column, the photo itself; or nothing."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What stands where.

    Attributes:
        headings: What stands above each column of the page.
        sides: What stands beside each row of the page; empty where nothing does.
        places: What stands in each row of the page, column by column.
        block: How many rows of the page belong together.
    """

    headings: tuple[Heading, ...]
    sides: tuple[Heading, ...]
    places: tuple[tuple[Place, ...], ...]
    block: int = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """How the cells of any of a comparison's images are laid out.

    Attributes:
        rows: What a row of the page is.
        names: The images' names.
        photo: What stands above the photos; ``None`` leaves them out.
        columns: The headings of the comparison's columns.
        models: The headings of its models, whatever the method; by methods only.
        methods: The column of each method and model, by position; by methods only.
    """

    rows: Rows
    names: tuple[str, ...]
    photo: str | None
    columns: tuple[Heading, ...]
    models: tuple[Heading, ...] = ()
    methods: Mapping[str, tuple[int | None, ...]] | None = None

    def lay_out(self, images: Sequence[int]) -> Layout:
        """Return where the cells of some images stand, by their positions."""
        if self.methods is not None:
            return self._by_method(images, self.methods)
        if self.rows == "models":
            return self._by_model(images)
        return self._by_image(images)

    def _by_image(self, images: Sequence[int]) -> Layout:
        columns = self._columns()
        return Layout(
            (*self._photo_heading(), *self.columns),
            () if self.photo is not None else tuple(Heading(self.names[at]) for at in images),
            tuple(tuple((at, column) for column in columns) for at in images),
        )

    def _by_model(self, images: Sequence[int]) -> Layout:
        return Layout(
            tuple(Heading(self.names[at]) for at in images),
            (*self._photo_heading(), *self.columns),
            tuple(tuple((at, column) for at in images) for column in self._columns()),
        )

    def _by_method(
        self, images: Sequence[int], methods: Mapping[str, tuple[int | None, ...]]
    ) -> Layout:
        places: list[tuple[Place, ...]] = []
        sides = []
        for at in images:
            for place, (method, columns) in enumerate(methods.items()):
                cells: list[Place] = [None if each is None else (at, each) for each in columns]
                photo: Place = (at, None) if place == 0 else None
                places.append((*([photo] if self.photo is not None else []), *cells))
                sides.append(Heading(method, "" if self.photo is not None else self.names[at]))
        headings = (*self._photo_heading(), *self.models)
        return Layout(headings, tuple(sides), tuple(places), len(methods))

    def _columns(self) -> list[int | None]:
        """Return the columns that are shown, the photo's first."""
        columns: list[int | None] = list(range(len(self.columns)))
        return columns if self.photo is None else [None, *columns]

    def _photo_heading(self) -> list[Heading]:
        return [] if self.photo is None else [Heading(self.photo)]


def plan(content: Cells, *, rows: Rows, photo: str | None) -> Plan:
    """Return how a comparison's cells are laid out.

    Args:
        content: The comparison; nothing is drawn.
        rows: What a row of the page is: ``"images"``, columns models; ``"models"``, columns images;
            ``"methods"``, columns models, with a block of rows for each image.
        photo: What stands above the photos, or beside; ``None`` leaves them out.
    """
    names = tuple(image.name for image in content.images)
    columns = column_headings(content)
    if rows != "methods":
        return Plan(rows, names, photo, columns)
    first = content.cells[: len(content.columns)]
    labels = _model_labels(first)
    models = tuple(dict.fromkeys(labels))
    found = {
        (cell.method, label): at for at, (cell, label) in enumerate(zip(first, labels, strict=True))
    }
    methods = {
        method: tuple(found.get((method, label)) for label in models)
        for method in dict.fromkeys(cell.method for cell in first)
    }
    headings = tuple(
        _model_heading(content, label, [at for at, other in enumerate(labels) if other == label])
        for label in models
    )
    return Plan(rows, names, photo, columns, headings, methods)


def column_headings(content: Cells) -> tuple[Heading, ...]:
    """Return what stands above each column of a comparison; a method has a line of its own."""
    first = content.cells[: len(content.columns)]
    several = len({cell.method for cell in first}) > 1
    return tuple(
        _heading(cell, column_findings(content.column(at)), with_method=several)
        for at, cell in enumerate(first)
    )


def _heading(cell: Explanation, odd: Sequence[Finding], *, with_method: bool) -> Heading:
    if not with_method:
        return Heading(cell.column, " · ".join([*_warnings(odd), *_origin(cell)]))
    return Heading(cell.model_label, " · ".join([*_warnings(odd), cell.method, *_origin(cell)]))


def _model_heading(content: Cells, label: str, columns: Sequence[int]) -> Heading:
    """Return what stands above a model, whatever the method; what is odd names its method."""
    cells = [content.cells[at] for at in columns]
    odd = [
        f"{cell.method}: {warning}"
        for at, cell in zip(columns, cells, strict=True)
        for warning in _warnings(column_findings(content.column(at)))
    ]
    return Heading(label, " · ".join([*odd, *_origin(cells[0])]))


def _model_labels(first: Sequence[Explanation]) -> list[str]:
    """Return the model's label of each column, which several columns of other methods share."""
    labels = [cell.model_label for cell in first]
    pairs = {(cell.method, label) for cell, label in zip(first, labels, strict=True)}
    return labels if len(pairs) == len(first) else [cell.column for cell in first]


def _warnings(odd: Sequence[Finding]) -> list[str]:
    # What is odd about a single map stands below that map.
    return [SHORT[finding.flag] for finding in odd if finding.flag in (BORDER, SAME)]


def _origin(cell: Explanation) -> list[str]:
    rows, columns = cell.heatmap.shape
    first, *others = cell.target_layer.split(JOINT)
    parts = [f"{first} + {len(others)} more" if others else first, f"{rows}\u00a0x\u00a0{columns}"]
    return [*parts, "random weights"] if cell.untrained else parts

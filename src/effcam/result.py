"""What a comparison found: small to keep, drawn when asked."""

from __future__ import annotations

import base64
import csv
import html
import io
import json
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from effcam import __version__, draw, parquet, write
from effcam.catalogue import JOINT
from effcam.errors import ArgumentError, CellError, OutputError, did_you_mean
from effcam.explanation import Explanation
from effcam.facts import ModelFacts
from effcam.health import BORDER, SAME, SHORT, Finding, column_findings
from effcam.images import ImageRef
from effcam.matrix import draw_matrix
from effcam.metrics.faithful import Faithfulness
from effcam.metrics.pairs import (
    AGREEMENT_TITLES,
    Agreement,
    agreement_matrix,
    check_disagreed,
    least_agreed,
    pair_agreements,
)
from effcam.metrics.scoreboard import Board, summarize
from effcam.metrics.truths import Boxes, Labels, Masks, find_truths
from effcam.sheet import MIN_WIDTH, Heading, Panel, sheet
from effcam.summary import Summary

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

PREVIEW_ROWS = 10
MAX_WIDTH = 4096


@dataclass(frozen=True, slots=True)
class Skipped:
    """An image that was left out of a comparison, and why."""

    image: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """What several models looked at in several images: rows of images, columns of models.

    It is a sequence of its cells, row by row, and ``comparison[image, column]`` is one of them,
    by position or by name.

    Attributes:
        images: The images, by reference; one row each.
        columns: The columns' labels.
        cells: The cells, row by row.
        skipped: The images that were left out because they could not be read.
        settings: How the comparison was made.
        facts: What is known of each column's model; empty if that was not written down.
    """

    images: tuple[ImageRef, ...]
    columns: tuple[str, ...]
    cells: tuple[Explanation, ...] = field(repr=False)
    skipped: tuple[Skipped, ...] = ()
    settings: Mapping[str, object] = field(default_factory=dict)
    facts: tuple[ModelFacts, ...] = ()

    def __len__(self) -> int:
        """Returns the number of cells."""
        return len(self.cells)

    def __iter__(self) -> Iterator[Explanation]:
        """Yields the cells, row by row."""
        return iter(self.cells)

    def __getitem__(self, key: tuple[int | str, int | str]) -> Explanation:
        """Returns the cell of an image and a column, each by position or by name.

        Raises:
            CellError: If there is no such name or position.
            ArgumentError: If a key is neither.
        """
        if not isinstance(key, tuple) or len(key) != 2:
            raise ArgumentError(f"comparison[image, column] takes two keys, not {key!r}")
        row = _position("image", key[0], [image.name for image in self.images])
        column = _position("column", key[1], self.columns)
        return self.cells[row * len(self.columns) + column]

    def rows(self) -> Iterator[tuple[Explanation, ...]]:
        """Yields the cells of each image."""
        width = len(self.columns)
        for start in range(0, len(self.cells), width):
            yield self.cells[start : start + width]

    def grid(self, *, alpha: float = 0.5, colormap: str = "turbo", width: int = 224) -> Image.Image:
        """Returns one picture of everything: a row an image, the original first.

        Args:
            alpha: The opacity of the strongest heat, in [0, 1].
            colormap: The name of a matplotlib colour map.
            width: The width of a cell in px.

        Raises:
            ArgumentError: If an argument is impossible.
            ImageError: If an image's file is gone.
        """
        _check_width(width)
        rows = [_panels(row, (width, 2 * width), alpha, colormap) for row in self.rows()]
        return sheet(
            self._headings("Original"), rows, width=width, colormap=colormap, legend=self._legend()
        )

    def frames(
        self, *, alpha: float = 0.5, colormap: str = "turbo", width: int = 224
    ) -> Iterator[Image.Image]:
        """Yields one picture an image, all of one size: the original and every column.

        Args:
            alpha: The opacity of the strongest heat, in [0, 1].
            colormap: The name of a matplotlib colour map.
            width: The width and height of a cell in px.

        Raises:
            ArgumentError: If an argument is impossible.
            ImageError: If an image's file is gone.
        """
        _check_width(width)
        for row in self.rows():
            yield sheet(
                self._headings("Orig. Im"),
                [_panels(row, (width, width), alpha, colormap)],
                width=width,
                height=self._tallest(width),
                colormap=colormap,
                theme="dark",
                legend=self._legend(),
            )

    def table(self) -> list[dict[str, object]]:
        """Returns one flat dict a cell, row by row: ``pandas.DataFrame(comparison.table())``."""
        return [cell.record() for cell in self.cells]

    def summary(
        self,
        *,
        boxes: Boxes = None,
        masks: Masks = None,
        labels: Labels = None,
        fair: bool | None = None,
        faithfulness: Faithfulness | None = None,
    ) -> Summary:
        """Returns the scoreboard: one row a column, each figure with its 95 % interval.

        Focus is always measured, at the resolution of the coarsest of the columns' maps, so that
        it depends on which columns there are; accuracy where labels, localisation where boxes or
        masks are known. Demo scenes know all of these. The documentation's page on metrics
        defines every figure.

        Args:
            boxes: Boxes around the objects: a file (COCO, Pascal VOC, JSON or CSV), a mapping by
                image name, or one entry an image. An entry is a `Box` or (left, top, right,
                bottom) in px of the image, or several of these.
            masks: (height, width) bool arrays, true on the object, likewise; or a folder of mask
                files, or a COCO file.
            labels: The class of each image, by index or by name, likewise.
            fair: Whether figures of heat are of those images alone that every model gets right and
                that are explained by one class; where no labels are known, of those on which all
                models predict alike. ``None`` is whether labels are known.
            faithfulness: What `effcam.metrics.faithfulness` measured for this comparison.

        Raises:
            AnnotationError: If boxes, masks or labels are broken or do not fit the images.
            TargetError: If a label is no class of one of the models.
            ArgumentError: If an argument is impossible.
        """
        truths = find_truths(self.images, boxes, masks, labels)
        board = Board(self.columns, tuple(self.rows()), self.facts, tuple(truths))
        return summarize(board, fair=fair, faithfulness=faithfulness)

    def agreement(self, *, measure: Agreement = "spearman") -> NDArray[np.float64]:
        """Returns how far the columns' maps agree: (columns, columns), the mean over images.

        Maps are compared on the part of the image that both models saw. Images in which one of
        two maps has no evidence do not count for these two; NaN where none is left.

        Args:
            measure: ``"spearman"``, the rank correlation in [-1, 1], or ``"iou"``, the
                intersection over union of the hottest fifths, in [0, 1].

        Raises:
            ArgumentError: If there is no such measure.
        """
        return agreement_matrix(pair_agreements(tuple(self.rows()), measure), len(self.columns))

    def agreement_picture(self, *, measure: Agreement = "spearman") -> Image.Image:
        """Returns `agreement` as a picture: a matrix of coloured cells with their numbers.

        Args:
            measure: As in `agreement`.

        Raises:
            ArgumentError: If there is no such measure.
        """
        return draw_matrix(
            self.agreement(measure=measure), self.columns, title=AGREEMENT_TITLES[measure]
        )

    def most_disagreed(self, n: int = 10) -> Comparison:
        """Returns the comparison of the images on which the columns differ most, these first.

        They are those of the lowest rank correlation, the mean over all pairs of columns.

        Args:
            n: How many images; all of them if there are fewer.

        Raises:
            ArgumentError: If ``n`` is no whole number from 1, or there is one column alone.
        """
        check_disagreed(n, len(self.columns))
        return self.take(least_agreed(pair_agreements(tuple(self.rows()), "spearman"))[:n])

    def take(self, images: Sequence[int | str]) -> Comparison:
        """Returns the comparison of some of the images, in the order given.

        Args:
            images: Their positions or names.

        Raises:
            CellError: If there is no such image.
            ArgumentError: If an entry is neither a position nor a name.
        """
        names = [image.name for image in self.images]
        order = [_position("image", key, names) for key in images]
        rows = tuple(self.rows())
        return replace(
            self,
            images=tuple(self.images[at] for at in order),
            cells=tuple(cell for at in order for cell in rows[at]),
        )

    def save(
        self,
        path: str | PathLike[str],
        *,
        alpha: float | None = None,
        colormap: str | None = None,
        width: int | None = None,
        seconds: float | None = None,
    ) -> Path:
        """Returns the path of a file it wrote, in the format that its suffix names.

        ``.png`` and ``.jpg`` hold the `grid`; ``.gif`` and ``.webp`` the `frames`, one after
        another, for ever; ``.mp4`` the same once, as a video, for which PyAV has to be there
        (``pip install 'effcam[video]'``); ``.csv`` the `table`; ``.json`` the table, the settings
        and the heatmaps; ``.npz`` the heatmaps and the table as arrays; ``.parquet`` the rows of a
        `compare_dataset` run, for which pyarrow has to be there
        (``pip install 'effcam[dataset]'``). The file appears when it is complete: an interrupted
        write leaves what was there before.

        Args:
            path: Where to write.
            alpha: As in `grid`; pictures only.
            colormap: As in `grid`; pictures only.
            width: As in `grid`; pictures only.
            seconds: How long each frame shows, in s; animations only, 1 if not given.

        Raises:
            OutputError: If the suffix is unknown, PyAV or pyarrow is not there, or the file cannot
                be written.
            ArgumentError: If an argument is impossible or does not go with the format.
        """
        target = check_output(path)
        suffix = target.suffix.lower()
        given = {"alpha": alpha, "colormap": colormap, "width": width, "seconds": seconds}
        style: dict[str, object] = {
            name: value for name, value in given.items() if value is not None
        }
        saver, understood = SAVERS[suffix]
        for name in style:
            if name not in understood:
                raise ArgumentError(f"{name} has no meaning for a {suffix} file")
        if not self.cells:
            raise OutputError(f"cannot save {str(path)!r}: the comparison holds no images")
        saver(self, target, style)
        return target

    def _repr_html_(self) -> str:
        """Returns a preview for notebooks: the grid of the first images, and nothing that runs."""
        shown = Comparison(
            self.images[:PREVIEW_ROWS], self.columns, self.cells[: PREVIEW_ROWS * len(self.columns)]
        )
        title = " x ".join(
            f"{len(each)} {name}" + ("" if len(each) == 1 else "s")
            for each, name in ((self.images, "image"), (self.columns, "column"))
        )
        more = f", the first {PREVIEW_ROWS} shown" if len(self.images) > PREVIEW_ROWS else ""
        if not shown.cells:
            return f"<p>{title}</p>"
        stream = io.BytesIO()
        shown.grid().save(stream, format="PNG")
        data = base64.b64encode(stream.getvalue()).decode("ascii")
        names = html.escape(", ".join(self.columns))
        return (
            f"<figure><figcaption>{title}{more}</figcaption>"
            f'<img alt="What these models look at: {names}" style="max-width: 100%" '
            f'src="data:image/png;base64,{data}"></figure>'
        )

    def _tallest(self, width: int) -> int:
        """Returns the height of the tallest photo when each fits a square of ``width`` px."""
        sizes = {cell.size for cell in self.cells}
        return max((min(width, math.ceil(width * tall / wide)) for wide, tall in sizes), default=1)

    def _headings(self, original: str) -> list[Heading]:
        first = self.cells[: len(self.columns)]
        several = len({cell.method for cell in first}) > 1
        headings = [Heading(original)]
        for column, cell in enumerate(first):
            odd = column_findings(self.cells[column :: len(self.columns)])
            headings.append(_heading(cell, odd, with_method=several))
        return headings

    def _legend(self) -> list[str]:
        cells = self.cells
        legend = []
        if self.settings.get("view") == "whole":
            legend.append("whole image squashed to the input")
        if self.settings.get("size") is not None:
            legend.append(f"input {self.settings['size']} px")
        if any(cell.region.as_tuple() != (0, 0, *cell.size) for cell in cells):
            legend.append("hatched: not seen by the model")
        if any(cell.weights == "random" for cell in cells):
            legend.append("random weights: untrained, the heat means nothing")
        return legend


def _heading(cell: Explanation, odd: Sequence[Finding], *, with_method: bool) -> Heading:
    """Returns what stands above a column; a method has a line of its own, where it is not cut."""
    # What is odd about a single map stands below that map.
    warnings = [SHORT[finding.flag] for finding in odd if finding.flag in (BORDER, SAME)]
    if not with_method:
        return Heading(cell.column, " · ".join([*warnings, *_origin(cell)]))
    title = cell.column.removesuffix(f" {cell.method}")
    return Heading(title, " · ".join([*warnings, cell.method, *_origin(cell)]))


def _origin(cell: Explanation) -> list[str]:
    rows, columns = cell.heatmap.shape
    first, *others = cell.target_layer.split(JOINT)
    parts = [f"{first} + {len(others)} more" if others else first, f"{rows}\u00a0x\u00a0{columns}"]
    return [*parts, "random weights"] if cell.weights == "random" else parts


def check_output(path: str | PathLike[str]) -> Path:
    """Returns the path, after making sure that a comparison can be saved there.

    Raises:
        OutputError: If the suffix names no format, what writes it is not installed, or the folder
            does not exist.
    """
    target = write.check_path(path, SAVERS)
    if target.suffix.lower() == ".parquet":
        parquet.require_pyarrow()
    return target


def check_style(
    *,
    alpha: float | None = None,
    colormap: str | None = None,
    width: int | None = None,
    seconds: float | None = None,
) -> None:
    """Makes sure that pictures can be drawn so, before there is anything to draw.

    Args:
        alpha: As in `Comparison.save`.
        colormap: As there.
        width: As there.
        seconds: As there.

    Raises:
        ArgumentError: If a value is impossible.
    """
    if alpha is not None:
        draw.check_alpha(alpha)
    if colormap is not None:
        draw.colormap_table(colormap)
    if width is not None:
        _check_width(width)
    if seconds is not None:
        write.check_seconds(seconds)


def _check_width(width: int) -> None:
    if not isinstance(width, int) or not MIN_WIDTH <= width <= MAX_WIDTH:
        raise ArgumentError(
            f"width must be a whole number of px from {MIN_WIDTH} to {MAX_WIDTH}, not {width!r}"
        )


def _position(kind: str, key: int | str, names: Sequence[str]) -> int:
    if isinstance(key, str):
        if key not in names:
            raise CellError(f"no {kind} is called {key!r}.{did_you_mean(key, names)}")
        return names.index(key)
    try:
        position = operator.index(key)
    except TypeError as error:
        raise ArgumentError(f"{kind} must be a position or a name, not {key!r}") from error
    if not -len(names) <= position < len(names):
        raise CellError(f"{kind} {position} is out of range: there are {len(names)}")
    return position % len(names)


def _panels(
    row: Sequence[Explanation], size: tuple[int, int], alpha: float, colormap: str
) -> list[Panel]:
    """Returns an image's panels: the original, then every column."""
    photo = draw.fit(row[0].image.open(), *size)
    return [Panel(photo, (row[0].image.name,))] + [
        Panel(cell.over(photo, alpha=alpha, colormap=colormap), cell.caption()) for cell in row
    ]


def _save_grid(comparison: Comparison, path: Path, style: dict[str, object]) -> None:
    write.write_image(comparison.grid(**style), path)  # type: ignore[arg-type]  # checked by name


def _save_frames(comparison: Comparison, path: Path, style: dict[str, object]) -> None:
    pace = {"seconds": style.pop("seconds")} if "seconds" in style else {}
    write.write_animation(comparison.frames(**style), path, **pace)  # type: ignore[arg-type]


def _save_csv(comparison: Comparison, path: Path, _style: dict[str, object]) -> None:
    table = comparison.table()
    with (
        write.atomic(path) as partial,
        # The name of a file may hold bytes that are no UTF-8.
        partial.open("w", newline="", encoding="utf-8", errors="backslashreplace") as stream,
    ):
        writer = csv.DictWriter(stream, table[0])
        writer.writeheader()
        writer.writerows(table)


def to_record(comparison: Comparison) -> dict[str, object]:
    """Returns what a comparison is, as JSON has it, without its cells."""
    return {
        "settings": dict(comparison.settings),
        "images": [image.name for image in comparison.images],
        "columns": list(comparison.columns),
        "models": [facts.record() for facts in comparison.facts],
        "skipped": [asdict(skipped) for skipped in comparison.skipped],
    }


def _save_json(comparison: Comparison, path: Path, _style: dict[str, object]) -> None:
    cells = [
        {name: _json_value(value) for name, value in cell.record().items()}
        | {"heatmap": cell.heatmap.tolist()}
        for cell in comparison
    ]
    content = {"effcam": __version__, **to_record(comparison), "cells": cells}
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    with write.atomic(path) as partial:
        # What backslashes replace in JSON reads as what it was.
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")


def _json_value(value: object) -> object:
    """Returns ``None`` for NaN and infinity, which JSON does not have, else the value."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _save_npz(comparison: Comparison, path: Path, _style: dict[str, object]) -> None:
    shape = len(comparison.images), len(comparison.columns)
    table = comparison.table()
    arrays: dict[str, NDArray[np.generic]] = {
        name: np.array([row[name] for row in table]).reshape(shape) for name in table[0]
    }
    arrays["image"] = np.array([image.name for image in comparison.images])
    arrays["column"] = np.array(comparison.columns)
    for column in range(shape[1]):
        # Columns have grids of their own, so each is an array of its own.
        maps = [cell.heatmap for cell in comparison.cells[column :: shape[1]]]
        arrays[f"heatmap_{column}"] = np.stack(maps)
    with write.atomic(path) as partial, partial.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]  # not its flag


def _save_parquet(comparison: Comparison, path: Path, _style: dict[str, object]) -> None:
    first = comparison.cells[: len(comparison.columns)]
    unread = [
        parquet.Unread(skipped.image, cell.column, cell.model, cell.method, skipped.reason)
        for skipped in comparison.skipped
        for cell in first
    ]
    table = parquet.to_table([*comparison.cells, *unread], {"settings": dict(comparison.settings)})
    with write.atomic(path) as partial:
        partial.write_bytes(parquet.encode(table))


Saver: TypeAlias = Callable[[Comparison, Path, dict[str, object]], None]

PICTURE_STYLE = ("alpha", "colormap", "width")
SAVERS: dict[str, tuple[Saver, tuple[str, ...]]] = {
    ".png": (_save_grid, PICTURE_STYLE),
    ".jpg": (_save_grid, PICTURE_STYLE),
    ".jpeg": (_save_grid, PICTURE_STYLE),
    ".gif": (_save_frames, (*PICTURE_STYLE, "seconds")),
    ".webp": (_save_frames, (*PICTURE_STYLE, "seconds")),
    ".mp4": (_save_frames, (*PICTURE_STYLE, "seconds")),
    ".csv": (_save_csv, ()),
    ".json": (_save_json, ()),
    ".npz": (_save_npz, ()),
    ".parquet": (_save_parquet, ()),
}
"""How each format is written, and which parts of a style it understands."""

"""What a comparison found: small to keep, drawn when asked."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from effcam.cam.cells import Cells
from effcam.cam.explanation import Explanation
from effcam.comparison import export, notebook
from effcam.comparison.pictures import grid
from effcam.comparison.pictures.figure import Print, figure
from effcam.comparison.pictures.grid import PageKind, Style
from effcam.comparison.pictures.placement import Rows
from effcam.comparison.pictures.poster import poster
from effcam.comparison.report import Look, check_report_output, gather, write_report
from effcam.drawing.matrix import draw_matrix
from effcam.errors import ArgumentError, CellError, did_you_mean
from effcam.images.annotations.truths import Boxes, Labels, Masks, find_truths
from effcam.metrics.agreement import (
    AGREEMENT_TITLES,
    Agreement,
    agreement_matrix,
    check_disagreed,
    least_agreed,
    pair_agreements,
)
from effcam.metrics.faithfulness_result import Faithfulness
from effcam.metrics.summary import Summary
from effcam.metrics.summary.builder import summarize
from effcam.metrics.summary.rows import ImageRows

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure as Canvas
    from numpy.typing import NDArray
    from PIL import Image


@dataclass(frozen=True, slots=True, eq=False)
class Comparison(Cells):
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

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(self.cells)

    def __iter__(self) -> Iterator[Explanation]:
        """Yield the cells, row by row."""
        return iter(self.cells)

    def __getitem__(self, key: tuple[int | str, int | str]) -> Explanation:
        """Return the cell of an image and a column, each by position or by name.

        Raises:
            CellError: If there is no such name or position.
            ArgumentError: If a key is neither.
        """
        if not isinstance(key, tuple) or len(key) != 2:
            raise ArgumentError(f"comparison[image, column] takes two keys, not {key!r}")
        row = _position("image", key[0], [image.name for image in self.images])
        column = _position("column", key[1], self.columns)
        return self.cells[row * len(self.columns) + column]

    def grid(
        self,
        *,
        alpha: float = 0.5,
        colormap: str = "turbo",
        width: int = 224,
        boxes: bool = False,
        rows: Rows = "images",
        original: bool = True,
        title: str = "",
        caption: str | None = None,
        font: str | PathLike[str] | None = None,
        theme: Literal["light", "dark"] | None = None,
    ) -> Image.Image:
        """Return one picture of everything: a row an image, the original first.

        Args:
            alpha: The opacity of the strongest heat, in [0, 1].
            colormap: The name of a matplotlib colour map.
            width: The width of a cell in px.
            boxes: Whether boxes around the heat are drawn, as `Explanation.box` finds them.
            rows: What a row is: ``"images"``, and the columns are models; ``"models"``, and the
                columns are images; or ``"methods"``, in a block for each image, and the columns
                are models.
            original: Whether the photo itself is shown too.
            title: A line above everything.
            caption: What stands under a cell: a template with the fields of
                `Explanation.record`, as ``"{label} {probability:.0%}"``. ``None`` is the
                prediction and its share; ``""`` is nothing.
            font: The file of a TrueType or OpenType font for all text; ``None`` is DejaVu Sans,
                which has no Chinese, Japanese or Korean characters.
            theme: ``"light"`` or ``"dark"``; ``None`` is light.

        Raises:
            ArgumentError: If an argument is impossible.
            ImageError: If an image's file is gone.
        """
        style = Style(
            alpha=alpha, colormap=colormap, width=width, boxes=boxes, rows=rows,
            original=original, title=title, caption=caption, font=font, theme=theme,
        )  # fmt: skip
        return grid.grid(self, style)

    def frames(
        self,
        *,
        alpha: float = 0.5,
        colormap: str = "turbo",
        width: int = 224,
        boxes: bool = False,
        rows: Rows = "images",
        original: bool = True,
        title: str = "",
        caption: str | None = None,
        font: str | PathLike[str] | None = None,
        theme: Literal["light", "dark"] | None = None,
    ) -> Iterator[Image.Image]:
        """Yield one picture an image, all of one size: the original and every column.

        Args:
            alpha: The opacity of the strongest heat, in [0, 1].
            colormap: The name of a matplotlib colour map.
            width: The width and height of a cell in px.
            boxes: Whether boxes around the heat are drawn, as `Explanation.box` finds them.
            rows: As in `grid`; a frame shows one image.
            original: As in `grid`.
            title: As in `grid`, above every frame.
            caption: As in `grid`.
            font: As in `grid`.
            theme: ``"light"`` or ``"dark"``; ``None`` is dark.

        Raises:
            ArgumentError: If an argument is impossible.
            ImageError: If an image's file is gone.
        """
        style = Style(
            alpha=alpha, colormap=colormap, width=width, boxes=boxes, rows=rows,
            original=original, title=title, caption=caption, font=font, theme=theme,
        )  # fmt: skip
        yield from grid.frames(self, style)

    def poster(
        self,
        image: int | str = 0,
        *,
        columns: int | None = None,
        alpha: float = 0.5,
        colormap: str = "turbo",
        width: int = 224,
        boxes: bool = False,
        title: str = "",
        caption: str | None = None,
        font: str | PathLike[str] | None = None,
        theme: Literal["light", "dark"] | None = None,
    ) -> Image.Image:
        """Return a picture of one image: the photo, large, and around it what each model saw.

        Args:
            image: The image, by position or by name.
            columns: How many columns the models stand in; ``None`` chooses a number for which the
                page is neither long nor has gaps.
            alpha: As in `grid`.
            colormap: As in `grid`.
            width: The width of a model's cell in px; the photo is several cells wide.
            boxes: As in `grid`.
            title: As in `grid`.
            caption: As in `grid`; the model and its layer stand above it.
            font: As in `grid`.
            theme: As in `grid`.

        Raises:
            CellError: If there is no such image.
            ArgumentError: If an argument is impossible.
            ImageError: If the image's file is gone.
        """
        style = Style(
            alpha=alpha, colormap=colormap, width=width, boxes=boxes, title=title,
            caption=caption, font=font, theme=theme,
        )  # fmt: skip
        row = _position("image", image, [each.name for each in self.images])
        return poster(self, row, columns, style)

    def figure(
        self,
        *,
        layout: PageKind = "grid",
        inches: float | None = None,
        fontsize: float = 7,
        dpi: int = 300,
        alpha: float = 0.5,
        colormap: str = "turbo",
        boxes: bool = False,
        rows: Rows = "images",
        original: bool = True,
        title: str = "",
        caption: str | None = None,
        font: str | PathLike[str] | None = None,
        theme: Literal["light", "dark"] | None = None,
    ) -> Canvas:
        """Return a matplotlib figure for print: the `grid`, its text as text, at a given size.

        ``figure.savefig("figure.pdf")`` embeds fonts and writes no date, whatever matplotlib's
        settings. `save` does the same at once.

        Args:
            layout: ``"grid"``, or the ``"poster"`` of the only image.
            inches: The width of the figure; ``None`` is 1.2 a cell, and at most 7.
            fontsize: The size of captions in pt; details are smaller, the title is larger.
            dpi: How many px an inch of the pictures has.
            alpha: As in `grid`.
            colormap: As in `grid`.
            boxes: As in `grid`.
            rows: As in `grid`; grids only.
            original: As in `grid`; grids only.
            title: As in `grid`.
            caption: As in `grid`.
            font: As in `grid`.
            theme: As in `grid`.

        Raises:
            ArgumentError: If an argument is impossible, the figure is too narrow for its columns,
                or a poster is asked for of several images.
            ImageError: If an image's file is gone.
        """
        style = Style(
            alpha=alpha, colormap=colormap, boxes=boxes, rows=rows, original=original, title=title,
            caption=caption, font=font, theme=theme,
        )  # fmt: skip
        return figure(self, layout, style, Print(inches=inches, fontsize=fontsize, dpi=dpi))

    def summary(
        self,
        *,
        boxes: Boxes = None,
        masks: Masks = None,
        labels: Labels = None,
        fair: bool | None = None,
        faithfulness: Faithfulness | None = None,
    ) -> Summary:
        """Return the scoreboard: one row a column, each figure with its 95 % interval.

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
        rows = ImageRows(self.columns, tuple(self.rows()), self.facts, tuple(truths))
        return summarize(rows, fair=fair, faithfulness=faithfulness)

    def report(
        self,
        path: str | PathLike[str],
        *,
        boxes: Boxes = None,
        masks: Masks = None,
        labels: Labels = None,
        fair: bool | None = None,
        faithfulness: Faithfulness | None = None,
        title: str | None = None,
        alpha: float = 0.5,
        colormap: str = "turbo",
    ) -> Path:
        """Return the path of a page it wrote, to look around in with a browser.

        The page holds the photos, the heat as a layer of its own over them, the `summary` and the
        `agreement`; images can be sorted, filtered and enlarged, and heat be read off. It is one
        file, which fetches nothing.

        Args:
            path: Where to write; it ends in ``.html`` or ``.htm``.
            boxes: As in `summary`.
            masks: As in `summary`.
            labels: As in `summary`.
            fair: As in `summary`.
            faithfulness: As in `summary`.
            title: What stands above the page; told from what is compared if not given.
            alpha: The opacity of the strongest heat when the page is opened, in [0, 1].
            colormap: The name of a matplotlib colour map, likewise.

        Raises:
            OutputError: If the path has another suffix, there are no images, or the file cannot
                be written.
            AnnotationError: If boxes, masks or labels are broken or do not fit the images.
            TargetError: If a label is no class of one of the models.
            ArgumentError: If an argument is impossible.
            ImageError: If an image's file is gone.
        """
        look = Look(title=title, alpha=alpha, colormap=colormap)
        check_report_output(path)
        truths = find_truths(self.images, boxes, masks, labels)
        material = gather(self, truths=truths, fair=fair, faithfulness=faithfulness)
        return write_report(material, path, look)

    def agreement(self, *, measure: Agreement = "spearman") -> NDArray[np.float64]:
        """Return how far the columns' maps agree: (columns, columns), the mean over images.

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
        """Return `agreement` as a picture: a matrix of coloured cells with their numbers.

        Args:
            measure: As in `agreement`.

        Raises:
            ArgumentError: If there is no such measure.
        """
        return draw_matrix(
            self.agreement(measure=measure), self.columns, title=AGREEMENT_TITLES[measure]
        )

    def most_disagreed(self, n: int = 10) -> Comparison:
        """Return the comparison of the images on which the columns differ most, these first.

        They are those of the lowest rank correlation, the mean over all pairs of columns.

        Args:
            n: How many images; all of them if there are fewer.

        Raises:
            ArgumentError: If ``n`` is no whole number from 1, or there is one column alone.
        """
        check_disagreed(n, len(self.columns))
        return self.take(least_agreed(pair_agreements(tuple(self.rows()), "spearman"))[:n])

    def take(self, images: Sequence[int | str]) -> Comparison:
        """Return the comparison of some of the images, in the order given.

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
        boxes: bool | None = None,
        seconds: float | None = None,
        rows: Rows | None = None,
        original: bool | None = None,
        title: str | None = None,
        caption: str | None = None,
        font: str | PathLike[str] | None = None,
        theme: Literal["light", "dark"] | None = None,
        layout: PageKind | None = None,
        inches: float | None = None,
        fontsize: float | None = None,
        dpi: int | None = None,
    ) -> Path:
        """Return the path of a file it wrote, in the format that its suffix names.

        ``.html`` is a `report`; ``.png`` and ``.jpg`` hold the `grid`; ``.pdf`` and ``.svg`` the
        same as a `figure` for print; ``.gif`` and ``.webp`` the `frames`, one after another, for
        ever; ``.mp4`` the same once, as a video, for which PyAV has to be there
        (``pip install 'effcam[video]'``); ``.csv`` the `table`; ``.json`` the table, the settings
        and the heatmaps; ``.npz`` the heatmaps and the table as arrays; ``.parquet`` the rows of a
        `compare_dataset` run, for which pyarrow has to be there (``pip install
        'effcam[dataset]'``). The file appears when it is complete: an interrupted write leaves
        what was there before.

        Args:
            path: Where to write.
            alpha: As in `grid`; pictures and reports only.
            colormap: As in `grid`; pictures and reports only.
            width: As in `grid`; pictures of pixels only.
            boxes: As in `grid`; pictures only.
            seconds: How long each frame shows, in s; animations only. If not given, frames of one
                film show for as long as they are apart in it, the mean over them, and other images
                for 1 s. GIF knows hundredths of a second, WebP thousandths, and neither less than
                0.02 s.
            rows: As in `grid`; pictures only.
            original: As in `grid`; pictures only.
            title: As in `grid`; pictures only.
            caption: As in `grid`; pictures only.
            font: As in `grid`; pictures only.
            theme: As in `grid` or `frames`; pictures only.
            layout: ``"grid"``, or the ``"poster"`` of the only image; not for animations.
            inches: As in `figure`; ``.pdf`` and ``.svg`` only.
            fontsize: As in `figure`; ``.pdf`` and ``.svg`` only.
            dpi: As in `figure`; ``.pdf`` and ``.svg`` only.

        Raises:
            OutputError: If the suffix is unknown, PyAV or pyarrow is not there, or the file cannot
                be written.
            ArgumentError: If an argument is impossible or does not go with the format.
        """
        style = {
            "alpha": alpha, "colormap": colormap, "width": width, "boxes": boxes,
            "seconds": seconds, "rows": rows, "original": original, "title": title,
            "caption": caption, "font": font, "theme": theme, "layout": layout,
            "inches": inches, "fontsize": fontsize, "dpi": dpi,
        }  # fmt: skip
        return export.save(self, path, style)

    def _repr_html_(self) -> str:
        """Return what notebooks show: the first images' grid and a scoreboard, all static."""
        measured = 0 < len(self) <= notebook.MEASURED
        return notebook.to_html(self, self.summary() if measured else None)


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

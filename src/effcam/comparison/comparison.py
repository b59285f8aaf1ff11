"""A comparison: small to keep, drawn and measured on demand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from effcam.cam.cells import Cells
from effcam.cam.explanation import Explanation
from effcam.drawing.defaults import ALPHA, COLORMAP, DPI, FONTSIZE, WIDTH
from effcam.errors import ArgumentError, check_flag
from effcam.names import find_name
from effcam.text import count, listed

# What draws, measures and writes is imported where it is used: importing `effcam.api` stays quick.
if TYPE_CHECKING:
    # In full, as the documentation has another class Figure.
    import matplotlib.figure
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from effcam.comparison.pictures.style import PageKind, Rows
    from effcam.images.annotations.truths import Boxes, Labels, Masks
    from effcam.metrics.agreement import Agreement
    from effcam.metrics.faithfulness_result import Faithfulness
    from effcam.metrics.label_result import LabelProbabilities
    from effcam.metrics.summary import Summary
    from effcam.metrics.summary.timeline import Timeline

COLUMNS_LISTED = 8
"""The most columns that the repr of a comparison names."""


@dataclass(frozen=True, slots=True, eq=False)
class Comparison(Cells):
    """What several models looked at in several images: rows of images, columns of models.

    It is a sequence of its cells, row by row. ``comparison[image, column]`` is the cell of an image
    and a column, each by position or by name.

    Attributes:
        images: The images, by reference; one row each.
        columns: The columns' labels.
        cells: The cells, row by row.
        skipped: The images that could not be read.
        settings: How the comparison was made: a mapping.
        facts: The facts of each column's model; empty if unknown.
    """

    def __repr__(self) -> str:
        size = " x ".join(
            count(len(each), name)
            for each, name in ((self.images, "image"), (self.columns, "column"))
        )
        lines = [f"Comparison: {size}, {', '.join(self.settings.method)}"]
        first = self.cells[: len(self.columns)]
        if first:
            lines.append(f"images   {listed([image.name for image in self.images])}")
            lines.append(
                f"columns  {listed([_with_model(cell) for cell in first], COLUMNS_LISTED)}"
            )
        if self.skipped:
            lines.append(f"skipped  {count(len(self.skipped), 'image')}, see .skipped")
        if first:
            lines.append(
                'next     .save("compare.png"), .summary(), .report("report.html"); '
                f"comparison[0, {self.columns[0]!r}] is one cell"
            )
        return "\n".join(lines)

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
            ArgumentError: If a key is neither of these.
        """
        if not isinstance(key, tuple) or len(key) != 2:
            raise ArgumentError(f"comparison[image, column] takes two keys, not {key!r}")
        names = [image.name for image in self.images]
        models = [cell.model for cell in self.cells[: len(self.columns)]]
        row = find_name("image", key[0], names, others=self.columns)
        column = find_name("column", key[1], self.columns, others=names, aliases=models)
        return self.cells[row * len(self.columns) + column]

    def grid(
        self,
        *,
        alpha: float = ALPHA,
        colormap: str = COLORMAP,
        width: int = WIDTH,
        boxes: bool = False,
        rows: Rows = "images",
        original: bool = True,
        title: str = "",
        caption: str | None = None,
        font: str | PathLike[str] | None = None,
        theme: Literal["light", "dark"] | None = None,
        marks: bool = True,
    ) -> Image.Image:
        """Draw everything in one picture: a row for each image, the original first.

        Args:
            alpha: The opacity of the strongest heat, in [0, 1].
            colormap: The name of a matplotlib colour map.
            width: The width of a cell in px.
            boxes: Whether to draw boxes around the heat, as `Explanation.box` finds them.
            rows: What a row is: ``"images"``, with models as columns; ``"models"``, with images
                as columns; or ``"methods"``, in a block for each image, with models as columns.
            original: Whether to show the photo itself too.
            title: A line at the top.
            caption: The text under a cell: a template with the fields of `Explanation.record`, as
                ``"{label} {probability:.0%}"``. ``None`` is the prediction and its probability;
                ``""`` is no text.
            font: The file of a TrueType or OpenType font for all text; ``None`` is DejaVu Sans,
                which has no Chinese, Japanese or Korean characters.
            theme: ``"light"`` or ``"dark"``; ``None`` is light.
            marks: Whether to mark predictions as right or wrong, and to write the true class below
                the original, where the class is known: see `annotate`. A template shows the mark
                where it has the field ``{mark}``, and the true class at ``{truth}``.

        Raises:
            ArgumentError: If an argument is impossible.
            ImageError: If an image's file is gone.
        """
        from effcam.comparison.pictures.grid import grid
        from effcam.comparison.pictures.style import Style

        style = Style(
            alpha=alpha, colormap=colormap, width=width, boxes=boxes, rows=rows,
            original=original, title=title, caption=caption, font=font, theme=theme, marks=marks,
        )  # fmt: skip
        return grid(self, style)

    def frames(
        self,
        *,
        alpha: float = ALPHA,
        colormap: str = COLORMAP,
        width: int = WIDTH,
        boxes: bool = False,
        rows: Rows = "images",
        original: bool = True,
        title: str = "",
        caption: str | None = None,
        font: str | PathLike[str] | None = None,
        theme: Literal["light", "dark"] | None = None,
        marks: bool = True,
    ) -> Iterator[Image.Image]:
        """Draw one picture for each row of the `grid`, all of one size.

        By default that is one for each image, with the original and every column. With
        ``rows="models"`` it is one for each column, with the images side by side, as for the epochs
        of a training (`effcam.checkpoints`): of several images the originals are above, and the
        title names the column.

        Args:
            alpha: The opacity of the strongest heat, in [0, 1].
            colormap: The name of a matplotlib colour map.
            width: The width and height of a cell in px.
            boxes: As in `grid`.
            rows: As in `grid`; a frame shows one image, with ``"models"`` one column.
            original: As in `grid`.
            title: As in `grid`, at the top of every frame.
            caption: As in `grid`.
            font: As in `grid`.
            theme: ``"light"`` or ``"dark"``; ``None`` is dark.
            marks: As in `grid`.

        Raises:
            ArgumentError: If an argument is impossible.
            ImageError: If an image's file is gone.
        """
        from effcam.comparison.pictures.frames import frames
        from effcam.comparison.pictures.style import Style

        style = Style(
            alpha=alpha, colormap=colormap, width=width, boxes=boxes, rows=rows,
            original=original, title=title, caption=caption, font=font, theme=theme, marks=marks,
        )  # fmt: skip
        yield from frames(self, style)

    def poster(
        self,
        image: int | str = 0,
        *,
        columns: int | None = None,
        alpha: float = ALPHA,
        colormap: str = COLORMAP,
        width: int = WIDTH,
        boxes: bool = False,
        title: str = "",
        caption: str | None = None,
        font: str | PathLike[str] | None = None,
        theme: Literal["light", "dark"] | None = None,
        marks: bool = True,
    ) -> Image.Image:
        """Draw one image: a large photo, and around it what each model looked at.

        Args:
            image: The image, by position or by name.
            columns: How many columns the page has; ``None`` chooses a number that gives a page of
                good proportions with few gaps.
            alpha: As in `grid`.
            colormap: As in `grid`.
            width: The width of a model's cell in px; the photo is several cells wide.
            boxes: As in `grid`.
            title: As in `grid`.
            caption: As in `grid`, below the model and its layer.
            font: As in `grid`.
            theme: As in `grid`.
            marks: As in `grid`.

        Raises:
            CellError: If there is no such image.
            ArgumentError: If an argument is impossible.
            ImageError: If the image's file is gone.
        """
        from effcam.comparison.pictures.poster import poster
        from effcam.comparison.pictures.style import Style

        style = Style(
            alpha=alpha, colormap=colormap, width=width, boxes=boxes, title=title,
            caption=caption, font=font, theme=theme, marks=marks,
        )  # fmt: skip
        row = find_name("image", image, [each.name for each in self.images])
        return poster(self, row, columns, style)

    def figure(
        self,
        *,
        layout: PageKind = "grid",
        inches: float | None = None,
        fontsize: float = FONTSIZE,
        dpi: int = DPI,
        lossless: bool = False,
        alpha: float = ALPHA,
        colormap: str = COLORMAP,
        boxes: bool = False,
        rows: Rows = "images",
        original: bool = True,
        title: str = "",
        caption: str | None = None,
        font: str | PathLike[str] | None = None,
        theme: Literal["light", "dark"] | None = None,
        marks: bool = True,
    ) -> matplotlib.figure.Figure:
        """Draw a matplotlib figure for print: the `grid` at a given size, its text as text.

        ``figure.savefig("figure.pdf")`` embeds fonts and writes no date, whatever matplotlib's
        settings are. `save` draws and writes in one step.

        Args:
            layout: ``"grid"``, or the ``"poster"`` of the only image.
            inches: The width of the figure; ``None`` is 1.2 for each cell, and at most 7.
            fontsize: The size of captions in pt; details are smaller, the title is larger.
            dpi: The resolution of pictures, in px an inch.
            lossless: Whether PDF and SVG files hold the pictures without loss, about ten times as
                large. By default, photos are JPEG of high quality.
            alpha: As in `grid`.
            colormap: As in `grid`.
            boxes: As in `grid`.
            rows: As in `grid`; grids only.
            original: As in `grid`; grids only.
            title: As in `grid`.
            caption: As in `grid`.
            font: As in `grid`.
            theme: As in `grid`.
            marks: As in `grid`.

        Raises:
            ArgumentError: If an argument is impossible, the figure is too narrow for its columns,
                or a poster is to show several images.
            ImageError: If an image's file is gone.
        """
        from effcam.comparison.pictures.figure import Print, figure
        from effcam.comparison.pictures.style import Style

        style = Style(
            alpha=alpha, colormap=colormap, boxes=boxes, rows=rows, original=original, title=title,
            caption=caption, font=font, theme=theme, marks=marks,
        )  # fmt: skip
        return figure(
            self, layout, style, Print(inches=inches, fontsize=fontsize, dpi=dpi, lossless=lossless)
        )

    def annotate(
        self, *, boxes: Boxes = None, masks: Masks = None, labels: Labels = None
    ) -> Comparison:
        """Return the comparison with what is known about its images.

        Pictures then mark right and wrong predictions, and `summary`, `report` and `save` use the
        annotations without being given them again. Demo scenes have theirs from the start.

        Args:
            boxes: As in `summary`.
            masks: As in `summary`.
            labels: As in `summary`.

        Raises:
            AnnotationError: If boxes, masks or labels are broken or do not fit the images.
            TargetError: If a label is not a class of every model.
            ArgumentError: If there is not one entry per image.
        """
        from effcam.images.annotations.truths import find_truths
        from effcam.metrics.summary.rows import ImageRows, are_right

        truths = find_truths(self.images, boxes, masks, labels)
        if labels is not None:
            are_right(ImageRows(self.columns, tuple(self.rows()), self.facts, tuple(truths)))
        images = tuple(
            replace(image, truth=truth) for image, truth in zip(self.images, truths, strict=True)
        )
        cells = tuple(
            replace(cell, image=image)
            for image, row in zip(images, self.rows(), strict=True)
            for cell in row
        )
        return replace(self, images=images, cells=cells)

    def summary(
        self,
        *,
        boxes: Boxes = None,
        masks: Masks = None,
        labels: Labels = None,
        fair: bool | None = None,
        faithfulness: Faithfulness | None = None,
        label_probabilities: LabelProbabilities | None = None,
    ) -> Summary:
        """Return the scoreboard: one row for each column, each figure with its 95 % interval.

        Focus is always measured, at the resolution of the coarsest column's maps: it depends on
        which columns there are. Accuracy needs labels, and localisation boxes or masks; demo
        scenes have all of these. The documentation's page on metrics defines every figure.

        Args:
            boxes: Boxes around the objects: a file (COCO, Pascal VOC, YOLO, Label Studio, CVAT,
                JSON or CSV), a mapping by image name, or one entry an image. An entry is a `Box`
                or (left, top, right, bottom) in px of the image, or several of these. If all edges
                lie between 0 and 1, and not all are whole numbers, they are shares of the image's
                width and height; a note then says so.
            masks: (height, width) bool arrays, true on the object, in the same forms; or a folder
                of mask files, or a file with outlines.
            labels: The class of each image, by index or by name, in the same forms; or a folder
                with a subfolder for each class. Text is a name first: "9" is the class called "9",
                and an index only where no class is called by a number. For models of several
                labels an image, an entry may be a list of all labels of the image.
            fair: Whether to measure heat only on images that every model gets right and in which
                all models explain one class; without labels, on images for which all models
                predict the same class. ``None`` is true if labels are known.
            faithfulness: The result of `effcam.metrics.faithfulness` for this comparison.
            label_probabilities: The result of `effcam.metrics.label_probabilities` for this
                comparison, for the average precision of labels.

        Raises:
            AnnotationError: If boxes, masks or labels are broken or do not fit the images.
            TargetError: If a label is not a class of every model.
            ArgumentError: If an argument is impossible.
        """
        from effcam.images.annotations.truths import find_truths
        from effcam.metrics.summary.builder import summarize
        from effcam.metrics.summary.rows import ImageRows

        truths = find_truths(self.images, boxes, masks, labels, sizes=self._sizes())
        rows = ImageRows(self.columns, tuple(self.rows()), self.facts, tuple(truths))
        return summarize(
            rows, fair=fair, faithfulness=faithfulness, label_probabilities=label_probabilities
        )

    def timeline(
        self,
        *,
        figures: Sequence[str] | None = None,
        boxes: Boxes = None,
        masks: Masks = None,
        labels: Labels = None,
        fair: bool = False,
        theme: Literal["light", "dark"] = "light",
    ) -> matplotlib.figure.Figure:
        """Draw how figures change over a training, whose checkpoints are the columns.

        Each figure of the `summary` has a panel, with its 95 % interval as a band from six images
        on, and baselines as dashed lines; the last panel is the rank correlation of each model's
        maps with those of the last model, the mean over images. The axis is the epoch, or the step,
        where all columns state it (`effcam.checkpoints`); else the order of the columns. Several
        methods or targets have a line each. A notebook displays the figure; ``savefig`` writes it.

        Args:
            figures: The keys of the figures, as ``"gini"`` or ``"agreement_with_last"``; ``None``
                is the effective area, the energy pointing game if objects are annotated, the
                accuracy if labels are known, and the agreement with the last.
            boxes: As in `summary`.
            masks: As in `summary`.
            labels: As in `summary`.
            fair: Whether to measure only images that every model gets right, as in `summary`.
                After one epoch these may be few, so that it is false by default; to explain one
                class in all columns, compare with ``target=``.
            theme: ``"light"`` or ``"dark"``.

        Raises:
            ArgumentError: If there are fewer than two models, or an argument is impossible.
            CellError: If there is no figure of a key.
            AnnotationError: If boxes, masks or labels are broken or do not fit the images.
            TargetError: If a label is not a class of every model.
            OutputError: If matplotlib is not installed.
        """
        from effcam.metrics.summary.timeline_chart import timeline_chart

        return timeline_chart(self._timeline(figures, boxes, masks, labels, fair=fair), theme)

    def timeline_table(
        self,
        *,
        figures: Sequence[str] | None = None,
        boxes: Boxes = None,
        masks: Masks = None,
        labels: Labels = None,
        fair: bool = False,
    ) -> list[dict[str, object]]:
        """Return the numbers of the `timeline`: one row for each column, in order.

        A row has the column, its epoch and step, the metrics that the training program stored, as
        ``"logged_val_acc"``, and for each figure its value, the ends of its 95 % interval
        (``"gini_low"``, ``"gini_high"``) and its number of images (``"gini_n"``); values are not
        rounded, and ``None`` where there is none. ``pandas.DataFrame`` takes it.

        Args:
            figures: As in `timeline`.
            boxes: As in `summary`.
            masks: As in `summary`.
            labels: As in `summary`.
            fair: As in `timeline`.

        Raises:
            ArgumentError: If there are fewer than two models, or an argument is impossible.
            CellError: If there is no figure of a key.
            AnnotationError: If boxes, masks or labels are broken or do not fit the images.
            TargetError: If a label is not a class of every model.
        """
        return self._timeline(figures, boxes, masks, labels, fair=fair).table()

    def _timeline(
        self,
        figures: Sequence[str] | None,
        boxes: Boxes,
        masks: Masks,
        labels: Labels,
        *,
        fair: bool,
    ) -> Timeline:
        from effcam.images.annotations.truths import find_truths
        from effcam.metrics.summary.rows import ImageRows
        from effcam.metrics.summary.timeline import timeline

        truths = find_truths(self.images, boxes, masks, labels, sizes=self._sizes())
        rows = ImageRows(self.columns, tuple(self.rows()), self.facts, tuple(truths))
        return timeline(rows, figures=figures, fair=check_flag("fair", fair))

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
        alpha: float = ALPHA,
        colormap: str = COLORMAP,
    ) -> Path:
        """Write a report, a page for the browser, and return its path.

        The page has the photos, the heat as a separate layer over them, the `summary` and the
        `agreement`. Readers can sort, filter and enlarge images, and read values of heat. It is one
        file and fetches nothing.

        Args:
            path: Where to write; it ends in ``.html`` or ``.htm``.
            boxes: As in `summary`.
            masks: As in `summary`.
            labels: As in `summary`.
            fair: As in `summary`.
            faithfulness: As in `summary`.
            title: The title of the page; ``None`` describes what is compared.
            alpha: The opacity of the strongest heat when the page is opened, in [0, 1].
            colormap: The name of the matplotlib colour map when the page is opened.

        Raises:
            OutputError: If the path has another suffix, there are no images, or the file cannot
                be written.
            AnnotationError: If boxes, masks or labels are broken or do not fit the images.
            TargetError: If a label is not a class of every model.
            ArgumentError: If an argument is impossible.
            ImageError: If an image's file is gone.
        """
        from effcam.comparison.report import Look, check_report_output, gather, write_report
        from effcam.images.annotations.truths import find_truths

        look = Look(title=title, alpha=alpha, colormap=colormap)
        check_report_output(path)
        truths = find_truths(self.images, boxes, masks, labels, sizes=self._sizes())
        material = gather(self, truths=truths, fair=fair, faithfulness=faithfulness)
        return write_report(material, path, look)

    def log(
        self,
        to: object,
        *,
        name: str = "effcam",
        step: int | None = None,
        report: bool = True,
        pictures: int = 16,
        boxes: Boxes = None,
        masks: Masks = None,
        labels: Labels = None,
        fair: bool | None = None,
        faithfulness: Faithfulness | None = None,
        label_probabilities: LabelProbabilities | None = None,
        alpha: float = ALPHA,
        colormap: str = COLORMAP,
        width: int = WIDTH,
    ) -> None:
        """Log pictures, table, summary and report to an experiment tracker.

        The tracker gets the `grid`, a picture of each image, the `table`, the `summary` as text,
        each of its figures of each column as a scalar, so that trackers draw curves over steps,
        all notes, and the `report`. Nothing is logged unless all of these could be made. A column
        label with characters that a tracker does not accept is changed, and a note says so.

        Args:
            to: The tracker: the folder of a TensorBoard log, a ``SummaryWriter`` of torch or
                tensorboardX, a run of Weights & Biases or ``wandb`` itself, a run of MLflow,
                ``mlflow`` itself, a pair of an ``MlflowClient`` and the id of a run, or a logger
                of Lightning for one of these.
            name: What the names of everything logged begin with: letters from A to Z, digits,
                ``_``, ``-``, and ``/`` between parts.
            step: The step of training, from 0; ``None`` logs without one, which TensorBoard and
                MLflow show as step 0.
            report: Whether to log the report too.
            pictures: How many images are drawn at most, the first ones, from 0 to 100. Figures
                always include all images.
            boxes: As in `summary`.
            masks: As in `summary`.
            labels: As in `summary`.
            fair: As in `summary`.
            faithfulness: As in `summary`.
            label_probabilities: As in `summary`.
            alpha: As in `grid`.
            colormap: As in `grid`.
            width: As in `grid`.

        Raises:
            OutputError: If the tracker's package is not installed, its run has ended, it cannot
                be written to, or there are no images.
            AnnotationError: If boxes, masks or labels are broken or do not fit the images.
            TargetError: If a label is not a class of every model.
            ArgumentError: If an argument is impossible, or ``to`` is no tracker that is known.
            ImageError: If an image's file is gone.
        """
        from effcam.comparison.pictures.style import Style
        from effcam.comparison.trackers.entry import Wanted, make_entry
        from effcam.comparison.trackers.recognise import find_tracker

        wanted = Wanted(
            name=name, step=step, report=report, pictures=pictures,
            style=Style(alpha=alpha, colormap=colormap, width=width, theme="light"),
            fair=fair, faithfulness=faithfulness, label_probabilities=label_probabilities,
        )  # fmt: skip
        write = find_tracker(to)
        if write is None:
            return
        content = self
        if boxes is not None or masks is not None or labels is not None:
            content = self.annotate(boxes=boxes, masks=masks, labels=labels)
        write(make_entry(content, wanted))

    def _sizes(self) -> list[tuple[int, int]]:
        """Return width and height of each image in px."""
        return [row[0].size for row in self.rows()]

    def agreement(self, *, measure: Agreement = "spearman") -> NDArray[np.float64]:
        """Return how much the columns' maps agree: (columns, columns), the mean over images.

        Maps are compared on the part of the image that both models saw. An image does not count
        for two columns if one of their maps has no evidence; NaN if no image is left.

        Args:
            measure: ``"spearman"``, the rank correlation in [-1, 1], or ``"iou"``, the
                intersection over union of the hottest fifths, in [0, 1].

        Raises:
            ArgumentError: If there is no such measure.
        """
        from effcam.metrics.agreement import agreement_matrix, pair_agreements

        return agreement_matrix(pair_agreements(tuple(self.rows()), measure), len(self.columns))

    def agreement_picture(self, *, measure: Agreement = "spearman") -> Image.Image:
        """Draw `agreement` as a matrix of coloured cells with their numbers.

        Args:
            measure: As in `agreement`.

        Raises:
            ArgumentError: If there is no such measure.
        """
        from effcam.drawing.matrix import draw_matrix
        from effcam.metrics.agreement import AGREEMENT_TITLES

        return draw_matrix(
            self.agreement(measure=measure), self.columns, title=AGREEMENT_TITLES[measure]
        )

    def most_disagreed(self, n: int = 10) -> Comparison:
        """Return the comparison of the images on which the columns differ most, these first.

        These have the lowest rank correlation, as the mean over all pairs of columns.

        Args:
            n: How many images; all of them if there are fewer.

        Raises:
            ArgumentError: If ``n`` is not a whole number from 1, or there is only one column.
        """
        from effcam.metrics.agreement import check_disagreed, least_agreed, pair_agreements

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
        order = [find_name("image", key, names) for key in images]
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
        marks: bool | None = None,
        layout: PageKind | None = None,
        inches: float | None = None,
        fontsize: float | None = None,
        dpi: int | None = None,
        lossless: bool | None = None,
    ) -> Path:
        """Save the comparison in the format that the suffix names, and return the path.

        ``.html`` is a `report`; ``.png`` and ``.jpg`` hold the `grid`; ``.pdf`` and ``.svg`` the
        same as a `figure` for print; ``.gif`` and ``.webp`` the `frames`, in an endless loop;
        ``.mp4`` the same as a video, which needs PyAV (``pip install 'effcam[video]'``); ``.csv``
        the `table`; ``.json`` the table, the settings and the heatmaps; ``.npz`` the heatmaps and
        the table as arrays; ``.parquet`` the rows of a `compare_dataset` run, which needs pyarrow
        (``pip install 'effcam[dataset]'``). The file appears when it is complete: an interrupted
        write leaves the previous file.

        Args:
            path: Where to write.
            alpha: As in `grid`; pictures and reports only.
            colormap: As in `grid`; pictures and reports only.
            width: As in `grid`; pictures of pixels only.
            boxes: As in `grid`; pictures only.
            seconds: How long each frame shows, in s; animations only. By default, frames of one
                video keep its pace, as the mean over them, and other images show for 1 s; with
                ``rows="models"``, so many columns that this took longer than 20 s show for 20 s
                together, each for at least 0.2 s. GIF rounds to 0.01 s and WebP to 0.001 s; both
                show a frame for at least 0.02 s.
            rows: As in `grid`; pictures only.
            original: As in `grid`; pictures only.
            title: As in `grid`; pictures only.
            caption: As in `grid`; pictures only.
            font: As in `grid`; pictures only.
            theme: As in `grid` or `frames`; pictures only.
            marks: As in `grid`; pictures only.
            layout: ``"grid"``, or the ``"poster"`` of the only image; not for animations.
            inches: As in `figure`; ``.pdf`` and ``.svg`` only.
            fontsize: As in `figure`; ``.pdf`` and ``.svg`` only.
            dpi: As in `figure`; ``.pdf`` and ``.svg`` only.
            lossless: As in `figure`; ``.pdf`` and ``.svg`` only.

        Raises:
            OutputError: If the suffix is unknown, PyAV or pyarrow is needed and not installed, or
                the file cannot be written.
            ArgumentError: If an argument is impossible or does not apply to the format.
        """
        from effcam.comparison.export import save

        style = {
            "alpha": alpha, "colormap": colormap, "width": width, "boxes": boxes,
            "seconds": seconds, "rows": rows, "original": original, "title": title,
            "caption": caption, "font": font, "theme": theme, "marks": marks, "layout": layout,
            "inches": inches, "fontsize": fontsize, "dpi": dpi, "lossless": lossless,
        }  # fmt: skip
        return save(self, path, style)

    def _repr_html_(self) -> str:
        """Return the first images' grid and a scoreboard as static HTML."""
        from effcam.comparison import notebook

        measured = 0 < len(self) <= notebook.MEASURED
        return notebook.to_html(self, self.summary() if measured else None)


def _with_model(cell: Explanation) -> str:
    """Return the label of a cell's column, with the model's name unless that says the same."""
    return cell.column if cell.column == cell.model else f"{cell.column} ({cell.model})"

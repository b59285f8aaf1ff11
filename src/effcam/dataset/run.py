"""A run on disk, as its user sees it: tables, summary, report, and comparisons of some images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from effcam.cam.map_facts import facts_of_maps
from effcam.comparison.comparison import Comparison
from effcam.comparison.parquet import schema
from effcam.dataset.manifest import FILE, Manifest
from effcam.dataset.measures import (
    find_least,
    image_agreements,
    measure_agreement,
    summarize_run,
)
from effcam.dataset.reader import ShardReader
from effcam.dataset.storage import Store
from effcam.drawing.defaults import ALPHA, COLORMAP
from effcam.errors import ArgumentError, ImageError, OutputError
from effcam.images.annotations.truths import Boxes, GroundTruth, Labels, Masks
from effcam.metrics.agreement import Agreement, check_disagreed
from effcam.models.facts import ModelFacts
from effcam.models.result_tables import Results, read_results

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from effcam.metrics.summary import Summary


@dataclass(frozen=True, slots=True, eq=False)
class DatasetRun:
    """A run on disk: rows of images, columns of models, read shard by shard.

    Iterating yields its shards, each a ``pyarrow.Table``, model by model.

    Attributes:
        store: Where the run is.
        manifest: What the run is.
    """

    store: Store = field(repr=False)
    manifest: Manifest = field(repr=False)

    def __repr__(self) -> str:
        state = "complete" if self.complete else "incomplete"
        return (
            f"DatasetRun({self.store.address!r}, {self.manifest.images} images, "
            f"columns {', '.join(self.columns)}, {state})"
        )

    def __len__(self) -> int:
        """Return the number of rows written: one a cell, unreadable images included."""
        size, each = self._reader.inventory.size, self.manifest.settings.columns_each
        return sum(each * size(number) for _, number in self._reader.written())

    def __iter__(self) -> Iterator[pa.Table]:
        """Yield the shards that are written, model by model."""
        for model, number in self._reader.written():
            yield self._reader.read(model, number)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns' labels."""
        return self.manifest.columns

    @property
    def images(self) -> int:
        """The number of images."""
        return self.manifest.images

    @property
    def settings(self) -> dict[str, object]:
        """How the run was made."""
        return asdict(self.manifest.settings)

    @property
    def complete(self) -> bool:
        """Whether the file of every shard is there; what it holds is checked when it is read."""
        return (
            len(self._reader.written()) == len(self.manifest.models) * self._reader.inventory.shards
        )

    @property
    def facts(self) -> tuple[ModelFacts, ...]:
        """Facts of each column's model.

        Raises:
            OutputError: If a model has not run yet.
        """
        return self._reader.facts()

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return all rows that are written, model by model, as one ``pyarrow.Table``.

        Args:
            columns: The table's columns to read; ``None`` is all, maps included.

        Raises:
            ArgumentError: If there is no such column.
            OutputError: If a shard cannot be read.
        """
        known = schema().names
        for name in columns or ():
            if name not in known:
                raise ArgumentError(f"the table has no {name!r}; it has {', '.join(known)}")
        tables = [self._reader.read(*each, columns) for each in self._reader.written()]
        return (
            pa.concat_tables(tables) if tables else schema().empty_table().select(columns or known)
        )

    def errors(self) -> dict[str, str]:
        """Return the reasons why images could not be read, by image name."""
        found: dict[str, str] = {}
        for each in self._reader.written():
            rows = self._reader.read(*each, ["image", "error"])
            found |= {
                row["image"]: row["error"]
                for row in rows.filter(rows["error"].is_valid()).to_pylist()
            }
        return found

    def summary(
        self,
        *,
        boxes: Boxes = None,
        masks: Masks = None,
        labels: Labels = None,
        fair: bool | None = None,
        results: Results = None,
    ) -> Summary:
        """Return the summary of all images that every model has run on.

        Its values are those of `Comparison.summary`, and so are its intervals and tests for up to
        1,024 images. Memory does not grow with the maps: of more images, several share a place.
        Calibration keeps four bytes a cell of labelled images.

        Args:
            boxes: Boxes around the objects: a file, a mapping by image name, or one entry an
                image, as in `Comparison.summary`.
            masks: Masks of the objects, likewise; or a folder of mask files.
            labels: The class of each image, likewise.
            fair: As in `Comparison.summary`.
            results: As in `Comparison.summary`.

        Raises:
            AnnotationError: If annotations or results are broken, or annotations are those of
                other images.
            TargetError: If a label is no class of one of the models.
            ArgumentError: If there is not one entry an image.
            OutputError: If a shard cannot be read, or no shard has cells of all models.
        """
        tables = read_results(results)
        known = GroundTruth(self.images, boxes=boxes, masks=masks, labels=labels)
        return summarize_run(self._reader, known, fair=fair, results=tables)

    def agreement(self, *, measure: Agreement = "spearman") -> NDArray[np.float64]:
        """Return how far the columns' maps agree, as `Comparison.agreement`, in constant memory.

        Args:
            measure: As in `Comparison.agreement`.

        Raises:
            ArgumentError: If there is no such measure.
            OutputError: If a shard cannot be read, or no shard has cells of all models.
        """
        return measure_agreement(self._reader, measure)

    def most_disagreed(self, n: int = 10) -> Comparison:
        """Return the comparison of the images on which the columns differ most, these first.

        Args:
            n: The number of images; all of them if there are fewer.

        Raises:
            ArgumentError: If ``n`` is no whole number from 1, or there is only one column.
            OutputError: If a shard cannot be read, or no shard has cells of all models.
        """
        check_disagreed(n, len(self.columns))
        return self.comparison(find_least(self._reader, n, image_agreements))

    def report(
        self,
        path: str | PathLike[str],
        *,
        n: int = 200,
        labels: Labels = None,
        fair: bool | None = None,
        results: Results = None,
        title: str | None = None,
        alpha: float = ALPHA,
        colormap: str = COLORMAP,
    ) -> Path:
        """Write an HTML page, and return its path: the summary, and the images that show most.

        These are the images on which the columns differ most; of a single column, those of which
        it is least confident, as the page states. The page is otherwise that of
        `Comparison.report`.

        Args:
            path: Where to write; it ends in ``.html`` or ``.htm``.
            n: How many images the page shows; all of them if there are fewer.
            labels: As in `summary`.
            fair: As in `summary`.
            results: As in `summary`.
            title: As in `Comparison.report`.
            alpha: As in `Comparison.report`.
            colormap: As in `Comparison.report`.

        Raises:
            OutputError: If the path has another suffix, the file cannot be written, a shard cannot
                be read, or no shard has cells of all models.
            ArgumentError: If an argument is impossible.
            AnnotationError: If labels or results are broken, or labels are those of other images.
            TargetError: If a label is no class of one of the models.
            ImageError: If an image's file is gone.
        """
        from effcam.comparison.report import Look
        from effcam.dataset.report import write_run_report

        look = Look(title=title, alpha=alpha, colormap=colormap)
        return write_run_report(
            self, self._reader, path, look, n=n, labels=labels, fair=fair, results=results
        )

    def comparison(self, images: Sequence[int | str] | None = None) -> Comparison:
        """Return the comparison of some of the images, in the order given, as `compare` does.

        Args:
            images: Their positions or names; ``None`` is all of them, which takes some two KiB
                a cell.

        Raises:
            CellError: If there is no such image.
            ImageError: If none of them could be read.
            OutputError: If a shard cannot be read, or one of a model is missing.
        """
        inventory = self._reader.inventory
        wanted = list(range(self.images)) if images is None else inventory.find(images)
        rows, reasons = self._reader.rows_of(wanted)
        kept = [rows[at] for at in wanted if at in rows]
        skipped = tuple(reasons[at] for at in wanted if at in reasons)
        if not kept:
            raise ImageError(f"none of these images could be read: {skipped[0].reason}")
        return Comparison(
            tuple(row[0].image for row in kept),
            self.columns,
            tuple(cell for row in kept for cell in row),
            skipped,
            self.manifest.settings,
            facts_of_maps(self.facts, kept[0]),
        )

    @property
    def _reader(self) -> ShardReader:
        return ShardReader(self.store, self.manifest)


def open_run(place: str | PathLike[str]) -> DatasetRun:
    """Return a run that `compare_dataset` wrote, complete or not.

    Args:
        place: Its folder or address.

    Raises:
        OutputError: If there is none, it cannot be read, or pyarrow is not installed.

    >>> open_run("photos/")
    Traceback (most recent call last):
    effcam.errors.OutputError: 'photos/' has no run of effcam: there is no manifest.json
    """
    store = Store.at(place)
    manifest = Manifest.read(store)
    if manifest is None:
        raise OutputError(f"{str(place)!r} has no run of effcam: there is no {FILE}")
    return DatasetRun(store, manifest)

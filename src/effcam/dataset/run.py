"""Reading a run back: its tables, its scoreboard, and pictures of a chosen few images."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from effcam.cam.cells import Skipped
from effcam.cam.explanation import Explanation
from effcam.comparison.comparison import Comparison
from effcam.comparison.parquet import schema, to_cells
from effcam.comparison.report import Call, Look, check_report_output, gather, write_report
from effcam.dataset.image_list import Inventory
from effcam.dataset.manifest import FILE, Manifest
from effcam.dataset.shards import folder_of, inventory_of, name_of, read_facts
from effcam.dataset.storage import Store
from effcam.errors import AnnotationError, ArgumentError, ImageError, OutputError, check_number
from effcam.images.annotations import ByName, read_image_labels
from effcam.images.annotations.truths import Labels, find_truths
from effcam.images.refs import ImageRef
from effcam.metrics.agreement import (
    Agreement,
    check_disagreed,
    mean_agreements,
    pair_agreements,
)
from effcam.metrics.summary.compute import Board
from effcam.metrics.summary.streaming import Moments, Scores
from effcam.models.facts import ModelFacts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from effcam.metrics.summary import Summary


FILE_OF_REPORT = "report.html"

Rows: TypeAlias = tuple[tuple[Explanation, ...], ...]
"""The cells of each image."""


@dataclass(frozen=True, slots=True, eq=False)
class DatasetRun:
    """A run on disk: rows of images, columns of models, read some at a time.

    Iterating yields its shards, each a ``pyarrow.Table``, model by model.

    Attributes:
        store: Where it lies.
        manifest: What it is.
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
        """Return the number of rows there are: one a cell, bad images included."""
        size, methods = self._inventory.size, len(self.manifest.settings.method)
        return sum(methods * size(number) for _, number in self._shards())

    def __iter__(self) -> Iterator[pa.Table]:
        """Yield the shards that are there, model by model."""
        for model, number in self._shards():
            yield self._read(model, number)

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
        """Whether every shard is there."""
        return len(self._shards()) == len(self.manifest.models) * self._inventory.shards

    @property
    def facts(self) -> tuple[ModelFacts, ...]:
        """What is known of each column's model.

        Raises:
            OutputError: If a model has not run yet.
        """
        found = []
        for model, label in enumerate(self.manifest.models):
            facts = read_facts(self.store, model)
            if facts is None:
                raise OutputError(f"{label} has not run yet in {self.store.address!r}")
            found += [facts] * len(self.manifest.settings.method)
        return tuple(found)

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return all rows that are there, model by model, as one ``pyarrow.Table``.

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
        tables = [self._read(*each, columns) for each in self._shards()]
        return (
            pa.concat_tables(tables) if tables else schema().empty_table().select(columns or known)
        )

    def errors(self) -> dict[str, str]:
        """Return why images could not be read, by name, of all shards that are there."""
        found: dict[str, str] = {}
        for each in self._shards():
            rows = self._read(*each, ["image", "error"])
            found |= {
                row["image"]: row["error"]
                for row in rows.filter(rows["error"].is_valid()).to_pylist()
            }
        return found

    def summary(self, *, labels: Labels = None, fair: bool | None = None) -> Summary:
        """Return the scoreboard of all images that every model has run on, in flat memory.

        It is what `Comparison.summary` is, but that intervals are of the normal approximation,
        and that localisation is left to ``run.comparison(images).summary(boxes=...)``.

        Args:
            labels: The class of each image: a file, a mapping by image name, or one entry an
                image, as there.
            fair: As there.

        Raises:
            AnnotationError: If labels are broken, or of none of the images.
            TargetError: If a label is no class of one of the models.
            ArgumentError: If there is not one label an image.
            OutputError: If a shard cannot be read, or there is none of all models.
        """
        labelled = labels is not None
        known = _Labels(labels, self.images)
        scores = Scores(
            self.columns, self.facts, labelled=labelled, fair=labelled if fair is None else fair
        )
        for start, rows in self._rows():
            refs = [row[0].image for row in rows.values()]
            own = known.take(start, list(rows), refs)
            truths = find_truths(refs, None, None, own)
            scores.add(Board(self.columns, tuple(rows.values()), self.facts, tuple(truths)))
        known.check()
        return scores.summary()

    def agreement(self, *, measure: Agreement = "spearman") -> NDArray[np.float64]:
        """Return how far the columns' maps agree, as `Comparison.agreement`, in flat memory.

        Args:
            measure: As there.

        Raises:
            ArgumentError: If there is no such measure.
            OutputError: If a shard cannot be read, or there is none of all models.
        """
        columns = len(self.columns)
        moments = Moments(columns * columns, paired=False)
        for _, rows in self._rows():
            pairs = pair_agreements(tuple(rows.values()), measure)
            moments.add(pairs.reshape(len(rows), -1))
        return moments.estimate().values.reshape(columns, columns)

    def most_disagreed(self, n: int = 10) -> Comparison:
        """Return the comparison of the images on which the columns differ most, these first.

        Args:
            n: How many images; all of them if there are fewer.

        Raises:
            ArgumentError: If ``n`` is no whole number from 1, or there is one column alone.
            OutputError: If a shard cannot be read, or there is none of all models.
        """
        check_disagreed(n, len(self.columns))
        return self.comparison(self._least(n, _mean_agreements))

    def report(
        self,
        path: str | PathLike[str],
        *,
        n: int = 200,
        labels: Labels = None,
        fair: bool | None = None,
        title: str | None = None,
        alpha: float = 0.5,
        colormap: str = "turbo",
    ) -> Path:
        """Return the path of a page it wrote: the run's scoreboard, and its most telling images.

        These are the images on which the columns differ most; of one column alone, those of which
        it is least sure. The page says so. It is otherwise that of `Comparison.report`.

        Args:
            path: Where to write; it ends in ``.html`` or ``.htm``.
            n: How many images the page shows; all of them if there are fewer.
            labels: As in `summary`.
            fair: As in `summary`.
            title: As in `Comparison.report`.
            alpha: As in `Comparison.report`.
            colormap: As in `Comparison.report`.

        Raises:
            OutputError: If the path has another suffix, the file cannot be written, a shard cannot
                be read, or there is none of all models.
            ArgumentError: If an argument is impossible.
            AnnotationError: If labels are broken, or of none of the images.
            TargetError: If a label is no class of one of the models.
            ImageError: If an image's file is gone.
        """
        look = Look(title=title, alpha=alpha, colormap=colormap)
        check_report_output(path)
        check_number("n", n)
        several = len(self.columns) > 1
        places = self._least(n, _mean_agreements if several else _mean_confidences)
        shown = self.comparison(places)
        known = _Labels(labels, self.images).take(0, places, shown.images)
        which = "on which the columns differ most" if several else "of which it is least sure"
        material = gather(
            shown,
            truths=find_truths(shown.images, None, None, known),
            summary=self.summary(labels=labels, fair=fair),
            agreement=self.agreement() if several else None,
            calls=[self._call(n, labelled=labels is not None)],
            scope=f"Shown are the {len(shown.images)} of {self.images} images {which}; "
            "figures and agreement are of all.",
        )
        return write_report(material, path, look)

    def _call(self, n: int, *, labelled: bool) -> Call:
        more = ", labels=labels" if labelled else ""
        code = f"import effcam\n\nrun = effcam.open_run({self.store.address!r})\n"
        return Call("Python", f"{code}run.report({FILE_OF_REPORT!r}, n={n}{more})")

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
        count = self.images
        wanted = list(range(count)) if images is None else self._inventory.find(images)
        by_shard: dict[int, list[int]] = {}
        for at in wanted:
            by_shard.setdefault(at // self._inventory.at_once, []).append(at)
        rows: dict[int, tuple[Explanation, ...]] = {}
        reasons: dict[int, Skipped] = {}
        for number, places in by_shard.items():
            start = number * self._inventory.at_once
            own = [at - start for at in places]
            good, bad = self._slice(number, own)
            rows |= {start + at: row for at, row in good.items()}
            reasons |= {start + at: reason for at, reason in bad.items()}
        kept = [rows[at] for at in wanted if at in rows]
        skipped = tuple(reasons[at] for at in wanted if at in reasons)
        if not kept:
            raise ImageError(f"none of these images could be read: {skipped[0].reason}")
        return Comparison(
            tuple(row[0].image for row in kept),
            self.columns,
            tuple(cell for row in kept for cell in row),
            skipped,
            self.settings | {"method": list(self.manifest.settings.method)},
            self.facts,
        )

    @property
    def _inventory(self) -> Inventory:
        return inventory_of(self.store, self.manifest)

    def _least(self, n: int, value: Callable[[Rows], NDArray[np.float64]]) -> list[int]:
        """Return the places of the images of the lowest values, these first, in flat memory."""
        least: list[tuple[float, int]] = []
        for start, rows in self._rows():
            values = value(tuple(rows.values()))
            own = [(float(each), start + at) for each, at in zip(values, rows, strict=True)]
            least = heapq.nsmallest(n, [*least, *own])
        return [at for _, at in least]

    def _shards(self) -> list[tuple[int, int]]:
        """Return the shards that are there: the position of the model, and which slice."""
        found = []
        for model in range(len(self.manifest.models)):
            names = set(self.store.names(folder_of(self.manifest, model)))
            found += [
                (model, number)
                for number in range(self._inventory.shards)
                if name_of(self.manifest, model, number).rpartition("/")[2] in names
            ]
        return found

    def _read(self, model: int, number: int, columns: Sequence[str] | None = None) -> pa.Table:
        name = name_of(self.manifest, model, number)
        with self.store.open(name) as stream:
            try:
                return pq.read_table(stream, columns=columns)
            except (pa.ArrowException, ValueError) as error:
                raise OutputError(
                    f"the shard {self.store.path(name)!r} is broken: the command that made the run "
                    f"makes it again ({error})"
                ) from error

    def _rows(self) -> Iterator[tuple[int, dict[int, tuple[Explanation, ...]]]]:
        """Yield the rows of each slice that every model has run on: where it starts, and by place.

        Images that could not be read are left out.
        """
        there = set(self._shards())
        models = range(len(self.manifest.models))
        whole = [
            number
            for number in range(self._inventory.shards)
            if all((model, number) in there for model in models)
        ]
        if not whole:
            raise OutputError(
                f"no images have run through all models yet in {self.store.address!r}"
            )
        for number in whole:
            rows, _ = self._slice(number, range(self._inventory.size(number)))
            if rows:
                yield number * self._inventory.at_once, rows

    def _slice(
        self, number: int, places: Collection[int]
    ) -> tuple[dict[int, tuple[Explanation, ...]], dict[int, Skipped]]:
        """Return the cells of some images of a slice by place, and why others have none."""
        refs, _ = self._inventory.read(number)
        methods = len(self.manifest.settings.method)
        wanted = [at * methods + each for at in places for each in range(methods)]
        owners = [refs[at] for at in places for _ in range(methods)]
        columns: list[list[Explanation | None]] = []
        bad: dict[int, Skipped] = {}
        for model, label in enumerate(self.manifest.models):
            if not self.store.exists(name_of(self.manifest, model, number)):
                raise OutputError(f"{label} has not run yet on all of these images")
            table = self._read(model, number).take(wanted)
            cells = to_cells(table, owners, [label] * len(owners))
            columns += [cells[each::methods] for each in range(methods)]
            reasons = table["error"].to_pylist()[::methods]
            bad |= {
                at: Skipped(refs[at].name, reason)
                for at, reason in zip(places, reasons, strict=True)
                if reason is not None
            }
        rows = {
            at: tuple(row)
            for at, row in zip(places, zip(*columns, strict=True), strict=True)
            if at not in bad
        }
        return rows, bad


def _mean_agreements(rows: Rows) -> NDArray[np.float64]:
    """Return how far the columns agree in each image, infinite where that cannot be told."""
    return mean_agreements(pair_agreements(rows, "spearman"))


def _mean_confidences(rows: Rows) -> NDArray[np.float64]:
    """Return how sure the columns are of what they predict in each image."""
    found = [[cell.predicted_probability for cell in row] for row in rows]
    return np.asarray(np.mean(found, axis=1))


class _Labels:
    """The labels of many images, of which some are asked for at a time."""

    def __init__(self, given: Labels, images: int) -> None:
        """Read them.

        Raises:
            AnnotationError: If a file is broken.
            ArgumentError: If there is not one an image.
        """
        known = read_image_labels(given) if isinstance(given, str | PathLike) else given
        self._index = ByName(known) if isinstance(known, Mapping) else None
        self._listed: Sequence[int | str | None] | None = None
        if known is not None and not isinstance(known, Mapping):
            self._listed = list(known)
        self._found = known is None or self._listed is not None
        if self._listed is not None and len(self._listed) != images:
            raise ArgumentError(
                f"the number of labels is {len(self._listed)}, that of images {images}: give one "
                "each, or a mapping by image name"
            )

    def take(self, start: int, places: Sequence[int], refs: Sequence[ImageRef]) -> list[Any]:
        """Return the labels of some images, ``None`` where there is none."""
        if self._listed is not None:
            return [self._listed[start + at] for at in places]
        if self._index is None:
            return [None] * len(refs)
        found = [self._index.get(ref.name) for ref in refs]
        self._found |= any(each is not None for each in found)
        return found

    def check(self) -> None:
        """Check that there was a label of any image.

        Raises:
            AnnotationError: If there was none.
        """
        if not self._found:
            raise AnnotationError("there are no labels for any of the images")


def open_run(place: str | PathLike[str]) -> DatasetRun:
    """Return a run that `compare_dataset` wrote, complete or not.

    Args:
        place: Its folder or address.

    Raises:
        OutputError: If there is none, it cannot be read, or pyarrow is not installed.

    >>> open_run("photos/")
    Traceback (most recent call last):
    effcam.errors.OutputError: 'photos/' holds no run of effcam: there is no manifest.json
    """
    store = Store.at(place)
    manifest = Manifest.read(store)
    if manifest is None:
        raise OutputError(f"{str(place)!r} holds no run of effcam: there is no {FILE}")
    return DatasetRun(store, manifest)

"""Read the shards of a run: whole, or the rows of some images."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from effcam.cam.cells import Skipped
from effcam.cam.explanation import Explanation
from effcam.comparison.parquet import to_cells
from effcam.dataset.image_list import Inventory
from effcam.dataset.manifest import Manifest
from effcam.dataset.shards import folder_of, inventory_of, key_of, name_of, read_facts
from effcam.dataset.storage import Store
from effcam.errors import OutputError
from effcam.models.facts import ModelFacts

if TYPE_CHECKING:
    import pyarrow as pa

Row: TypeAlias = tuple[Explanation, ...]
"""The cells of an image."""


@dataclass(frozen=True, slots=True)
class ShardReader:
    """Reads what is written of a run, complete or not.

    Attributes:
        store: Where the run is.
        manifest: What the run is.
    """

    store: Store
    manifest: Manifest

    @property
    def inventory(self) -> Inventory:
        """The images of the run."""
        return inventory_of(self.store, self.manifest)

    def facts(self) -> tuple[ModelFacts, ...]:
        """Return the facts of each column's model.

        Raises:
            OutputError: If a model has not run yet.
        """
        found = []
        for model, label in enumerate(self.manifest.models):
            facts = read_facts(self.store, model)
            if facts is None:
                raise OutputError(f"{label} has not run yet in {self.store.address!r}")
            found += [facts] * self.manifest.settings.columns_each
        return tuple(found)

    def written(self) -> list[tuple[int, int]]:
        """Return the shards that are there, model by model: (position of the model, number)."""
        found = []
        for model in range(len(self.manifest.models)):
            names = set(self.store.names(folder_of(self.manifest, model)))
            found += [
                (model, number)
                for number in range(self.inventory.shards)
                if name_of(self.manifest, model, number).rpartition("/")[2] in names
            ]
        return found

    def read(self, model: int, number: int, columns: Sequence[str] | None = None) -> pa.Table:
        """Return a shard as a table.

        Raises:
            OutputError: If it cannot be read, is damaged, or is a copy of another shard.
        """
        name = name_of(self.manifest, model, number)
        key = key_of(self.manifest, model, number, self.inventory.names_of(number))
        with self.store.open(name) as stream:
            try:
                return key.read(stream, columns)
            except OutputError as error:
                raise OutputError(
                    f"the shard {self.store.path(name)!r} is broken: run the command that made the "
                    f"run again, which replaces it ({error})"
                ) from error

    def rows(self) -> Iterator[dict[int, Row]]:
        """Yield the rows of all images, shard by shard, by the position of the image.

        Shards that a model has not run on are left out, and images that could not be read.

        Raises:
            OutputError: If there is no shard of all models, or one cannot be read.
        """
        there = set(self.written())
        models = range(len(self.manifest.models))
        complete = [
            number
            for number in range(self.inventory.shards)
            if all((model, number) in there for model in models)
        ]
        if not complete:
            raise OutputError(
                f"no images have run through all models yet in {self.store.address!r}"
            )
        for number in complete:
            start = number * self.inventory.at_once
            rows, _ = self.rows_of(range(start, start + self.inventory.size(number)))
            if rows:
                yield rows

    def rows_of(self, images: Collection[int]) -> tuple[dict[int, Row], dict[int, Skipped]]:
        """Return the rows of images by position, and the reasons why others have none.

        Raises:
            OutputError: If a shard cannot be read, or one of a model is missing.
        """
        at_once = self.inventory.at_once
        by_shard: dict[int, list[int]] = {}
        for image in images:
            by_shard.setdefault(image // at_once, []).append(image % at_once)
        rows: dict[int, Row] = {}
        skipped: dict[int, Skipped] = {}
        for number, places in by_shard.items():
            good, bad = self._slice(number, places)
            rows |= {number * at_once + at: row for at, row in good.items()}
            skipped |= {number * at_once + at: reason for at, reason in bad.items()}
        return rows, skipped

    def _slice(
        self, number: int, places: Collection[int]
    ) -> tuple[dict[int, Row], dict[int, Skipped]]:
        """Return the rows of some places of a shard, and the reasons why others have none."""
        refs, _ = self.inventory.read(number)
        each = self.manifest.settings.columns_each
        wanted = [at * each + column for at in places for column in range(each)]
        owners = [refs[at] for at in places for _ in range(each)]
        columns: list[list[Explanation | None]] = []
        bad: dict[int, Skipped] = {}
        for model, label in enumerate(self.manifest.models):
            if not self.store.exists(name_of(self.manifest, model, number)):
                raise OutputError(f"{label} has not run yet on all of these images")
            table = self.read(model, number).take(wanted)
            cells = to_cells(table, owners, [label] * len(owners))
            columns += [cells[column::each] for column in range(each)]
            reasons = table["error"].to_pylist()[::each]
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

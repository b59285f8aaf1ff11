"""The file of a shard: its bytes, and whether they are those of the shard that its name states."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from effcam.cam.explanation import Explanation
from effcam.comparison.parquet import (
    CLASS,
    FIELDS,
    LATER,
    Unread,
    encode,
    notes_of,
    schema,
    to_table,
)
from effcam.errors import OutputError

BROKEN = (pa.ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError, MemoryError)
"""What pyarrow and JSON raise for bytes that are no complete Parquet file of ours."""
CHECKED = ("image", "column")
"""The columns that show which cells a file has."""


@dataclass(frozen=True, slots=True)
class ShardKey:
    """What a shard's file has to hold.

    Attributes:
        run: The identity of the run.
        number: The position of its slice of the images.
        images: The names of these images.
        columns: The labels of the model's columns, one for each method.
    """

    run: str
    number: int
    images: Sequence[str]
    columns: Sequence[str]

    def encode(self, rows: Sequence[Explanation | Unread]) -> bytes:
        """Return the file of some cells, with checksums of its pages."""
        return encode(to_table(rows, self._notes()))

    def read(self, stream: Any, columns: Sequence[str] | None = None) -> pa.Table:
        """Return a shard as a table; all that is read is compared with its checksums.

        Args:
            stream: The file, open for reading.
            columns: The table's columns to read; ``None`` is all.

        Raises:
            OutputError: If the file is damaged, or is that of another shard; states which.
        """
        try:
            file = pq.ParquetFile(stream, page_checksum_verification=True)
            notes = notes_of(file.metadata.metadata)
            here = file.schema_arrow.names
            if not file.schema_arrow.remove_metadata().equals(_schema_of(here)):
                raise ValueError("its columns are not those of a run")
            wanted = list(dict.fromkeys([*(FIELDS if columns is None else columns), *CHECKED]))
            table = _read(file, here, wanted)
            self._check(notes, table)
        except BROKEN as error:
            raise OutputError(str(error) or type(error).__name__) from error
        return table if columns is None else table.select(list(columns))

    def read_intact(self, content: bytes) -> pa.Table:
        """Return a shard as a table, after checking every byte of its file.

        The checksums are those of the values. To find damage elsewhere, which other programs could
        stumble over, the file is also compared with what this release of pyarrow writes.

        Raises:
            OutputError: As `read`.
        """
        table = self.read(io.BytesIO(content))
        writer = str(pq.read_metadata(io.BytesIO(content)).created_by)
        if writer.endswith(f" {pa.cpp_version}"):
            here = pq.read_schema(io.BytesIO(content)).names
            written = _schema_of(here).with_metadata(schema(self._notes()).metadata)
            columns = table.select(here).combine_chunks().columns
            if encode(pa.table(columns, schema=written)) != content:
                raise OutputError("its metadata are damaged")
        return table

    def _notes(self) -> dict[str, object]:
        return {"run": self.run, "shard": self.number}

    def _check(self, notes: dict[str, Any], table: pa.Table) -> None:
        """Check that the rows are those of the shard.

        Raises:
            ValueError: If not.
        """
        if notes.get("run") != self.run:
            raise ValueError("it belongs to another run")
        if notes.get("shard") != self.number:
            raise ValueError(f"it is a copy of shard {notes.get('shard')}")
        images = [image for image in self.images for _ in self.columns]
        if table.column("column").to_pylist() != list(self.columns) * len(self.images):
            raise ValueError(f"its rows are not those of {', '.join(self.columns)}")
        if table.column("image").to_pylist() != images:
            raise ValueError("its rows are of other images")


def _schema_of(names: Sequence[str]) -> pa.Schema:
    """Return the schema of a file that has these columns, all of a run or those of 0.1."""
    known = schema().remove_metadata()
    later = {*LATER, *CLASS}
    return pa.schema([each for each in known if each.name in names or each.name not in later])


def _read(file: pq.ParquetFile, here: Sequence[str], wanted: Sequence[str]) -> pa.Table:
    """Return columns of a file; those that came later have the values they had before."""
    sources = {name: name if name in here else LATER.get(name, "state") for name in wanted}
    found = file.read(list(dict.fromkeys(sources.values())))
    columns = {name: found.column(source) for name, source in sources.items()}
    for name in (name for name in CLASS if name in wanted and name not in here):
        # The state of an image that could not be read is null, and so is all else.
        value = pa.scalar(CLASS[name], schema().field(name).type)
        columns[name] = pc.if_else(columns[name].is_valid(), value, pa.scalar(None, value.type))
    return pa.table(columns)

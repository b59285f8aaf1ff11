"""Lease files that show remote workers whether the run is still active."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from effcam.dataset.storage import Store
from effcam.errors import OutputError

PREFIX = ".ray-"
GO, FINISH = b"go", b"finish"


@dataclass(frozen=True, slots=True)
class Lease:
    """Permission to make shards while the run is active: a folder in the run.

    Once the folder is gone, late workers write nothing more.

    Attributes:
        store: Where the run is.
        name: The folder's name.
    """

    store: Store
    name: str

    @classmethod
    @contextmanager
    def granted(cls, store: Store) -> Iterator[Lease]:
        """Yield a lease that is valid within the block; remove those of killed runs first.

        Raises:
            OutputError: If the run cannot be written.
        """
        for name in store.names():
            if name.startswith(PREFIX):
                store.remove(name, recursive=True)
        lease = cls(store, f"{PREFIX}{secrets.token_hex(8)}")
        store.write(lease._file, GO)
        try:
            yield lease
        finally:
            store.remove(lease._file)
            with suppress(OutputError):  # a late worker may still write there
                store.remove(lease.name, recursive=True)

    @property
    def may_start(self) -> bool:
        """Whether another shard may start."""
        return self._read() == GO

    @property
    def is_valid(self) -> bool:
        """Whether the current shard may continue."""
        return self._read() is not None

    def finish(self) -> None:
        """Let no further shard start."""
        self.store.write(self._file, FINISH)

    def claim(self, model: int, number: int) -> int:
        """Record the start of a shard, and return the number of earlier starts.

        A shard starts again only if a worker died, because of it or with its node.
        """
        count = 0
        while self.store.exists(name := f"{self.name}/{model:02d}-{number:08d}-{count}"):
            count += 1
        self.store.write(name, b"")
        return count

    @property
    def _file(self) -> str:
        return f"{self.name}/state"

    def _read(self) -> bytes | None:
        try:
            return self.store.read(self._file)
        except OutputError:
            return None

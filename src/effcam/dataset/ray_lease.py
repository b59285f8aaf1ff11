"""Leave to work, which processes on other machines read in the run itself."""

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
class Permit:
    """Leave to make shards, as long as whoever gave it is at work.

    It is a folder of the run. Once it is gone, whatever took it away, a worker that is late
    writes nothing more.

    Attributes:
        store: Where the run lies.
        name: The folder's name.
    """

    store: Store
    name: str

    @classmethod
    @contextmanager
    def given(cls, store: Store) -> Iterator[Permit]:
        """Give leave until the block ends; what a killed run left of its own goes first.

        Raises:
            OutputError: If the run cannot be written.
        """
        for name in store.names():
            if name.startswith(PREFIX):
                store.remove(name, recursive=True)
        permit = cls(store, f"{PREFIX}{secrets.token_hex(8)}")
        store.write(permit._word, GO)
        try:
            yield permit
        finally:
            store.remove(permit._word)
            with suppress(OutputError):  # a worker that is late may still write there
                store.remove(permit.name, recursive=True)

    @property
    def begins(self) -> bool:
        """Whether another shard may be begun."""
        return self._read() == GO

    @property
    def holds(self) -> bool:
        """Whether the shard in hand may be gone on with."""
        return self._read() is not None

    def finish(self) -> None:
        """Let no further shard be begun."""
        self.store.write(self._word, FINISH)

    def claim(self, model: int, number: int) -> int:
        """Return how often a shard was begun before, and writes down that it is again.

        Who begins one a second time does so because a worker died of it, or with its node.
        """
        count = 0
        while self.store.exists(name := f"{self.name}/{model:02d}-{number:08d}-{count}"):
            count += 1
        self.store.write(name, b"")
        return count

    @property
    def _word(self) -> str:
        return f"{self.name}/word"

    def _read(self) -> bytes | None:
        try:
            return self.store.read(self._word)
        except OutputError:
            return None

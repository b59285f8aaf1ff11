"""The place of a run: a folder of this machine, or any address that fsspec supports."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
from filelock import FileLock, Timeout
from fsspec.implementations.local import LocalFileSystem

from effcam import files
from effcam.errors import OutputError
from effcam.images.discovery import ADDRESS

if TYPE_CHECKING:
    from os import PathLike

LOCK = ".lock"
READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
# Another suffix, so that readers of *.parquet skip incomplete files.
PARTIAL = ".partial"


@dataclass(frozen=True, slots=True)
class Store:
    """Reads and writes the files of a run, each completely or not at all.

    On this machine's disks a file is written under another name, flushed and renamed. At an address
    it is sent in one piece, which object stores show when it is complete.

    Attributes:
        address: The path or address.
    """

    address: str

    @classmethod
    def at(cls, place: str | PathLike[str]) -> Store:
        """Return the store at a path or an address.

        Raises:
            OutputError: If no installed package supports that kind of address.
        """
        text = os.fspath(place)
        if not ADDRESS.match(text):
            return cls(str(Path(text).expanduser().absolute()))
        store = cls(text)
        try:
            store._split()
        except (ImportError, ValueError) as error:
            raise OutputError(f"{text!r} cannot be reached: {error}") from error
        return store

    @property
    def folder(self) -> Path | None:
        """The folder of this machine; ``None`` for an address elsewhere."""
        system, root = self._split()
        return Path(root) if isinstance(system, LocalFileSystem) else None

    def path(self, name: str = "") -> str:
        """Return the path of a file within its file system."""
        _, root = self._split()
        return f"{root.rstrip('/')}/{name}" if name else root

    def exists(self, name: str = "") -> bool:
        """Return whether there is such a file, or the folder itself."""
        with self._named_errors("read", name):
            return bool(self._split()[0].exists(self.path(name)))

    def names(self, folder: str = "") -> list[str]:
        """Return the names in a folder, in order; none if it does not exist."""
        system, _ = self._split()
        with self._named_errors("read", folder):
            try:
                found = system.ls(self.path(folder), detail=False, refresh=True)
            except FileNotFoundError:
                return []
        return sorted(str(each).rstrip("/").rpartition("/")[2] for each in found)

    def read(self, name: str) -> bytes:
        """Return the content of a file.

        Raises:
            OutputError: If it cannot be read.
        """
        with self._named_errors("read", name):
            content: bytes = self._split()[0].cat_file(self.path(name))
            return content

    @contextmanager
    def open(self, name: str) -> Iterator[Any]:
        """Open a file for reading parts of it."""
        with (
            self._named_errors("read", name),
            self._split()[0].open(self.path(name), "rb") as stream,
        ):
            yield stream

    def write(self, name: str, content: bytes) -> None:
        """Write a file; if that fails, the previous file is unchanged.

        Raises:
            OutputError: If it cannot be written.
        """
        folder = self.folder
        if folder is None:
            with self._named_errors("write", name):
                self._split()[0].pipe_file(self.path(name), content)
            return
        target = folder / name
        with self._named_errors("write", name):
            target.parent.mkdir(parents=True, exist_ok=True)
        with files.atomic(target, suffix=PARTIAL) as partial:
            partial.write_bytes(content)

    @contextmanager
    def writing(self, name: str) -> Iterator[Any]:
        """Open a file for writing piece by piece; it appears when it is complete.

        Raises:
            OutputError: If it cannot be written.
        """
        folder = self.folder
        if folder is None:
            with (
                self._named_errors("write", name),
                self._split()[0].open(self.path(name), "wb") as stream,
            ):
                yield stream
            return
        with files.atomic(folder / name, suffix=PARTIAL) as partial, partial.open("wb") as stream:
            yield stream

    def remove(self, name: str, *, recursive: bool = False) -> None:
        """Remove a file, or a folder with its content, if it exists."""
        system, _ = self._split()
        with self._named_errors("remove", name):
            if system.exists(self.path(name)):
                system.rm(self.path(name), recursive=recursive)

    def tidy(self, folders: Iterable[str]) -> None:
        """Remove incomplete files of killed processes from some folders."""
        for folder in folders:
            for name in self.names(folder):
                if name.startswith(files.TEMPORARY):
                    self.remove(f"{folder}/{name}".lstrip("/"))

    @contextmanager
    def locked(self, known: str) -> Iterator[None]:
        """Lock a folder of this machine against other processes; an address cannot be locked.

        The system releases the lock when the process ends, even if it is killed. A folder that
        holds a run and cannot be written needs no lock.

        Args:
            known: The file that shows that the folder holds a run.

        Raises:
            OutputError: If another process has the lock, or the folder cannot be written.
        """
        folder = self.folder
        if folder is None:
            yield
            return
        with self._named_errors("write", ""):
            folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder / LOCK, timeout=0)
            try:
                lock.acquire()
            except Timeout as error:
                raise OutputError(
                    f"another process uses {str(folder)!r}: wait for it, or give another folder"
                ) from error
            except OSError as error:
                if error.errno not in READ_ONLY or not (folder / known).exists():
                    raise
        try:
            yield
        finally:
            lock.release()

    def _split(self) -> tuple[Any, str]:
        """Return the file system, which fsspec keeps, and the path in it."""
        if not ADDRESS.match(self.address):
            return LocalFileSystem(), self.address
        system, root = fsspec.core.url_to_fs(self.address)
        return system, root

    @contextmanager
    def _named_errors(self, what: str, name: str) -> Iterator[None]:
        """Turn errors of the system into ones that name the file."""
        try:
            yield
        except OSError as error:
            if isinstance(error, OutputError):
                raise
            where = f"{self.address.rstrip('/')}/{name}" if name else self.address
            reason = error.strerror or str(error) or type(error).__name__
            raise OutputError(f"cannot {what} {where!r}: {reason}") from error

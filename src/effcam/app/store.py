"""The files of the live page: uploads and results, in one folder that does not outlive the page."""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from effcam.errors import ArgumentError

VARIABLE = "GRADIO_TEMP_DIR"
"""The environment variable from which Gradio takes the folder of uploads."""
PREFIX = "effcam-app-"
RUNS = "runs"
ROUND = 20.0
"""How often old files are looked for, in s."""


class Store:
    """The folder of one live page.

    Gradio writes each upload into a folder of its own there. A run is one comparison: the files
    that it reads and those that it writes. Whatever a visitor used goes when the page is closed in
    the browser, at the latest after some time; and everything goes with `close`.

    Attributes:
        folder: The folder.
    """

    def __init__(self, minutes: float) -> None:
        """Make the folder, and let Gradio use it.

        Args:
            minutes: How long files are kept, in min.

        Raises:
            ArgumentError: If another live page is open in this process.
        """
        self._before = os.environ.get(VARIABLE)
        if self._before and Path(self._before).name.startswith(PREFIX):
            raise ArgumentError(
                "a live page is open already in this process, and Gradio has one folder for all: "
                "close it first, with .close()"
            )
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=self._before)).resolve()
        os.environ[VARIABLE] = str(self.folder)
        self._runs = self.folder / RUNS
        self._runs.mkdir()
        self._seconds = 60 * minutes
        self._lock = threading.RLock()
        self._used: dict[str, set[Path]] = defaultdict(set)
        self._busy: set[Path] = set()
        self._closed = threading.Event()
        atexit.register(self.close)
        threading.Thread(target=self._watch, name="effcam-app-files", daemon=True).start()

    def upload(self, path: object, visitor: str) -> Path:
        """Return the path of a file that a visitor uploaded, and keep it for them.

        Args:
            path: What the browser sent: nothing is opened that is not an upload.
            visitor: The visitor.

        Raises:
            ArgumentError: If it is no upload, or was deleted in the meantime.
        """
        if not isinstance(path, str) or not path or "\0" in path:
            raise ArgumentError("a file must be uploaded: there is no such upload")
        given = Path(path)
        folder = given.parent
        # Each upload is a file in its own folder, directly below this page's; no link is followed.
        if folder.parent != self.folder or folder.name == RUNS or ".." in given.parts:
            raise ArgumentError("a file must be uploaded: that path is none of an upload")
        if folder.is_symlink() or given.is_symlink() or not given.is_file():
            raise ArgumentError(
                f"{given.name} is no longer here: uploads are deleted after some time. Upload it "
                "again"
            )
        with self._lock:
            self._used[visitor].add(folder)
            os.utime(folder)
        return given

    def holds_all_paths(self, value: object) -> bool:
        """Return whether all files in what the browser sent lie in this folder."""
        if isinstance(value, list | tuple):
            return all(map(self.holds_all_paths, value))
        if not isinstance(value, Mapping):
            return True
        path = value.get("path", str(self.folder))
        if not isinstance(path, str) or "\0" in path:
            return False
        return Path(os.path.normpath(path)).is_relative_to(self.folder) and all(
            map(self.holds_all_paths, value.values())
        )

    @contextmanager
    def run(self, visitor: str) -> Iterator[Path]:
        """Make a new folder for the files of one comparison; it is not deleted in this context."""
        folder = self._runs / secrets.token_urlsafe(16)
        with self._lock:
            folder.mkdir()
            self._used[visitor].add(folder)
            self._busy.add(folder)
        try:
            yield folder
        finally:
            with self._lock:
                self._busy.discard(folder)
                if folder not in self._used.get(visitor, ()):  # the visitor has gone
                    self._delete(folder)

    def link(self, file: Path, into: Path) -> Path:
        """Give a file another name, so that it stays when the upload is deleted.

        Args:
            file: The upload.
            into: The new folder to make for it, so that names need not differ.

        Raises:
            ArgumentError: If it is gone.
        """
        into.mkdir(parents=True)
        target = into / file.name
        try:
            try:
                os.link(file, target)
            except OSError:  # a file system without links
                shutil.copyfile(file, target)
        except OSError as error:
            raise ArgumentError(f"{file.name} is no longer here: upload it again") from error
        return target

    def forget(self, visitor: str) -> None:
        """Delete the files of a visitor, except uploads that another visitor also has."""
        with self._lock:
            mine = self._used.pop(visitor, set())
            others = set().union(*self._used.values()) if self._used else set()
            for folder in mine - others - self._busy:
                self._delete(folder)

    def forget_runs(self, visitor: str) -> None:
        """Delete what the earlier comparisons of a visitor left."""
        with self._lock:
            mine = self._used.get(visitor, set())
            old = {each for each in mine if each.parent == self._runs} - self._busy
            mine -= old
            for folder in old:
                self._delete(folder)

    def sweep(self, now: float | None = None) -> None:
        """Delete files that are older than the page keeps them, except those in use.

        Args:
            now: The time, in s since 1970; ``None`` is now.
        """
        limit = (time.time() if now is None else now) - self._seconds
        with self._lock:
            for entry in [*self.folder.iterdir(), *self._runs.iterdir()]:
                if entry == self._runs or entry in self._busy or _changed(entry) > limit:
                    continue
                for used in self._used.values():
                    used.discard(entry)
                self._delete(entry)

    def close(self) -> None:
        """Delete everything, and give Gradio its usual folder back."""
        if self._closed.is_set():
            return
        self._closed.set()
        atexit.unregister(self.close)
        if os.environ.get(VARIABLE) == str(self.folder):
            if self._before is None:
                del os.environ[VARIABLE]
            else:
                os.environ[VARIABLE] = self._before
        shutil.rmtree(self.folder, ignore_errors=True)

    def _watch(self) -> None:
        while not self._closed.wait(ROUND):
            try:
                self.sweep()
            except OSError:  # a file has gone meanwhile: the next round finds the rest
                continue

    @staticmethod
    def _delete(entry: Path) -> None:
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


def _changed(entry: Path) -> float:
    """Return when an entry was changed last, in s since 1970; infinite if it has gone."""
    try:
        return entry.lstat().st_mtime
    except FileNotFoundError:
        return float("inf")

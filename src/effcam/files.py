"""Write files atomically."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Collection, Iterator
from os import PathLike
from pathlib import Path

from effcam.errors import EffcamError, OutputError

TEMPORARY = ".effcam-"
"""Prefix of the names of incomplete files."""


def check_path(path: str | PathLike[str], suffixes: Collection[str]) -> Path:
    """Check that a path has one of the suffixes and its folder exists, and return it.

    Raises:
        OutputError: If not.
    """
    target = Path(path).expanduser()
    if target.suffix.lower() not in suffixes:
        unknown = f"has the unknown suffix {target.suffix!r}" if target.suffix else "has no suffix"
        raise OutputError(
            f"cannot save {str(path)!r}: its name {unknown}, which selects the format: use one of "
            f"{', '.join(suffixes)}"
        )
    if not target.parent.is_dir():
        raise OutputError(f"cannot save {str(path)!r}: there is no folder {str(target.parent)!r}")
    return target


@contextlib.contextmanager
def atomic(path: Path, *, suffix: str | None = None) -> Iterator[Path]:
    """Yield a temporary path in the same folder, and rename it to `path` on success.

    An error or interrupt in the block leaves the previous file as it was, and no temporary file.

    Args:
        path: The file to write.
        suffix: The suffix of the temporary path; ``None`` for that of the file.

    Raises:
        OutputError: If the folder does not exist or cannot be written to, `path` is a folder, or
            writing fails, as on a full disk.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise OutputError(
            f"cannot write {path}: there is no folder {path.parent}. Create it first."
        )
    if path.is_dir():
        raise OutputError(f"cannot write {path}: it is a folder. Add a file name to it.")
    temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(8)}{suffix or path.suffix}")
    try:
        # Not by tempfile, so that the file has the permissions of the umask.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield temporary
        _flush(temporary)
        temporary.replace(path)
    except EffcamError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}.") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Flush a file to the disk, so that a crash cannot leave a renamed but empty file."""
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

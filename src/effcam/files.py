"""Files written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Collection, Iterator
from os import PathLike
from pathlib import Path

from effcam.errors import EffcamError, OutputError

TEMPORARY = ".effcam-"
"""How the names of files begin that are not complete."""


def check_path(path: str | PathLike[str], suffixes: Collection[str]) -> Path:
    """Return the path, after making sure that a file of one of the formats can be written there.

    Raises:
        OutputError: If the suffix is none of those, the folder does not exist.
    """
    target = Path(path).expanduser()
    if target.suffix.lower() not in suffixes:
        unknown = f"has the unknown suffix {target.suffix!r}" if target.suffix else "has no suffix"
        raise OutputError(
            f"cannot save {str(path)!r}: its name {unknown}; the format follows from it: use one "
            f"of {', '.join(suffixes)}"
        )
    if not target.parent.is_dir():
        raise OutputError(f"cannot save {str(path)!r}: there is no folder {str(target.parent)!r}")
    return target


@contextlib.contextmanager
def atomic(path: Path, *, suffix: str | None = None) -> Iterator[Path]:
    """Yield a temporary path, of the same folder, that becomes `path` on success.

    Whatever ends the block early, an interrupt too, leaves the previous file as it was and no
    temporary one behind.

    Args:
        path: The file to write.
        suffix: That of the temporary path; ``None`` is that of the file.

    Raises:
        OutputError: If the folder does not exist or cannot be written, `path` is a folder, or
            the system fails to write, as with a full disk.
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
        # Made this way, and not by tempfile, the file has the permissions the umask asks for.
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
    """Bring a file's content to the disk, lest a crash leaves a renamed but empty file."""
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

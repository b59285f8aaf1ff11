"""Find the image files of a folder or a glob pattern, in natural order."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterator, Set
from pathlib import Path

from effcam.errors import ImageError
from effcam.images.other_formats import count_formats, describe_counts, plugin_suffixes
from effcam.text import natural_key

SUFFIXES = frozenset(
    {
        *(".apng", ".avif", ".bmp", ".dib", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg"),
        *(".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp"),
    }
)
"""The suffixes of image files in folders."""


def files_in(
    folder: Path, suffixes: Set[str] = SUFFIXES, others: Counter[str] | None = None
) -> list[Path]:
    """Return the files with one of the suffixes below a folder in natural order, none hidden.

    Args:
        folder: The folder.
        suffixes: The suffixes, to which those of plugins of Pillow are added.
        others: Receives the numbers of files of other known formats of images.

    Raises:
        ImageError: If there are none, or the folder cannot be read.
    """
    failed: list[OSError] = []
    found = [Path(each) for _, names in _folders(folder, failed) for each in names]
    wanted = suffixes | plugin_suffixes()
    files = [path for path in found if path.suffix.lower() in wanted]
    counts = count_formats(found)
    if others is not None:
        others.update(counts)
    if not files and failed:
        raise ImageError(f"folder {str(folder)!r} cannot be read: {failed[0]}") from failed[0]
    if not files:
        raise ImageError(
            f"folder {str(folder)!r} has no images (suffixes: {', '.join(sorted(suffixes))})"
            f"{f', but {describe_counts(counts)}' if counts else ''}"
        )
    return sorted(files, key=natural_path_key)


def _folders(top: Path, failed: list[OSError]) -> Iterator[tuple[str, list[str]]]:
    """Yield a folder and those below it, each with its files.

    Hidden entries are left out, and so are links to folders, which may form a circle. `os.walk`
    fails for a thousand nested folders in Python 3.11.

    Args:
        top: The folder.
        failed: Receives the errors of folders that cannot be read.
    """
    waiting = [str(top)]
    while waiting:
        folder = waiting.pop()
        files = []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif not entry.is_symlink() or not is_folder(entry.path):
                        files.append(entry.path)
        except OSError as error:
            failed.append(error)
        yield folder, files


def is_folder(path: str | Path) -> bool:
    """Return whether a path is a folder, or a link to one."""
    # Path.is_dir raises if a parent folder may not be entered.
    return os.path.isdir(path)  # noqa: PTH112


def files_matching(
    pattern: str, suffixes: Set[str], others: Counter[str] | None = None
) -> list[Path]:
    """Return the files with one of the suffixes that match a glob pattern, in natural order.

    Args:
        pattern: The pattern.
        suffixes: The suffixes, to which those of plugins of Pillow are added.
        others: Receives the numbers of files of other known formats of images.
    """
    found = list(dict.fromkeys(map(Path, _expand(Path(pattern).parts))))
    wanted = suffixes | plugin_suffixes()
    files = [path for path in found if path.suffix.lower() in wanted and not is_folder(path)]
    if others is not None:
        others.update(count_formats(path for path in found if not is_folder(path)))
    return sorted(files, key=natural_path_key)


def _expand(parts: tuple[str, ...]) -> Iterator[str]:
    """Yield the paths that match a pattern, whose ``**`` is any number of folders.

    `glob` would follow links to folders there, and never end if two of them form a circle.
    """
    before = parts[: parts.index("**")] if "**" in parts else parts
    # Path.glob does not accept absolute patterns.
    found = glob.iglob(str(Path(*before)))  # noqa: PTH207
    if before == parts:
        yield from found
        return
    rest = parts[len(before) + 1 :] or ("*",)
    for top in found:
        for folder, _ in _folders(Path(top), []):
            yield from _expand((glob.escape(folder), *rest))


def natural_path_key(path: Path) -> list[list[tuple[int, str]]]:
    """Return a sort key that puts ``2.jpg`` before ``10.jpg``, folder by folder."""
    return [natural_key(part) for part in path.parts]

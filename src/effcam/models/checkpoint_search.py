"""Find the checkpoints of a training run: in a folder, by a glob, or by name."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path
from typing import TypeAlias

from effcam.errors import ArgumentError, WeightsError
from effcam.images.file_search import is_folder, natural_path_key
from effcam.models.checkpoint_settings import CONFIGURED
from effcam.models.stage_names import ENDINGS
from effcam.text import count

Files: TypeAlias = str | PathLike[str] | Iterable[str | PathLike[str]]

COMPANION = re.compile(
    r"(optimizer|scheduler|scaler)\.(pt|bin)|training_args\.bin|rng_state(_\d+)?\.pth",
    re.IGNORECASE,
)
"""Files that transformers' Trainer writes beside the weights, and that hold none."""


def find_checkpoints(files: Files) -> list[Path]:
    """Return the files of weights in natural order, each once.

    Args:
        files: A file; a folder, which is searched with those below it; a glob; or several of these.
            A folder that a glob matches, or that is one of several, may also be one of
            transformers' Trainer.

    Raises:
        WeightsError: If nothing matches, or a folder has no weights.
        ArgumentError: If an entry is no path, or there is none.
    """
    several = [files] if isinstance(files, str | PathLike) else files
    if not isinstance(several, Iterable):
        raise ArgumentError(
            "files must be a glob such as 'runs/*.ckpt', a folder, or paths, not "
            f"{type(files).__name__}"
        )
    found = [path for each in several for path in _find(each)]
    if not found:
        raise ArgumentError("files names no checkpoint: there are no paths")
    return sorted(dict.fromkeys(found), key=natural_path_key)


def _find(entry: str | PathLike[str]) -> list[Path]:
    if not isinstance(entry, str | PathLike):
        raise ArgumentError(f"a checkpoint is a path, not {type(entry).__name__}")
    path = Path(entry).expanduser()
    if is_folder(path):
        return _below(path)
    if path.exists():
        return [path]
    if not glob.has_magic(str(path)):
        raise WeightsError(f"checkpoint {str(entry)!r} does not exist")
    # Path.glob does not accept absolute patterns.
    matches = [Path(each) for each in glob.iglob(str(path), recursive=True)]  # noqa: PTH207
    files = [each for each in matches if not is_folder(each) and not COMPANION.fullmatch(each.name)]
    folders = [each for each in matches if is_folder(each) and list(_weights_in(each))]
    if not (files or folders):
        raise WeightsError(f"no checkpoint matches {str(entry)!r}{_others(matches, path)}")
    return [*files, *(each for folder in folders for each in _below(folder))]


def _others(matches: list[Path], pattern: Path) -> str:
    """Return what a pattern matches instead, or where weights would be found."""
    if matches:
        return f": {count(len(matches), 'folder')} match, which hold no weights"
    nearest = pattern.parent
    while glob.has_magic(str(nearest)) or not is_folder(nearest):
        if nearest == nearest.parent:
            return ""
        nearest = nearest.parent
    number = len(list(_weights_in(nearest)))
    held = f"holds {count(number, 'file')} of weights, itself or below" if number else "holds none"
    return f"; the folder {str(nearest)!r} {held}"


def _below(folder: Path) -> list[Path]:
    found = list(_weights_in(folder))
    if not found:
        raise WeightsError(
            f"folder {str(folder)!r} has no checkpoints (suffixes: {', '.join(ENDINGS)})"
        )
    return found


def _weights_in(folder: Path) -> Iterator[Path]:
    """Yield the files of weights in a folder and below; of two forms of one, safetensors."""
    for top, folders, names in os.walk(folder):
        folders[:] = [each for each in folders if not each.startswith(".")]
        both = set(CONFIGURED) <= set(names)
        for name in names:
            if name.startswith(".") or COMPANION.fullmatch(name):
                continue
            if name.lower().endswith(ENDINGS) and not (both and name == CONFIGURED[1]):
                yield Path(top, name)

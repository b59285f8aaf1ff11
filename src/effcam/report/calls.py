"""What makes a report again: a call of Python, and a command line."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from effcam.cells import Cells
from effcam.errors import EffcamError
from effcam.images import ImageRef, iter_images

FILE = "report.html"
DEFAULTS: Mapping[str, object] = {
    "method": ["gradcam"],
    "target": None,
    "view": "model",
    "size": None,
    "precision": "fp32",
    "decoding": "exact",
}
"""Settings of `effcam.compare` that need not be written where they have these values."""
LIST = 88
"""How long a line of a call may be."""


class Call(NamedTuple):
    """Code that makes the report again, what it is written in, and what must be known of it."""

    title: str
    code: str
    note: str = ""


def calls_of(content: Cells) -> list[Call]:
    """Returns what makes the report of a comparison again."""
    paths = _paths(content.images)
    models = _models(content)
    settings = {
        name: content.settings[name]
        for name, usual in DEFAULTS.items()
        if name in content.settings and content.settings[name] != usual
    }
    found = [Call("Python", _python(paths, models, settings), _note(content, paths))]
    line = _command(paths, models, settings)
    return [*found, Call("Command line", line)] if line else found


def _paths(images: Sequence[ImageRef]) -> list[str] | None:
    """Returns what to give for the images, a folder where it holds just these; or nothing."""
    files = [image.path for image in images]
    known = [file for file in files if file is not None]
    if not known or len(known) < len(files):
        return None
    folder = Path(os.path.commonpath([file.parent for file in known])) if _alike(known) else None
    if folder is not None and len(known) > 1:
        try:
            inside = [each.path for each in iter_images(folder)]
        except EffcamError:
            inside = []
        if inside == known:
            return [str(folder)]
    return [str(file) for file in known]


def _alike(files: Sequence[Path]) -> bool:
    """Tells whether files have a folder in common, which absolute and relative ones have not."""
    return len({(file.is_absolute(), file.drive) for file in files}) == 1


def _models(content: Cells) -> dict[str, str]:
    """Returns the models' names by label, in their order."""
    several = len({cell.method for cell in content.cells}) > 1
    return {
        cell.column.removesuffix(f" {cell.method}") if several else cell.column: cell.model
        for cell in content.cells[: len(content.columns)]
    }


def _note(content: Cells, paths: list[str] | None) -> str:
    parts = []
    if paths is None:
        parts.append("images came from memory: put your own there.")
    files = {
        cell.model: cell.weights
        for cell in content.cells[: len(content.columns)]
        if Path(cell.weights).suffix and not cell.model.startswith("demo_")
    }
    if files:
        listed = ", ".join(f"{model}: {weights}" for model, weights in files.items())
        parts.append(f"Weights were read from files ({listed}): give these as checkpoints.")
    parts.append("Models that are no names to effcam must be given as modules.")
    return " ".join(parts)


def _python(
    paths: list[str] | None, models: Mapping[str, str], settings: Mapping[str, object]
) -> str:
    images = "images" if paths is None else _literal(paths[0] if len(paths) == 1 else paths)
    named = all(label == name for label, name in models.items())
    given = _literal(list(models) if named else dict(models))
    options = [f"    {name}={_literal(value)},\n" for name, value in _plain(settings).items()]
    return (
        "import effcam\n\n"
        f"comparison = effcam.compare(\n    {images},\n    {given},\n{''.join(options)})\n"
        f"comparison.report({FILE!r})"
    )


def _plain(settings: Mapping[str, object]) -> dict[str, object]:
    """Returns settings where the one method of a list stands alone."""
    method = settings.get("method")
    alone = isinstance(method, Sequence) and len(method) == 1
    return dict(settings) | ({"method": method[0]} if alone and isinstance(method, list) else {})


def _literal(value: object) -> str:
    """Returns a value as Python's own code, on several lines where it is long."""
    text = repr(value)
    if len(text) <= LIST or not isinstance(value, list | dict):
        return text
    entries = (
        [f"{key!r}: {each!r}" for key, each in value.items()]
        if isinstance(value, dict)
        else [repr(each) for each in value]
    )
    opened, closed = "{}" if isinstance(value, dict) else "[]"
    return "\n".join([opened, *(f"        {entry}," for entry in entries), f"    {closed}"])


def _command(
    paths: list[str] | None, models: Mapping[str, str], settings: Mapping[str, object]
) -> str | None:
    """Returns the command line, ``None`` where it cannot say what was done."""
    target = settings.get("target")
    if paths is None or isinstance(target, list):
        return None
    parts = ["effcam", "compare"]
    for label, name in models.items():
        parts += ["-m", name if label == name and "=" not in name else f"{label}={name}"]
    methods = settings.get("method", [])
    for method in methods if isinstance(methods, list) else []:
        parts += ["--method", method]
    for name in ("target", "view", "size", "precision", "decoding"):
        if name in settings:
            parts.append(f"--{name}={settings[name]}")
    # What begins with a dash is a path here.
    return shlex.join([*parts, "-o", FILE, "--", *paths])

"""What makes a report again: a call of Python, and a command line."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from effcam.cam.cells import Cells
from effcam.cam.explanation import Explanation
from effcam.errors import EffcamError
from effcam.images.discovery import iter_images
from effcam.images.refs import ImageRef
from effcam.images.truth import Truth
from effcam.models.facts import RANDOM
from effcam.models.registry import find_spec

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
GIVEN = "as given"
"""The weights of a module of the user's own."""


class Call(NamedTuple):
    """Code that makes the report again, what it is written in, and what must be known of it."""

    title: str
    code: str
    note: str = ""


class _Model(NamedTuple):
    """A model by name; ``weights`` are a file, or ``RANDOM``, or ``GIVEN``, or else nothing."""

    name: str
    weights: str = ""


def calls_of(content: Cells, truths: Sequence[Truth] = ()) -> list[Call]:
    """Return what makes the report of a comparison again.

    Args:
        content: The comparison.
        truths: What is known of each image; what an image does not say itself is to be given.
    """
    paths = _paths(content.images)
    models = _models(content)
    settings = {
        name: content.settings[name]
        for name, usual in DEFAULTS.items()
        if name in content.settings and _plain(content.settings[name]) != _plain(usual)
    }
    known = _known(content.images, truths)
    note = "Layers, options and transforms of your own are to be given again"
    note += f", and so are the {' and '.join(known)}." if known else "."
    if paths is None:
        note = f"The images came from memory. {note}"
    found = [Call("Python", _python(paths, models, settings, known), note)]
    line = _command(paths, models, settings, known)
    return [*found, Call("Command line", line)] if line else found


def _paths(images: Sequence[ImageRef]) -> list[str] | None:
    """Return what to give for the images, a folder where it holds just these; or nothing."""
    files = [image.path for image in images if image.path is not None]
    if not files or len(files) < len(images):
        return None
    # Absolute and relative ones have no folder in common.
    if len(files) > 1 and len({(file.is_absolute(), file.drive) for file in files}) == 1:
        folder = Path(os.path.commonpath([file.parent for file in files]))
        try:
            if [each.path for each in iter_images(folder)] == files:
                return [str(folder)]
        except EffcamError:
            # It is gone, or cannot be read: the files have their own names.
            return [str(file) for file in files]
    return [str(file) for file in files]


def _models(content: Cells) -> dict[str, _Model]:
    """Return the models by label, in their order."""
    return {cell.model_label: _model(cell) for cell in content.cells[: len(content.columns)]}


def _model(cell: Explanation) -> _Model:
    spec = find_spec(cell.model)
    of_spec = spec is not None and spec.checkpoint is not None
    is_file = Path(cell.weights).suffix in (".safetensors", ".pt", ".pth", ".ckpt", ".bin", ".tar")
    if cell.weights in (RANDOM, GIVEN) or (is_file and not of_spec):
        return _Model(cell.model, cell.weights)
    return _Model(cell.model)


def _known(images: Sequence[ImageRef], truths: Sequence[Truth]) -> list[str]:
    """Return what was given of the images: labels, boxes, masks."""
    own = [image.truth or Truth() for image in images]
    pairs = list(zip(own, truths, strict=False))
    found = {
        "labels": any(before.label != after.label for before, after in pairs),
        "boxes": any(before.boxes != after.boxes for before, after in pairs),
        "masks": any(before.mask is not after.mask for before, after in pairs),
    }
    return [name for name, given in found.items() if given]


def _plain(value: object) -> object:
    """Return a value as a call takes it: the one of several alone, a tuple as a list."""
    if isinstance(value, list | tuple):
        return value[0] if len(value) == 1 else list(value)
    return value


def _python(
    paths: list[str] | None,
    models: Mapping[str, _Model],
    settings: Mapping[str, object],
    known: Sequence[str],
) -> str:
    images = "images" if paths is None else _listed([*map(repr, paths)], "[]")
    if len(paths or ()) == 1:
        images = repr((paths or [""])[0])
    if all(model == _Model(label) for label, model in models.items()):
        given = _listed([*map(repr, models)], "[]")
    else:
        entries = [f"{label!r}: {_source(model)}" for label, model in models.items()]
        given = _listed(entries, "{}")
    options = [f"    {name}={_plain(value)!r},\n" for name, value in settings.items()]
    rest = "".join(f", {name}={name}" for name in known)
    return (
        "import effcam\n\n"
        f"comparison = effcam.compare(\n    {images},\n    {given},\n{''.join(options)})\n"
        f"comparison.report({FILE!r}{rest})"
    )


def _source(model: _Model) -> str:
    """Return a model as code: its name, or a spec, or a place for a module of the reader's."""
    if model.weights == GIVEN:
        # It runs, and says what is missing.
        return f"...  # {' '.join(model.name.split())}, a module of yours"
    if model.weights == RANDOM:
        return f"effcam.ModelSpec({model.name!r}, pretrained=False)"
    if model.weights:
        return f"effcam.ModelSpec({model.name!r}, checkpoint={model.weights!r})"
    return repr(model.name)


def _listed(entries: Sequence[str], brackets: str) -> str:
    """Return entries as Python's own code, one a line where they are long."""
    opened, closed = brackets[0], brackets[1]
    text = f"{opened}{', '.join(entries)}{closed}"
    if len(text) <= LIST and "#" not in text:
        return text
    lines = [
        f"        {code},{remark and f'  #{remark}'}"
        for code, _, remark in (entry.partition("  #") for entry in entries)
    ]
    return "\n".join([opened, *lines, f"    {closed}"])


def _command(
    paths: list[str] | None,
    models: Mapping[str, _Model],
    settings: Mapping[str, object],
    known: Sequence[str],
) -> str | None:
    """Return the command line, ``None`` where it cannot say what was done."""
    weights = {model.weights for model in models.values()}
    mixed = RANDOM in weights and len(weights) > 1
    if (
        paths is None
        or GIVEN in weights
        or mixed
        or isinstance(settings.get("target"), list | tuple)
    ):
        return None
    parts = ["effcam compare"]
    for label, model in models.items():
        alone = label == model.name and "=" not in label
        parts.append(_option("-m", model.name if alone else f"{label}={model.name}"))
    if weights == {RANDOM}:
        parts.append("--weights none")
    for label, model in models.items():
        if model.weights not in ("", RANDOM):
            parts.append(_option("--checkpoint", f"{label}={model.weights}"))
    methods = settings.get("method")
    if isinstance(methods, list | tuple):
        parts += [_option("--method", each) for each in methods]
    parts += [
        shlex.quote(f"--{name}={settings[name]}")
        for name in ("target", "view", "size", "precision", "decoding")
        if name in settings
    ]
    parts += [f"--{name} {name.upper()}" for name in known]
    # What begins with a dash is a path here.
    parts += [f"-o {FILE}", "-- " + shlex.join(paths)]
    line = " ".join(parts)
    return line if len(line) <= LIST else " \\\n    ".join(parts)


def _option(flag: str, value: object) -> str:
    return f"{flag} {shlex.quote(str(value))}"

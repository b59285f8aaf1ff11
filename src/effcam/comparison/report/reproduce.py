"""Code that makes a report again: Python, and a command line."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from effcam.cam.cells import Cells
from effcam.cam.explanation import Explanation
from effcam.cam.methods.options import OPTIONS
from effcam.cam.methods.table import facts_of_method
from effcam.cam.settings import Settings
from effcam.errors import EffcamError, TargetError
from effcam.images.discovery import iter_images
from effcam.images.refs import ImageRef
from effcam.images.truth import Truth
from effcam.models.facts import RANDOM
from effcam.models.registry import find_spec
from effcam.targets.classes import Above, Combination, terms_of
from effcam.targets.plain import parse

FILE = "report.html"
LONGEST = 88
"""The most characters of a line of code."""
GIVEN = "as given"
"""The weights of a module of the user's own."""


class Snippet(NamedTuple):
    """Code that makes the report again: its language, the code, and a note."""

    title: str
    code: str
    note: str = ""


class _Function(str):
    """The name of a function of the user's own, which is no string in code."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class _Model(NamedTuple):
    """A model by name; ``weights`` is a file, `RANDOM`, `GIVEN`, or empty for the name's own.

    ``stated`` is whether a user may have had to state that its classes are labels.
    """

    name: str
    weights: str = ""
    stated: bool = False


def snippets_for(
    content: Cells,
    truths: Sequence[Truth] = (),
    *,
    results: bool = False,
    images: str = "",
) -> list[Snippet]:
    """Return code that makes the report of a comparison again.

    Args:
        content: The comparison.
        truths: The annotation of each image; the reader must give what is not the image's own.
        results: Whether files of published results were given.
        images: Python code of the images; empty uses their paths. There is no command line then.
    """
    paths = None if images else _paths(content.images)
    models = _models(content)
    settings = {
        name: content.settings.target if name == "target" else content.settings[name]
        for name, usual in Settings().items()
        if _plain(content.settings[name]) != _plain(usual)
    }
    own = [name for name in content.settings.method if facts_of_method(name) is None]
    if own:
        named = [_Function(each) if each in own else each for each in content.settings.method]
        settings["method"] = named
    known = _known(content.images, truths) + ["results"] * results
    note = "Give labels of models, layers, options and transforms of your own again"
    note += f", and the {' and '.join(known)}." if known else "."
    if own:
        note = f"Define {' and '.join(own)}, methods of yours, first. {note}"
    if paths is None and not images:
        note = f"The images came from memory. {note}"
    found = [Snippet("Python", _python(paths, models, settings, known, images), note)]
    line = None if own else _command(paths, models, settings, known)
    return [*found, Snippet("Command line", line)] if line else found


def _paths(images: Sequence[ImageRef]) -> list[str] | None:
    """Return the images' paths, or one folder that holds just these; ``None`` if in memory."""
    files = [image.path for image in images if image.path is not None]
    if not files or len(files) < len(images):
        return None
    # Absolute and relative paths have no common folder.
    if len(files) > 1 and len({(file.is_absolute(), file.drive) for file in files}) == 1:
        folder = Path(os.path.commonpath([file.parent for file in files]))
        try:
            if [each.path for each in iter_images(folder)] == files:
                return [str(folder)]
        except EffcamError:
            # The folder is gone or cannot be read.
            return [str(file) for file in files]
    return [str(file) for file in files]


def _models(content: Cells) -> dict[str, _Model]:
    """Return the models by label, in their order."""
    first = content.cells[: len(content.columns)]
    labels = [each.multi_label for each in content.facts] or [False] * len(first)
    return {
        cell.model_label: _model(cell, multi_label)
        for cell, multi_label in zip(first, labels, strict=False)
    }


def _model(cell: Explanation, multi_label: bool) -> _Model:
    spec = find_spec(cell.model)
    stated = multi_label and (spec is None or spec.scores is None)
    file = spec.checkpoint if spec is not None else None
    of_spec = file is not None and Path(file).name == Path(cell.weights).name
    is_file = Path(cell.weights).suffix in (".safetensors", ".pt", ".pth", ".ckpt", ".bin", ".tar")
    if cell.weights in (RANDOM, GIVEN) or (is_file and not of_spec):
        return _Model(cell.model, cell.weights, stated)
    return _Model(cell.model, stated=stated)


def _known(images: Sequence[ImageRef], truths: Sequence[Truth]) -> list[str]:
    """Return which annotations a user gave: labels, boxes, masks."""
    # What is known of a file is not in the file.
    own = [(image.truth if image.path is None else None) or Truth() for image in images]
    pairs = list(zip(own, truths, strict=False))
    found = {
        "labels": any(before.classes != after.classes for before, after in pairs),
        "boxes": any(before.boxes != after.boxes for before, after in pairs),
        "masks": any(before.mask is not after.mask for before, after in pairs),
    }
    return [name for name, given in found.items() if given]


def _plain(value: object) -> object:
    """Return a value as an argument: one item for a sequence of one, a list for a tuple."""
    if isinstance(value, list | tuple):
        return value[0] if len(value) == 1 else list(value)
    return value


def _python(
    paths: list[str] | None,
    models: Mapping[str, _Model],
    settings: Mapping[str, object],
    known: Sequence[str],
    code: str = "",
) -> str:
    images = code or "images" if paths is None else _listed([*map(repr, paths)], "[]")
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
    """Return a model as code: its name, a spec, or a gap for a module of the reader."""
    if model.weights == GIVEN:
        # The code runs, and the error states what is missing.
        return f"...  # {' '.join(model.name.split())}, a module of yours"
    options = ", pretrained=False" if model.weights == RANDOM else ""
    if model.weights not in ("", RANDOM):
        options = f", checkpoint={model.weights!r}"
    options += ", scores='sigmoid'" * model.stated
    # A registered model is no architecture that a spec could name.
    call = "effcam.ModelSpec" if find_spec(model.name) is None else "effcam.load_model"
    return f"{call}({model.name!r}{options})" if options else repr(model.name)


def _listed(entries: Sequence[str], brackets: str) -> str:
    """Return entries as a Python list or dict, one entry a line if they are long."""
    opened, closed = brackets[0], brackets[1]
    text = f"{opened}{', '.join(entries)}{closed}"
    if len(text) <= LONGEST and "#" not in text:
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
    """Return the command line, ``None`` if there is none for this comparison."""
    weights = {model.weights for model in models.values()}
    mixed = RANDOM in weights and len(weights) > 1
    targets = _targets(settings.get("target"))
    if (
        paths is None
        or GIVEN in weights
        or mixed
        or not all(isinstance(each, str) for each in targets)
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
    stated = [label for label, model in models.items() if model.stated]
    parts += [_option("--scores", f"{label}=sigmoid") for label in stated]
    methods = settings.get("method")
    if isinstance(methods, list | tuple):
        parts += [_option("--method", each) for each in methods]
    parts += [shlex.quote(f"--target={text}") for text in targets]
    parts += [
        shlex.quote(f"--{name}={settings[name]}")
        for name in ("view", "size", "precision", "decoding", "placement")
        if name in settings
    ]
    parts += [_flag(name, settings[name]) for name in OPTIONS if name in settings]
    parts += [f"--{name} {name.upper()}" for name in known]
    # After --, paths may begin with a dash.
    parts += [f"-o {FILE}", "-- " + shlex.join(paths)]
    line = " ".join(parts)
    return line if len(line) <= LONGEST else " \\\n    ".join(parts)


def _flag(name: str, value: object) -> str:
    """Return an option of the methods for the command line."""
    flag = f"--{name.replace('_', '-')}"
    return flag if value is True else shlex.quote(f"{flag}={value}")


def _targets(target: object) -> list[str | None]:
    """Return the texts of targets for the command line, ``None`` for one that has none."""
    if target is None:
        return []
    if not isinstance(target, Mapping):
        return [_text(target)]
    texts = {name: _text(each) for name, each in target.items()}
    return [text if text == name and len(texts) > 1 else None for name, text in texts.items()]


def _text(target: object) -> str | None:
    """Return the text that stands for a target on the command line, ``None`` if none does."""
    if not isinstance(target, int | str | Combination | Above):
        return None
    text = str(target)
    try:
        found = parse(text)
    except TargetError:
        return None
    if isinstance(target, Above):
        return text if found == target else None
    if not isinstance(found, int | str | Combination):
        return None
    # An index is text there.
    one, other = ([(str(name), factor) for name, factor in terms_of(e)] for e in (target, found))
    return text if one == other else None


def _option(flag: str, value: object) -> str:
    return f"{flag} {shlex.quote(str(value))}"

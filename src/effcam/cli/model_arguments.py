"""Parse models, ``LABEL=NAME``, and the options of each model."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from effcam.cam.methods.options import OPTIONS
from effcam.cli.imports import importing
from effcam.errors import (
    ArgumentError,
    EffcamError,
    TargetError,
    UnknownModelError,
    did_you_mean,
)
from effcam.models.architectures import LIBRARIES, STORES
from effcam.models.registry import DEFAULT_MODELS, ModelSpec, find_spec
from effcam.targets.outputs import Similar, Text
from effcam.targets.plain import Single, Target, parse

if TYPE_CHECKING:
    from effcam.images.preprocess import Preprocess


def comparison_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """Return the other options by argument of `compare`, without images and models.

    Raises:
        ArgumentError: If a custom method cannot be imported.
        TargetError: If a target is impossible, or given twice.
    """
    names = ("view", "size", "batch_size", "precision", "decoding", "placement", "device", *OPTIONS)
    return {
        "method": [_import(each, ArgumentError) or each for each in options.methods] or "gradcam",
        "target": _target(options),
        **{name: getattr(options, name) for name in names},
    }


def _target(options: argparse.Namespace) -> Target:
    """Return one target by itself, and several by their texts."""
    kinds: dict[str, tuple[Sequence[str], Callable[[str], Single]]] = {
        "--target": (options.targets, parse),
        "--text": (options.texts, Text),
        "--similar": (options.similar, Similar),
    }
    found: dict[str, Single] = {}
    for flag, (texts, make) in kinds.items():
        for text in texts:
            if text in found:
                raise TargetError(f"{flag} {text!r} is given twice")
            found[text] = make(text)
    return next(iter(found.values()), None) if len(found) < 2 else found


@contextmanager
def path_as_found() -> Iterator[None]:
    """Restore `sys.path` after the block: imported functions may import more when called."""
    before = sys.path.copy()
    try:
        yield
    finally:
        sys.path[:] = before


def read_models(options: argparse.Namespace) -> dict[str, ModelSpec]:
    """Return the models by label, each with its options.

    Args:
        options: The values of ``--model``, ``--checkpoint``, ``--checkpoints``, ``--names``,
            ``--scores``, ``--layer``, ``--option``, ``--preprocess`` and ``--weights``.

    Raises:
        ArgumentError: If an option is malformed, or its model is not among the models.
        AnnotationError: If a file of names is missing or broken.
        UnknownModelError: If a custom model cannot be imported.
        WeightsError: If no checkpoint is found, or one cannot be read.
    """
    named = dict(DEFAULT_MODELS)
    if options.models:
        pairs = [_split_label(text) for text in options.models]
        named = dict(pairs)
        if len(named) < len(pairs):
            raise ArgumentError("two models have the same label: rename one with -m LABEL=NAME")
    checkpoints = _one_each(options.checkpoint, "--checkpoint NAME=FILE", named)
    runs = _runs(options, named, checkpoints)
    names = _class_names(options.class_names, named)
    scores = _scores(options.scores, named)
    layers = _layers(options.layer, named)
    arguments = _settings(options.option, "--option", named)
    preprocesses = _settings(options.preprocess, "--preprocess", named)
    specs = {}
    for label, name in named.items():
        spec = _spec(name, label)
        given = {
            "checkpoint": checkpoints.get(label),
            "target_layer": layers.get(label),
            "preprocess": _preprocess(preprocesses[label]),
            "labels": names.get(label),
            "scores": scores.get(label),
        }
        changes: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
        if options.weights == "none":
            changes = {"checkpoint": None, **changes, "pretrained": False}
        specs[label] = replace(spec, **changes, options={**spec.options, **arguments[label]})
    return _with_runs(specs, runs) if runs else specs


def _runs(
    options: argparse.Namespace, named: dict[str, str], checkpoints: Mapping[str, str]
) -> dict[str, list[str]]:
    """Return the folders and globs of checkpoints of each model that has some."""
    found: dict[str, list[str]] = {}
    for text in options.checkpoints:
        owner, separator, files = text.partition("=")
        # The names of Lightning's files have an equals sign.
        if not (separator and (owner in named or owner in named.values())):
            if len(named) > 1:
                raise ArgumentError(
                    f"--checkpoints {text!r} does not say of which model: write "
                    f"--checkpoints NAME=FILES, or give one model with -m; the models are "
                    f"{', '.join(named)}"
                )
            owner, files = next(iter(named)), text
        label, files = _find_label(owner, files, named)
        if label in checkpoints:
            raise ArgumentError(f"--checkpoint and --checkpoints are both given for {label!r}")
        if options.weights == "none":
            raise ArgumentError("--checkpoints has no meaning with --weights none")
        found.setdefault(label, []).append(files)
    return found


def _with_runs(
    specs: Mapping[str, ModelSpec], runs: Mapping[str, list[str]]
) -> dict[str, ModelSpec]:
    """Return the specs, with one for each checkpoint in place of the model that has several."""
    with importing():
        from effcam.models.checkpoint_columns import checkpoints

    found: dict[str, ModelSpec] = {}
    for label, spec in specs.items():
        if label not in runs:
            found[label] = spec
            continue
        # A registered model may have a file of its own, which they replace.
        columns = checkpoints(runs[label], replace(spec, checkpoint=None))
        start = "" if len(specs) == 1 else f"{label} "
        found |= {f"{start}{name}": each for name, each in columns.items()}
    return found


def _spec(name: str, label: str) -> ModelSpec:
    """Return the spec of a name: a function to import, a registered model, or another name."""
    constructor = _import(name, UnknownModelError, LIBRARIES)
    if constructor is not None:
        return ModelSpec(label, constructor=constructor)
    return find_spec(name) or ModelSpec(name)


def _preprocess(values: dict[str, Any]) -> Preprocess | None:
    if not values:
        return None
    from effcam.images.preprocess import Preprocess

    known = Preprocess.__dataclass_fields__
    for key in values:
        if key not in known:
            raise ArgumentError(
                f"--preprocess has no key {key!r}.{did_you_mean(key, known)} Choose from "
                f"{', '.join(known)}."
            )
    return Preprocess(**values)


def _import(
    name: str, failure: type[EffcamError], known: Iterable[str] = ()
) -> Callable[..., Any] | None:
    """Return the function that ``package.module:function`` names, ``None`` for other names.

    Args:
        name: The name as given.
        failure: The error to raise if it cannot be imported.
        known: Other prefixes with a colon, to suggest.
    """
    module, colon, attribute = name.partition(":")
    parts = [*module.split("."), attribute]
    if not colon or module in {*LIBRARIES, *STORES} or not all(map(str.isidentifier, parts)):
        return None
    sys.path.insert(0, str(Path.cwd()))
    try:
        return cast("Callable[..., Any]", getattr(import_module(module), attribute))
    except Exception as error:  # the module is the user's, and may raise anything
        reason = error if isinstance(error, ImportError | AttributeError) else repr(error)
        hint = did_you_mean(module, known)
        raise failure(f"{name!r} cannot be imported: {reason}.{hint}") from error


def _one_each(texts: Sequence[str], form: str, named: dict[str, str]) -> dict[str, str]:
    """Return a value by label, at most one for each model."""
    found: dict[str, str] = {}
    for text in texts:
        label, value = _find_label(*_split(text, "=", form), named)
        if label in found:
            flag = form.partition(" ")[0]
            raise ArgumentError(f"{flag} is given twice for {label!r}: {found[label]} and {value}")
        found[label] = value
    return found


def _layers(texts: Sequence[str], named: dict[str, str]) -> dict[str, str | tuple[str, ...]]:
    """Return the target layer of each model for which one is given, or several."""
    found: dict[str, tuple[str, ...]] = {}
    for text in texts:
        label, layer = _find_label(*_split(text, "=", "--layer NAME=LAYER"), named)
        if layer in found.get(label, ()):
            raise ArgumentError(f"--layer is given twice for {label!r}: {layer}")
        found[label] = (*found.get(label, ()), layer)
    return {label: given[0] if len(given) == 1 else given for label, given in found.items()}


def _class_names(texts: Sequence[str], named: dict[str, str]) -> dict[str, tuple[str, ...]]:
    """Return the names of the classes of each model: those of its own file, else of one for all."""
    form = "--names [NAME=]FILE"
    shared = [text for text in texts if not _owner(text, named)]
    if len(shared) > 1:
        raise ArgumentError(
            f"--names is given twice for all models: {shared[0]} and {shared[1]}; write "
            "--names NAME=FILE for a model of its own names"
        )
    own = _one_each([text for text in texts if text not in shared], form, named)
    if not texts:
        return {}
    from effcam.models.names_file import read_class_names

    files = {**{label: file for file in shared for label in named}, **own}
    read = {file: read_class_names(file) for file in dict.fromkeys(files.values())}
    return {label: read[file] for label, file in files.items()}


def _scores(texts: Sequence[str], named: dict[str, str]) -> dict[str, str]:
    """Return what the class scores of each model are: its own option, else that for all."""
    shared = [text for text in texts if "=" not in text]
    if len(shared) > 1:
        raise ArgumentError(
            f"--scores is given twice for all models: {shared[0]} and {shared[1]}; write "
            "--scores NAME=LINK for one model"
        )
    own = [text for text in texts if "=" in text]
    return {
        **{label: link for link in shared for label in named},
        **_one_each(own, "--scores [NAME=]LINK", named),
    }


def _owner(text: str, named: dict[str, str]) -> str:
    """Return the label or name of the model in NAME=FILE, empty for a FILE alone."""
    owner, separator, _ = text.partition("=")
    is_model = owner in named or owner in named.values()
    return owner if separator and (is_model or not Path(text).exists()) else ""


def _settings(texts: Sequence[str], flag: str, named: dict[str, str]) -> dict[str, dict[str, Any]]:
    settings: dict[str, dict[str, Any]] = {label: {} for label in named}
    form = f"{flag} NAME:KEY=VALUE"
    for text in texts:
        owner, setting = _split(text, ":", form, last=True)
        label, setting = _find_label(owner, setting, named)
        key, value = _split(setting, "=", form)
        key = key.replace("-", "_")
        if key in settings[label]:
            raise ArgumentError(f"{flag} gives {key} of {label!r} twice")
        settings[label][key] = _value(value)
    return settings


def _value(text: str) -> Any:
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return text
    return tuple(value) if isinstance(value, list) else value


def _split_label(text: str) -> tuple[str, str]:
    label, separator, name = text.partition("=")
    return (label, name) if separator else (text, text)


def _split(text: str, separator: str, form: str, *, last: bool = False) -> tuple[str, str]:
    """Split a text in two; a name may contain the separator, as in timm:resnet18."""
    head, found, tail = text.partition(separator)
    if last:
        head, found, tail = text.partition("=")[0].rpartition(separator)
        tail += text[len(head) + len(found) + len(tail) :]
    if not (head and found and tail):
        raise ArgumentError(f"{text!r} does not have the form {form}")
    return head, tail


def _find_label(owner: str, value: str, named: dict[str, str]) -> tuple[str, str]:
    """Return the label of the model with a label or name, and the value."""
    if owner in named:
        return owner, value
    labels = [label for label, name in named.items() if owner == name]
    if not labels:
        raise ArgumentError(f"{owner!r} is not one of the models to compare: {', '.join(named)}")
    if len(labels) > 1:
        raise ArgumentError(
            f"{owner!r} has several labels, {', '.join(labels)}: use one of these instead"
        )
    return labels[0], value

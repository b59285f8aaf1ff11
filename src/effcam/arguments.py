"""Models as the command line writes them: ``LABEL=NAME``, and what belongs to each by name."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from effcam.architectures import LIBRARIES, STORES
from effcam.errors import ArgumentError, UnknownModelError, did_you_mean
from effcam.registry import DEFAULT_MODELS, ModelSpec, find_spec

if TYPE_CHECKING:
    from effcam.preprocess import Preprocess

SHORT_OF_MEMORY = ".*: not enough memory for "
"""What is said when a batch did not fit into memory."""
_VIEW_HELP = (
    "'model' (default) shows each model what its weights were made for, crop and all; 'whole' "
    "squashes the whole image to the model's input"
)


def add_comparison_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say what is compared: images, models, and how."""
    parser.add_argument("paths", nargs="+", metavar="PATH", help="an image, a folder or a glob")
    parser.add_argument(
        "-m",
        "--model",
        action="append",
        default=[],
        dest="models",
        metavar="[LABEL=]NAME",
        help="a model by name (see 'effcam models'), or your own as package.module:function, which "
        f"returns it; repeatable; without any: {', '.join(DEFAULT_MODELS)}",
    )
    parser.add_argument(
        "--target", help="the class to explain: an index, a label or 'consensus'; default: top-1"
    )
    parser.add_argument(
        "--method",
        action="append",
        default=[],
        dest="methods",
        metavar="METHOD",
        help="gradcam (default), gradcam++, hirescam, xgradcam, layercam, gradcamelementwise, "
        "eigencam, eigengradcam, scorecam or ablationcam; repeatable",
    )
    parser.add_argument("--view", choices=("model", "whole"), default="model", help=_VIEW_HELP)
    parser.add_argument("--size", type=int, help="one input size in px for all models")
    parser.add_argument(
        "--device", help="where to run: cpu, cuda, cuda:1, mps; default: a GPU if any"
    )
    parser.add_argument("--batch-size", type=int, default=16, metavar="N", help="default 16")
    parser.add_argument(
        "--precision",
        choices=("fp32", "bf16", "fp16"),
        default="fp32",
        help="what networks compute in; the latter two are faster where the hardware has them",
    )
    parser.add_argument(
        "--decoding",
        choices=("exact", "reduced"),
        default="exact",
        help="'reduced' decodes large JPEG files at a part of their size: faster, and off by less "
        "than 1/255 on average",
    )
    parser.add_argument(
        "--weights",
        choices=("published", "none"),
        default="published",
        help="'none' compares untrained models, whose heat means nothing",
    )
    parser.add_argument(
        "--checkpoint",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="local weights for the model of that label or name; repeatable",
    )
    parser.add_argument(
        "--layer",
        action="append",
        default=[],
        metavar="NAME=LAYER",
        help="the layer to look at in the model of that label or name (see 'effcam models NAME "
        "--layers'); repeatable",
    )
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME:KEY=VALUE",
        help="an argument for a model's constructor, as mine:num_classes=5; repeatable",
    )
    parser.add_argument(
        "--preprocess",
        action="append",
        default=[],
        metavar="NAME:KEY=VALUE",
        help="a model's own size, resize, mode, interpolation, mean or std, as mine:mean=0.5; "
        "repeatable",
    )


def add_picture_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say how pictures are laid out."""
    group = parser.add_argument_group("pictures", "Of the files that -o names, for pictures alone.")
    group.add_argument(
        "--rows",
        choices=("images", "models", "methods"),
        help="what a row is; default images; 'methods' is a block of rows for each image",
    )
    group.add_argument("--no-original", action="store_true", help="leave out the photos themselves")
    group.add_argument("--title", help="a line above everything")
    group.add_argument(
        "--caption",
        metavar="TEMPLATE",
        help=r"what stands under a cell, as '{label}\n{probability:.0%%}', with the names of a "
        "table's columns; an empty one is nothing",
    )
    group.add_argument("--font", metavar="FILE", help="a TrueType or OpenType font for all text")
    group.add_argument("--theme", choices=("light", "dark"), help="default: dark for animations")
    group.add_argument(
        "--layout",
        choices=("grid", "poster"),
        help="'poster' shows one image, large, with the models around it; not for animations",
    )
    group.add_argument("--inches", type=float, help="the width of .pdf and .svg files")
    group.add_argument("--fontsize", type=float, metavar="PT", help="theirs; default 7")


def picture_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """Returns what these options say, by argument of `Comparison.save`; what they do not is not."""
    names = ("rows", "title", "font", "theme", "layout", "inches", "fontsize")
    said = {name: getattr(options, name) for name in names}
    said["original"] = False if options.no_original else None
    # In a shell a line break is awkward to type.
    said["caption"] = options.caption and options.caption.replace(r"\n", "\n")
    return {name: value for name, value in said.items() if value is not None}


def comparison_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """Returns what these options say beside images and models, by argument of `compare`."""
    names = ("view", "size", "batch_size", "precision", "decoding", "device")
    return {
        "method": options.methods or "gradcam",
        "target": _target(options.target),
        **{name: getattr(options, name) for name in names},
    }


@contextmanager
def path_as_found() -> Iterator[None]:
    """Takes back what `_import` adds, late: functions may import only when they are called."""
    before = sys.path.copy()
    try:
        yield
    finally:
        sys.path[:] = before


def read_models(options: argparse.Namespace) -> dict[str, ModelSpec]:
    """Returns the models by label, with what the other options say of each.

    Args:
        options: What ``effcam compare`` was given as ``--model``, ``--checkpoint``, ``--layer``,
            ``--option``, ``--preprocess`` and ``--weights``.

    Raises:
        ArgumentError: If an option is malformed, or about none of the models.
        UnknownModelError: If a function of the user's own cannot be imported.
    """
    named = dict(DEFAULT_MODELS)
    if options.models:
        pairs = [_split_label(text) for text in options.models]
        named = dict(pairs)
        if len(named) < len(pairs):
            raise ArgumentError("two models have the same label; name one with -m LABEL=NAME")
    checkpoints = _one_each(options.checkpoint, "--checkpoint NAME=FILE", named)
    layers = _one_each(options.layer, "--layer NAME=LAYER", named)
    arguments = _settings(options.option, "--option", named)
    preprocesses = _settings(options.preprocess, "--preprocess", named)
    specs = {}
    for label, name in named.items():
        spec = _spec(name, label)
        said = {
            "checkpoint": checkpoints.get(label),
            "target_layer": layers.get(label),
            "preprocess": _preprocess(preprocesses[label]),
        }
        changes: dict[str, Any] = {key: value for key, value in said.items() if value is not None}
        if options.weights == "none":
            changes = {"checkpoint": None, **changes, "pretrained": False}
        specs[label] = replace(spec, **changes, options={**spec.options, **arguments[label]})
    return specs


def _target(text: str | None) -> int | str | None:
    if text is None:
        return None
    return int(text) if re.fullmatch(r"[+-]?\d+", text) else text


def _spec(name: str, label: str) -> ModelSpec:
    """Returns what a name means by itself: a function to import, or what is known by that name."""
    constructor = _import(name)
    if constructor is not None:
        return ModelSpec(label, constructor=constructor)
    return find_spec(name) or ModelSpec(name)


def _preprocess(values: dict[str, Any]) -> Preprocess | None:
    if not values:
        return None
    from effcam.preprocess import Preprocess

    known = Preprocess.__dataclass_fields__
    for key in values:
        if key not in known:
            raise ArgumentError(
                f"--preprocess knows no {key!r}.{did_you_mean(key, known)} It knows "
                f"{', '.join(known)}."
            )
    return Preprocess(**values)


def _import(name: str) -> Callable[..., Any] | None:
    """Returns the function that ``package.module:function`` names, ``None`` for other names."""
    module, colon, attribute = name.partition(":")
    parts = [*module.split("."), attribute]
    if not colon or module in {*LIBRARIES, *STORES} or not all(map(str.isidentifier, parts)):
        return None
    sys.path.insert(0, str(Path.cwd()))
    try:
        return cast("Callable[..., Any]", getattr(import_module(module), attribute))
    except Exception as error:  # the module is the user's, and may raise anything
        reason = error if isinstance(error, ImportError | AttributeError) else repr(error)
        hint = did_you_mean(module, LIBRARIES)
        raise UnknownModelError(f"{name!r} cannot be imported: {reason}.{hint}") from error


def _one_each(texts: Sequence[str], form: str, named: dict[str, str]) -> dict[str, str]:
    """Returns what is said of models by label, at most once of each."""
    found: dict[str, str] = {}
    for text in texts:
        label, value = _find_label(*_split(text, "=", form), named)
        if label in found:
            flag = form.partition(" ")[0]
            raise ArgumentError(f"{label!r} has {flag} twice: {found[label]} and {value}")
        found[label] = value
    return found


def _settings(texts: Sequence[str], flag: str, named: dict[str, str]) -> dict[str, dict[str, Any]]:
    settings: dict[str, dict[str, Any]] = {label: {} for label in named}
    form = f"{flag} NAME:KEY=VALUE"
    for text in texts:
        owner, setting = _split(text, ":", form, last=True)
        label, setting = _find_label(owner, setting, named)
        key, value = _split(setting, "=", form)
        settings[label][key.replace("-", "_")] = _value(value)
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
    """Returns the two halves of ``text``; a name may hold the separator, as timm:resnet18 does."""
    head, found, tail = text.partition(separator)
    if last:
        head, found, tail = text.partition("=")[0].rpartition(separator)
        tail += text[len(head) + len(found) + len(tail) :]
    if not (head and found and tail):
        raise ArgumentError(f"{text!r} is not of the form {form}")
    return head, tail


def _find_label(owner: str, value: str, named: dict[str, str]) -> tuple[str, str]:
    """Returns the label of the model that ``owner`` means by label or by name, with the value."""
    if owner in named:
        return owner, value
    labels = [label for label, name in named.items() if owner == name]
    if not labels:
        raise ArgumentError(f"{owner!r} is none of the models to compare: {', '.join(named)}")
    if len(labels) > 1:
        raise ArgumentError(
            f"{owner!r} is the model of several labels, {', '.join(labels)}: name one"
        )
    return labels[0], value

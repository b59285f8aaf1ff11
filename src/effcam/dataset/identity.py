"""The identity of a model: all that decides its numbers, so that rows of two models never mix."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from effcam.dataset.content_digest import UnidentifiedError
from effcam.dataset.module_digest import ModuleDigest, digest_code, digest_tensors
from effcam.models.constructor import Constructor
from effcam.models.facts import RANDOM
from effcam.models.loading import load
from effcam.models.model import Model
from effcam.models.module_source import ModuleSource
from effcam.models.sources import ModelLike, Source, resolve
from effcam.models.spec_source import SpecSource

if TYPE_CHECKING:
    from collections.abc import Callable

UNIDENTIFIED = "not comparable: "
"""Begins the digest of what cannot be compared, followed by the reason."""
DIGITS = 16
PLAIN = (type(None), bool, int, float, str)


def describe(source: ModelLike | Source) -> dict[str, object]:
    """Return the identity of a model: all that decides its numbers, with a digest of its weights.

    A model of an architecture of timm or torchvision is identified by its name, its options and the
    file of its weights. All others, also those with a constructor of the caller's own, are built,
    and identified by the tensors and by the code, the attributes and the hooks of each module.

    Raises:
        UnknownModelError: If no model has that name.
        WeightsError: If weights cannot be found or read.
        ModelError: If the model has to be built, and that fails.
    """
    resolved = resolve(source)
    if isinstance(resolved, SpecSource):
        return _of_spec(resolved)
    known = resolved.model if isinstance(resolved, ModuleSource) else None
    return _of_model(known or load(resolved, device=None))


def unidentified(identity: Mapping[str, object]) -> str:
    """Return why a model cannot be compared with that of a later call, empty if it can be."""
    options = identity.get("options")
    every = [*identity.values(), *(options.values() if isinstance(options, dict) else ())]
    found = (str(each) for each in every if str(each).startswith(UNIDENTIFIED))
    return next(found, "").removeprefix(UNIDENTIFIED)


def _of_spec(source: SpecSource) -> dict[str, object]:
    spec, constructor = source.spec, source.spec.constructor
    found: dict[str, object] = {
        "name": spec.name,
        "constructor": _qualified(constructor) if callable(constructor) else constructor,
        "target_layer": _listed(spec.target_layer),
        "preprocess": None if spec.preprocess is None else repr(spec.preprocess),
        "labels": spec.labels and _digest(_texts(spec.labels)),
        "options": {key: _of_option(value) for key, value in sorted(spec.options.items())},
    }
    if spec.scores is not None:
        found["scores"] = spec.scores
    if not isinstance(source.origin, Constructor) and source.origin.facts() is not None:
        return found | {"weights": _of_weights(source)}
    return found | {
        key: value
        for key, value in _of_model(load(source, device="cpu")).items()
        if found.get(key) is None
    }


def _of_model(model: Model) -> dict[str, object]:
    # Runs of models with a softmax are as old as this.
    stated: dict[str, object] = {"scores": model.scores.link} if model.multi_label else {}
    if model.scores.head is not None:
        stated["texts"] = _digest(model.scores.head.texts)
    return stated | {
        "name": model.name,
        "target_layer": model.target_layer,
        "preprocess": repr(model.preprocess),
        "labels": _digest([model.labels, model.synonyms]),
        "weights": _compared(lambda: digest_tensors(model.module)),
        "code": _compared(lambda: f"{digest_code(model.module)} {_python()}"),
    }


def _of_weights(source: SpecSource) -> str:
    """Return a digest of the weights of a library's model, downloaded if they are not on disk."""
    file = source.weights_file()
    if file is None and source.pretrained and source.origin.has_weights:
        load(source, device="cpu")
        file = source.weights_file()  # it is on disk now
    if file is not None:
        return _of_file(file)
    model = load(source, device="cpu") if source.pretrained else None
    if model is None or model.weights == RANDOM:
        return RANDOM
    return _compared(lambda: digest_tensors(model.module))


def _of_file(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:DIGITS]


def _of_option(value: object) -> str:
    if _is_plain(value):
        return repr(value)

    def digest() -> str:
        found = ModuleDigest()
        found.add(value)
        return f"{_qualified(value)} {found.hexdigest()}"

    return _compared(digest)


def _is_plain(value: object) -> bool:
    if type(value) is dict:
        return all(_is_plain(each) for pair in value.items() for each in pair)
    if type(value) in (list, tuple):
        return all(map(_is_plain, value))  # type: ignore[call-overload]
    return type(value) in PLAIN


def _compared(find: Callable[[], str]) -> str:
    try:
        return find()
    except UnidentifiedError as error:
        return f"{UNIDENTIFIED}{error}"


def _python() -> str:
    """Return the version of Python, which decides the bytecode that is compared."""
    return f"(Python {sys.version_info[0]}.{sys.version_info[1]})"


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:DIGITS]


def _texts(labels: Sequence[str] | Mapping[str, str | Sequence[str]]) -> object:
    if not isinstance(labels, Mapping):
        return list(labels)
    return [[name, text if isinstance(text, str) else list(text)] for name, text in labels.items()]


def _qualified(value: object) -> str:
    module = getattr(value, "__module__", "")
    return f"{module}.{getattr(value, '__qualname__', type(value).__qualname__)}"


def _listed(layers: str | Sequence[str] | None) -> object:
    return layers if layers is None or isinstance(layers, str) else list(layers)

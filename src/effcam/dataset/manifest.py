"""The manifest of a run: its settings, models, weights and versions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effcam import __version__
from effcam.cam.settings import Settings
from effcam.dataset.storage import Store
from effcam.errors import OutputError
from effcam.models.facts import RANDOM
from effcam.models.loading import load
from effcam.models.module_source import ModuleSource
from effcam.models.sources import ModelLike, Source, resolve
from effcam.models.spec_source import SpecSource

if TYPE_CHECKING:
    from torch import nn

FILE = "manifest.json"
FORMAT = 1
PACKAGES = ("torch", "torchvision", "timm", "grad-cam", "numpy", "pillow")


@dataclass(frozen=True, slots=True)
class Manifest:
    """The manifest of a run.

    Attributes:
        settings: The settings that decide its numbers.
        models: The identity of each model, by its label.
        images: The number of images.
        versions: The versions of effcam and of the packages it uses.
    """

    settings: Settings
    models: Mapping[str, Mapping[str, object]]
    images: int
    versions: Mapping[str, str]

    @property
    def columns(self) -> tuple[str, ...]:
        """The labels of the columns, method by method within each model."""
        return tuple(chain.from_iterable(map(self.settings.columns_of, self.models)))

    @property
    def identity(self) -> str:
        """A digest of the settings and models, which all shards of a run share."""
        known = {"settings": asdict(self.settings), "models": self.models, "images": self.images}
        text = json.dumps(known, sort_keys=True)
        return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:16]

    def write(self, store: Store) -> None:
        """Write the manifest, which creates the run.

        Raises:
            OutputError: If it cannot be written.
        """
        text = json.dumps({"format": FORMAT, **asdict(self)}, indent=1)
        store.write(FILE, text.encode("utf-8", "backslashreplace"))

    @classmethod
    def read(cls, store: Store) -> Manifest | None:
        """Return the manifest of a run, ``None`` if there is no run.

        Raises:
            OutputError: If it cannot be read, or is of another release's format.
        """
        if not store.exists(FILE):
            return None
        content = store.read(FILE)
        try:
            found: dict[str, Any] = json.loads(content)
            if found.pop("format") != FORMAT:
                raise OutputError(
                    f"the run {store.address!r} was written by effcam "
                    f"{found['versions']['effcam']} in a format that {__version__} cannot read"
                )
            settings = found.pop("settings")
            return cls(Settings(**settings | {"method": tuple(settings["method"])}), **found)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise OutputError(
                f"{store.path(FILE)!r} is not a manifest of a run: {error}"
            ) from error

    def differences(self, other: Manifest) -> list[str]:
        """Return the differences of another run's settings and models, in words."""
        found = _differences("", asdict(self.settings), asdict(other.settings))
        if list(self.models) != list(other.models):
            found.append(f"models were {', '.join(self.models)}, are {', '.join(other.models)}")
            return found
        for label, before in self.models.items():
            found += _differences(f"{label}: ", before, other.models[label])
        return found

    def other_versions(self, other: Manifest) -> list[str]:
        """Return the packages of other versions, in words."""
        return _differences("", self.versions, other.versions)


def current_versions() -> dict[str, str]:
    """Return the versions of effcam and of the packages that its numbers depend on."""
    return {"effcam": __version__} | {package: version(package) for package in PACKAGES}


def describe(source: ModelLike | Source) -> dict[str, object]:
    """Return the identity of a model: all that decides its numbers, with a digest of its weights.

    Raises:
        UnknownModelError: If no model has that name.
        WeightsError: If weights cannot be found or read.
        ModelError: If the model has to be built for its weights, and that fails.
    """
    resolved = resolve(source)
    if not isinstance(resolved, SpecSource):
        known = resolved.model if isinstance(resolved, ModuleSource) else None
        model = known or load(resolved, device=None)
        return {
            "name": model.name,
            "target_layer": model.target_layer,
            "preprocess": repr(model.preprocess),
            "labels": _digest([json.dumps(model.labels).encode()]),
            "weights": _of_module(model.module),
        }
    spec = resolved.spec
    constructor: object = spec.constructor
    return {
        "name": spec.name,
        "constructor": _qualified(constructor) if callable(constructor) else constructor,
        "target_layer": _listed(spec.target_layer),
        "preprocess": None if spec.preprocess is None else repr(spec.preprocess),
        "labels": spec.labels and _digest([json.dumps(list(spec.labels)).encode()]),
        "options": {key: repr(value) for key, value in sorted(spec.options.items())},
        "weights": _of_source(resolved),
    }


def _of_source(source: SpecSource) -> str:
    """Return a digest of a model's weights, downloaded if they are not on disk."""
    file = source.weights_file()
    if file is None and not source.spec.pretrained and not callable(source.spec.constructor):
        return RANDOM
    if file is None:
        model = load(source, device="cpu")
        if model.weights == RANDOM:
            return RANDOM
        # The download is on disk now.
        file = source.weights_file()
        if file is None:
            return _of_module(model.module)
    return _of_file(file)


def _of_file(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]


def _of_module(module: nn.Module) -> str:
    return _digest(_content(module))


def _content(module: nn.Module) -> Iterator[bytes]:
    import torch

    for name, tensor in module.state_dict().items():
        yield f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode()
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        yield flat.view(torch.uint8).numpy().tobytes()


def _digest(parts: Iterator[bytes] | Sequence[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:16]


def _qualified(constructor: object) -> str:
    module = getattr(constructor, "__module__", "")
    return f"{module}.{getattr(constructor, '__qualname__', type(constructor).__qualname__)}"


def _listed(layers: str | Sequence[str] | None) -> object:
    return layers if layers is None or isinstance(layers, str) else list(layers)


def _differences(prefix: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [
        f"{prefix}{key} was {_as_text(before.get(key))}, is {_as_text(now.get(key))}"
        for key in dict.fromkeys([*before, *now])
        if _as_read(before.get(key)) != _as_read(now.get(key))
    ]


def _as_read(value: object) -> object:
    """Return a value as it is after a round trip through JSON."""
    return json.loads(json.dumps(value))


def _as_text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)

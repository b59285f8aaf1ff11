"""What a run is: its settings, models, weights and versions; and how two of these differ."""

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
    """What a run is.

    Attributes:
        settings: What decides its numbers.
        models: What is known of each model before it runs, by its label.
        images: How many images there are.
        versions: The versions of effcam and what it stands on.
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
        """A digest of the settings and models: shards of one identity belong together."""
        known = {"settings": asdict(self.settings), "models": self.models, "images": self.images}
        text = json.dumps(known, sort_keys=True)
        return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:16]

    def write(self, store: Store) -> None:
        """Write it: from now on there is a run.

        Raises:
            OutputError: If it cannot be written.
        """
        text = json.dumps({"format": FORMAT, **asdict(self)}, indent=1)
        store.write(FILE, text.encode("utf-8", "backslashreplace"))

    @classmethod
    def read(cls, store: Store) -> Manifest | None:
        """Return the manifest of a run, ``None`` if there is none.

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
                    f"{found['versions']['effcam']}, whose format {__version__} does not know"
                )
            settings = found.pop("settings")
            return cls(Settings(**settings | {"method": tuple(settings["method"])}), **found)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise OutputError(f"{store.path(FILE)!r} is no manifest of a run: {error}") from error

    def differences(self, other: Manifest) -> list[str]:
        """Return how another run's settings and models differ from these, in words."""
        found = _differences("", asdict(self.settings), asdict(other.settings))
        if list(self.models) != list(other.models):
            found.append(f"models were {', '.join(self.models)}, are {', '.join(other.models)}")
            return found
        for label, before in self.models.items():
            found += _differences(f"{label}: ", before, other.models[label])
        return found

    def other_versions(self, other: Manifest) -> list[str]:
        """Return which packages are of another version, in words."""
        return _differences("", self.versions, other.versions)


def current_versions() -> dict[str, str]:
    """Return the versions of effcam and of the packages that its numbers depend on."""
    return {"effcam": __version__} | {package: version(package) for package in PACKAGES}


def describe(source: ModelLike | Source) -> dict[str, object]:
    """Return what decides a model's numbers, its weights as a digest.

    Raises:
        UnknownModelError: If nothing has that name.
        WeightsError: If weights cannot be found or read.
        ModelError: If the weights are known only by building it, and that fails.
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
    """Return a digest of a model's weights, which are fetched if they are not on disk."""
    file = source.weights_file()
    if file is None and not source.spec.pretrained and not callable(source.spec.constructor):
        return RANDOM
    if file is None:
        model = load(source, device="cpu")
        if model.weights == RANDOM:
            return RANDOM
        # What was fetched lies on disk from now on.
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
        f"{prefix}{key} was {_shown(before.get(key))}, is {_shown(now.get(key))}"
        for key in dict.fromkeys([*before, *now])
        if _plain(before.get(key)) != _plain(now.get(key))
    ]


def _plain(value: object) -> object:
    """Return a value as JSON gives it back."""
    return json.loads(json.dumps(value))


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)

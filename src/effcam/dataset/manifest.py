"""The manifest of a run: its settings, models, weights and versions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from itertools import chain
from typing import Any

from effcam import __version__
from effcam.cam.settings import Settings
from effcam.dataset.identity import unidentified
from effcam.dataset.storage import Store
from effcam.errors import OutputError

FILE = "manifest.json"
FORMAT = 3
READABLE = (1, 2, FORMAT)
"""Runs of these formats can be read; the first one has no digest of the list of images."""
PLACED = 3
"""The first format with a placement among the settings."""
PACKAGES = ("torch", "torchvision", "timm", "grad-cam", "numpy", "pillow")


@dataclass(frozen=True, slots=True)
class Manifest:
    """The manifest of a run.

    Attributes:
        settings: The settings that decide its numbers.
        models: The identity of each model, by its label.
        images: The number of images.
        versions: The versions of effcam and of the packages it uses.
        listed: A digest of the list of images; empty in runs of the first format.
        format: The format in which the run was begun.
        compared: A digest of each file that images are compared with, by its path.
    """

    settings: Settings
    models: Mapping[str, Mapping[str, object]]
    images: int
    versions: Mapping[str, str]
    listed: str = ""
    format: int = FORMAT
    compared: Mapping[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """The labels of the columns, method by method within each model."""
        return tuple(chain.from_iterable(map(self.settings.columns_of, self.models)))

    @property
    def identity(self) -> str:
        """A digest of the settings, models and images, which all shards of a run share."""
        settings = self.settings.stored()
        if self.format < PLACED:
            del settings["placement"]
        known = {"settings": settings, "models": self.models, "images": self.images}
        if self.listed:
            known["listed"] = self.listed
        if self.compared:
            known["compared"] = self.compared
        text = json.dumps(known, sort_keys=True)
        return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:16]

    def write(self, store: Store) -> None:
        """Write the manifest, which creates the run.

        Raises:
            OutputError: If it cannot be written.
        """
        text = json.dumps({**asdict(self), "settings": self.settings.stored()}, indent=1)
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
            if found["format"] not in READABLE:
                raise OutputError(
                    f"the run {store.address!r} was written by effcam "
                    f"{found['versions']['effcam']} in a format that {__version__} cannot read"
                )
            # Before they were placed by a setting, cells divided the input evenly.
            settings = {"placement": "even"} | found.pop("settings")
            return cls(Settings.of(settings), **found)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise OutputError(
                f"{store.path(FILE)!r} is not a manifest of a run: {error}"
            ) from error

    def differences(self, other: Manifest) -> list[str]:
        """Return the differences of another run's settings and models, in words."""
        found = _differences("", self.settings, other.settings)
        found += [
            f"the content of {path!r}, which images are compared with, has changed"
            for path, digest in self.compared.items()
            if other.compared.get(path, digest) != digest
        ]
        if list(self.models) != list(other.models):
            found.append(f"models were {', '.join(self.models)}, are {', '.join(other.models)}")
            return found
        for label, before in self.models.items():
            reason = unidentified(before) or unidentified(other.models[label])
            if reason:
                found.append(f"{label}: nobody can check whether it is the same model: {reason}")
                continue
            found += _differences(f"{label}: ", before, other.models[label])
        return found

    def other_versions(self, other: Manifest) -> list[str]:
        """Return the packages of other versions, in words."""
        return _differences("", self.versions, other.versions)


def current_versions() -> dict[str, str]:
    """Return the versions of effcam and of the packages that its numbers depend on."""
    return {"effcam": __version__} | {package: version(package) for package in PACKAGES}


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

"""timm models that lie with their configuration in a folder or on the Hugging Face hub."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from effcam.architectures import HUB, Architecture, has_architecture
from effcam.errors import ModelError, UnknownModelError, WeightsError
from effcam.weights import PublishedWeights, is_repository

CONFIG = "config.json"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
CONFIG_WAYS_ON = (
    "Go online once so that they can be fetched, or give a folder that holds the model "
    "(local-dir:FOLDER)."
)
CLASSES = 1000
"""How many classes timm takes where a configuration does not say."""

KINDS = {
    "pretrained_cfg": (dict, "an object"),
    "model_args": (dict, "an object"),
    "num_classes": (int, "a number"),
    "input_size": (list, "[channels, height, width]"),
}


@dataclass(frozen=True, slots=True)
class Stored:
    """What the configuration of a stored model says.

    Attributes:
        architecture: timm's name of what it is.
        config: timm's record of its weights: input size, mean, number of classes, labels, ...
        arguments: Further arguments for timm's constructor.
    """

    architecture: str
    config: dict[str, Any]
    arguments: dict[str, Any]


def stored_weights(architecture: Architecture) -> PublishedWeights | None:
    """Returns where a stored model's weights can be had; ``None`` for those in a folder."""
    return _on_hub(architecture, WEIGHTS) if architecture.library == HUB else None


def find_weights(architecture: Architecture) -> Path:
    """Returns the file of a stored model's weights, fetched if it is on the hub.

    Raises:
        WeightsError: If it cannot be found or fetched.
    """
    published = stored_weights(architecture)
    if published is not None:
        return published.fetch()
    folder = _folder(architecture)
    found = [folder / name for name in WEIGHTS if (folder / name).is_file()]
    if not found:
        raise WeightsError(
            f"folder {str(folder)!r} holds no weights: expected {' or '.join(WEIGHTS)}"
        )
    return found[0]


def read_stored(architecture: Architecture) -> Stored:
    """Returns what a stored model's ``config.json`` says, fetched if it is on the hub.

    Raises:
        WeightsError: If there is none or it cannot be fetched or read.
        ModelError: If it is not that of a timm model.
    """
    file = _config_file(architecture)
    try:
        content = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{str(file)!r} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        content = {}
    name = content.get("architecture")
    if not isinstance(name, str) or not has_architecture("timm", name):
        others = content.get("architectures", name)
        named = ", ".join(map(repr, others if isinstance(others, list) else filter(None, [others])))
        raise ModelError(
            f"{architecture} is no timm model: its {CONFIG} names {named or 'no architecture'}"
            f"{', which timm does not have' if named else ''}. Load it with the library that it "
            "was made for, and give effcam the module"
        )
    return _parse(content, str(file))


def _parse(content: dict[str, Any], file: str) -> Stored:
    """Returns a timm configuration, in its present form or in the older one of a single level."""
    content = _checked(content, file)
    config = _checked(content.get("pretrained_cfg", content), file)
    config |= {
        key: content[key]
        for key in ("num_classes", "label_names", "label_descriptions")
        if key in content
    }
    if "labels" in config:
        config["label_names"] = config.pop("labels")
    # What the saved module was made with; older releases left the record as it was published.
    arguments = _checked(content.get("model_args", {}), file)
    config["num_classes"] = arguments.get("num_classes", config.get("num_classes", CLASSES))
    if "img_size" in arguments and config.get("fixed_input_size"):
        size = arguments["img_size"]
        height, width = size if isinstance(size, list) else (size, size)
        config["input_size"] = [config.get("input_size", [3])[0], height, width]
    return Stored(content["architecture"], config, arguments)


def _checked(settings: Mapping[str, Any], file: str) -> dict[str, Any]:
    """Returns settings without those that are null, which timm takes for missing ones."""
    found = {key: value for key, value in settings.items() if value is not None}
    for key in KINDS.keys() & found.keys():
        kind, words = KINDS[key]
        if not isinstance(found[key], kind) or (kind is list and not _is_size(found[key])):
            raise ModelError(f"{key} in {file!r} must be {words}, not {found[key]!r}")
    return found


def _is_size(values: list[object]) -> bool:
    return len(values) == 3 and all(isinstance(value, int) for value in values)


def _config_file(architecture: Architecture) -> Path:
    if architecture.library != HUB:
        return _folder(architecture) / CONFIG
    published = replace(
        _on_hub(architecture, (CONFIG,)), kind="configuration files", ways_on=CONFIG_WAYS_ON
    )
    return published.fetch()


def _folder(architecture: Architecture) -> Path:
    folder = Path(architecture.name).expanduser()
    if not (folder / CONFIG).is_file():
        missing = f"holds no {CONFIG}" if folder.is_dir() else "does not exist"
        raise WeightsError(
            f"folder {str(folder)!r} {missing}: expected a folder as timm saves models, with "
            f"{CONFIG} and {WEIGHTS[0]}"
        )
    return folder


def _on_hub(architecture: Architecture, files: tuple[str, ...]) -> PublishedWeights:
    repository, _, revision = architecture.name.partition("@")
    if not is_repository(repository):
        raise UnknownModelError(
            f"no model is called {str(architecture)!r}: expected hf-hub:OWNER/NAME or "
            "hf-hub:OWNER/NAME@REVISION"
        )
    return PublishedWeights(str(architecture), repository, files, revision=revision)

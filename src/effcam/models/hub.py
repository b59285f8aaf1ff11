"""timm models that lie with their configuration in a folder or on the Hugging Face hub."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from effcam.errors import ModelError, UnknownModelError, WeightsError
from effcam.models.architectures import HUB, Architecture, has_architecture
from effcam.models.downloads import PublishedWeights, is_repository
from effcam.text import quote

CONFIG = "config.json"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
CONFIG_WAYS_ON = (
    "Go online once so that they can be fetched, or give a folder that holds the model "
    "(local-dir:FOLDER)."
)
CLASSES = 1000
"""How many classes timm takes where a configuration does not say."""
CONFIG_BYTES = 2**24
MOST_CLASSES = 10**6
MOST_PIXELS = 2**14
"""What a configuration may ask for at most: more is a mistake, or meant to fill the memory."""
LOADING = {
    *("pretrained", "pretrained_cfg", "pretrained_cfg_overlay"),
    *("checkpoint_path", "pretrained_strict", "cache_dir"),
}
"""Arguments of timm's that would have it read other weights, from disk or from an address."""
SHOWN = 3


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_CLASSES


def _is_size(value: object) -> bool:
    if not isinstance(value, list) or len(value) != 3:
        return False
    return all(isinstance(each, int) and 1 <= each <= MOST_PIXELS for each in value)


def _is_side(value: object) -> bool:
    sides = value if isinstance(value, list) and len(value) == 2 else [value, value]
    return _is_size([3, *sides])


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and 0.01 <= value <= 100


def _are_numbers(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, int | float) for each in value)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


KINDS: dict[str, tuple[Callable[[object], bool], str]] = {
    "pretrained_cfg": (_is_object, "an object"),
    "model_args": (_is_object, "an object"),
    "num_classes": (_is_count, "a number"),
    "input_size": (_is_size, "[channels, height, width]"),
    "img_size": (_is_side, "a size in px, or two"),
    "crop_pct": (_is_number, "a share of the image"),
    "mean": (_are_numbers, "a list of numbers"),
    "std": (_are_numbers, "a list of numbers"),
    "interpolation": (_is_text, "a name"),
    "crop_mode": (_is_text, "a name"),
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
    """Return where a stored model's weights can be had; ``None`` for those in a folder."""
    return _on_hub(architecture, WEIGHTS) if architecture.library == HUB else None


def find_weights(architecture: Architecture) -> Path:
    """Return the file of a stored model's weights, fetched if it is on the hub.

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
    """Return what a stored model's ``config.json`` says, fetched if it is on the hub.

    Raises:
        WeightsError: If there is none or it cannot be fetched or read.
        ModelError: If it is not that of a timm model.
    """
    file = _config_file(architecture)
    content = _read_json(file)
    if not isinstance(content, dict):
        content = {}
    name = content.get("architecture")
    if not isinstance(name, str) or not has_architecture("timm", name):
        others = content.get("architectures", name)
        several = others if isinstance(others, list) else filter(None, [others])
        named = ", ".join(map(quote, islice(several, SHOWN)))
        raise ModelError(
            f"{architecture} is no timm model: its {CONFIG} names {named or 'no architecture'}"
            f"{', which timm does not have' if named else ''}. Load it with the library that it "
            "was made for, and give effcam the module"
        )
    return _parse(content, str(file))


def _read_json(file: Path) -> object:
    try:
        if file.stat().st_size > CONFIG_BYTES:
            raise WeightsError(f"{str(file)!r} is larger than {CONFIG_BYTES} bytes")
        return json.loads(file.read_text("utf-8"))
    except WeightsError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{str(file)!r} cannot be read as JSON: {error}") from error


def _parse(content: dict[str, Any], file: str) -> Stored:
    """Return a timm configuration, in its present form or in the older one of a single level."""
    content = _checked(content, file)
    config = _checked(content.get("pretrained_cfg", content), file)
    config |= {
        key: content[key]
        for key in ("num_classes", "label_names", "label_descriptions")
        if key in content
    }
    config.pop("state_dict", None)  # timm would take it before the file's weights
    if "labels" in config:
        config["label_names"] = config.pop("labels")
    # What the saved module was made with; older releases left the record as it was published.
    arguments = _checked(content.get("model_args", {}), file)
    wrong = [key for key in arguments if key in LOADING or not key.isidentifier()]
    if wrong:
        raise ModelError(
            f"model_args in {file!r} must be arguments of the architecture, not "
            f"{', '.join(map(quote, wrong[:SHOWN]))}"
        )
    config["num_classes"] = arguments.get("num_classes", config.get("num_classes", CLASSES))
    if "img_size" in arguments and config.get("fixed_input_size"):
        size = arguments["img_size"]
        height, width = size if isinstance(size, list) else (size, size)
        config["input_size"] = [config.get("input_size", [3])[0], height, width]
    return Stored(content["architecture"], config, arguments)


def _checked(settings: Mapping[str, Any], file: str) -> dict[str, Any]:
    """Return settings without those that are null, which timm takes for missing ones."""
    found = {key: value for key, value in settings.items() if value is not None}
    for key in KINDS.keys() & found.keys():
        is_right, words = KINDS[key]
        if not is_right(found[key]):
            raise ModelError(f"{key} in {file!r} must be {words}, not {quote(found[key])}")
    return found


def _config_file(architecture: Architecture) -> Path:
    if architecture.library != HUB:
        return _folder(architecture) / CONFIG
    published = replace(
        _on_hub(architecture, (CONFIG,)), kind="configuration files", ways_on=CONFIG_WAYS_ON
    )
    return published.fetch()


def _folder(architecture: Architecture) -> Path:
    try:
        folder = Path(architecture.name).expanduser()
        has_config, is_folder = (folder / CONFIG).is_file(), folder.is_dir()
    except (OSError, RuntimeError) as error:  # no permission, a name too long, no such home
        raise WeightsError(f"folder {architecture.name!r} cannot be read: {error}") from error
    if not has_config:
        missing = f"holds no {CONFIG}" if is_folder else "does not exist"
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

"""The ``config.json`` of a stored timm model, read with care: it may come from anybody."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from effcam.errors import ModelError, WeightsError
from effcam.text import quote

CONFIG = "config.json"
CLASSES = 1000
"""The number of classes that timm assumes where a configuration states none."""
CONFIG_BYTES = 2**24
MOST_CLASSES = 10**6
MOST_PIXELS = 2**14
"""The largest values that a configuration may ask for: more would fill the memory."""
LOADING = {
    *("pretrained", "pretrained_cfg", "pretrained_cfg_overlay"),
    *("checkpoint_path", "pretrained_strict", "cache_dir"),
}
"""Arguments of timm that would make it read other weights, from disk or from an address."""
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
class StoredConfig:
    """The content of a stored model's configuration.

    Attributes:
        architecture: timm's name of the architecture.
        weights: timm's record of the weights: input size, mean, number of classes, labels, ...
        arguments: Further arguments for timm's constructor.
    """

    architecture: str
    weights: dict[str, Any]
    arguments: dict[str, Any]


def read_json(file: Path) -> dict[str, Any]:
    """Return the object in a JSON file, empty if it holds something else.

    Raises:
        WeightsError: If it is too large or cannot be read.
    """
    try:
        if file.stat().st_size > CONFIG_BYTES:
            raise WeightsError(f"{str(file)!r} is larger than {CONFIG_BYTES} bytes")
        content = json.loads(file.read_text("utf-8"))
    except WeightsError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{str(file)!r} cannot be read as JSON: {error}") from error
    return content if isinstance(content, dict) else {}


def architecture_of(content: Mapping[str, Any]) -> tuple[str, str]:
    """Return the architecture that a configuration names, and all names in it for a message."""
    name = content.get("architecture")
    others = content.get("architectures", name)
    several = others if isinstance(others, list) else filter(None, [others])
    named = ", ".join(map(quote, islice(several, SHOWN)))
    return name if isinstance(name, str) else "", named


def parse(content: dict[str, Any], file: str) -> StoredConfig:
    """Return a timm configuration, in its present form or in the older one of a single level.

    Raises:
        ModelError: If a setting has a value of the wrong kind, or would read other weights.
    """
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
    # The saved module's own arguments; older releases left the record as it was published.
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
    return StoredConfig(content["architecture"], config, arguments)


def _checked(settings: Mapping[str, Any], file: str) -> dict[str, Any]:
    """Return settings without those that are null, which timm treats as missing."""
    found = {key: value for key, value in settings.items() if value is not None}
    for key in KINDS.keys() & found.keys():
        is_right, words = KINDS[key]
        if not is_right(found[key]):
            raise ModelError(f"{key} in {file!r} must be {words}, not {quote(found[key])}")
    return found

"""The texts of the page, and the rows and columns of its template."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from effcam import __version__
from effcam.cam.explanation import Explanation, percent
from effcam.cam.map_checks import SHORT
from effcam.cam.methods.table import depends_on_target
from effcam.comparison.report.data import truth_label
from effcam.comparison.report.inputs import Material
from effcam.models.facts import PLACES
from effcam.models.tracing.placement import Placement
from effcam.models.training_stage import TrainingStage
from effcam.targets.classes import Combination
from effcam.targets.outputs import OutputTarget
from effcam.text import count

KINDS = {
    "contrast": "evidence for the first rather than the second",
    "sum": "evidence for all of them together",
    "value": "{}, a value that the model returns",
    "similarity": "being {}",
    "text": "the text “{}”",
    "function": "{}, a value computed from the model's output",
}
"""What the kinds of targets ask for, apart from single classes."""
PACKAGES = ("torch", "torchvision", "timm", "grad-cam", "numpy", "pillow")


def truths(material: Material) -> list[str | None]:
    """Return the true class of each image, ``None`` if unknown."""
    return [truth_label(material, truth) for truth in material.truths]


def title(material: Material) -> str:
    """Return the default title of a page."""
    ways, images = len(material.content.columns), len(material.content.images)
    models = {cell.model for cell in material.content.cells}
    who = f"What {count(len(models), 'model')} look{'s' if len(models) == 1 else ''} at"
    several = f", {ways} ways" if ways > len(models) > 0 else ""
    return f"{who} in {count(images, 'image')}{several}"


def lede(material: Material) -> str:
    """Return an introduction to what is shown."""
    content = material.content
    methods = list(dict.fromkeys(cell.method for cell in content.cells))
    target = content.settings.target
    if target is None:
        of = "the class that each model predicts"
    elif isinstance(target, tuple):
        of = "a class given for each image"
    elif isinstance(target, Mapping):
        *others, last = (f'"{name}"' for name in target)
        of = f"{', '.join(others)} and {last}" if others else last
    elif isinstance(target, Combination):
        of = f"{target} ({KINDS[target.kind]})"
    elif isinstance(target, OutputTarget):
        of = KINDS[target.kind].format(target)
    else:
        of = "the class of their consensus" if target == "consensus" else f"the class {target!r}"
    classless = not any(map(depends_on_target, methods))
    subject = "" if classless else f" for {of}"
    seen = "Each model sees a photo as its own transform crops it; the rest is grey."
    if content.settings.view == "whole":
        seen = "Each model sees the whole photo, squashed to its input."
    finds = "finds" if len(methods) == 1 else "find"
    return f"Colour is where {' and '.join(methods)} {finds} evidence{subject}. {seen}"


def columns(material: Material) -> list[dict[str, Any]]:
    """Return the heading of each column."""
    first = material.content.cells[: len(material.content.columns)]
    return [
        {
            "label": cell.column,
            "origin": f"{cell.target_layer} · {cell.heatmap.shape[0]} x {cell.heatmap.shape[1]}",
            "random": cell.untrained,
        }
        for cell in first
    ]


def rows(material: Material, pictures: list[tuple[str, tuple[int, int]]]) -> list[dict[str, Any]]:
    """Return the content of each row: the photo, and the captions of each column."""
    known = truths(material)
    return [
        {
            "name": row[0].image.name,
            "source": source,
            "size": size,
            "truth": known[at],
            "alt": _alt(row),
            "cells": [
                {
                    "label": cell.predicted_label or cell.label,
                    "share": (
                        cell.value_text
                        if cell.predicted is None
                        else percent(cell.predicted_probability)
                    ),
                    "right": None if math.isnan(right) else bool(right),
                    "explained": cell.explained,
                    "badge": SHORT.get(cell.state, ""),
                    "odd": [SHORT[flag] for flag in cell.flags if flag != cell.state],
                }
                for cell, right in zip(row, material.right[at].tolist(), strict=True)
            ],
        }
        for at, (row, (source, size)) in enumerate(
            zip(material.content.rows(), pictures, strict=True)
        )
    ]


def _alt(row: tuple[Explanation, ...]) -> str:
    predictions = "; ".join(f"{cell.column} {cell.prediction}" for cell in row)
    return f"Photo {row[0].image.name}; {predictions}"


def settings(given: Mapping[str, object]) -> dict[str, str]:
    """Return settings as text, without those that are ``None``."""
    return {
        name: ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        for name, value in given.items()
        if value is not None
    }


def facts_of_columns(records: Sequence[Mapping[str, object]]) -> list[dict[str, str]]:
    """Return the facts of all columns' models as text; training only where one has it."""
    if any(record["training"] is not None for record in records):
        return [facts(record) for record in records]
    return [
        {key: each for key, each in facts(record).items() if key != "training"}
        for record in records
    ]


def facts(record: Mapping[str, object]) -> dict[str, str]:
    """Return the facts of a model as text."""
    found = dict(record)
    parameters, flops, seconds = (found.pop(name) for name in ("parameters", "flops", "seconds"))
    bypass, multi_label = found.pop("bypass"), found.pop("multi_label")
    training = found.pop("training")
    for name in ("notes", *PLACES):  # notes are among those of the summary
        del found[name]
    shown = {
        name.replace("_", " "): " x ".join(map(str, value))
        if isinstance(value, list)
        else str(value)
        for name, value in found.items()
    }
    shown["probabilities"] = "one a label, sigmoid" if multi_label else "sum to 100 %"
    shown["cells"] = _cells(record)
    shown["measured offset"] = _offset(record)
    shown["parameters"] = f"{parameters:,}"
    shown["GFLOP"] = "-" if flops is None else f"{flops / 1e9:.3g}"  # type: ignore[operator]
    shown["goes past the layer"] = "-" if bypass is None else f"{bypass:.0%}"
    shown["ms an image"] = "-" if seconds is None else f"{1000 * seconds:.1f}"  # type: ignore[operator]
    shown["training"] = "-" if training is None else str(TrainingStage.from_record(training))  # type: ignore[arg-type]
    return shown


def _cells(record: Mapping[str, Any]) -> str:
    """Return how far apart cells were laid, and how far even ones would be, px."""
    if record["pitch"] is None:
        return "-"
    apart = _pair(record["pitch"])
    evenly = _pair(Placement.even(record["grid"], record["input_size"]).pitch)
    return f"{apart} px apart" + ("" if apart == evenly else f", not {evenly}")


def _offset(record: Mapping[str, Any]) -> str:
    """Return the offset that was measured, and whether the cells were moved by it."""
    measured = record["measured_offset"]
    if measured is None:
        return "-"
    applied = record["offset"] == measured
    return f"{_pair(measured, '+')} px" + ("" if applied else ", not applied")


def _pair(values: Sequence[float], sign: str = "") -> str:
    """Return a number down and one across as text, as one number if both are equal."""
    return " x ".join(dict.fromkeys(f"{value:{sign}.3g}" for value in values))


def versions() -> dict[str, str]:
    """Return the versions of effcam and the packages that its numbers depend on."""
    found = {"effcam": __version__}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed as a package"
    return found | {"Python": platform.python_version()}

"""A module imports only from floors below its own, and third parties enter by one door each."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "effcam"

FLOORS = {
    "errors": 0,
    "blank": 0,
    "borrow": 0,
    "catalogue": 0,
    "draws": 0,
    "fingerprint": 0,
    "geometry": 0,
    "kinds": 0,
    "methods": 0,
    "portions": 0,
    "progress": 0,
    "text": 0,
    "spatial": 0,
    "scores": 1,
    "custom": 2,
    "health": 1,
    "decoding": 1,
    "labels": 1,
    "pickles": 1,
    "precision": 1,
    "truth": 1,
    "preprocess": 1,
    "canvas": 1,
    "embed": 1,
    "fonts": 1,
    "mosaic": 1,
    "draw": 2,
    "write": 1,
    "registry": 1,
    "weights": 1,
    "architectures": 1,
    "parts": 1,
    "video": 2,
    "animated": 3,
    "film": 4,
    "images": 5,
    "groundtruth": 2,
    "summary": 2,
    "adopt": 2,
    "checkpoint": 2,
    "trace": 2,
    "stored": 2,
    "arguments": 2,
    "stdin": 1,
    "console": 1,
    "completion": 2,
    "options": 2,
    "usage": 2,
    "zoo": 3,
    "matrix": 3,
    "surface": 3,
    "bands": 4,
    "sheet": 5,
    "reading": 3,
    "layers": 4,
    "construct": 4,
    "listing": 4,
    "model": 6,
    "demo": 6,
    "loader": 6,
    "explanation": 6,
    "facts": 7,
    "captions": 7,
    "cells": 8,
    "cam": 8,
    "passes": 8,
    "metrics": 9,
    "columns": 9,
    "layout": 9,
    "pages": 10,
    "parquet": 10,
    "preview": 11,
    "report": 11,
    "poster": 11,
    "figure": 12,
    "saving": 13,
    "result": 14,
    "api": 15,
    "dataset": 16,
    "tour": 16,
    "scorecard": 16,
    "styling": 16,
    "info": 16,
    "browse": 17,
    "bulk": 17,
    "comparing": 17,
    "inquiry": 17,
    "showcase": 17,
    "cli": 18,
}
"""The floor of each module. `__init__` and `__main__` stand outside: they name, and start."""

DOORS = {
    "av": {"video", "write"},
    "fsspec": {"dataset"},
    "filelock": {"dataset"},
    "huggingface_hub": {"weights"},
    "imageio": {"write"},
    "jinja2": {"report"},
    "matplotlib": {"canvas", "draw", "figure", "fonts", "result", "summary"},
    "pyarrow": {"dataset", "parquet"},
    "pytorch_grad_cam": {"cam"},
    "ray": {"dataset"},
    "safetensors": {"checkpoint"},
    "scipy": {"metrics", "parts"},
    "shtab": {"completion"},
    "timm": {"architectures", "demo", "zoo"},
    "torchvision": {"architectures", "demo", "zoo"},
}
"""The only modules that may import a third party."""

OUTSIDE_VALUES = {"__version__"}
"""What a module may take from the package itself, since it is no module's."""


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def module_name(path: Path) -> str:
    """The name of the module, or of the subpackage that it belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(text: str) -> Iterator[str]:
    """Every module that a text imports, at any depth, in full: ``effcam.errors``, ``torch.nn``.

    What is taken from the package itself comes as one name each: ``effcam.compare``.
    """
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join(filter(None, ["effcam", base]))
            if base == "effcam":
                yield from (f"effcam.{alias.name}" for alias in node.names)
            else:
                yield base


def violations(name: str, text: str) -> list[str]:
    """What is wrong with the imports of a module, in words."""
    if name == "__main__":
        wrong = {each for each in imported(text) if each.startswith("effcam")} - {"effcam.cli"}
        return [f"__main__ imports {each}, but only starts effcam.cli" for each in sorted(wrong)]
    if name == "__init__":
        return []
    if name not in FLOORS:
        return [f"{name} has no floor: give it one in DESIGN.md's order"]
    found = []
    for target in imported(text):
        root, _, rest = target.partition(".")
        inside = rest.split(".")[0]
        if root != "effcam":
            if name not in DOORS.get(root, {name}):
                found.append(f"{name} imports {target}, whose door is {sorted(DOORS[root])}")
        elif inside in OUTSIDE_VALUES or inside == name:
            continue
        elif inside not in FLOORS:
            found.append(f"{name} imports {target}: take names from the module that defines them")
        elif FLOORS[inside] >= FLOORS[name]:
            found.append(f"{name} (floor {FLOORS[name]}) imports {inside} (floor {FLOORS[inside]})")
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_module_keeps_to_its_floor(path: Path) -> None:
    assert violations(module_name(path), path.read_text(encoding="utf-8")) == []


def test_no_module_is_named_after_a_public_function() -> None:
    import effcam

    functions = {
        name for name in effcam.__all__ if callable(value := getattr(effcam, name)) and value
    }
    assert functions.isdisjoint({module_name(path) for path in modules()})


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("layers", "from effcam.model import Model", "layers (floor 4) imports model (floor 6)"),
        ("zoo", "from effcam.layers import Layout", "zoo (floor 3) imports layers (floor 4)"),
        ("preprocess", "import effcam.write", "preprocess (floor 1) imports write (floor 1)"),
        ("preprocess", "from . import write", "preprocess (floor 1) imports write (floor 1)"),
        ("preprocess", "from .write import save", "preprocess (floor 1) imports write (floor 1)"),
        ("cam", "def f():\n    from effcam.api import compare", "imports api (floor 15)"),
        (
            "cam",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from effcam import result",
            "imports result (floor 14)",
        ),
        ("model", "from effcam import compare", "take names from the module that defines them"),
        ("model", "import effcam", "take names from the module that defines them"),
        ("result", "import pytorch_grad_cam.utils as u", "whose door is ['cam']"),
        ("result", "def f():\n    import imageio.v3 as iio", "whose door is ['write']"),
        ("helpers", "import math", "helpers has no floor"),
        ("__main__", "from effcam.api import compare", "only starts effcam.cli"),
    ],
)
def test_violation_is_found(name: str, text: str, complaint: str) -> None:
    (found,) = violations(name, text)
    assert complaint in found


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("model", "import math\nimport torch\nfrom effcam.zoo import build"),
        ("cam", "def f():\n    from pytorch_grad_cam import GradCAM"),
        ("cli", "from effcam import __version__, api\nfrom effcam.errors import EffcamError"),
        ("demo", "from effcam.demo.scenes import scene\nfrom effcam.images import ImageRef"),
        ("__init__", "import effcam.api"),
        ("__main__", "import sys\nfrom effcam.cli import main"),
    ],
)
def test_allowed_imports_are_left_alone(name: str, text: str) -> None:
    assert violations(name, text) == []

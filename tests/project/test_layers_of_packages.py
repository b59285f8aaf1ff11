"""A package imports only from packages below it, and third parties enter in few places."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src" / "effcam"

FLOORS = (
    ("errors", "text", "data_frames", "files", "lazy", "names", "targets"),
    ("images", "images.annotations", "drawing"),
    ("models", "models.tracing"),
    ("cam", "demo"),
    ("metrics", "metrics.summary"),
    ("comparison", "comparison.pictures", "comparison.report"),
    ("api",),
    ("dataset", "integrations"),
    ("app", "cli"),
)
"""The packages and top-level modules from the ground up.

On one floor, packages do not import each other, except for the pairs of `WITHIN`.
"""

WITHIN = {
    "data_frames": {"errors"},
    "files": {"errors"},
    "names": {"errors"},
    "targets": {"errors"},
    "images.annotations": {"images"},
    "models": {"models.tracing"},
    "metrics.summary": {"metrics"},
    "comparison": {"comparison.pictures", "comparison.report"},
    "cli": {"app"},
}
"""Packages of the same floor that a package may import: `metrics.summary` is built on `metrics`."""

OUTSIDE = {"__init__", "__main__", "types"}
"""Modules that only name or start what lies elsewhere."""

DOORS = {
    "accelerate": {"integrations"},
    "av": {"images.video", "drawing.encode"},
    "datasets": set(),
    "fiftyone": {"integrations"},
    "filelock": {"dataset"},
    "fsspec": {"dataset"},
    "gradio": {"app"},
    "huggingface_hub": {"models.downloads"},
    "imageio": {"drawing.encode"},
    "jinja2": {"comparison.report"},
    "lightning": {"integrations"},
    "matplotlib": {
        *("drawing.fonts", "drawing.mpl", "drawing.mpl_canvas", "drawing.overlay"),
        *("comparison.comparison", "comparison.pictures.figure", "metrics.summary"),
        *("drawing.reliability_plot", "metrics.calibration_result"),
    },
    "mlflow": {"comparison.trackers"},
    "open_clip": {"models.open_clip_architecture"},
    "pandas": {"comparison.comparison", "data_frames", "metrics.summary"},
    "polars": {"comparison.comparison", "data_frames", "metrics.summary"},
    "pyarrow": {"comparison.parquet", "dataset"},
    "pytorch_lightning": {"integrations"},
    "pytorch_grad_cam": {"cam.grad_cam_classes"},
    "ray": {"dataset"},
    "safetensors": {"models.checkpoint"},
    "scipy": {"cam.heat_boxes", "metrics"},
    "shtab": {"cli.completion"},
    "tensorboard": {"comparison.trackers"},
    "tifffile": {"images.channels"},
    "timm": {
        *("models.imagenet", "models.stored_architecture", "models.timm_architecture"),
    },
    "torchvision": {"models.imagenet", "models.torchvision_architecture"},
    "transformers": {"integrations", "models.transformers_architecture"},
    "wandb": {"comparison.trackers"},
    "yaml": {"images.annotations.parsing"},
}
"""The only packages and modules that may import a third party."""


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def module_name(path: Path) -> str:
    """The dotted name of a module below effcam: ``cam.explain``; a package's is its own."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def package_of(name: str) -> str | None:
    """The innermost package, or top-level module, of `FLOORS` that contains a dotted name."""
    known = [each for floor in FLOORS for each in floor]
    inside = [each for each in known if name == each or name.startswith(f"{each}.")]
    return max(inside, key=len, default=None)


def floor_of(package: str) -> int:
    return next(floor for floor, packages in enumerate(FLOORS) if package in packages)


def imported(text: str, name: str = "") -> Iterator[str]:
    """Every module that a text imports, at any depth, in full: ``effcam.errors``, ``torch.nn``.

    Of ``from effcam.models import sources``, that is ``effcam.models.sources`` if it is a file.
    """
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = ["effcam", *name.split(".")][: -node.level] or ["effcam"]
                base = ".".join([*above, *filter(None, [base])])
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield full if base == "effcam" or is_module(full) else base


def is_module(full: str) -> bool:
    root, *rest = full.split(".")
    path = PACKAGE.joinpath(*rest)
    return root == "effcam" and (path.is_dir() or path.with_suffix(".py").is_file())


def violations(name: str, text: str) -> list[str]:
    """What is wrong with the imports of a module, in words."""
    if name == "__main__":
        wrong = {each for each in imported(text) if each.startswith("effcam")} - {"effcam.cli"}
        return [f"__main__ imports {each}, but only starts effcam.cli" for each in sorted(wrong)]
    if name in OUTSIDE:
        return []
    own = package_of(name)
    if own is None:
        return [f"{name} has no floor: put it into one of the packages"]
    found = []
    for target in imported(text, name):
        root, _, inside = target.partition(".")
        if root != "effcam":
            doors = DOORS.get(root, {name})
            if not any(name == door or name.startswith(f"{door}.") for door in doors):
                found.append(f"{name} imports {target}, which only {sorted(doors)} may import")
            continue
        other = package_of(inside)
        if inside == "__version__" or other == own:
            continue
        if other is None:
            found.append(f"{name} imports {target}: take names from the module that defines them")
        elif floor_of(other) >= floor_of(own) and other not in WITHIN.get(own, ()):
            found.append(f"{own} (floor {floor_of(own)}) imports {other} (floor {floor_of(other)})")
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_module_imports_only_from_below(path: Path) -> None:
    assert violations(module_name(path), path.read_text(encoding="utf-8")) == []


def test_no_module_is_named_after_a_public_function() -> None:
    import effcam

    for package in (effcam, effcam.metrics, effcam.images):
        functions = {name for name in package.__all__ if callable(getattr(package, name))}
        folder = Path(str(package.__file__)).parent
        assert functions.isdisjoint(path.stem for path in folder.iterdir())


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        (
            "models.tracing.trace",
            "from effcam.models.model import Model",
            "models.tracing (floor 2) imports models (floor 2)",
        ),
        (
            "images.preprocess",
            "import effcam.drawing.encode",
            "images (floor 1) imports drawing (floor 1)",
        ),
        (
            "images.preprocess",
            "from effcam.drawing import encode",
            "images (floor 1) imports drawing (floor 1)",
        ),
        (
            "images.preprocess",
            "from ..models import sources",
            "images (floor 1) imports models (floor 2)",
        ),
        (
            "images.geometry",
            "from effcam.images.annotations.boxes import read_boxes",
            "images (floor 1) imports images.annotations (floor 1)",
        ),
        ("cam.explain", "def f():\n    from effcam.api import compare", "imports api (floor 6)"),
        (
            "cam.explain",
            "if TYPE_CHECKING:\n    from effcam import comparison",
            "imports comparison (floor 5)",
        ),
        ("metrics.sanity", "import effcam.metrics.summary", "imports metrics.summary (floor 4)"),
        ("models.model", "from effcam import compare", "from the module that defines them"),
        ("models.model", "import effcam", "from the module that defines them"),
        (
            "api",
            "import pytorch_grad_cam.utils as u",
            "which only ['cam.grad_cam_classes'] may import",
        ),
        ("api", "def f():\n    import imageio.v3 as iio", "which only ['drawing.encode']"),
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
        (
            "models.model",
            "import math\nimport torch\nfrom effcam.models.sources import resolve",
        ),
        ("models.model", "from effcam.models.tracing.trace import trace"),
        ("cam.grad_cam_classes", "def f():\n    from pytorch_grad_cam import GradCAM"),
        (
            "cli.program",
            "from effcam import __version__, api\nfrom effcam.errors import EffcamError",
        ),
        ("demo", "from effcam.demo.scenes import scene\nfrom effcam.images import ImageRef"),
        ("metrics.summary.chart", "from effcam.metrics.agreement import spearman\nimport scipy"),
        ("__init__", "import effcam.api"),
        ("__main__", "import sys\nfrom effcam.cli import main"),
    ],
)
def test_allowed_imports_are_left_alone(name: str, text: str) -> None:
    assert violations(name, text) == []

"""Compare where image classifiers look, side by side, and measure how far they differ.

>>> import effcam
>>> comparison = effcam.compare("photos/", ["resnet50", "efficientnet_b0"])  # doctest: +SKIP
>>> comparison.save("compare.gif")  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from effcam import demo, errors, images, metrics, targets
    from effcam.api import compare
    from effcam.cam.explanation import Explanation
    from effcam.cam.methods.table import methods
    from effcam.comparison.comparison import Comparison
    from effcam.dataset import DatasetRun, compare_dataset, open_run
    from effcam.errors import EffcamError
    from effcam.images.geometry import Box
    from effcam.images.preprocess import Preprocess
    from effcam.metrics.summary import Summary
    from effcam.models.checkpoint_columns import checkpoints
    from effcam.models.listing import list_models
    from effcam.models.loading import load_model
    from effcam.models.model import Model
    from effcam.models.registry import DEFAULT_MODELS, ModelSpec, register_model

__version__ = "0.1.0"

__all__ = [
    "DEFAULT_MODELS",
    "Box",
    "Comparison",
    "DatasetRun",
    "EffcamError",
    "Explanation",
    "Model",
    "ModelSpec",
    "Preprocess",
    "Summary",
    "__version__",
    "checkpoints",
    "compare",
    "compare_dataset",
    "demo",
    "errors",
    "images",
    "list_models",
    "load_model",
    "methods",
    "metrics",
    "open_run",
    "register_model",
    "targets",
]

# The module of each public name. Names are loaded on first use, so that importing effcam takes
# milliseconds, and not the seconds of torch.
_HOMES = {
    "DEFAULT_MODELS": "models.registry",
    "Box": "images.geometry",
    "Comparison": "comparison.comparison",
    "DatasetRun": "dataset",
    "EffcamError": "errors",
    "Explanation": "cam.explanation",
    "Model": "models.model",
    "ModelSpec": "models.registry",
    "Preprocess": "images.preprocess",
    "Summary": "metrics.summary",
    "checkpoints": "models.checkpoint_columns",
    "compare": "api",
    "compare_dataset": "dataset",
    "open_run": "dataset",
    "list_models": "models.listing",
    "load_model": "models.loading",
    "methods": "cam.methods.table",
    "register_model": "models.registry",
}
_MODULES = ("demo", "errors", "images", "metrics", "targets")


def __getattr__(name: str) -> object:
    """Load a public name on first use (PEP 562)."""
    if name in _MODULES:
        return import_module(f"effcam.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'effcam' has no attribute {name!r}")
    value = getattr(import_module(f"effcam.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

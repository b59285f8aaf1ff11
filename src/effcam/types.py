"""Types of results, under stable names for annotations and the reference.

Callers rarely construct them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from effcam.cam.cells import Skipped
    from effcam.cam.settings import Settings
    from effcam.images.frames import FilmFrame
    from effcam.images.truth import Truth
    from effcam.metrics.summary import Difference, Fact, Figure, Measure
    from effcam.models.facts import ModelFacts
    from effcam.models.tracing.target_layer import TargetLayer

__all__ = [
    "Difference",
    "Fact",
    "Figure",
    "FilmFrame",
    "Measure",
    "ModelFacts",
    "Settings",
    "Skipped",
    "TargetLayer",
    "Truth",
]

_HOMES = {
    "Difference": "metrics.summary",
    "Fact": "metrics.summary",
    "Figure": "metrics.summary",
    "FilmFrame": "images.frames",
    "Measure": "metrics.summary",
    "ModelFacts": "models.facts",
    "Settings": "cam.settings",
    "Skipped": "cam.cells",
    "TargetLayer": "models.tracing.target_layer",
    "Truth": "images.truth",
}


def __getattr__(name: str) -> object:
    """Load a type on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'effcam.types' has no attribute {name!r}")
    value = getattr(import_module(f"effcam.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

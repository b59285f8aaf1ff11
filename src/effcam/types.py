"""Types of results, under stable names for annotations and the reference.

Callers rarely construct them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from effcam.lazy import lazy_names

if TYPE_CHECKING:
    from effcam.cam.cells import Skipped
    from effcam.cam.methods.table import MethodFacts
    from effcam.cam.settings import Settings
    from effcam.images.frames import FilmFrame
    from effcam.images.truth import NamedClass, Truth
    from effcam.metrics.calibration_result import ReliabilityBin
    from effcam.metrics.summary import Difference, Fact, Figure, Measure
    from effcam.metrics.summary.confusions import Confusion
    from effcam.metrics.summary.published import PublishedValue
    from effcam.models.facts import ModelFacts
    from effcam.models.text_encoder import TextEncoder
    from effcam.models.tracing.placement import Placement
    from effcam.models.tracing.score_source import ScoreSource
    from effcam.models.tracing.target_layer import TargetLayer

__all__ = [
    "Confusion",
    "Difference",
    "Fact",
    "Figure",
    "FilmFrame",
    "Measure",
    "MethodFacts",
    "ModelFacts",
    "NamedClass",
    "Placement",
    "PublishedValue",
    "ReliabilityBin",
    "ScoreSource",
    "Settings",
    "Skipped",
    "TargetLayer",
    "TextEncoder",
    "Truth",
]

_HOMES = {
    "Confusion": "effcam.metrics.summary.confusions",
    "Difference": "effcam.metrics.summary",
    "Fact": "effcam.metrics.summary",
    "Figure": "effcam.metrics.summary",
    "FilmFrame": "effcam.images.frames",
    "Measure": "effcam.metrics.summary",
    "MethodFacts": "effcam.cam.methods.table",
    "ModelFacts": "effcam.models.facts",
    "NamedClass": "effcam.images.truth",
    "Placement": "effcam.models.tracing.placement",
    "PublishedValue": "effcam.metrics.summary.published",
    "ReliabilityBin": "effcam.metrics.calibration_result",
    "ScoreSource": "effcam.models.tracing.score_source",
    "Settings": "effcam.cam.settings",
    "Skipped": "effcam.cam.cells",
    "TargetLayer": "effcam.models.tracing.target_layer",
    "TextEncoder": "effcam.models.text_encoder",
    "Truth": "effcam.images.truth",
}

__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)

"""What maps measure: focus, agreement, localisation, steadiness, faithfulness.

The functions on arrays can be used by themselves. `effcam.Comparison.summary` applies them to a
comparison, beside baselines and with intervals; `faithfulness` and `sanity_check` run models.

>>> import effcam
>>> heat = [[0, 0, 0], [0, 4, 2], [0, 2, 0]]
>>> round(float(effcam.metrics.effective_area(heat)), 3)
0.314
>>> box = effcam.Box(1, 1, 3, 2)
>>> float(effcam.metrics.energy_pointing_game(heat, boxes=[box]))
0.75
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from effcam.metrics.agreement import spearman, top_iou
from effcam.metrics.concentration import effective_area, gini, half_mass_area
from effcam.metrics.faithfulness_result import Faithfulness
from effcam.metrics.localisation import (
    average_precision,
    box_ious,
    energy_pointing_game,
    mass_area_ratio,
    max_box_acc,
    max_box_acc_v2,
    pixel_average_precision,
    pointing_game,
)
from effcam.metrics.temporal import centre_shift, temporal_stability

if TYPE_CHECKING:
    from effcam.metrics.faithfulness_run import faithfulness
    from effcam.metrics.grid_pointing import grid_pointing_game
    from effcam.metrics.perturbation import (
        average_drop,
        average_gain,
        deletion,
        increase_in_confidence,
        insertion,
        road,
    )
    from effcam.metrics.sanity import SanityCheck, sanity_check

__all__ = [
    "Faithfulness",
    "SanityCheck",
    "average_drop",
    "average_gain",
    "average_precision",
    "box_ious",
    "centre_shift",
    "deletion",
    "effective_area",
    "energy_pointing_game",
    "faithfulness",
    "gini",
    "grid_pointing_game",
    "half_mass_area",
    "increase_in_confidence",
    "insertion",
    "mass_area_ratio",
    "max_box_acc",
    "max_box_acc_v2",
    "pixel_average_precision",
    "pointing_game",
    "road",
    "sanity_check",
    "spearman",
    "temporal_stability",
    "top_iou",
]

# What runs models needs torch; the rest does not wait for it.
_HOMES = {
    "SanityCheck": "sanity",
    "average_drop": "perturbation",
    "average_gain": "perturbation",
    "deletion": "perturbation",
    "faithfulness": "faithfulness_run",
    "grid_pointing_game": "grid_pointing",
    "increase_in_confidence": "perturbation",
    "insertion": "perturbation",
    "road": "perturbation",
    "sanity_check": "sanity",
}


def __getattr__(name: str) -> object:
    """Load what needs torch when it is first asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'effcam.metrics' has no attribute {name!r}")
    value = getattr(import_module(f"effcam.metrics.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

"""Metrics of maps and models: focus, agreement, localisation, faithfulness, calibration.

The functions on arrays can be used directly. `effcam.Comparison.summary` applies them to a
comparison, with baselines and intervals; `faithfulness` and `sanity_check` run models.

>>> import effcam
>>> heat = [[0, 0, 0], [0, 4, 2], [0, 2, 0]]
>>> round(float(effcam.metrics.effective_area(heat)), 3)
0.314
>>> box = effcam.Box(1, 1, 3, 2)
>>> float(effcam.metrics.energy_pointing_game(heat, boxes=[box]))
0.75
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from effcam.lazy import lazy_names
from effcam.metrics.agreement import spearman, top_iou
from effcam.metrics.box_overlap import box_ious, max_box_acc, max_box_acc_v2
from effcam.metrics.concentration import effective_area, gini, half_mass_area
from effcam.metrics.faithfulness_result import Faithfulness
from effcam.metrics.label_precision import label_average_precision
from effcam.metrics.label_result import LabelProbabilities
from effcam.metrics.localisation import (
    energy_pointing_game,
    mass_area_ratio,
    pointing_game,
    relevance_rank_accuracy,
)
from effcam.metrics.pixel_precision import average_precision, pixel_average_precision
from effcam.metrics.temporal import centre_shift, temporal_stability

if TYPE_CHECKING:
    from effcam.metrics.calibration_result import Calibration, calibration
    from effcam.metrics.combined_score import arcc, coherency
    from effcam.metrics.complexity_rise import ComplexityRise, efficient_mprt
    from effcam.metrics.confidence_change import (
        average_drop,
        average_gain,
        increase_in_confidence,
    )
    from effcam.metrics.faithfulness_run import faithfulness
    from effcam.metrics.grid_pointing import grid_pointing_game
    from effcam.metrics.input_stability import max_sensitivity, shift_stability
    from effcam.metrics.label_run import label_probabilities
    from effcam.metrics.part_deletion import saco, single_deletion
    from effcam.metrics.perturbation import deletion, insertion
    from effcam.metrics.road_imputation import road
    from effcam.metrics.sanity import SanityCheck, sanity_check
    from effcam.metrics.smooth_sanity import smooth_mprt

__all__ = [
    "Calibration",
    "ComplexityRise",
    "Faithfulness",
    "LabelProbabilities",
    "SanityCheck",
    "arcc",
    "average_drop",
    "average_gain",
    "average_precision",
    "box_ious",
    "calibration",
    "centre_shift",
    "coherency",
    "deletion",
    "effective_area",
    "efficient_mprt",
    "energy_pointing_game",
    "faithfulness",
    "gini",
    "grid_pointing_game",
    "half_mass_area",
    "increase_in_confidence",
    "insertion",
    "label_average_precision",
    "label_probabilities",
    "mass_area_ratio",
    "max_box_acc",
    "max_box_acc_v2",
    "max_sensitivity",
    "pixel_average_precision",
    "pointing_game",
    "relevance_rank_accuracy",
    "road",
    "saco",
    "sanity_check",
    "shift_stability",
    "single_deletion",
    "smooth_mprt",
    "spearman",
    "temporal_stability",
    "top_iou",
]

# What runs models needs torch, which is slow to import; calibration needs annotations and drawing.
_HOMES = {
    "Calibration": "effcam.metrics.calibration_result",
    "ComplexityRise": "effcam.metrics.complexity_rise",
    "SanityCheck": "effcam.metrics.sanity",
    "arcc": "effcam.metrics.combined_score",
    "average_drop": "effcam.metrics.confidence_change",
    "average_gain": "effcam.metrics.confidence_change",
    "calibration": "effcam.metrics.calibration_result",
    "coherency": "effcam.metrics.combined_score",
    "deletion": "effcam.metrics.perturbation",
    "efficient_mprt": "effcam.metrics.complexity_rise",
    "faithfulness": "effcam.metrics.faithfulness_run",
    "grid_pointing_game": "effcam.metrics.grid_pointing",
    "increase_in_confidence": "effcam.metrics.confidence_change",
    "insertion": "effcam.metrics.perturbation",
    "label_probabilities": "effcam.metrics.label_run",
    "max_sensitivity": "effcam.metrics.input_stability",
    "road": "effcam.metrics.road_imputation",
    "saco": "effcam.metrics.part_deletion",
    "sanity_check": "effcam.metrics.sanity",
    "shift_stability": "effcam.metrics.input_stability",
    "single_deletion": "effcam.metrics.part_deletion",
    "smooth_mprt": "effcam.metrics.smooth_sanity",
}

__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)

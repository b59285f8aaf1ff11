"""Facts of a column whose maps are not those of its model's target layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from effcam.cam.explanation import Explanation
from effcam.cam.methods.table import facts_of_method, reads_layer
from effcam.models.facts import ModelFacts


def facts_of_maps(
    facts: Sequence[ModelFacts], row: Sequence[Explanation]
) -> tuple[ModelFacts, ...]:
    """Return the facts of each column, with what its maps were computed from, and their grid.

    Maps of pixels or of attention divide the input evenly. The evidence that goes past the target
    layer concerns them only where they are computed from its activations.

    Args:
        facts: Facts of each column's model; empty if unknown.
        row: The cells of any image.
    """
    return tuple(
        each if reads_layer(cell.method) else _without_layer(each, cell)
        for each, cell in zip(facts, row, strict=bool(facts))
    )


def _without_layer(facts: ModelFacts, cell: Explanation) -> ModelFacts:
    rows, columns = cell.heatmap.shape
    found = replace(
        facts,
        target_layer=cell.target_layer,
        grid=(rows, columns),
        pitch=None,
        offset=None,
        measured_offset=None,
    )
    method = facts_of_method(cell.method)
    if method is not None and "activations" in method.needs:
        return found
    return replace(found, bypass=None, notes=())

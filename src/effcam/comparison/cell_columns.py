"""The columns of a comparison's data frames: what the fields of `Explanation.record` hold."""

from __future__ import annotations

from collections.abc import Mapping

from effcam.data_frames import Kind

CELL_COLUMNS: Mapping[str, Kind] = {
    "image": "text",
    "column": "text",
    "model": "text",
    "weights": "text",
    "method": "text",
    "target_layer": "text",
    "grid": "text",
    "target": "int",
    "label": "text",
    "probability": "float",
    "kind": "text",
    "value": "float",
    "unit": "text",
    "asked": "text",
    "multi_label": "bool",
    "predicted": "int",
    "predicted_label": "text",
    "predicted_probability": "float",
    "state": "text",
    "flags": "text",
    "width": "int",
    "height": "int",
    **dict.fromkeys(("region_left", "region_top", "region_right", "region_bottom"), "float"),
}
"""Each field in its order, and what it holds; the classes' indices may be missing."""

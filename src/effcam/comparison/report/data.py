"""The data of the page's script: maps at their own resolution, and numbers."""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from effcam.cam.explanation import Explanation
from effcam.comparison.report.inputs import Material
from effcam.drawing import overlay
from effcam.drawing.defaults import COLORMAP
from effcam.images.geometry import Box
from effcam.images.truth import Truth
from effcam.models.facts import class_names

if TYPE_CHECKING:
    from numpy.typing import NDArray

COLORMAPS = (COLORMAP, "viridis", "inferno", "magma", "cividis", "gray")
"""The colour maps that a reader can choose, in addition to that of the report."""

DIGITS = 5


def pack(value: object) -> str:
    """Return a value as compressed JSON in base64, safe in a script element.

    >>> json.loads(zlib.decompress(base64.b64decode(pack({"name": "</script>"}))))
    {'name': '</script>'}
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # The name of a file may hold bytes that are not UTF-8; their escapes are JSON's.
    return _base64(zlib.compress(text.encode("utf-8", "backslashreplace"), 9))


def colormaps(chosen: str) -> dict[str, str]:
    """Return the colours of each colour map, 256 x 3 bytes as base64, the chosen one first.

    Raises:
        ArgumentError: If there is no such colour map.
    """
    names = dict.fromkeys((chosen, *COLORMAPS))
    return {name: _base64(overlay.colormap_table(name).tobytes()) for name in names}


def page_data(material: Material, sizes: Sequence[tuple[int, int]]) -> dict[str, object]:
    """Return all data of the script except photos and colours.

    Args:
        material: The content of the report.
        sizes: Width and height of each photo on the page in px.
    """
    content = material.content
    first = content.cells[: len(content.columns)]
    return {
        "full": overlay.FULL_AT,
        "columns": [
            {
                "label": cell.column,
                "model": cell.model,
                "method": cell.method,
                "layer": cell.target_layer,
            }
            for cell in first
        ],
        "images": [
            _image(material, at, row, size)
            for at, (row, size) in enumerate(zip(content.rows(), sizes, strict=True))
        ],
    }


def _image(
    material: Material, at: int, row: Sequence[Explanation], size: tuple[int, int]
) -> dict[str, object]:
    first, second = np.triu_indices(len(row), 1)
    return {
        "name": row[0].image.name,
        "size": row[0].size,
        "photo": size,
        "truth": truth_label(material, material.truths[at]),
        "boxes": [_relative(box, row[0].size) for box in material.truths[at].boxes],
        "pairs": [number(value, 3) for value in material.pairs[at][first, second]],
        "cells": [
            _cell(cell, material.kind(cell))
            | {
                "right": None if math.isnan(right) else bool(right),
                "focus": number(focus),
            }
            for cell, right, focus in zip(row, material.right[at], material.focus[at], strict=True)
        ],
    }


def truth_label(material: Material, truth: Truth) -> str | None:
    """Return the names of an image's true classes; ``None`` if unknown."""
    return class_names(truth.classes, material.content.facts)


def _cell(cell: Explanation, kind: str) -> dict[str, object]:
    heat, low, high = quantise(cell.heatmap)
    return {
        "map": heat,
        "shape": cell.heatmap.shape,
        "low": low,
        "high": high,
        "extent": _relative(cell.canvas, cell.size),
        "region": _relative(cell.region, cell.size),
        "state": cell.state,
        "flags": cell.flags,
        "kind": kind,
        "predicted": [
            cell.predicted,
            cell.predicted_label or cell.label,
            number(cell.predicted_probability),
        ],
        "prediction": cell.prediction,
        "explained": [cell.label, cell.explained],
    }


def quantise(heatmap: NDArray[np.float32]) -> tuple[str | None, float | None, float | None]:
    """Return a map as base64 of one byte a cell, and the values of bytes 0 and 255.

    Args:
        heatmap: (h, w); the result is all ``None`` if a value is not finite.
    """
    if not np.isfinite(heatmap).all():
        return None, None, None
    values = heatmap.astype(np.float64)
    low, high = float(values.min()), float(values.max())
    levels = np.rint((values - low) * (255 / (high - low) if high > low else 0))
    return _base64(levels.astype(np.uint8).tobytes()), low, high


def _relative(box: Box, size: tuple[int, int]) -> list[float]:
    """Return left, top, right and bottom as shares of the image's width and height."""
    return [round(edge, 6) for edge in box.scale(1 / size[0], 1 / size[1]).as_tuple()]


def number(value: float, digits: int = DIGITS) -> float | None:
    """Return a rounded number, ``None`` for NaN and infinity."""
    return round(float(value), digits) if math.isfinite(value) else None


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")

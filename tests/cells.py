"""Cells of comparisons, made of a map without a model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from effcam import Box
from effcam.cam.explanation import Explanation
from effcam.images.refs import ImageRef


def explain(
    heatmap: Any, size: tuple[int, int] = (96, 96), canvas: Box | None = None, **changes: Any
) -> Explanation:
    """Return a cell whose map covers ``canvas``, by default the whole image."""
    canvas = canvas or Box(0, 0, *size)
    cell = Explanation(
        image=ImageRef("photo.png", Image.new("RGB", size)),
        column="column",
        model="net",
        weights="as given",
        method="gradcam",
        target_layer="layer4",
        target=0,
        label="ant",
        probability=0.5,
        predicted=0,
        predicted_label="ant",
        predicted_probability=0.5,
        heatmap=np.asarray(heatmap, np.float32),
        size=size,
        region=canvas.clip(*size),
        canvas=canvas,
        frame=canvas,
        state="ok",
        value=1.5,
    )
    return replace(cell, **changes)

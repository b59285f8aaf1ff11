"""Find the calls of a trace that return features: maps of the image outside of the head."""

from __future__ import annotations

import math

from torch import nn

from effcam.models.tracing.logits import tensors
from effcam.models.tracing.map_layout import Grid, MapShape
from effcam.models.tracing.module_kinds import is_attention, is_dense_head, is_passive
from effcam.models.tracing.trace import LayerCall, Trace

FeatureMap = tuple[LayerCall, MapShape]


def feature_maps(record: Trace, stride: int) -> list[FeatureMap]:
    """Return the calls that return maps, in order, without those inside pooling.

    Args:
        record: The trace.
        stride: The least side of a cell in px of the input.
    """
    found = record.maps(stride)
    grids = [shape.grid for _, shape in found if shape.layout != "tokens"]
    pooling = [call for call in record.calls if _pools(record, call, found, grids, stride)]
    return [
        (call, shape) for call, shape in found if not any(pool.encloses(call) for pool in pooling)
    ]


def distinct_maps(record: Trace, stride: int) -> list[FeatureMap]:
    """Return the last call on each tensor that is a feature map, in order.

    Args:
        record: The trace.
        stride: The least side of a cell in px of the input.

    Raises:
        ModelError: If the module's output is not one row of class scores per image.
    """
    classes = record.classes
    groups: dict[tuple[int, int], FeatureMap] = {}
    for call, shape in feature_maps(record, stride):
        if not is_passive(call.module) and not is_dense_head(
            call.name, call.module, shape.channels, classes
        ):
            key = id(call.map), call.version
            # A later call on the same tensor replaces the earlier one, and moves to the end.
            groups.pop(key, None)
            groups[key] = call, shape
    return list(groups.values())


def _pools(
    record: Trace, call: LayerCall, found: list[FeatureMap], grids: list[Grid], stride: int
) -> bool:
    """Return whether a call takes a map, returns none, and computes no further features.

    A container that computes coarser maps, or that holds convolutions or attention, holds a body
    and a head, and is no pooling.
    """
    taken = [record.map_shape(each, grids, stride) for each in call.inputs]
    sizes = [math.prod(shape.grid) for shape in taken if shape]
    if not sizes or any(record.map_shape(each, grids, stride) for each in tensors(call.output)):
        return False
    inside = [(inner, shape) for inner, shape in found if call.encloses(inner)]
    return not any(
        (shape.layout == "NCHW" and math.prod(shape.grid) < min(sizes))
        or _computes_features(record, inner, shape)
        for inner, shape in inside
    )


def _computes_features(record: Trace, call: LayerCall, shape: MapShape) -> bool:
    """Return whether a call is a convolution or attention that gives no class scores."""
    if isinstance(call.module, nn.Conv2d):
        return shape.channels != record.classes
    return is_attention(call.name, call.module)

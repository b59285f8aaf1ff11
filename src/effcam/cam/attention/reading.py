"""Record the attention of the pass that explains a batch, so that nothing runs twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from effcam.cam.attention.find_layout import find_layout
from effcam.cam.attention.layout import Layer, Layout
from effcam.cam.attention.module_calls import ModuleCall, Place, recording_calls
from effcam.cam.attention.recording import Attention, visiting_attention
from effcam.errors import LayerError

if TYPE_CHECKING:
    from effcam.cam.head_cam import HeadCAM

_Key: TypeAlias = tuple[torch.Size, torch.dtype, torch.device]
_layouts: WeakKeyDictionary[nn.Module, dict[_Key, Layout]] = WeakKeyDictionary()


@dataclass(eq=False, slots=True)
class Reading:
    """The attention of one pass over a batch.

    Attributes:
        layout: The network's attention layers.
        attentions: What each computed.
        calls: The calls of the blocks of the layout's stream, and of what runs before its end.
    """

    layout: Layout
    attentions: list[Attention] = field(default_factory=list)
    calls: dict[Place, ModuleCall] = field(default_factory=dict)


@contextmanager
def reading_attention(cam: HeadCAM, images: Tensor) -> Iterator[Reading]:
    """Record the attention of the pass within the context.

    Args:
        cam: Runs the network.
        images: (B, channels, height, width) inputs of the pass.
    """
    found = Reading(layout_of(cam, images))
    stream = found.layout.stream
    names = set() if stream is None else stream.names

    def visit(attention: Attention) -> Tensor:
        found.attentions.append(attention)
        return attention.output

    with recording_calls(cam.model, names) as calls, visiting_attention(visit):
        yield found
    found.calls = {each.place: each for each in calls.done}
    check_layers(found.layout.layers, found.attentions, len(images))


def layout_of(cam: HeadCAM, images: Tensor) -> Layout:
    """Return the attention layers of a network at an input size, found once."""
    known = _layouts.setdefault(cam.model, {})
    key = images.shape[1:], images.dtype, images.device
    if key not in known:
        known[key] = find_layout(cam, images)
    return known[key]


def check_layers(layers: tuple[Layer, ...], attentions: list[Attention], batch: int) -> None:
    """Refuse a pass whose attention differs from that of the pass that found the layers.

    Raises:
        LayerError: If it does.
    """
    shapes = [
        tuple((len(each) // batch, *each.shape[1:-1]) for each in (found.value, found.output))
        for found in attentions
    ]
    if shapes != [(layer.value, layer.output) for layer in layers]:
        raise LayerError(
            f"the network runs {len(shapes)} attention layers on these images, and {len(layers)} "
            "other ones on pictures of the same size: attention that depends on the image cannot "
            "be mapped to it. Use a method that reads the target layer, as gradcam"
        )


def read_attention(reading: Reading | None, method: str) -> tuple[Reading, tuple[Layer, ...]]:
    """Return the attention of a pass, and the layers.

    Raises:
        LayerError: If there are none.
    """
    layers = () if reading is None else reading.layout.layers
    if reading is None or not layers:
        raise LayerError(
            f"{method} reads attention, the softmax of products of queries and keys, and the "
            "network computes none; linear attention, without a softmax or with one of keys alone, "
            "has no matrix to read. Use a method that reads the target layer, as gradcam"
        )
    return reading, layers

"""Trace one forward pass: which module returns tensors of which shape, in which order.

The pass runs on meta tensors, which have shapes but no numbers: it takes a fraction of a second
for a network of any size. A small network runs on pictures, if that is quicker.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import chain, count
from typing import Any

import torch
from torch import Tensor, nn

from effcam.errors import ModelError, reason_of
from effcam.models.tracing.closed_parts import open_layers
from effcam.models.tracing.graph import Key, key_of
from effcam.models.tracing.isolation import untouched
from effcam.models.tracing.linked_graph import LinkedGraph
from effcam.models.tracing.logits import Logits, Outputs, first_tensor, read_logits, tensors
from effcam.models.tracing.map_layout import PREFIX_TOKENS, Grid, MapShape, map_shape
from effcam.models.tracing.module_kinds import is_attention
from effcam.models.tracing.plain_pass import plain_pass
from effcam.models.tracing.rng import IsolatedRandomness
from effcam.models.tracing.runners import (
    FEW_PRODUCTS,
    Runner,
    dtype_of,
    most_products,
    run_on_meta,
    run_on_pictures,
    runners,
)

BATCH = 2
STRIDE = 2
CHANNELS = {1: "greyscale", 3: "RGB"}
VOLUMES = (nn.Conv3d, nn.ConvTranspose3d, nn.MaxPool3d, nn.AvgPool3d, nn.BatchNorm3d)


@dataclass(eq=False, slots=True)
class LayerCall:
    """One call of one submodule during a trace.

    Attributes:
        name: The submodule's dotted name.
        module: The submodule.
        start: The time when it began; the clock counts beginnings and ends.
        inputs: The tensors in its arguments.
        turn: The index of this call among the submodule's calls, from 0.
        end: The time when it ended.
        output: The value that it returned.
        version: The number of in-place changes to its map before it was returned.
        key: Its map's place in the graph, if the trace has one.
    """

    name: str
    module: nn.Module
    start: int
    inputs: list[Tensor]
    turn: int
    end: int = -1
    output: object = None
    version: int = 0
    key: Key | None = None

    @property
    def map(self) -> Tensor | None:
        """The tensor that may be a map: the output, or the first part of a tuple or list."""
        return first_tensor(self.output)

    def finish(self, end: int, output: object) -> None:
        """Record the end of the call."""
        self.end, self.output = end, output
        made = self.map
        self.version = 0 if made is None or made.is_inference() else made._version
        self.key = key_of(made)

    def encloses(self, other: LayerCall) -> bool:
        """Return whether the other call began and ended inside this one."""
        return self.start < other.start and other.end < self.end


@dataclass(slots=True)
class Trace:
    """The record of one forward pass: every submodule's call, and the module's own output.

    Attributes:
        module: The module.
        size: Height and width of the input in px.
        channels: The number of channels of the input.
        prefixes: The numbers of prefix tokens to try, the module's own attribute first.
        calls: The finished calls in the order in which they ended.
        output: The module's output. All tensors are kept, so that their ids stay unique.
        graph: Whether the tensors have a graph.
        joints: The tensors at which the module cuts that graph (`LinkedGraph.joints`).
        expected: The number of classes, if the caller names them: it decides which of several
            outputs holds the scores.
        outputs: What the module returns; set it to "other" for outputs that are no rows.
    """

    module: nn.Module
    size: Grid
    channels: int = 3
    prefixes: tuple[int, ...] = PREFIX_TOKENS
    calls: list[LayerCall] = field(default_factory=list)
    output: object = None
    graph: bool = False
    joints: Mapping[Key, int] = field(default_factory=dict)
    expected: int | None = None
    outputs: Outputs = "classes"
    _linked: Trace | None = None

    def linked(self) -> Trace:
        """Return a trace of the same pass whose tensors have a graph (``grad_fn``)."""
        if self.graph:
            return self
        if self._linked is None:
            self._linked = trace(self.module, self.size, self.channels, graph=True)
            self._linked.expected, self._linked.outputs = self.expected, self.outputs
        return self._linked

    def find(self, call: LayerCall) -> LayerCall:
        """Return the call that corresponds to one of another trace of the same pass."""
        return next(each for each in self.calls if (each.name, each.turn) == (call.name, call.turn))

    @property
    def logits(self) -> Logits:
        """The class scores that the module returned, or its embedding, or all of its values.

        Raises:
            ModelError: If its output is not one row of values per image.
        """
        return read_logits(self.output, BATCH, classes=self.expected, outputs=self.outputs)

    @property
    def scores(self) -> Key | None:
        """The class scores' place in the graph."""
        return key_of(self.logits.values)

    @property
    def classes(self) -> int:
        """The number of classes the module scores, or of the values that it returns.

        Raises:
            ModelError: If its output is not one row of class scores per image.
        """
        return self.logits.values.shape[1]

    def maps(self, stride: int) -> list[tuple[LayerCall, MapShape]]:
        """Return the calls that return a map of the image, in order, and the maps' dimensions.

        Args:
            stride: The least side of a cell in px of the input.
        """
        grids: list[Grid] = []
        found: list[tuple[LayerCall, MapShape]] = []
        for call in self.calls:
            shape = self.map_shape(call.map, grids, stride)
            if shape is None or _is_attention_matrix(call, shape, self.calls):
                continue
            if shape.layout != "tokens":
                grids.append(shape.grid)
            found.append((call, shape))
        return found

    def map_shape(self, value: object, grids: list[Grid], stride: int) -> MapShape | None:
        """Return the dimensions of a value that is a map of the images, else ``None``."""
        if not isinstance(value, Tensor) or value.ndim == 0 or value.shape[0] != BATCH:
            return None
        if not all(isinstance(length, int) for length in value.shape):
            return None  # a nested tensor, whose images differ in size
        return map_shape(value.shape, self.size, grids, stride=stride, prefixes=self.prefixes)


def trace(module: nn.Module, size: Grid, channels: int = 3, *, graph: bool = False) -> Trace:
    """Return the record of one forward pass at an input size; the module stays unchanged.

    The pass runs on meta tensors, or on two photo-like pictures: the way of
    `effcam.models.tracing.runners` that is the quicker one, and if that fails the other.

    Args:
        module: Any module that takes (batch, channels, height, width) images.
        size: Height and width of the input in px.
        channels: The number of channels of the input.
        graph: Whether the tensors have a graph (``grad_fn``), which shows what depends on what,
            also where the pass calls ``detach()`` or runs under ``torch.no_grad()``.

    Raises:
        ModelError: If the module runs neither way.
    """
    errors: dict[Runner, Exception] = {}
    for way in runners(most_products(module, size)):
        try:
            return _run(module, size, channels, way, graph)
        except Exception as error:  # noqa: BLE001  # it may fail on meta tensors alone
            errors[way] = error
    cause = errors[run_on_pictures]
    if any(isinstance(each, VOLUMES) for each in module.modules()):
        raise ModelError(
            f"the model works on volumes or videos (it has layers as {_first_volume(module)}); "
            "effcam explains classifiers of single images, of shape (batch, channels, height, "
            "width)"
        ) from cause
    raise ModelError(
        f"the model does not run on a batch of {size[0]} x {size[1]} px "
        f"{CHANNELS.get(channels, f'{channels}-channel')} images{_where(module)}: "
        f"{reason_of(cause)}"
    ) from cause


def trace_cheaply(module: nn.Module, size: Grid, channels: int, products: float) -> Trace:
    """Return the record of a pass without a graph, if that takes about a second at most.

    Args:
        module: As in `trace`.
        size: As in `trace`.
        channels: As in `trace`.
        products: The number of products in a pass of an image of this size. Only a network of few
            runs on pictures.

    Raises:
        ModelError: If the module does not run at this size, or its pass takes long.
    """
    ways = runners(products) if products <= FEW_PRODUCTS else (run_on_meta,)
    for way in ways:
        try:
            return _run(module, size, channels, way, graph=False)
        except Exception as error:  # noqa: BLE001  # it may fail on meta tensors alone
            reason = error
    raise ModelError(f"the model cannot be traced: {reason_of(reason)}") from reason


def _where(module: nn.Module) -> str:
    """Return that a module's weights are on several devices, if they are, for a message."""
    devices = sorted({str(each.device) for each in chain(module.parameters(), module.buffers())})
    return f" (its weights are on {' and '.join(devices)})" if len(devices) > 1 else ""


def _first_volume(module: nn.Module) -> str:
    return next(type(each).__name__ for each in module.modules() if isinstance(each, VOLUMES))


def _run(module: nn.Module, size: Grid, channels: int, call: Runner, graph: bool) -> Trace:
    record = Trace(module, size, channels, _prefixes(module), graph=graph)
    linked = LinkedGraph() if graph else None
    with (
        untouched(module),
        _recording(module, record, linked),
        torch.inference_mode(False),
        torch.set_grad_enabled(graph),
        linked or nullcontext(),
        plain_pass(),
        IsolatedRandomness(),
    ):
        module.eval()
        images = torch.zeros(BATCH, channels, *size, device="meta", dtype=dtype_of(module))
        record.output = call(module, images)
    if linked is not None:
        record.joints = linked.joints
    return record


def _prefixes(module: nn.Module) -> tuple[int, ...]:
    """Return the numbers of prefix tokens to try, the attributes of timm's modules first."""
    own = (getattr(each, "num_prefix_tokens", None) for each in module.modules())
    return tuple(dict.fromkeys([*(each for each in own if isinstance(each, int)), *PREFIX_TOKENS]))


def _is_attention_matrix(call: LayerCall, shape: MapShape, calls: Sequence[LayerCall]) -> bool:
    """Return whether an output relates n tokens to each other, in each of several heads.

    It is (batch, heads, n, n) or (batch, n, n, heads), and returned within attention, by the
    softmax or what follows it.
    """
    if shape.layout == "tokens":
        return False
    if isinstance(call.module, nn.Softmax):
        return True
    rows, columns = shape.grid
    return rows == columns and any(
        _counts_tokens(tensor, rows, heads=shape.channels)
        for each in calls
        if (each is call or each.encloses(call)) and is_attention(each.name, each.module)
        for tensor in each.inputs
    )


def _counts_tokens(tensor: Tensor, count: int, heads: int) -> bool:
    """Return whether a tensor holds tokens: (batch, count, C), or by heads (B, heads, count, d)."""
    if tensor.ndim == 3:
        return tensor.shape[1] == count
    return tensor.ndim == 4 and tensor.shape[1:3] == (heads, count) and tensor.shape[3] != count


@contextmanager
def _recording(module: nn.Module, record: Trace, linked: LinkedGraph | None) -> Iterator[None]:
    """Record the calls of every submodule within the context, but for those in closed parts."""
    clock = count()
    running: list[LayerCall] = []
    turns: Counter[nn.Module] = Counter()
    names = open_layers(module)

    def begin(part: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        inputs = list(tensors((args, kwargs)))
        turns[part] += 1
        running.append(LayerCall(names[part], part, next(clock), inputs, turns[part] - 1))
        if linked is not None:
            linked.resume()

    def finish(_part: nn.Module, _args: tuple[Any, ...], output: object) -> None:
        call = running.pop()
        call.finish(next(clock), output)
        record.calls.append(call)

    handles = []
    try:
        for part in names:
            # TorchScript's own methods refuse, and yet the hooks of its outermost module run.
            pre_hook = nn.Module.register_forward_pre_hook(part, begin, with_kwargs=True)
            handles.append(pre_hook)
            handles.append(nn.Module.register_forward_hook(part, finish))
        yield
    finally:
        for handle in handles:
            handle.remove()

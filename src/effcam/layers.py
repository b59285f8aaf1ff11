"""Which layer to look at: the features that enter the head, found by tracing shapes.

One forward pass on meta tensors, which hold shapes but no numbers, records what every submodule
takes and gives. From that record the target layer follows by one rule for all architectures:
*the last spatial map before pooling*. No table of names is involved.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from effcam.borrow import untouched
from effcam.errors import LayerError, ModelError, did_you_mean

Layout: TypeAlias = Literal["NCHW", "NHWC", "tokens"]
Grid: TypeAlias = tuple[int, int]

BATCH = 2
STRIDE = 2
PREFIX_TOKENS = (0, 1, 2, 5, 3, 4, 9)
PASSIVE = (
    nn.Identity,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool1d,
    nn.AdaptiveMaxPool2d,
)
PASSIVE_NAMES = ("DropPath", "StochasticDepth", "DropBlock2d", "Dropout")
HEAD_NAMES = ("head", "classif", "fc", "logit")


@dataclass(frozen=True, slots=True)
class Spatial:
    """How a tensor lies over the image.

    Attributes:
        layout: The order of its dimensions.
        grid: Rows and columns of cells.
        channels: The number of channels.
    """

    layout: Layout
    grid: Grid
    channels: int


@dataclass(frozen=True, slots=True)
class TargetLayer:
    """A layer to look at, and how its output lies.

    Attributes:
        name: Its dotted name in the module.
        layout: The order of its output's dimensions.
        grid: Rows and columns of its map at the traced input size.
        channels: The number of its channels.
        reason: Why it was chosen.
        turn: Which of its calls in a forward pass gives the map, from 0; an activation may be
            called in several places.
    """

    name: str
    layout: Layout
    grid: Grid
    channels: int
    reason: str
    turn: int = 0


@dataclass(eq=False, slots=True)
class Call:
    """One call of one submodule during a trace."""

    name: str
    module: nn.Module
    start: int
    inputs: list[Tensor]
    turn: int
    end: int = -1
    output: object = None
    version: int = 0

    def encloses(self, other: Call) -> bool:
        """Tells whether the other call began and ended inside this one."""
        return self.start < other.start and other.end < self.end


@dataclass(slots=True)
class Trace:
    """What one forward pass did: every submodule's call, and the module's own output.

    Attributes:
        size: Height and width of the input in px.
        calls: The finished calls in the order in which they ended.
        output: What the module returned. All tensors are kept, so that their ids stay unique.
    """

    size: Grid
    calls: list[Call] = field(default_factory=list)
    output: object = None

    @property
    def classes(self) -> int:
        """The number of classes the module scores.

        Raises:
            ModelError: If its output is not one row of class scores an image.
        """
        output = self.output
        if isinstance(output, Tensor) and output.ndim == 2 and output.shape[0] == BATCH:
            return output.shape[1]
        raise ModelError(
            "expected a classifier, which returns one row of class scores an image, (batch, "
            f"classes); this model returns {_describe(output)}"
        )

    def maps(self, stride: int = STRIDE) -> list[tuple[Call, Spatial]]:
        """Returns the calls that return a map of the image, in order.

        Args:
            stride: How many px of the input a cell spans at least in each direction.
        """
        grids: list[Grid] = []
        found: list[tuple[Call, Spatial]] = []
        for call in self.calls:
            spatial = _spatial(call.output, self.size, grids, stride)
            if spatial is None:
                continue
            if spatial.layout != "tokens":
                grids.append(spatial.grid)
            found.append((call, spatial))
        return found

    def features(self, stride: int = STRIDE) -> list[tuple[Call, Spatial]]:
        """Returns those of `maps` that are not made inside of pooling."""
        found = self.maps(stride)
        grids = [spatial.grid for _, spatial in found if spatial.layout != "tokens"]
        pooling = [call for call in self.calls if self._pools(call, found, grids, stride)]
        return [
            (call, spatial)
            for call, spatial in found
            if not any(pool.encloses(call) for pool in pooling)
        ]

    def _pools(
        self, call: Call, found: list[tuple[Call, Spatial]], grids: list[Grid], stride: int
    ) -> bool:
        """Tells whether a call takes a map, gives none, and makes no coarser one on the way.

        A container that goes on to coarser maps is a body and a head in one, and no pooling.
        """
        taken = [_spatial(each, self.size, grids, stride) for each in call.inputs]
        sizes = [math.prod(spatial.grid) for spatial in taken if spatial]
        given = [_spatial(each, self.size, grids, stride) for each in _tensors(call.output)]
        if not sizes or any(given):
            return False
        return not any(
            math.prod(spatial.grid) < min(sizes)
            for inner, spatial in found
            if spatial.layout == "NCHW" and call.encloses(inner)
        )


def trace(module: nn.Module, size: Grid) -> Trace:
    """Returns the record of one forward pass at an input size, the module left as it was.

    The pass runs on meta tensors; a module that cannot run on them (one that reads numbers, or
    keeps plain tensors outside of its buffers) runs for real, on two black images.

    Args:
        module: Any module that takes (batch, 3, height, width) images.
        size: Height and width of the input in px.

    Raises:
        ModelError: If the module runs neither way.
    """
    try:
        return _run(module, size, _call_on_meta)
    except Exception:  # noqa: BLE001  # what stops it on meta tensors may not stop it for real
        try:
            return _run(module, size, _call_for_real)
        except Exception as error:
            raise ModelError(
                f"the model does not run on a batch of {size[0]} x {size[1]} px RGB images: {error}"
            ) from error


def find_target_layer(record: Trace) -> TargetLayer:
    """Returns the layer whose output is the last map before pooling.

    Raises:
        LayerError: If no layer gives a map, or the last one is a transformer's, whose maps are
            not yet supported.
    """
    groups = _group(record, STRIDE) or _group(record, 1)
    if not groups:
        raise LayerError(
            f"no layer of the model gives a map of a {record.size[0]} x {record.size[1]} px image "
            "before its head; a class activation map needs one"
        )
    call, spatial = groups[-1]
    return _supported(call, spatial, "features entering the head")


def _group(record: Trace, stride: int) -> list[tuple[Call, Spatial]]:
    """Returns the last call on each tensor that is a feature map, in order."""
    classes = record.classes
    groups: dict[tuple[int, int], tuple[Call, Spatial]] = {}
    for call, spatial in record.features(stride):
        if not _is_passive(call.module) and not _is_dense_head(call, spatial, classes):
            key = id(call.output), call.version
            # Later calls on the same tensor take the group over, and bring it to the end.
            groups.pop(key, None)
            groups[key] = call, spatial
    return list(groups.values())


def check_target_layer(record: Trace, name: str) -> TargetLayer:
    """Returns the layer of that name, if its output is a map.

    Raises:
        LayerError: If there is no such layer, it is not used, or its output is not a map.
    """
    maps = {call.name: (call, spatial) for call, spatial in record.maps(stride=1)}
    if name in maps:
        call, spatial = maps[name]
        return _supported(call, spatial, "chosen by the caller")
    calls = {call.name: call for call in record.calls}
    usable = ", ".join(
        f"{other} ({spatial.channels} channels, {spatial.grid[0]} x {spatial.grid[1]})"
        for other, (_, spatial) in list(maps.items())[-3:]
    )
    advice = f"The last layers that give maps are {usable}." if usable else "No layer gives a map."
    if name not in calls:
        raise LayerError(
            f"the model uses no layer called {name!r}.{did_you_mean(name, calls)} {advice}"
        )
    raise LayerError(
        f"layer {name!r} gives no map of the image, it returns "
        f"{_describe(calls[name].output)}. {advice}"
    )


def _supported(call: Call, spatial: Spatial, reason: str) -> TargetLayer:
    if spatial.layout != "NCHW":
        raise LayerError(
            f"the features entering the head, at layer {call.name!r}, are a transformer's "
            f"({spatial.layout}, {_describe(call.output)}): transformers are not yet supported, "
            "only maps of shape (batch, channels, height, width)"
        )
    return TargetLayer(call.name, spatial.layout, spatial.grid, spatial.channels, reason, call.turn)


def _run(module: nn.Module, size: Grid, call: Callable[[nn.Module, Grid], object]) -> Trace:
    record = Trace(size)
    with (
        untouched(module),
        _recording(module, record),
        torch.inference_mode(False),
        torch.no_grad(),
    ):
        module.eval()
        record.output = call(module, size)
    return record


def _call_on_meta(module: nn.Module, size: Grid) -> object:
    tensors = {
        name: tensor.to("meta")
        for name, tensor in (*module.named_parameters(), *module.named_buffers())
    }
    images = torch.empty(BATCH, 3, *size, device="meta")
    return torch.func.functional_call(module, tensors, (images.to(_dtype(module)),))


def _call_for_real(module: nn.Module, size: Grid) -> object:
    device = next((each.device for each in module.parameters()), torch.device("cpu"))
    return module(torch.zeros(BATCH, 3, *size, device=device, dtype=_dtype(module)))


def _dtype(module: nn.Module) -> torch.dtype:
    floating = (each.dtype for each in module.parameters() if each.is_floating_point())
    return next(floating, torch.float32)


@contextmanager
def _recording(module: nn.Module, record: Trace) -> Iterator[None]:
    """Hooks every submodule so that its calls land in the record, and unhooks them after."""
    clock = iter(range(1 << 62))
    running: list[Call] = []
    turns: Counter[nn.Module] = Counter()
    names = {each: name for name, each in module.named_modules() if name}

    def begin(part: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        inputs = list(_tensors((args, kwargs)))
        turns[part] += 1
        running.append(Call(names[part], part, next(clock), inputs, turns[part] - 1))

    def finish(_part: nn.Module, _args: tuple[Any, ...], output: object) -> None:
        call = running.pop()
        call.end, call.output = next(clock), output
        call.version = output._version if isinstance(output, Tensor) else 0
        record.calls.append(call)

    handles = []
    try:
        for part in names:
            handles.append(part.register_forward_pre_hook(begin, with_kwargs=True))
            handles.append(part.register_forward_hook(finish))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _tensors(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _tensors(each)


def _spatial(value: object, size: Grid, grids: list[Grid], stride: int) -> Spatial | None:
    """Returns how a tensor lies over an image of ``size``, ``None`` if it is no map of it."""
    if not isinstance(value, Tensor) or value.ndim not in (3, 4) or value.shape[0] != BATCH:
        return None
    if value.ndim == 4:
        _, first, second, third = value.shape
        if _is_grid((second, third), size, stride):
            return Spatial("NCHW", (second, third), first)
        if _is_grid((first, second), size, stride):
            return Spatial("NHWC", (first, second), third)
        return None
    _, count, channels = value.shape
    grid = _token_grid(count, size, grids, stride)
    return Spatial("tokens", grid, channels) if grid else None


def _is_grid(grid: Grid, size: Grid, stride: int) -> bool:
    """Tells whether a grid has several cells, at least that stride, and the image's aspect."""
    (rows, columns), (height, width) = grid, size
    if rows * columns < 2 or stride * rows > height or stride * columns > width:
        return False
    if height == width:
        return rows == columns
    # The grid of an image that is not square may be rounded up or down in either direction.
    return abs(rows * width - columns * height) <= max(height, width)


def _token_grid(count: int, size: Grid, grids: list[Grid], stride: int) -> Grid | None:
    for prefix in PREFIX_TOKENS:
        for grid in reversed(grids):
            if grid[0] * grid[1] == count - prefix:
                return grid
    for prefix in PREFIX_TOKENS:
        rows = round(math.sqrt(max(count - prefix, 0) * size[0] / size[1]))
        columns = (count - prefix) // rows if rows else 0
        if rows * columns == count - prefix and _is_grid((rows, columns), size, stride):
            return rows, columns
    return None


def _is_passive(module: nn.Module) -> bool:
    return isinstance(module, PASSIVE) or type(module).__name__ in PASSIVE_NAMES


def _is_dense_head(call: Call, spatial: Spatial, classes: int) -> bool:
    own = call.name.rpartition(".")[2].casefold()
    return (
        isinstance(call.module, nn.Linear | nn.Conv2d)
        and spatial.channels == classes
        and any(word in own for word in HEAD_NAMES)
    )


def _describe(value: object) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, list | tuple):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"

"""The cost of a forward pass: floating-point operations, and whether channels_last helps."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from effcam.models.tracing.cache import StructureCache
from effcam.models.tracing.isolation import exclusive, untouched
from effcam.models.tracing.map_layout import Grid
from effcam.models.tracing.plain_pass import plain_pass
from effcam.models.tracing.rng import IsolatedRandomness
from effcam.models.tracing.runners import dtype_of, most_products, runners
from effcam.models.tracing.trace import BATCH

CONVOLUTION = torch.ops.aten.convolution
CONVOLUTIONS = 0.05
"""The least share of convolutions in a pass for which channels_last is worth it."""


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a pass, and whether channels_last lowers it.

    Attributes:
        flops: The floating-point operations of one image's pass as torch counts them, two for
            each multiply-add of a convolution, a matrix product or attention; others are not
            counted. ``None`` where torch cannot count them.
        channels_last: Whether the module is faster with channels innermost in memory: it runs on
            such images (one that flattens maps by ``view`` does not), and has more convolutions
            than a transformer's patch embedding.
    """

    flops: int | None
    channels_last: bool


def find_cost(module: nn.Module, size: Grid, channels: int = 3) -> Cost:
    """Return the cost of a module's pass, found once for modules of one `fingerprint`.

    Args:
        module: Any module that takes (batch, channels, height, width) images; left as it was.
        size: Height and width of the input in px.
        channels: The number of channels of the input.
    """
    return COSTS.get(module, (size, channels), lambda: _find_cost(module, size, channels))


COSTS: StructureCache[Cost] = StructureCache()


def _find_cost(module: nn.Module, size: Grid, channels: int) -> Cost:
    ways = runners(most_products(module, size))
    for call, last in itertools.product(ways, (True, False)):
        counter = _Counter(channels_last=last)
        try:
            with (
                untouched(module),
                # torch has one flag for all threads that such a mode is active.
                exclusive([TorchDispatchMode]),
                torch.inference_mode(False),
                torch.no_grad(),
                plain_pass(),
                IsolatedRandomness(),
                counter,
            ):
                images = torch.zeros(BATCH, channels, *size, device="meta", dtype=dtype_of(module))
                call(module.eval(), images)
        except Exception:  # noqa: BLE001, S112  # the module may raise anything
            continue
        worth = counter.of_convolutions >= CONVOLUTIONS * counter.total
        return Cost(counter.total // BATCH, last and worth)
    return Cost(None, channels_last=False)


class _Counter(TorchDispatchMode):
    """Counts floating-point operations, by the formulas of torch's ``FlopCounterMode``.

    ``FlopCounterMode`` hooks every module of the process, also those of other threads.

    With ``channels_last``, convolutions return maps with channels innermost, as they do on such
    images. On meta tensors they would not, and a module that needs contiguous maps would not be
    found.
    """

    def __init__(self, *, channels_last: bool) -> None:
        """Start from zero."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0
        self.of_convolutions = 0
        self._channels_last = channels_last

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Leave torch's compiler out, which torch would import to switch it off here."""
        return False

    def __torch_dispatch__(
        self,
        func: Any,
        _types: object,
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        arguments = kwargs or {}
        operator = func.overloadpacket
        if operator not in flop_registry:
            with self:
                parts = func.decompose(*args, **arguments)
            return func(*args, **arguments) if parts is NotImplemented else parts
        output = func(*args, **arguments)
        count = flop_registry[operator](*args, **arguments, out_val=output)
        self.total += count
        if operator is CONVOLUTION:
            self.of_convolutions += count
            if self._channels_last and output.ndim == 4:
                return output.contiguous(memory_format=torch.channels_last)
        return output

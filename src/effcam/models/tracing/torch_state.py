"""Run networks apart from the global settings of torch that a caller chose for other work."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch

from effcam.models.tracing.isolation import exclusive

AUTOCASTS = ("cpu", "cuda", "mps", "xpu")


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The caller's settings that are replaced in this thread."""

    device: torch.device
    dtype: torch.dtype


class _Replaced(threading.local):
    chosen: _Chosen | None = None


_replaced = _Replaced()


@contextmanager
def plain_torch(*, device: str = "cpu") -> Iterator[None]:
    """Give torch its default settings within the context, and restore the caller's afterwards.

    There is no autocast and no inference mode, and new tensors are float32 and on the CPU. In the
    usual case nothing has to change, and nothing is changed.

    The default dtype belongs to the whole process. If it has to change, other threads get float32
    too, and other threads that enter such a context wait.

    Args:
        device: Where new tensors are made.
    """
    with ExitStack() as stack:
        for kind in AUTOCASTS:
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        chosen = _Chosen(torch.get_default_device(), torch.get_default_dtype())
        if chosen.device != torch.device(device):
            stack.enter_context(torch.device(device))
        if chosen.dtype != torch.float32:
            stack.enter_context(_default_dtype(torch.float32))
        before = _replaced.chosen
        _replaced.chosen = before or chosen
        try:
            yield
        finally:
            _replaced.chosen = before


@contextmanager
def as_chosen(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """Within `plain_torch`, give a network the caller's defaults if they are those of its tensors.

    A network of float64 on a GPU may have been written for these defaults.

    Args:
        device: The device of the network.
        dtype: The floating-point type of the network.
    """
    chosen = _replaced.chosen
    with ExitStack() as stack:
        if chosen is not None and chosen.device.type == device.type != "cpu":
            stack.enter_context(chosen.device)
        if chosen is not None and chosen.dtype == dtype != torch.float32:
            stack.enter_context(_default_dtype(dtype))
        yield


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    with exclusive([torch.set_default_dtype]):
        before = torch.get_default_dtype()
        torch.set_default_dtype(dtype)
        try:
            yield
        finally:
            torch.set_default_dtype(before)

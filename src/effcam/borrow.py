"""Somebody else's module, used and given back as it was found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from torch import nn

Contents: TypeAlias = tuple[dict[str, Any], dict[str, dict[str, Any]]]

TABLES = ("_parameters", "_buffers", "_modules")


@contextmanager
def untouched(module: nn.Module) -> Iterator[None]:
    """Freezes a module for the time being, and brings it back as it was, whatever happens.

    What comes back: training modes, ``requires_grad``, every attribute that was set or replaced,
    the values of buffers, and torch's random state. ``.grad`` and hooks are for who borrows it to
    leave alone.
    """
    import torch

    found = {each: _contents(each) for each in module.modules()}
    wanted = {each: each.requires_grad for each in module.parameters()}
    buffers = [(each, each.detach().clone(), each._version) for each in module.buffers()]
    devices = sorted({each.device.index for each in wanted if each.device.type == "cuda"})
    with torch.random.fork_rng(devices=devices):
        try:
            module.requires_grad_(False)
            yield
        finally:
            for each, contents in found.items():
                _put_back(each, contents)
            for parameter, requires_grad in wanted.items():
                parameter.requires_grad_(requires_grad)
            with torch.no_grad():
                for buffer, value, version in buffers:
                    # Writing to a buffer would break a graph of the caller's that holds it.
                    if buffer._version != version:
                        buffer.copy_(value)


def _contents(module: nn.Module) -> Contents:
    """Returns shallow copies of a module's attributes and of its tables of tensors and modules."""
    return dict(module.__dict__), {name: dict(module.__dict__[name]) for name in TABLES}


def _put_back(
    module: nn.Module, contents: tuple[dict[str, Any], dict[str, dict[str, Any]]]
) -> None:
    attributes, tables = contents
    module.__dict__.clear()
    module.__dict__.update(attributes)
    for name, table in tables.items():
        module.__dict__[name].clear()
        module.__dict__[name].update(table)

"""Keep the random numbers that networks draw apart from those of the process."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from effcam.models.tracing.isolation import exclusive

SEED = 0
_generators_in_use = threading.Lock()
"""Held while a generator is read or set: torch locks it meanwhile, and a process that is forked
then would wait for it without end."""


class IsolatedRandomness:
    """Let a network draw the same random numbers each time, and restore torch's generators.

    Each instance begins at one seed. If it is entered again, its numbers go on where they were.
    Threads that enter such contexts wait for each other, since the generators belong to the whole
    process.

    >>> with IsolatedRandomness():
    ...     first = torch.rand(2)
    >>> with IsolatedRandomness():
    ...     torch.equal(torch.rand(2), first)
    True
    """

    def __init__(self) -> None:
        """Begin at the seed."""
        self._own: dict[torch.Generator, Tensor] = {}
        self._outer: dict[torch.Generator, Tensor] = {}
        self._turn: Any = None
        self._draws = True

    def __enter__(self) -> IsolatedRandomness:
        """Replace the state of the generators."""
        self._turn = exclusive([torch.default_generator])
        self._turn.__enter__()
        self._outer = _states()
        with _generators_in_use:
            for generator in self._outer:
                if generator in self._own:
                    generator.set_state(self._own[generator])
                else:
                    generator.manual_seed(SEED)
        return self

    def __exit__(self, *raised: object) -> None:
        """Restore the state of the generators."""
        self._own = _states()
        with _generators_in_use:
            for generator, state in self._outer.items():
                generator.set_state(state)
        self._turn.__exit__(*raised)

    @contextmanager
    def if_needed(self) -> Iterator[None]:
        """Enter, unless nothing was drawn the first time: then other threads need not wait."""
        if not self._draws:
            yield
            return
        with self:
            before = _states()
            yield
            after = _states()
        self._draws = any(not torch.equal(before[each], after[each]) for each in before)


def _states() -> dict[torch.Generator, Tensor]:
    """Return the state of torch's generators: the CPU's, and those of GPUs in use."""
    cuda = torch.cuda.default_generators if torch.cuda.is_initialized() else ()
    with _generators_in_use:
        return {each: each.get_state() for each in (torch.default_generator, *cuda)}


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(
        before=_generators_in_use.acquire,
        after_in_parent=_generators_in_use.release,
        after_in_child=_generators_in_use.release,
    )

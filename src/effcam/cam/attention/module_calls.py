"""Record the calls of modules in a pass, and which of them run around attention."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, TypeAlias

from torch import Tensor, nn

from effcam.models.tracing.closed_parts import open_layers
from effcam.models.tracing.logits import first_tensor

if TYPE_CHECKING:
    from effcam.cam.attention.recording import Attention

Place: TypeAlias = tuple[str, int]
"""A module's dotted name, and the index of its call in a pass."""


@dataclass(eq=False, slots=True)
class ModuleCall:
    """One call of a module.

    Attributes:
        place: Which one.
        module: The module.
        start: When it began; the clock counts beginnings and ends.
        end: When it ended.
        args: Its arguments.
        kwargs: Its named arguments.
        output: What it returned.
        versions: How often its first input and its output had been changed in place.
        attention: The attentions that ran in it.
    """

    place: Place
    module: nn.Module
    start: int
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    end: int = -1
    output: Any = None
    versions: tuple[int, int] = (0, 0)
    attention: list[Attention] = field(default_factory=list)

    @property
    def taken(self) -> Tensor | None:
        """Its first argument, if that is a tensor."""
        return self.args[0] if self.args and isinstance(self.args[0], Tensor) else None

    @property
    def made(self) -> Tensor | None:
        """The tensor that it returned, the first of several."""
        return first_tensor(self.output)

    @property
    def is_unchanged(self) -> bool:
        """Whether its first input and its output are still what they were at its end."""
        return self.versions == (_version(self.taken), _version(self.made))

    def finish(self, end: int, output: object) -> None:
        """Record its end."""
        self.end, self.output = end, output
        self.versions = _version(self.taken), _version(self.made)

    def encloses(self, other: ModuleCall) -> bool:
        """Return whether the other call began and ended inside this one."""
        return self.start < other.start and other.end < self.end


def _version(tensor: Tensor | None) -> int:
    return 0 if tensor is None or tensor.is_inference() else tensor._version


class Calls:
    """The calls of modules in a pass.

    Attributes:
        done: The calls that ended, in that order.
        running: Those that began and did not end.
    """

    def __init__(self) -> None:
        """Begin without calls."""
        self.done: list[ModuleCall] = []
        self.running: list[ModuleCall] = []
        self.clock = count()


@contextmanager
def recording_calls(module: nn.Module, names: Collection[str] | None = None) -> Iterator[Calls]:
    """Record the calls of submodules within the context.

    Args:
        module: The module.
        names: Those to record; ``None`` for all, but for those in closed parts.
    """
    calls, turns = Calls(), Counter[str]()
    known = open_layers(module)
    wanted = {each: name for each, name in known.items() if names is None or name in names}

    def begin(part: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        name = wanted[part]
        place = name, turns[name]
        turns[name] += 1
        calls.running.append(ModuleCall(place, part, next(calls.clock), args, dict(kwargs)))

    def finish(_part: nn.Module, _args: tuple[Any, ...], output: object) -> None:
        call = calls.running.pop()
        call.finish(next(calls.clock), output)
        calls.done.append(call)

    handles = []
    try:
        for part in wanted:
            # TorchScript's own methods refuse, and yet the hooks of its outermost module run.
            handles.append(nn.Module.register_forward_pre_hook(part, begin, with_kwargs=True))
            handles.append(nn.Module.register_forward_hook(part, finish))
        yield calls
    finally:
        for handle in handles:
            handle.remove()

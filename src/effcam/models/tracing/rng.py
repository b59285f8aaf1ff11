"""Random numbers that networks draw while they are built or run, and none of the process's own.

torch's generators are the whole process's: to seed one and put it back would disturb whatever
another thread draws meanwhile. What is here holds in its own thread alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

SEEDABLE: frozenset[Callable[..., Any]] = frozenset(
    [
        *(torch.rand, torch.randn, torch.randint, torch.randperm, torch.normal, torch.bernoulli),
        *(torch.multinomial, torch.poisson, torch.binomial),
        *(Tensor.uniform_, Tensor.normal_, Tensor.random_, Tensor.exponential_, Tensor.geometric_),
        *(Tensor.log_normal_, Tensor.cauchy_, Tensor.bernoulli, Tensor.bernoulli_),
        *(Tensor.multinomial, nn.init.uniform_, nn.init.normal_, nn.init.kaiming_uniform_),
    ]
)
"""What draws random numbers, and takes the generator to draw them from."""

UNSEEDABLE: frozenset[Callable[..., Any]] = frozenset(
    [functional.alpha_dropout, functional.feature_alpha_dropout, functional.gumbel_softmax]
)
"""What draws random numbers, and takes no generator; few networks do so but for training."""


class OwnDraws(TorchFunctionMode):
    """Lets a network draw random numbers that start anew, whatever else the process draws.

    They are the same each time, and the process's generators stay as they are. If the network
    seeds these, its own numbers follow, and the process's are put back in the end. What is
    `UNSEEDABLE` has the process's generators for one call. Not seen is what compiled or scripted
    code draws.

    >>> with OwnDraws():
    ...     first = torch.rand(2)
    >>> with OwnDraws():
    ...     torch.equal(torch.rand(2), first)
    True
    """

    def __init__(self) -> None:
        """Make generators when they are needed, one a device."""
        super().__init__()
        self._seed = 0
        self._generators: dict[torch.device, torch.Generator] = {}
        self._found: list[tuple[torch.Generator, Tensor]] = []
        self._last = torch.empty(0)
        self._seeded = False
        self._needed = True

    def __enter__(self) -> OwnDraws:
        """Begins; numbers go on where they were if it is entered again."""
        self._seeded = False
        self._found = [(each, each.get_state()) for each in _shared()]
        self._last = self._found[0][1]
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *raised: Any) -> None:
        """End, and undoes that the network has seeded the process's generators."""
        super().__exit__(*raised)  # type: ignore[no-untyped-call]
        if self._seeds() or self._seeded:
            for generator, state in self._found:
                generator.set_state(state)

    @contextmanager
    def if_needed(self) -> Iterator[None]:
        """Is the same context at its first time, and nothing later if nothing was drawn then.

        It costs a microsecond for each of torch's functions, which small networks would feel.
        """
        if not self._needed:
            yield
            return
        with self:
            yield
        self._needed = self._seeded or bool(self._generators)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        _types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        arguments = dict(kwargs or {})
        if func in SEEDABLE:
            if arguments.get("generator") is None:
                arguments["generator"] = self._generator(args, arguments)
        elif func in REWRITTEN:
            generator = partial(self._generator, args, arguments)
            return REWRITTEN[func](generator, *args, **arguments)
        elif func in UNSEEDABLE and arguments.get("training", True):
            return self._lend(func, args, arguments)
        return func(*args, **arguments)

    def _generator(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> torch.Generator:
        """Return the generator for the device on which a function will draw."""
        if self._seeds():
            self._generators.clear()
        tensors = (each for each in (*args, *kwargs.values()) if isinstance(each, Tensor))
        tensor = next(tensors, None)
        device = kwargs.get("device") if tensor is None else tensor.device
        place = torch.get_default_device() if device is None else torch.device(device)
        # What is meta has no numbers, and no generator either.
        place = torch.device("cpu") if place.type == "meta" else place
        if place not in self._generators:
            self._generators[place] = torch.Generator(place).manual_seed(self._seed)
        return self._generators[place]

    def _seeds(self) -> bool:
        """Tells, and notes, whether torch was seeded since this was last asked.

        Its generator then stands at the beginning: what runs in this context does not draw from
        it, as other threads do.
        """
        state, seed = torch.get_rng_state(), torch.initial_seed()
        if torch.equal(state, self._last):
            return False
        if not torch.equal(state, torch.Generator().manual_seed(seed).get_state()):
            return False
        self._seeded, self._seed, self._last = True, seed, state
        return True

    def _lend(
        self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """Call a function while the process's generators stand where the own one does."""
        own = self._generator(args, kwargs)
        devices = [own.device.index or 0] if own.device.type == "cuda" else []
        shared = torch.cuda.default_generators[devices[0]] if devices else torch.default_generator
        with torch.random.fork_rng(devices):
            shared.set_state(own.get_state())
            result = func(*args, **kwargs)
            own.set_state(shared.get_state())
        return result


def _shared() -> list[torch.Generator]:
    """Return the generators of the process: the processor's, and those of GPUs in use."""
    return [
        torch.default_generator,
        *(torch.cuda.default_generators if torch.cuda.is_initialized() else ()),
    ]


def _dropout(  # noqa: PLR0917  # torch's own order
    noise: Callable[[Tensor], Tensor],
    generator: Callable[[], torch.Generator],
    input: Tensor,  # noqa: A002  # torch's name, by which it may be given
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
) -> Tensor:
    """Do as torch's dropouts do; ``noise`` gives an empty tensor for the numbers to draw."""
    if not training or p == 0:
        return input
    kept = noise(input.detach()).bernoulli_(1 - p, generator=generator())
    # Of probability 1 nothing is left, where a division would leave 0 / 0.
    kept = kept / (1 - p) if p < 1 else kept
    return input.mul_(kept) if inplace else input * kept


def _one_a_map(dimensions: int, maps: Tensor) -> Tensor:
    """Return an empty tensor for one number a map, be there a batch or not."""
    return maps.new_empty(*maps.shape[: maps.ndim - dimensions], *(1,) * dimensions)


def _like(
    draw: Callable[..., Tensor],
    generator: Callable[[], torch.Generator],
    input: Tensor,  # noqa: A002  # likewise
    **options: Any,
) -> Tensor:
    return draw(torch.empty_like(input, **options), generator=generator())


REWRITTEN: Mapping[Callable[..., Any], Callable[..., Tensor]] = {
    functional.dropout: partial(_dropout, torch.empty_like),
    functional.dropout1d: partial(_dropout, partial(_one_a_map, 1)),
    functional.dropout2d: partial(_dropout, partial(_one_a_map, 2)),
    functional.dropout3d: partial(_dropout, partial(_one_a_map, 3)),
    torch.rand_like: partial(_like, Tensor.uniform_),
    torch.randn_like: partial(_like, Tensor.normal_),
}
"""What draws random numbers and takes no generator, or not in each release of torch, with one."""

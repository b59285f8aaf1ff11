"""When to show a network during its training."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from numbers import Real

from effcam.errors import ArgumentError, check_number

SHARE = 0.01
"""The share of the training's time that showing may take, unless the caller chooses."""


class Pace:
    """Decide at which epochs or steps of a training to show the network.

    The first and the last epoch are always shown. Between them are those of the interval that the
    caller chose; without one, as many as fit into a share of the training's time, evenly spaced.
    The time of an epoch and the time of showing are measured as the training runs.
    """

    def __init__(
        self,
        *,
        every_n_epochs: int | None = None,
        every_n_steps: int | None = None,
        share: float | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Check the interval.

        Args:
            every_n_epochs: Show the first epoch and each n-th one after it.
            every_n_steps: Show each n-th step, instead of epochs.
            share: How much longer a training may get by showing, as a share of its time; ``None``
                is 0.01. Only without an interval.
            clock: Returns the time in s.

        Raises:
            ArgumentError: If a value is impossible, or more than one is given.
        """
        given = {
            name: value
            for name, value in (
                ("every_n_epochs", every_n_epochs),
                ("every_n_steps", every_n_steps),
                ("share", share),
            )
            if value is not None
        }
        if len(given) > 1:
            raise ArgumentError(
                f"{' and '.join(given)} exclude each other: each decides when to show the network"
            )
        self._epochs, self._steps = (
            None if value is None else check_number(name, value)
            for name, value in (
                ("every_n_epochs", every_n_epochs),
                ("every_n_steps", every_n_steps),
            )
        )
        self._share = SHARE if share is None else _check_share(share)
        self._clock = clock
        self.begin()

    def begin(self) -> None:
        """Start the clock of a training."""
        self._start = self._clock()
        self.spent = 0.0
        self.gap: int | None = None
        self._first: int | None = None
        self._next: float = -math.inf
        self._passed = 0
        self._cost = self._closing = 0.0

    @property
    def trained(self) -> float:
        """The time of the training itself so far, without that of showing, in s."""
        return self._clock() - self._start - self.spent

    @property
    def counts_steps(self) -> bool:
        """Whether steps decide, not epochs."""
        return self._steps is not None

    @property
    def is_planned(self) -> bool:
        """Whether the time decides, and not an interval of the caller's."""
        return self._epochs is None and self._steps is None

    def step_is_due(self, step: int) -> bool:
        """Return whether to show the network after an optimiser step.

        Args:
            step: How many steps were done.
        """
        return self._steps is not None and step > 0 and step % self._steps == 0

    def epoch_is_due(self, epoch: int, epochs: int | None = None) -> bool:
        """Return whether to show the network at the end of an epoch.

        Args:
            epoch: The epoch, from 0.
            epochs: How many epochs there will be; ``None`` if it is not known.
        """
        if self._steps is not None:
            return False
        if self._first is None:
            self._first = epoch
        self._passed = epoch - self._first + 1
        if epoch == self._first or (epochs is not None and epoch + 1 >= epochs):
            return True
        if self._epochs is not None:
            return epoch % self._epochs == 0
        return epoch >= self._next and self._room(epochs) >= 0

    def plan(self, epoch: int, epochs: int | None, cost: float, closing: float) -> bool:
        """Choose the next epoch to show, and return whether the interval has changed.

        Args:
            epoch: The epoch that was shown, from 0.
            epochs: How many epochs there will be; ``None`` if it is not known.
            cost: How long it takes to show the network once, in s.
            closing: How long it will take to write the results at the end, in s.
        """
        # The last epoch is shown in any case, so that its time is set aside too.
        self._cost, self._closing = cost, closing + cost
        each = self._share * self.trained / max(self._passed, 1)
        remaining = math.inf if epochs is None else epochs - 1 - epoch
        if epochs is None:
            gap = math.ceil(cost / each) if each > 0 else 1
        else:
            gap = self._spread(epochs - 1 - epoch, self._room(epochs))
        before = self.gap
        # Measured times vary: keep an interval while it is about right.
        is_wide = before is not None and 2 * gap <= before and remaining > 2 * before
        self.gap = gap if before is None or gap > before or is_wide else before
        self._next = epoch + self.gap
        return self.gap != before

    def _spread(self, remaining: int, room: float) -> int:
        """Return the interval at which as many showings fit as there is time for."""
        more = max(int(room // self._cost) + 1, 0) if self._cost > 0 else remaining
        return max(math.ceil(remaining / (more + 1)), 1)

    def _room(self, epochs: int | None) -> float:
        """Return the time in s that is left for more than the next showing and the end."""
        first = self._first or 0
        total = self._passed if epochs is None else epochs - first
        allowed = self._share * self.trained / max(self._passed, 1) * total
        return allowed - self.spent - self._cost - (0.0 if epochs is None else self._closing)


def _check_share(share: object) -> float:
    """Return a share of time.

    Raises:
        ArgumentError: If it is none.
    """
    if isinstance(share, bool) or not isinstance(share, Real) or not 0 < float(share) <= 1:
        raise ArgumentError(f"share must be above 0 and at most 1, not {share!r}")
    return float(share)

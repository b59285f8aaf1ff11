"""Run one comparison at a time: the others wait in line, and each can be cancelled."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from effcam.app.limits import Limits
from effcam.cam.progress import watched
from effcam.errors import ArgumentError, EffcamError
from effcam.text import count

Result = TypeVar("Result")
logger = logging.getLogger("effcam.app")
UNEXPECTED = (
    "Something went wrong, and it was not expected. The program's log has the details: please "
    "report them."
)
OUT_OF_MEMORY = "The machine has too little memory for this: try fewer photos or a smaller model."


class CancelledError(Exception):
    """The visitor cancelled the comparison, or it took too long."""


class Ticket(Generic[Result]):
    """One comparison in the line, and how far it is.

    It is the `effcam.cam.progress.ProgressBar` of the comparison, in whose thread it raises
    `CancelledError` when it is cancelled.

    Attributes:
        visitor: The visitor.
        stage: What happens now, in words.
        done: The number of images done, over all models.
        total: The number of images over all models; 0 if not known yet.
        result: The result, ``None`` before the end and after an error.
        error: What went wrong, in words; empty if nothing did.
        started: Whether it is no longer waiting.
    """

    def __init__(self, visitor: str, work: Callable[[Ticket[Result]], Result]) -> None:
        self.visitor = visitor
        self.stage = "Starting"
        self.done, self.total = 0, 0
        self.result: Result | None = None
        self.error = ""
        self.started = False
        self._work = work
        self._ended, self._cancelled = threading.Event(), threading.Event()
        self._late = float("inf")

    @property
    def ended(self) -> bool:
        """Whether there is a result or an error."""
        return self._ended.is_set()

    @property
    def cancelled(self) -> bool:
        """Whether it was cancelled; it may still have to finish a step."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """End it at its next step, or before it starts."""
        self._cancelled.set()

    def start(self, total: int) -> Ticket[Result]:
        """Take a number of images as the total; for `effcam.cam.progress.watched`."""
        self.done, self.total = 0, total
        return self

    def update(self, n: int) -> None:
        """Count more images as done.

        Raises:
            CancelledError: If the comparison is cancelled, or late.
        """
        self.done += n
        self.check()

    def set_description(self, desc: str) -> None:
        """Show what happens now.

        Raises:
            CancelledError: If the comparison is cancelled, or late.
        """
        self.stage = desc
        self.check()

    def check(self) -> None:
        """End here if it is cancelled or late.

        Raises:
            CancelledError: If so.
        """
        if self.cancelled:
            raise CancelledError("Cancelled.")
        if time.monotonic() > self._late:
            raise CancelledError(
                "This took longer than the page allows: try fewer photos, smaller models or a "
                "faster method."
            )

    def run(self, seconds: float) -> None:
        """Do the work in this thread, and keep its result or its error.

        Args:
            seconds: How long it may take, in s.
        """
        self.started = True
        self._late = time.monotonic() + seconds
        try:
            self.check()
            with watched(self.start):
                self.result = self._work(self)
        except (EffcamError, CancelledError) as error:
            self.error = str(error)
        except MemoryError:
            self.error = OUT_OF_MEMORY
        except Exception:
            logger.exception("a comparison of the live page failed")
            self.error = UNEXPECTED
        finally:
            self._ended.set()


class Worker(Generic[Result]):
    """The line of comparisons, of which one runs at a time."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="effcam-app")
        self._line: list[Ticket[Result]] = []
        self._lock = threading.Lock()

    def submit(self, visitor: str, work: Callable[[Ticket[Result]], Result]) -> Ticket[Result]:
        """Put a comparison at the end of the line; an earlier one of the visitor is cancelled.

        Raises:
            ArgumentError: If the line is full.
        """
        self.cancel(visitor)
        ticket = Ticket(visitor, work)
        with self._lock:
            waiting = self._waiting()
            # One that is cancelled, and has to finish a step, takes no place.
            if sum(not each.cancelled for each in waiting) > self._limits.waiting:
                raise ArgumentError(
                    f"the line is full, with {count(self._limits.waiting, 'comparison')} of other "
                    "visitors: please try again in a minute"
                )
            self._line = [*waiting, ticket]
        self._threads.submit(ticket.run, self._limits.seconds)
        return ticket

    def ahead(self, ticket: Ticket[Result]) -> int:
        """Return how many comparisons come before one that waits."""
        with self._lock:
            line = self._waiting()
        return line.index(ticket) if ticket in line else 0

    def cancel(self, visitor: str) -> bool:
        """Cancel the comparisons of a visitor, and return whether there were any."""
        with self._lock:
            mine = [each for each in self._waiting() if each.visitor == visitor]
        for each in mine:
            each.cancel()
        return bool(mine)

    def close(self) -> None:
        """Cancel everything, and wait for the step that runs."""
        with self._lock:
            line = self._waiting()
        for each in line:
            each.cancel()
        self._threads.shutdown()

    def _waiting(self) -> list[Ticket[Result]]:
        """Return the comparisons that have not ended, the one that runs first.

        One that was cancelled while it waited has only to be passed over.
        """
        return [
            each for each in self._line if not each.ended and (each.started or not each.cancelled)
        ]

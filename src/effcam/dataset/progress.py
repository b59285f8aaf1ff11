"""The progress of a run: one line on a terminal, elsewhere a line every half minute."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from effcam.cam.progress import is_watched, say, shown_bar

if TYPE_CHECKING:
    from effcam.cam.progress import ShownBar

EVERY = 30.0
"""Seconds between two lines without a terminal."""
STOPPING = "finishing the current shard; press Ctrl-C again to stop at once"


class RunProgress:
    """Shows the progress of a run: its speed, the time left, and the number of bad images."""

    def __init__(self, total: int, *, done: int = 0, shown: bool | None) -> None:
        """Start the clock.

        Args:
            total: The number of images of the run, counted once per model.
            done: How many of them an earlier call has run.
            shown: Whether to show anything; ``None`` is yes.
        """
        self._total, self._done, self._bad = total, done, 0
        self._earlier = done
        self._begin = self._printed = time.monotonic()
        self._shown = shown is not False
        self._bar: ShownBar | None = None
        if self._shown and is_watched():
            self._bar = shown_bar(total, done)

    def __enter__(self) -> RunProgress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def name(self, what: str) -> None:
        """Show the current activity."""
        if self._bar is not None:
            self._bar.set_description(what)

    def advance(self, images: int) -> None:
        """Count images that are done."""
        self._done += images
        if self._bar is not None:
            self._bar.update(images)
        elif self._shown and time.monotonic() - self._printed >= EVERY:
            self._printed = time.monotonic()
            print(f"effcam: {self}", file=sys.stderr, flush=True)  # noqa: T201  # progress, not output

    def bad(self, images: int) -> None:
        """Set the number of images that could not be read so far."""
        self._bad = images
        if self._bar is not None and images:
            self._bar.set_postfix_str(f"{images} bad")

    def say(self, text: str) -> None:
        """Print a message."""
        if self._shown:
            say(f"effcam: {text}")

    def __str__(self) -> str:
        seconds = max(time.monotonic() - self._begin, 1e-9)
        rate = (self._done - self._earlier) / seconds
        left = f", {duration((self._total - self._done) / rate)} left" if rate > 0 else ""
        share = 100 * self._done / max(self._total, 1)
        return (
            f"{self._done:,} of {self._total:,} images ({share:.1f} %), {rate:.1f} images/s{left}, "
            f"{self._bad:,} bad"
        )


def duration(seconds: float) -> str:
    """Return a time in words.

    >>> duration(42), duration(200), duration(9000), duration(300000)
    ('42 s', '3 min', '2 h 30 min', '3 days 11 h')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    days, hours = divmod(hours, 24)
    return f"{days} days {hours} h"


@contextmanager
def finishing(say: Callable[[str], None]) -> Iterator[Callable[[], bool]]:
    """Yield a function that returns whether Ctrl-C was pressed; the first press stops nothing.

    The second press interrupts. Signals reach only the main thread; in others nothing changes.

    Args:
        say: Prints a message after the first press.
    """
    pressed = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if pressed.is_set():
            signal.default_int_handler(number, frame)
        pressed.set()
        say(STOPPING)

    if threading.current_thread() is not threading.main_thread():
        yield pressed.is_set
        return
    before = signal.signal(signal.SIGINT, handle)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, before)

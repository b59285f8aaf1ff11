"""One comparison at a time, and how it ends."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from effcam.app import worker as module
from effcam.app.limits import Limits
from effcam.app.worker import OUT_OF_MEMORY, UNEXPECTED, Ticket, Worker
from effcam.cam.progress import progress_bar
from effcam.errors import ArgumentError, ImageError


@pytest.fixture
def worker() -> Iterator[Worker[str]]:
    made: Worker[str] = Worker(Limits(waiting=1))
    yield made
    made.close()


def finish(ticket: Ticket[str]) -> Ticket[str]:
    assert ticket._ended.wait(30)
    return ticket


def test_progress_reaches_the_ticket(worker: Worker[str]) -> None:
    seen = []

    def work(ticket: Ticket[str]) -> str:
        with progress_bar(6) as bar:
            bar.set_description("loading resnet")
            bar.update(4)
            seen.append((ticket.stage, ticket.done, ticket.total))
        return "made"

    ticket = finish(worker.submit("one", work))
    assert (ticket.result, ticket.error, seen) == ("made", "", [("loading resnet", 4, 6)])


def raising(error: Exception) -> Callable[[Ticket[str]], str]:
    def work(_: Ticket[str]) -> str:
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ImageError("image 'a.jpg' is broken"), "image 'a.jpg' is broken"),
        (MemoryError(), OUT_OF_MEMORY),
        (KeyError("internal"), UNEXPECTED),
    ],
)
def test_errors_are_put_in_words(
    worker: Worker[str], caplog: pytest.LogCaptureFixture, error: Exception, said: str
) -> None:
    caplog.set_level(logging.ERROR, "effcam.app")
    ticket = finish(worker.submit("one", raising(error)))
    assert (ticket.result, ticket.error) == (None, said)
    assert ("internal" in caplog.text) is (said == UNEXPECTED)


def test_others_wait_in_line(worker: Worker[str]) -> None:
    go_on, begun = threading.Event(), threading.Event()

    def slow(ticket: Ticket[str]) -> str:
        begun.set()
        while not go_on.wait(0.01):
            ticket.check()
        return "slow"

    first = worker.submit("one", slow)
    assert begun.wait(30)
    second = worker.submit("two", lambda _: "quick")
    assert (worker.ahead(second), second.started) == (1, False)
    with pytest.raises(ArgumentError, match="full, with 1 comparison of other"):
        worker.submit("three", lambda _: "late")
    assert worker.cancel("two")
    third = worker.submit("three", lambda _: "third")
    assert worker.ahead(third) == 1
    go_on.set()
    assert finish(third).result == "third"
    assert finish(first).result == "slow"
    assert finish(second).result is None
    assert not worker.cancel("two")


def test_it_is_cancelled_at_its_next_step(worker: Worker[str]) -> None:
    begun = threading.Event()

    def endless(_: Ticket[str]) -> str:
        begun.set()
        with progress_bar(1) as bar:
            while True:
                bar.update(0)

    first = worker.submit("one", endless)
    assert begun.wait(30)
    # A visitor has one comparison: the next takes its place.
    second = worker.submit("one", lambda _: "quick")
    assert finish(first).error == "Cancelled."
    assert finish(second).result == "quick"


def test_it_ends_when_it_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter(range(0, 1000, 50))
    clock: Any = type("clock", (), {"monotonic": staticmethod(lambda: next(times))})
    monkeypatch.setattr(module, "time", clock)
    ticket: Ticket[str] = Ticket("one", lambda own: own.check() or own.check() or "made")  # type: ignore[func-returns-value]
    ticket.run(seconds=75)
    assert "longer than the page allows" in ticket.error

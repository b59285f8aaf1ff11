"""At which epochs and steps of a training a network is shown."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from effcam.errors import ArgumentError
from effcam.integrations.pace import Pace


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def run(
    epochs: int,
    *,
    each: float = 100.0,
    cost: float = 1.0,
    start: float = 0.0,
    is_known: bool = True,
    first: int = 0,
    **options: Any,
) -> tuple[list[int], float]:
    """The epochs that are shown, and their time as a share of the training's."""
    clock = Clock()
    pace = Pace(clock=clock, **options)
    clock.now += start
    pace.spent += start
    shown = []
    total = epochs if is_known else None
    for epoch in range(first, epochs):
        clock.now += each
        if pace.epoch_is_due(epoch, total):
            shown.append(epoch)
            clock.now += cost
            pace.spent += cost
            if pace.is_planned and epoch + 1 < epochs:
                pace.plan(epoch, total, cost, closing=0.0)
    if shown[-1] != epochs - 1:  # what `end` does
        shown.append(epochs - 1)
        clock.now += cost
        pace.spent += cost
    return shown, pace.spent / pace.trained


def test_cheap_showing_shows_each_epoch() -> None:
    assert run(10, cost=0.5)[0] == list(range(10))


@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize("cost", [0.9, 1.7, 4.0, 9.0])
def test_dear_showing_keeps_to_a_hundredth(cost: float, is_known: bool) -> None:
    shown, share = run(100, cost=cost, start=1.0, is_known=is_known)
    assert shown[0] == 0
    assert shown[-1] == 99
    assert len(shown) > 5
    # Where the number of epochs is not known, no time is set aside for the last one.
    assert share <= 0.01 + (0 if is_known else cost / 10_000)


def test_epochs_are_evenly_spaced() -> None:
    shown, _ = run(101, cost=4.0)
    gaps = {after - before for before, after in pairwise(shown)}
    assert gaps == {5}


def test_a_short_training_shows_its_ends_all_the_same() -> None:
    shown, share = run(5, each=2.0, cost=1.0)
    assert shown == [0, 4]
    assert share == pytest.approx(0.2)


def test_another_share() -> None:
    assert run(20, each=10.0, cost=1.0, share=0.1)[0] == list(range(20))
    assert run(20, each=10.0, cost=1.0, share=0.05)[0] == [0, 3, 6, 9, 12, 15, 18, 19]


def test_slower_showing_widens_the_interval() -> None:
    clock = Clock()
    pace = Pace(clock=clock)
    gaps = []
    for epoch in range(60):
        clock.now += 100
        if pace.epoch_is_due(epoch, 60):
            cost = 1.0 if epoch < 10 else 5.0
            clock.now += cost
            pace.spent += cost
            pace.plan(epoch, 60, cost, 0.0)
            gaps.append(pace.gap)
    assert gaps[0] == 1
    assert max(gap for gap in gaps if gap) > 4
    assert pace.spent <= 0.01 * pace.trained


def test_intervals_of_the_caller() -> None:
    assert run(10, cost=500.0, every_n_epochs=1)[0] == list(range(10))
    assert run(10, every_n_epochs=4)[0] == [0, 4, 8, 9]
    assert run(9, every_n_epochs=4)[0] == [0, 4, 8]
    assert run(12, every_n_epochs=4, first=6)[0] == [6, 8, 11]


def test_steps() -> None:
    pace = Pace(every_n_steps=50)
    assert pace.counts_steps
    assert [step for step in range(201) if pace.step_is_due(step)] == [50, 100, 150, 200]
    assert not pace.epoch_is_due(0, 3)
    assert not Pace().step_is_due(50)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every_n_epochs": 0}, "every_n_epochs must be a whole number from 1, not 0"),
        ({"every_n_steps": 2.5}, "every_n_steps must be a whole number from 1"),
        ({"share": 0}, "share must be above 0 and at most 1, not 0"),
        ({"share": 2}, "share must be above 0"),
        ({"share": True}, "share must be above 0"),
        (
            {"every_n_epochs": 2, "every_n_steps": 3},
            "every_n_epochs and every_n_steps exclude each other",
        ),
        ({"every_n_epochs": 2, "share": 0.1}, "every_n_epochs and share exclude each other"),
    ],
)
def test_impossible_intervals(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        Pace(**options)

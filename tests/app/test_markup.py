"""What the page says of a comparison that waits or runs."""

from __future__ import annotations

from effcam.app import markup
from effcam.app.worker import Ticket


def ticket(stage: str = "", total: int = 0) -> Ticket[str]:
    made: Ticket[str] = Ticket("one", lambda _: "")
    made.started, made.stage, made.total = bool(stage), stage, total
    return made


def test_one_that_waits_is_told_for_what() -> None:
    assert "Yours starts after 2 comparisons of other visitors." in markup.progress(ticket(), 2)
    assert "Yours starts in a moment." in markup.progress(ticket(), 0)


def test_columns_keep_their_names() -> None:
    assert ">resnet50<" in markup.progress(ticket("resnet50", 3), 0)
    assert ">Loading resnet50<" in markup.progress(ticket("loading resnet50", 3), 0)

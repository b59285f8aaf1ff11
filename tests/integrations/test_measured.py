"""Which metrics of a training are those of the network as it is now."""

from __future__ import annotations

import torch

from effcam.integrations.measured import Measured


def test_metrics_are_of_the_step_at_which_they_appeared() -> None:
    measured, old = Measured(), torch.tensor(0.5)
    assert measured.note({"val": old}, 4) == {"val": old}
    assert measured.note({"val": old.detach(), "loss": torch.tensor(1.0)}, 8).keys() == {"loss"}
    # An equal number that was measured anew counts.
    assert measured.note({"val": torch.tensor(0.5)}, 8).keys() == {"val"}


def test_plain_numbers_are_of_the_step_at_which_they_appeared() -> None:
    measured, value = Measured(), 1234.5
    measured.note({"a": value}, 1)
    assert measured.note({"a": value, "b": 2.5}, 2) == {"b": 2.5}

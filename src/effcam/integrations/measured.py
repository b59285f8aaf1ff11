"""Which metrics of a training were measured on the network as it is now."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor


class Measured:
    """Know at which step each metric was measured last.

    Lightning keeps a metric until it is measured again: that of the last validation is still there
    epochs later, where it would be taken for one of another network.
    """

    def __init__(self) -> None:
        """Know nothing yet."""
        # The values are kept, so that their memory is not given to other ones.
        self._known: dict[str, tuple[object, int]] = {}

    def note(self, metrics: Mapping[str, object], step: int) -> dict[str, object]:
        """Take notice of all metrics, and return those that were measured at this step.

        Args:
            metrics: All metrics by name, also those of earlier steps, whose tensors are the same.
            step: How many steps of the optimiser were done.
        """
        for name, value in metrics.items():
            before = self._known.get(name)
            if before is None or not _is_same(before[0], value):
                self._known[name] = value, step
        return {name: value for name, value in metrics.items() if self._known[name][1] == step}


def _is_same(one: object, other: object) -> bool:
    """Return whether two values are one tensor, or views of its memory."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.data_ptr() == other.data_ptr()
    return one is other

"""Batches in portions as large as memory allows."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TypeVar

import torch

from effcam.errors import EffcamWarning
from effcam.models.tracing.memory import is_out_of_memory

Made = TypeVar("Made")


class Portions:
    """Runs batches whole; once memory runs out, in halves from then on."""

    def __init__(
        self,
        name: str,
        most: int,
        what: str = "images",
        advice: str = "a smaller batch_size avoids this",
    ) -> None:
        """Start with whole batches.

        Args:
            name: The model's label, for the warning.
            most: The most images in a batch.
            what: What they are, for the warning.
            advice: What to do, for the warning.
        """
        self._name = name
        self._most = most
        self._what = what
        self._advice = advice

    def run(self, count: int, compute: Callable[[slice], Made]) -> list[Made]:
        """Return the result for each portion of a batch, in order.

        Args:
            count: How many images the batch has.
            compute: Returns the result for a slice of the batch.

        Raises:
            RuntimeError: If memory runs out for a single image, or computing fails.
        """
        done: list[Made] = []
        start = 0
        while start < count:
            portion = slice(start, min(start + self._most, count))
            try:
                done.append(compute(portion))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or portion.stop - start == 1:
                    raise
            else:
                start = portion.stop
                continue
            # Memory is free only here, where the error no longer refers to what was computed.
            self._halve(portion.stop - start)
        return done

    def _halve(self, tried: int) -> None:
        self._most = tried // 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        warnings.warn(
            f"{self._name}: not enough memory for {tried} {self._what} at once, now running "
            f"{self._most}: {self._advice}",
            EffcamWarning,
            stacklevel=2,
        )

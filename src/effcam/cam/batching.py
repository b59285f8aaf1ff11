"""Batches in as large portions as memory allows."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TypeVar

import torch

Made = TypeVar("Made")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that there was not enough memory, a GPU's or the machine's."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


class Portions:
    """Runs batches whole, and in halves from when memory does not suffice for that."""

    def __init__(self, name: str, most: int) -> None:
        """Start with whole batches.

        Args:
            name: Whose batches they are, for the warning.
            most: How many images a batch has at most.
        """
        self._name = name
        self._most = most

    def run(self, count: int, compute: Callable[[slice], Made]) -> list[Made]:
        """Return what is computed of each portion of a batch, in order.

        Args:
            count: How many images the batch has.
            compute: Returns what it makes of a slice of them.

        Raises:
            RuntimeError: If memory does not suffice for one image, or something else fails.
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
            # Only here, where the error no longer holds what was computed, is memory free again.
            self._halve(portion.stop - start)
        return done

    def _halve(self, tried: int) -> None:
        self._most = tried // 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        warnings.warn(
            f"{self._name}: not enough memory for {tried} images at once, so it goes on with "
            f"{self._most}: a smaller batch_size saves the attempt",
            stacklevel=2,
        )

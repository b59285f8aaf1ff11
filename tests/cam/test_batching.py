"""Batches run in halves once memory runs out."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch

from effcam.cam.batching import Portions, is_out_of_memory

OUT_OF_MEMORY = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
ON_CPU = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to ...")


def fitting(most: int, error: BaseException = OUT_OF_MEMORY) -> Callable[[slice], list[int]]:
    """Return a function that fails on more images than a limit."""

    def compute(part: slice) -> list[int]:
        if part.stop - part.start > most:
            raise error
        return list(range(part.start, part.stop))

    return compute


def test_a_batch_that_fits_is_computed_whole() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Portions("net", 8).run(5, fitting(8)) == [[0, 1, 2, 3, 4]]


@pytest.mark.parametrize("error", [OUT_OF_MEMORY, ON_CPU, MemoryError()])
def test_it_halves_until_it_fits_loses_nothing_and_remembers(error: BaseException) -> None:
    portions = Portions("net", 8)
    with pytest.warns(UserWarning, match="net: not enough memory for") as caught:
        assert portions.run(8, fitting(3, error)) == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert [str(each.message) for each in caught] == [
        f"net: not enough memory for {tried} images at once, now running {left}: "
        "a smaller batch_size avoids this"
        for tried, left in ((8, 4), (4, 2))
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert portions.run(5, fitting(3, error)) == [[0, 1], [2, 3], [4]]


def test_what_does_not_fit_alone_fails() -> None:
    with pytest.warns(UserWarning, match="2 images"), pytest.raises(torch.OutOfMemoryError):
        Portions("net", 2).run(2, fitting(0))


def test_other_errors_are_not_tried_again() -> None:
    calls: list[slice] = []

    def fail(part: slice) -> None:
        calls.append(part)
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes"):
        Portions("net", 4).run(4, fail)
    assert calls == [slice(0, 4)]
    assert not is_out_of_memory(RuntimeError("shapes do not fit"))


def test_no_images_are_no_portions() -> None:
    assert Portions("net", 4).run(0, fitting(1)) == []

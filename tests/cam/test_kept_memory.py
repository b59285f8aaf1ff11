"""Memory that is kept between batches: on glibc, in nested contexts, and by the user's choice."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from effcam.cam import kept_memory
from effcam.cam.explain import explaining
from effcam.cam.kept_memory import (
    KEPT,
    MMAP_THRESHOLD,
    OWN_CHOICE,
    TRIM_THRESHOLD,
    USUAL,
    keeping_memory,
)
from effcam.images.preprocess import Preprocess
from effcam.models.loading import load_model
from tests.nets import ConvNet

MIB = 2**20
on_glibc = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="the C library is not glibc"
)


@pytest.fixture(autouse=True)
def _no_own_choice(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in OWN_CHOICE:
        monkeypatch.delenv(name, raising=False)
    cached = kept_memory._function
    cached.cache_clear()
    yield
    cached.cache_clear()


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> list[dict[int, int]]:
    """The values that are set, in order."""
    found: list[dict[int, int]] = []
    monkeypatch.setattr(kept_memory, "_set", found.append)
    return found


ALLOCATING = """
import resource
from pathlib import Path

import torch

from effcam.cam.kept_memory import keeping_memory


def page_faults(blocks=8):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(blocks):
        torch.ones(96 * 2**20, dtype=torch.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


page_faults()  # what else the first allocation needs
usual = page_faults()
with keeping_memory():
    page_faults()  # aligned blocks find their places after some
    kept, most = page_faults(), resident()
print(usual, kept, most - resident())
"""
"""Counts pages that the system gives while blocks are allocated and freed in turn."""


@on_glibc
@pytest.mark.slow
def test_blocks_are_used_again_and_given_back_at_the_end() -> None:
    # In a process of its own: one that had much memory has free blocks of this size anyway.
    done = subprocess.run(
        [sys.executable, "-c", ALLOCATING], capture_output=True, text=True, check=True, timeout=120
    )
    usual, kept, given_back = map(int, done.stdout.split())
    assert kept < usual / 4
    assert given_back > 64 * MIB


def test_the_last_one_gives_memory_back(settings: list[dict[int, int]]) -> None:
    with keeping_memory():
        with keeping_memory():
            assert settings == [KEPT]
        with ThreadPoolExecutor(1) as pool:
            pool.submit(_enter_and_leave).result()
        assert settings == [KEPT]
    assert settings == [KEPT, USUAL]


def _enter_and_leave() -> None:
    with keeping_memory():
        pass


def test_maps_and_predictions_keep_memory_until_an_error(settings: list[dict[int, int]]) -> None:
    model = load_model(ConvNet().eval(), preprocess=Preprocess(size=32))

    def fail() -> None:
        with explaining(model):
            assert settings[-1] == KEPT
            raise ValueError("no map")

    with pytest.raises(ValueError, match="no map"):
        fail()
    assert settings == [KEPT, USUAL]


@pytest.mark.parametrize("name", OWN_CHOICE)
def test_what_the_environment_sets_is_left(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "glibc.malloc.trim_threshold=1000")
    assert kept_memory._function("mallopt") is None


@on_glibc
def test_tunables_of_other_parts_of_the_library_are_no_choice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.pthread.rseq=0")
    assert kept_memory._function("mallopt") is not None


@pytest.mark.parametrize(
    ("largest", "wanted"),
    [
        (2**31, [(MMAP_THRESHOLD, KEPT[MMAP_THRESHOLD]), (TRIM_THRESHOLD, KEPT[TRIM_THRESHOLD])]),
        (2**25, [(MMAP_THRESHOLD, USUAL[MMAP_THRESHOLD]), (TRIM_THRESHOLD, KEPT[TRIM_THRESHOLD])]),
        (2**19, []),  # then glibc adjusts them itself
    ],
)
def test_thresholds_that_the_library_refuses_become_smaller_or_stay(
    monkeypatch: pytest.MonkeyPatch, largest: int, wanted: list[tuple[int, int]]
) -> None:
    done: list[tuple[int, int]] = []

    def mallopt(parameter: int, value: int) -> int:
        if parameter == MMAP_THRESHOLD and value > largest:
            return 0
        done.append((parameter, value))
        return 1

    monkeypatch.setattr(kept_memory, "_function", lambda _: mallopt)
    kept_memory._set(KEPT)
    assert done == wanted


def test_a_context_may_end_while_another_one_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of a forgotten generator does, if garbage is collected there."""
    forgotten = keeping_memory()
    settings: list[dict[int, int]] = []

    def end_other(values: dict[int, int]) -> None:
        settings.append(values)
        if len(settings) == 2:
            with keeping_memory():
                pass

    monkeypatch.setattr(kept_memory, "_set", end_other)
    with forgotten:
        pass
    assert settings == [KEPT, USUAL, KEPT, USUAL]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_process_that_is_forked_inside_does_not_keep_memory(
    settings: list[dict[int, int]],
) -> None:
    with keeping_memory():
        kept_memory._users.forget()  # what runs in the child
        assert settings == [KEPT, USUAL]
        with keeping_memory():
            assert settings[-1] == KEPT
    assert settings == [KEPT, USUAL, KEPT, USUAL, USUAL]


@pytest.mark.skipif(sys.platform == "linux", reason="this system has the functions")
def test_other_systems_have_no_such_functions() -> None:
    assert kept_memory._function("mallopt") is None
    with keeping_memory():
        pass

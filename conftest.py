"""Fixtures for every test and doctest: no network, no cache, no effects of an earlier test.

It lies beside ``src`` and ``tests`` so that it covers the doctests of the one and the tests of
the other.
"""

from __future__ import annotations

import atexit
import gc
import ipaddress
import os
import random
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SOURCES = Path(__file__).parent / "src"
# Modules that import packages which need not be installed: no doctest is looked for.
_NEEDING = {
    "src/effcam/app/layout.py": "gradio",
    "src/effcam/app/page.py": "gradio",
    "src/effcam/integrations/lightning.py": "lightning",
    "src/effcam/integrations/pytorch_lightning.py": "pytorch_lightning",
    "src/effcam/integrations/transformers.py": "transformers",
}
collect_ignore = [path for path, package in _NEEDING.items() if find_spec(package) is None]

# huggingface_hub and torch.hub read where their caches are when they are imported, so these are
# set before any test module is: a test must not pass thanks to weights that lie on one machine.
_caches = tempfile.mkdtemp(prefix="effcam-test-caches-")
atexit.register(shutil.rmtree, _caches, ignore_errors=True)
os.environ["HF_HOME"] = f"{_caches}/huggingface"
os.environ["HF_HUB_CACHE"] = f"{_caches}/huggingface/hub"
os.environ["TORCH_HOME"] = f"{_caches}/torch"
# Where tests run in parallel, each process and its children use one core. OpenMP
# and MKL read this when torch is imported.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
# Python processes that tests start find the same sources as the tests do.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(SOURCES), os.getenv("PYTHONPATH")]))


class NetworkBlockedError(ConnectionError):
    """A test that is not marked ``network`` tried to reach another machine.

    It is a ConnectionError so that the code under test behaves as it would without a network.
    """


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files with long tests first: a long file that comes last keeps one process waiting.

    Tests with a marker of their kind, such as those that start Ray or are slow, take longest.
    """
    kinds = {"sweep", "docs", "ray", "browser", "hostile", "slow"}
    long = {each.path for each in items if kinds & {mark.name for mark in each.iter_markers()}}
    items.sort(key=lambda item: item.path not in long)


def pytest_collection_finish() -> None:
    """Leave what was imported and collected out of garbage collections: walking it takes long."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    """Let Python free everything at its end, as it does without pytest."""
    gc.unfreeze()


@pytest.fixture(autouse=True)
def no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Block connections to other machines, except in tests marked ``network``."""
    if request.node.get_closest_marker("network"):
        return
    monkeypatch.setattr(socket.socket, "connect", _only_local(socket.socket.connect))
    monkeypatch.setattr(socket.socket, "connect_ex", _only_local(socket.socket.connect_ex))
    look_up = socket.getaddrinfo

    def look_up_local(host: Any, *args: Any, **kwargs: Any) -> Any:
        _refuse_remote(host)
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", look_up_local)


def _only_local(connect: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(self: socket.socket, address: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            _refuse_remote(address[0])
        return connect(self, address)

    return guarded


def _refuse_remote(host: str | bytes | None) -> None:
    name = host.decode() if isinstance(host, bytes) else host
    if name in (None, "", "localhost"):
        return
    try:
        local = ipaddress.ip_address(name).is_loopback
    except ValueError:
        local = False
    if not local:
        raise NetworkBlockedError(
            f"a test tried to reach {name!r}: mark it with pytest.mark.network if it must"
        )


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Start every test from the same random numbers."""
    import torch

    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - third parties draw from the global state
    # torch.manual_seed takes milliseconds where no GPU is initialised: it formats stacks for later.
    torch.default_generator.manual_seed(0)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(0)


@pytest.fixture(autouse=True)
def doctests_write_elsewhere(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run each doctest in an empty folder, since examples save files where they are."""
    if isinstance(request.node, pytest.DoctestItem):
        monkeypatch.chdir(request.getfixturevalue("tmp_path"))


@pytest.fixture(scope="session", autouse=True)
def packages_read_once() -> Iterator[None]:
    """Search the installed packages for entry points once: it takes longer than most tests."""
    from effcam.models import registry

    found = registry.entry_points(group=registry.GROUP)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "entry_points", lambda **_: found)
        yield


@pytest.fixture(autouse=True)
def registry_as_found(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Undo what a test, an example or an installed package registers."""
    from effcam.models import registry

    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    registry._entry_points.cache_clear()
    yield
    # Fixtures of module scope run before this one, so they also find the entry points.
    registry._entry_points.cache_clear()

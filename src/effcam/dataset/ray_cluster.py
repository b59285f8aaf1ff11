"""Connect to a Ray cluster, and restore the process afterwards."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import ray
from ray.exceptions import RayError

from effcam.errors import ArgumentError, OutputError

CONNECT_TIMEOUT = 5.0
"""Seconds in which a cluster has to answer."""


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Connect to a cluster, or start one, unless Ray is already initialised.

    Raises:
        OutputError: If it cannot be reached.
        ArgumentError: If the caller is connected to another.
    """
    if ray.is_initialized():
        known = ray.get_runtime_context().gcs_address
        if address not in (None, "auto", known):
            raise ArgumentError(
                f"Ray is connected to {known!r} already, so address={address!r} has no effect: "
                "leave it out, or call ray.shutdown() first"
            )
        yield
        return
    with _restored():
        _start(address)
        try:
            yield
        finally:
            ray.shutdown()


@contextmanager
def _restored() -> Iterator[None]:
    """Restore the environment variables and the SIGTERM handler, which Ray changes."""
    variables, handler = dict(os.environ), signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        for name in os.environ.keys() - variables:
            del os.environ[name]
        os.environ.update(variables)
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


def _start(address: str | None) -> None:
    if address is not None:
        _check_reachable(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray.init(address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except (RayError, OSError, RuntimeError, ValueError) as error:
        where = "" if address is None else f" at {address!r}"
        raise OutputError(f"cannot start or reach a Ray cluster{where}: {error}") from error


def _check_reachable(address: str) -> None:
    """Check that a server answers, for which Ray itself waits much longer."""
    parts = urlsplit(address if "://" in address else f"//{address}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise OutputError(f"{address!r} is not an address of a Ray cluster: {error}") from error
    if host is None or port is None:
        return  # "auto", "local"
    try:
        socket.create_connection((host, port), CONNECT_TIMEOUT).close()
    except OSError as error:
        raise OutputError(
            f"no Ray cluster answers at {address!r}: {error.strerror or error}. ray status shows "
            "the address of a running cluster"
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the log of Ray Data, since effcam shows its own progress."""
    logger = logging.getLogger("ray.data")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)

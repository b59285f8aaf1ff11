"""The worker process of a run on Ray: it makes one shard after another."""

from __future__ import annotations

import pickle
import socket
import time
from collections.abc import Mapping

import ray

from effcam.dataset.image_list import FILE
from effcam.dataset.ray_lease import Lease
from effcam.dataset.shards import Outcome, Plan, Worker, finished, name_of
from effcam.errors import EffcamError, ModelError, OutputError

ATTEMPTS = 4
"""The number of workers that may die at a shard before the shard counts as the cause."""
LEASE_CHECK = 1.0
"""Seconds between two checks of the lease while a shard runs."""


class ShardWorker:
    """Makes one shard after another, with one model in memory at a time.

    Errors of effcam are returned as values, since Ray would wrap them.
    """

    def __init__(self, packed: bytes | ray.ObjectRef[bytes], lease: Lease, threads: int) -> None:
        """Start without a model.

        Args:
            packed: The pickled plan, or a reference to it.
            lease: The lease of the run.
            threads: The number of threads to compute with.
        """
        import torch

        torch.set_num_threads(threads)
        self._packed, self._lease = packed, lease
        self._plan: Plan | None = None
        self._worker: tuple[int, Worker] | None = None
        self._checked = time.monotonic()

    def __call__(self, shard: Mapping[str, int]) -> dict[str, bytes]:
        """Make a shard, and return its pickled outcome or error, ``None`` if the run ended."""
        result: Outcome | EffcamError | None
        try:
            result = self._make(shard["model"], shard["number"])
        except _RunEndedError:
            result = None
        except EffcamError as error:
            result = error
        return {"result": pickle.dumps(result)}

    def _make(self, model: int, number: int) -> Outcome | None:
        """Return the outcome of a shard, ``None`` if no further shard may start."""
        if self._plan is None:
            packed = self._packed
            self._plan = _unpack(packed if isinstance(packed, bytes) else ray.get(packed))
        plan = self._plan
        if not plan.store.exists(FILE):
            raise OutputError(
                f"node {socket.gethostname()} does not see the run {plan.store.address!r}: put it "
                "where all nodes of the cluster see it, in a network file system or at an address "
                "(s3://bucket/run)"
            )
        if not self._lease.may_start:
            return None
        # A worker that died may have written this shard.
        if plan.store.exists(name_of(plan.manifest, model, number)):
            found = finished(plan, model, number)
            if found is not None:
                return found
        _check_images(plan, number)
        label = list(plan.manifest.models)[model]
        if self._lease.claim(model, number) >= ATTEMPTS:
            raise ModelError(
                f"{label}: {ATTEMPTS} workers died one after another at the same "
                f"{plan.inventory.size(number)} images, possibly out of memory: try a smaller "
                "batch_size, or fewer workers"
            )
        if self._worker is None or self._worker[0] != model:
            self._worker = None  # free this model before loading the next
            self._worker = model, Worker(plan, model)
        return self._worker[1].run(number, self._check_lease)

    def _check_lease(self, _: int) -> None:
        """Stop the shard if the run has ended."""
        if time.monotonic() - self._checked >= LEASE_CHECK:
            if not self._lease.is_valid:
                raise _RunEndedError
            self._checked = time.monotonic()


class _RunEndedError(Exception):
    """The run of a worker has ended."""


def _check_images(plan: Plan, number: int) -> None:
    """Check that this node sees the images; otherwise all would become rows with an error.

    Raises:
        OutputError: If it sees none of the images that existed when they were listed.
    """
    paths = plan.inventory.seen(number)
    if paths and not any(path.exists() for path in paths):
        raise OutputError(
            f"node {socket.gethostname()} sees neither {str(paths[0])!r} nor another image of its "
            "shard: put images where all nodes of the cluster see them"
        )


def _unpack(packed: bytes) -> Plan:
    try:
        plan: Plan = pickle.loads(packed)  # noqa: S301  # written by the process that started the run
    except (ImportError, AttributeError, RuntimeError) as error:
        raise ModelError(
            f"node {socket.gethostname()} cannot load the models: {error}. Install the packages "
            "that define them on all nodes of the cluster"
        ) from error
    return plan

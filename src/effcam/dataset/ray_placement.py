"""The number of workers that fit a cluster, and the resources of each."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from effcam.errors import ArgumentError, EffcamWarning
from effcam.text import count

Node: TypeAlias = tuple[float, float]
"""The CPUs and the GPUs of a node."""

TAKEN = 0.9
"""The part of its CPUs that a worker requests. Ray Data waits forever if nothing is left for its
own tasks, as happens on one or two cores."""


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """The workers of a run, which are all alike.

    Attributes:
        workers: The number of workers.
        cpus: The CPUs that each requests.
        gpus: The GPUs that each requests.
        threads: The number of threads that each computes with.
    """

    workers: int
    cpus: float
    gpus: float
    threads: int


def plan_workers(
    nodes: Sequence[Node], shards: int, *, workers: int | None = None, gpus: float | None = None
) -> WorkerPlan:
    """Return the workers requested, as far as they fit, with their share of the CPUs.

    Args:
        nodes: The cluster.
        shards: The number of shards, which limits the number of workers.
        workers: The number of workers; ``None`` is one per GPU, else one per node.
        gpus: The GPUs of each; ``None`` is 1 if there are any.

    Raises:
        ArgumentError: If not even one fits.

    >>> plan_workers([(8, 0), (8, 0), (8, 0)], 100)
    WorkerPlan(workers=3, cpus=7.2, gpus=0.0, threads=8)
    >>> plan_workers([(32, 4)], 100, workers=8, gpus=0.5)
    WorkerPlan(workers=8, cpus=3.6, gpus=0.5, threads=4)
    """
    each = gpus if gpus is not None else float(any(own for _, own in nodes))
    room = _room(nodes, each)
    if workers is None:
        workers = room if each else sum(cpus >= 1 for cpus, _ in nodes)
    elif workers > room:
        warnings.warn(
            f"the cluster has room for {room} of the {workers} requested workers: "
            f"{_resources(nodes)}",
            EffcamWarning,
            stacklevel=2,
        )
    workers = min(workers, room, shards)
    share = _share(nodes, each, workers)
    return WorkerPlan(workers, math.floor(share * TAKEN * 1e4) / 1e4, each, max(int(share), 1))


def _room(nodes: Sequence[Node], gpus: float) -> int:
    """Return the largest number of workers that fit, by their GPUs, or one per CPU without GPUs."""
    if gpus > 1 and gpus != int(gpus):
        raise ArgumentError(f"num_gpus must be a whole number above 1, not {gpus:g}")
    room = sum(_times(own, gpus) if gpus else int(cpus) for cpus, own in nodes)
    if not room:
        wanted = f"{gpus:g} GPUs" if gpus else "a CPU"
        raise ArgumentError(f"no node of the cluster has {wanted}: {_resources(nodes)}")
    return room


def _share(nodes: Sequence[Node], gpus: float, workers: int) -> float:
    """Return the largest number of CPUs per worker with which all of them fit."""
    shares = {cpus / count for cpus, _ in nodes for count in range(1, workers + 1)}
    for share in sorted(shares - {0}, reverse=True):
        fit = (
            min(_times(cpus, share), _times(own, gpus) if gpus else workers) for cpus, own in nodes
        )
        if sum(fit) >= workers:
            return share
    return 0  # the nodes with GPUs have no CPUs to request


def _times(whole: float, part: float) -> int:
    """Return the number of times that a part fits, with a tolerance for rounding."""
    return int(whole / part + 1e-9)


def _resources(nodes: Sequence[Node]) -> str:
    cpus, gpus = (sum(each) for each in zip(*nodes, strict=True)) if nodes else (0, 0)
    return f"{count(len(nodes), 'node')} with {cpus:g} CPUs and {gpus:g} GPUs"

"""How many workers fit a cluster, and how much of a node each takes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from effcam.errors import ArgumentError

Node: TypeAlias = tuple[float, float]
"""The CPUs and the GPUs of a node."""

TAKEN = 0.9
"""The part of its CPUs that a worker claims: Ray Data waits for ever where nothing is left for
its own tasks, which on one or two cores happens at once."""


@dataclass(frozen=True, slots=True)
class Seats:
    """The workers of a run, all alike.

    Attributes:
        workers: How many.
        cpus: The CPUs that each claims.
        gpus: The GPUs that each claims.
        threads: How many threads each computes with.
    """

    workers: int
    cpus: float
    gpus: float
    threads: int


def find_seats(
    nodes: Sequence[Node], shards: int, *, workers: int | None = None, gpus: float | None = None
) -> Seats:
    """Return as many workers as were asked for or fit, with the CPUs that there are for them.

    Args:
        nodes: The cluster.
        shards: How much there is to do: no more workers than shards.
        workers: How many; ``None`` is one a GPU, else one a node.
        gpus: The GPUs of each; ``None`` is 1 where there are any.

    Raises:
        ArgumentError: If not even one fits.

    >>> find_seats([(8, 0), (8, 0), (8, 0)], 100)
    Seats(workers=3, cpus=7.2, gpus=0.0, threads=8)
    >>> find_seats([(32, 4)], 100, workers=8, gpus=0.5)
    Seats(workers=8, cpus=3.6, gpus=0.5, threads=4)
    """
    each = gpus if gpus is not None else float(any(own for _, own in nodes))
    room = _room(nodes, each)
    if workers is None:
        workers = room if each else sum(cpus >= 1 for cpus, _ in nodes)
    elif workers > room:
        warnings.warn(
            f"the cluster has room for {room} of the {workers} workers asked for: {_told(nodes)}",
            stacklevel=2,
        )
    workers = min(workers, room, shards)
    share = _share(nodes, each, workers)
    return Seats(workers, math.floor(share * TAKEN * 1e4) / 1e4, each, max(int(share), 1))


def _room(nodes: Sequence[Node], gpus: float) -> int:
    """Return the most workers that fit: one a share of a GPU, without GPUs one a CPU."""
    if gpus > 1 and gpus != int(gpus):
        raise ArgumentError(f"num_gpus must be a whole number above 1, not {gpus:g}")
    room = sum(_times(own, gpus) if gpus else int(cpus) for cpus, own in nodes)
    if not room:
        wanted = f"{gpus:g} GPUs" if gpus else "a CPU"
        raise ArgumentError(f"no node of the cluster has {wanted}: {_told(nodes)}")
    return room


def _share(nodes: Sequence[Node], gpus: float, workers: int) -> float:
    """Return the most CPUs that each can have if all of them are to find a place."""
    shares = {cpus / count for cpus, _ in nodes for count in range(1, workers + 1)}
    for share in sorted(shares - {0}, reverse=True):
        fit = (
            min(_times(cpus, share), _times(own, gpus) if gpus else workers) for cpus, own in nodes
        )
        if sum(fit) >= workers:
            return share
    return 0  # the nodes that have the GPUs offer no CPUs


def _times(whole: float, part: float) -> int:
    """Return how often a part fits, however its decimals were rounded."""
    return int(whole / part + 1e-9)


def _told(nodes: Sequence[Node]) -> str:
    cpus, gpus = (sum(each) for each in zip(*nodes, strict=True)) if nodes else (0, 0)
    return f"{len(nodes)} nodes with {cpus:g} CPUs and {gpus:g} GPUs"

"""Shards on a Ray cluster: an actor pool of Ray Data takes them, and writes them itself.

Shards come model by model, and each worker holds one model at a time, so that all workers are
busy to the end however much slower one model is than another. They are named from here, not
read, so no CPU has to be free for reading.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import ray
import ray.data
from ray.exceptions import RayError, RayTaskError

from effcam.dataset.image_list import FILE
from effcam.dataset.progress import Pace
from effcam.dataset.ray_lease import Permit
from effcam.dataset.ray_placement import Node, Seats, find_seats
from effcam.dataset.shards import Outcome, Plan, Worker, finished, folder_of, name_of
from effcam.errors import ArgumentError, EffcamError, ModelError, OutputError

ATTEMPTS = 4
"""How often a shard is begun before it, and not its node, is thought to kill its worker."""
POLL = 0.2
"""Seconds between two looks at whether Ctrl-C was pressed."""
LOOK = 1.0
"""Seconds after which a worker looks again whether the run that it works for still goes on."""
REACH = 5.0
"""Seconds in which a cluster has to answer."""
INLINE = 64 * 2**10
"""Bytes up to which something is passed as it is."""
SETTINGS = {
    "enable_progress_bars": False,
    "print_on_execution_start": False,
    # A shard of a slow model takes longer than any limit that could be set here.
    "execution_no_progress_timeout_s": -1,
}
"""How Ray Data is to work, as far as the release that is there knows of it."""


def run_on_ray(
    plan: Plan,
    missing: Mapping[int, Sequence[int]],
    pace: Pace,
    stopped: Callable[[], bool],
    *,
    workers: int | None,
    num_gpus: float | None,
    address: str | None,
) -> Iterator[Outcome]:
    """Yield what came of each shard, after it was written, in the order in which they are done.

    A worker that dies, alone or with its node, is started again where there is room, and the
    shard that it had in hand is made again.

    Args:
        plan: What to do.
        missing: The shards to make, by the position of their model.
        pace: Is told how far it is.
        stopped: Tells whether to stop after the shards in hand.
        workers: How many; ``None`` is one a GPU, else one a node.
        num_gpus: The GPUs of each; ``None`` is 1 where there are any.
        address: The cluster; ``None`` is the one that is known here, else one of this machine.

    Raises:
        OutputError: If the cluster cannot be reached, or a node does not see the run.
        ArgumentError: If the cluster has not what is asked for.
        EffcamError: Whatever a worker raised.
    """
    shards = [{"model": model, "number": at} for model, own in missing.items() for at in own]
    labels = list(plan.manifest.models)
    pace.name("starting Ray")
    with _connected(address), _quiet():
        seats = _seats(plan, len(shards), workers, num_gpus)
        packed = _hand_over(_pack(_placed(plan, seats)))
        with Permit.given(plan.store) as permit, _passing_on(stopped, permit):
            pace.name("loading models")
            with closing(_told(shards, seats, packed, permit)) as stream:
                for told in stream:
                    if isinstance(told, EffcamError):
                        raise told
                    if told is not None:
                        pace.name(labels[told.model])
                        pace.advance(told.images)
                        yield told
            # What workers that died left half written.
            plan.store.tidy(folder_of(plan.manifest, model) for model in missing)


def _told(
    shards: Sequence[Mapping[str, int]], seats: Seats, packed: object, permit: Permit
) -> Generator[Outcome | EffcamError | None]:
    """Yield what workers say of each shard: ``None`` where they were told to stop."""
    listed: Any = ray.data.from_items(list(shards), override_num_blocks=len(shards))
    made = listed.map(
        _Hand,
        fn_constructor_args=(packed, permit, seats.threads),
        # A shard that waits at a busy worker would wait while another is idle.
        compute=ray.data.ActorPoolStrategy(size=seats.workers, max_tasks_in_flight_per_actor=1),
        num_cpus=seats.cpus,
        num_gpus=seats.gpus,
    )
    for name, value in SETTINGS.items():
        if hasattr(made.context, name):
            setattr(made.context, name, value)
    try:
        # To fetch ahead would be to hold back what is there.
        for batch in made.iter_batches(batch_size=None, prefetch_batches=0, batch_format="pyarrow"):
            for told in batch["told"].to_pylist():
                yield pickle.loads(told)  # noqa: S301  # our own workers wrote it
    except RayTaskError:
        raise  # a mistake of ours, with the worker's traceback
    except RayError as error:
        raise OutputError(
            f"the Ray cluster failed, and the same call goes on from here: {error}"
        ) from error


class _Hand:
    """A worker: takes one shard after another, with one model in memory at a time.

    What effcam raises on purpose it hands over as a value, since Ray would wrap it.
    """

    def __init__(self, packed: bytes | ray.ObjectRef[bytes], permit: Permit, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self._packed, self._permit = packed, permit
        self._plan: Plan | None = None
        self._worker: tuple[int, Worker] | None = None
        self._looked = time.monotonic()

    def __call__(self, shard: Mapping[str, int]) -> dict[str, bytes]:
        told: Outcome | EffcamError | None
        try:
            told = self._make(shard["model"], shard["number"])
        except _WithdrawnError:
            told = None
        except EffcamError as error:
            told = error
        return {"told": pickle.dumps(told)}

    def _make(self, model: int, number: int) -> Outcome | None:
        """Return what came of a shard, ``None`` if it is not to be begun."""
        if self._plan is None:
            packed = self._packed
            self._plan = _unpack(packed if isinstance(packed, bytes) else ray.get(packed))
        plan = self._plan
        if not plan.store.exists(FILE):
            raise OutputError(
                f"node {socket.gethostname()} does not see the run {plan.store.address!r}: it has "
                "to lie where all nodes of the cluster see it, in a network's file system or at an "
                "address (s3://bucket/run)"
            )
        if not self._permit.begins:
            return None
        # A worker that died may have written it before.
        if plan.store.exists(name_of(plan.manifest, model, number)):
            found = finished(plan, model, number)
            if found is not None:
                return found
        _check_images(plan, number)
        label = list(plan.manifest.models)[model]
        if self._permit.claim(model, number) >= ATTEMPTS:
            raise ModelError(
                f"{label}: {ATTEMPTS} workers died one after another at the same "
                f"{plan.inventory.size(number)} images, perhaps for want of memory: try a smaller "
                "batch_size, or fewer workers"
            )
        if self._worker is None or self._worker[0] != model:
            self._worker = None  # the one model goes before the other comes
            self._worker = model, Worker(plan, model)
        return self._worker[1].run(number, self._look)

    def _look(self, _: int) -> None:
        """End a shard that nobody waits for any more."""
        if time.monotonic() - self._looked >= LOOK:
            if not self._permit.holds:
                raise _WithdrawnError
            self._looked = time.monotonic()


class _WithdrawnError(Exception):
    """The run that a worker works for is over."""


def _check_images(plan: Plan, number: int) -> None:
    """Check that a node sees images, whose absence would else become rows of the run.

    Raises:
        OutputError: If it sees none that were there when they were listed.
    """
    paths = plan.inventory.seen(number)
    if paths and not any(path.exists() for path in paths):
        raise OutputError(
            f"node {socket.gethostname()} does not see {str(paths[0])!r} nor any image near it: "
            "images have to lie where all nodes of the cluster see them"
        )


def _pack(plan: Plan) -> bytes:
    """Return all that a worker has to know, with what only this process's modules define."""
    try:
        packed: bytes = ray.cloudpickle.dumps(plan)
    except (pickle.PicklingError, TypeError, AttributeError, RuntimeError) as error:
        raise ModelError(f"a model cannot be sent to other processes: {error}") from error
    return packed


def _hand_over(packed: bytes) -> bytes | ray.ObjectRef[bytes]:
    """Return what is passed to workers: what is large once, and not once a worker."""
    return packed if len(packed) <= INLINE else ray.put(packed)


def _unpack(packed: bytes) -> Plan:
    try:
        plan: Plan = pickle.loads(packed)  # noqa: S301  # the process that we work for wrote it
    except (ImportError, AttributeError, RuntimeError) as error:
        raise ModelError(
            f"node {socket.gethostname()} cannot take the models: {error}. What defines them has "
            "to be installed on all nodes of the cluster"
        ) from error
    return plan


def _seats(plan: Plan, shards: int, workers: int | None, num_gpus: float | None) -> Seats:
    device = None if plan.device is None else str(plan.device)
    if device not in (None, "cpu", "cuda"):
        raise ArgumentError(f"device must be 'cuda' or 'cpu' with backend='ray', not {device!r}")
    if device == "cpu" and num_gpus is None:
        num_gpus = 0
    seats = find_seats(_nodes(), shards, workers=workers, gpus=num_gpus)
    if device == "cuda" and not seats.gpus:
        raise ArgumentError("device='cuda' needs GPUs: num_gpus is 0, or the cluster has none")
    return seats


def _placed(plan: Plan, seats: Seats) -> Plan:
    """Return the plan with its device, which is that of the workers and not of this machine."""
    return replace(plan, device=plan.device or ("cuda" if seats.gpus else "cpu"))


def _nodes() -> list[Node]:
    found = (node["Resources"] for node in ray.nodes() if node["Alive"])
    return [(each.get("CPU", 0), each.get("GPU", 0)) for each in found]


@contextmanager
def _passing_on(stopped: Callable[[], bool], permit: Permit) -> Iterator[None]:
    """Tells workers, which hear no Ctrl-C, to begin no further shard once it was pressed."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(POLL):
            if stopped():
                permit.finish()
                return

    thread = threading.Thread(target=watch, name="effcam-ray-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def _connected(address: str | None) -> Iterator[None]:
    """Connect to a cluster, or starts one, unless the caller did.

    Raises:
        OutputError: If it cannot be reached.
        ArgumentError: If the caller is connected to another.
    """
    if ray.is_initialized():
        known = ray.get_runtime_context().gcs_address
        if address not in (None, "auto", known):
            raise ArgumentError(
                f"Ray is connected to {known!r} already, so address={address!r} would mean "
                "nothing: leave it out, or call ray.shutdown() before"
            )
        yield
        return
    with _as_found():
        _start(address)
        try:
            yield
        finally:
            ray.shutdown()


@contextmanager
def _as_found() -> Iterator[None]:
    """Take back what Ray changes in a process: variables, and who hears of SIGTERM."""
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
        raise OutputError(f"no Ray cluster can be had{where}: {error}") from error


def _check_reachable(address: str) -> None:
    """Check that something answers, which Ray itself waits for much longer."""
    parts = urlsplit(address if "://" in address else f"//{address}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise OutputError(f"{address!r} is no address of a Ray cluster: {error}") from error
    if host is None or port is None:
        return  # "auto", "local"
    try:
        socket.create_connection((host, port), REACH).close()
    except OSError as error:
        raise OutputError(
            f"no Ray cluster answers at {address!r}: {error.strerror or error}. ray status tells "
            "the address of the one that runs on a machine"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Ray Data from telling of its progress what effcam tells of its own."""
    logger = logging.getLogger("ray.data")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)

"""Shards on a Ray cluster: an actor pool of Ray Data makes and writes them.

Shards are ordered model by model, and each worker holds one model at a time, so that all workers
are busy to the end, however much the speed of the models differs. The shards are listed here, not
read from files, so no CPU has to be free for reading.
"""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import ray
import ray.data
from ray.exceptions import RayError, RayTaskError

from effcam.dataset.progress import RunProgress
from effcam.dataset.ray_cluster import connected, quiet
from effcam.dataset.ray_lease import Lease
from effcam.dataset.ray_placement import Node, WorkerPlan, plan_workers
from effcam.dataset.ray_worker import ShardWorker
from effcam.dataset.shards import Outcome, Plan, folder_of
from effcam.errors import ArgumentError, EffcamError, ModelError, OutputError

POLL = 0.2
"""Seconds between two checks for Ctrl-C."""
INLINE = 64 * 2**10
"""The largest plan, in bytes, that is passed to each worker by value."""
SETTINGS = {
    "enable_progress_bars": False,
    "print_on_execution_start": False,
    # A shard of a slow model takes longer than any reasonable limit.
    "execution_no_progress_timeout_s": -1,
}
"""Settings of Ray Data, of which a release may lack some."""


def run_on_ray(
    plan: Plan,
    missing: Mapping[int, Sequence[int]],
    progress: RunProgress,
    stopped: Callable[[], bool],
    *,
    workers: int | None,
    num_gpus: float | None,
    address: str | None,
) -> Iterator[Outcome]:
    """Yield the outcome of each shard after it was written, in order of completion.

    If a worker dies, alone or with its node, Ray starts another one, which makes the unfinished
    shard again.

    Args:
        plan: The run.
        missing: The shards to make, by the position of their model.
        progress: Shows the progress.
        stopped: Returns whether to stop after the current shards.
        workers: The number of workers; ``None`` is one per GPU, else one per node.
        num_gpus: The GPUs of each; ``None`` is 1 if there are any.
        address: The cluster; ``None`` is the one known here, else one of this machine.

    Raises:
        OutputError: If the cluster cannot be reached, or a node does not see the run.
        ArgumentError: If the cluster does not have the resources requested.
        EffcamError: Any error that a worker raised.
    """
    shards = [{"model": model, "number": at} for model, own in missing.items() for at in own]
    labels = list(plan.manifest.models)
    progress.name("starting Ray")
    with connected(address), quiet():
        pool = _plan_pool(plan, len(shards), workers, num_gpus)
        packed = _share(_pack(_with_device(plan, pool)))
        with Lease.granted(plan.store) as lease, _forward_stop(stopped, lease):
            progress.name("loading models")
            with closing(_results(shards, pool, packed, lease)) as results:
                for result in results:
                    if isinstance(result, EffcamError):
                        raise result
                    if result is not None:
                        progress.name(labels[result.model])
                        progress.advance(result.images)
                        yield result
            # Remove incomplete files of workers that died.
            plan.store.tidy(folder_of(plan.manifest, model) for model in missing)


def _results(
    shards: Sequence[Mapping[str, int]], pool: WorkerPlan, packed: object, lease: Lease
) -> Generator[Outcome | EffcamError | None]:
    """Yield the result of each shard; ``None`` if its worker stopped before."""
    listed: Any = ray.data.from_items(list(shards), override_num_blocks=len(shards))
    made = listed.map(
        ShardWorker,
        fn_constructor_args=(packed, lease, pool.threads),
        # More shards per worker would wait at a busy one while another is idle.
        compute=ray.data.ActorPoolStrategy(size=pool.workers, max_tasks_in_flight_per_actor=1),
        num_cpus=pool.cpus,
        num_gpus=pool.gpus,
    )
    for name, value in SETTINGS.items():
        if hasattr(made.context, name):
            setattr(made.context, name, value)
    try:
        # Prefetching would delay results that are ready.
        for batch in made.iter_batches(batch_size=None, prefetch_batches=0, batch_format="pyarrow"):
            for result in batch["result"].to_pylist():
                yield pickle.loads(result)  # noqa: S301  # our own workers wrote it
    except RayTaskError:
        raise  # a bug of effcam, with the worker's traceback
    except RayError as error:
        raise OutputError(
            f"the Ray cluster failed; run the same call again to resume: {error}"
        ) from error


def _pack(plan: Plan) -> bytes:
    """Return a pickled plan, which includes classes of modules that workers may lack."""
    try:
        packed: bytes = ray.cloudpickle.dumps(plan)
    except (pickle.PicklingError, TypeError, AttributeError, RuntimeError) as error:
        raise ModelError(f"a model cannot be sent to other processes: {error}") from error
    return packed


def _share(packed: bytes) -> bytes | ray.ObjectRef[bytes]:
    """Put a large plan into the object store, so that it is sent once and not per worker."""
    return packed if len(packed) <= INLINE else ray.put(packed)


def _plan_pool(plan: Plan, shards: int, workers: int | None, num_gpus: float | None) -> WorkerPlan:
    device = None if plan.device is None else str(plan.device)
    if device not in (None, "cpu", "cuda"):
        raise ArgumentError(f"device must be 'cuda' or 'cpu' with backend='ray', not {device!r}")
    if device == "cpu" and num_gpus is None:
        num_gpus = 0
    pool = plan_workers(_nodes(), shards, workers=workers, gpus=num_gpus)
    if device == "cuda" and not pool.gpus:
        raise ArgumentError("device='cuda' needs GPUs: num_gpus is 0, or the cluster has none")
    return pool


def _with_device(plan: Plan, pool: WorkerPlan) -> Plan:
    """Return the plan with the device of the workers, which may differ from this machine's."""
    return replace(plan, device=plan.device or ("cuda" if pool.gpus else "cpu"))


def _nodes() -> list[Node]:
    found = (node["Resources"] for node in ray.nodes() if node["Alive"])
    return [(each.get("CPU", 0), each.get("GPU", 0)) for each in found]


@contextmanager
def _forward_stop(stopped: Callable[[], bool], lease: Lease) -> Iterator[None]:
    """Let workers start no further shard after Ctrl-C, a signal that they do not receive."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(POLL):
            if stopped():
                lease.finish()
                return

    thread = threading.Thread(target=watch, name="effcam-ray-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()

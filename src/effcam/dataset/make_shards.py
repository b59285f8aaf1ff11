"""Make the missing shards of a run, here or on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from effcam.dataset.local import run_here
from effcam.dataset.progress import RunProgress, finishing
from effcam.dataset.shards import (
    MODELS,
    Outcome,
    Plan,
    Worker,
    finished,
    folder_of,
    name_of,
    read_facts,
)
from effcam.errors import ImageError, OutputError

READERS = 16
"""The number of footers read in parallel, since reads at an address are slow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The workers requested of a cluster.

    Attributes:
        workers: The number of workers; ``None`` is one per GPU, else one per node.
        num_gpus: The GPUs of each, 0.5 for two that share one; ``None`` is 1 if there are GPUs.
        address: The cluster's address; ``None`` is the one known here, else one of this machine.
    """

    workers: int | None = None
    num_gpus: float | None = None
    address: str | None = None


def make_missing(
    plan: Plan, cluster: Cluster | None, max_errors: int | None, progress: bool | None
) -> None:
    """Make the shards that are missing."""
    existing = _finished(plan)
    bad = {at: reason for outcome in existing for at, reason in outcome.bad.items()}
    _check_errors(plan, bad, max_errors)
    done = {(outcome.model, outcome.number) for outcome in existing}
    shards = range(plan.inventory.shards)
    missing = {
        model: numbers
        for model in range(len(plan.columns))
        if (numbers := [number for number in shards if (model, number) not in done])
    }
    total = plan.inventory.count * len(plan.columns)
    left = sum(plan.inventory.size(at) for numbers in missing.values() for at in numbers)
    _write_lost_facts(plan, missing)
    if not left:
        return
    folders = (folder_of(plan.manifest, model) for model in range(len(plan.columns)))
    plan.store.tidy(["", MODELS, *folders])
    bar = RunProgress(total, done=total - left, shown=progress)
    with bar as shown, finishing(shown.say) as stopped:
        shown.bad(len(bad))
        for outcome in _outcomes(plan, missing, cluster, shown, stopped):
            done.add((outcome.model, outcome.number))
            bad |= outcome.bad
            shown.bad(len(bad))
            _check_errors(plan, bad, max_errors)
        if stopped():
            of = len(plan.columns) * len(shards)
            raise KeyboardInterrupt(
                f"interrupted: {len(done)} of {of} shards are written in {plan.store.address!r}; "
                "run the same command again to resume"
            )


def _write_lost_facts(plan: Plan, missing: Mapping[int, object]) -> None:
    """Write the facts of models again that are damaged or gone, though all shards are there."""
    for model in range(len(plan.columns)):
        try:
            lost = model not in missing and read_facts(plan.store, model) is None
        except OutputError:
            lost = True
        if lost:
            Worker(plan, model)


def _outcomes(
    plan: Plan,
    missing: Mapping[int, Sequence[int]],
    cluster: Cluster | None,
    progress: RunProgress,
    stopped: Callable[[], bool],
) -> Iterator[Outcome]:
    if cluster is None:
        return run_here(plan, missing, progress, stopped)
    from effcam.dataset.ray_backend import run_on_ray

    return run_on_ray(
        plan,
        missing,
        progress,
        stopped,
        workers=cluster.workers,
        num_gpus=cluster.num_gpus,
        address=cluster.address,
    )


def _finished(plan: Plan) -> list[Outcome]:
    """Return the outcomes of the complete shards."""
    written = []
    for model in range(len(plan.columns)):
        folder = folder_of(plan.manifest, model)
        names = {f"{folder}/{name}" for name in plan.store.names(folder)}
        written += [
            (model, number)
            for number in range(plan.inventory.shards)
            if name_of(plan.manifest, model, number) in names
        ]
    with ThreadPoolExecutor(READERS) as pool:
        found = pool.map(lambda each: finished(plan, *each), written)
        return [outcome for outcome in found if outcome is not None]


def _check_errors(plan: Plan, bad: Mapping[int, str], most: int | None) -> None:
    if most is not None and len(bad) > most:
        raise ImageError(
            f"{len(bad)} images cannot be read, more than max_errors={most} (--max-errors): "
            f"{next(iter(bad.values()))}, ... Finished shards are kept in {plan.store.address!r}; "
            "resume with a larger number"
        )

"""Shards one after another in this process: one model in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from effcam.dataset.progress import RunProgress
from effcam.dataset.shards import Outcome, Plan, Worker


def run_here(
    plan: Plan,
    missing: Mapping[int, Sequence[int]],
    progress: RunProgress,
    stopped: Callable[[], bool],
) -> Iterator[Outcome]:
    """Yield the outcome of each shard after it was written.

    Args:
        plan: The run.
        missing: The shards to make, by the position of their model.
        progress: Shows the progress.
        stopped: Returns whether to stop after the current shard.
    """
    for model, numbers in missing.items():
        label = list(plan.manifest.models)[model]
        progress.name(f"loading {label}")
        worker = Worker(plan, model)
        if plan.compiling:
            progress.name(f"compiling {label}")
            progress.say(worker.compile([plan.inventory.size(each) for each in numbers]))
        progress.name(label)
        for number in numbers:
            if stopped():
                return
            yield worker.run(number, progress.advance)
        del worker  # free this model before loading the next

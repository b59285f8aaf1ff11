"""Shards one after another in this process: one model in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from effcam.dataset.progress import RunProgress
from effcam.dataset.shards import Outcome, Plan, Worker
from effcam.errors import ModelError


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
        if plan.compiling and not stopped():
            progress.name(f"compiling {label}")
            try:
                done = worker.compile([plan.inventory.size(each) for each in numbers])
            except ModelError:
                if stopped():  # Ctrl-C also reaches the compiler, which is a process of its own
                    return
                raise
            progress.say(done)
        progress.name(label)
        for number in numbers:
            if stopped():
                return
            yield worker.run(number, progress.advance)
        del worker  # free this model before loading the next

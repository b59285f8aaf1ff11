"""Shards one after another in this process: one model in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from effcam.dataset.progress import Pace
from effcam.dataset.shards import Outcome, Plan, Worker


def run_here(
    plan: Plan, missing: Mapping[int, Sequence[int]], pace: Pace, stopped: Callable[[], bool]
) -> Iterator[Outcome]:
    """Yield what came of each shard, after it was written.

    Args:
        plan: What to do.
        missing: The shards to make, by the position of their model.
        pace: Is told how far it is.
        stopped: Tells whether to stop after the shard in hand.
    """
    for model, numbers in missing.items():
        label = list(plan.manifest.models)[model]
        pace.name(f"loading {label}")
        worker = Worker(plan, model)
        pace.name(label)
        for number in numbers:
            if stopped():
                return
            yield worker.run(number, pace.advance)
        # Else it would stay until the next one is there to take its name.
        del worker

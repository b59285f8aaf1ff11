"""Several processes that train one network together."""

from __future__ import annotations

import os

from torch import distributed, nn

from effcam.errors import ModelError

SHARDED = ("FullyShardedDataParallel", "FSDPModule", "DeepSpeedEngine", "DTensor")
"""Classes of networks and tensors of which a process has a part only."""


def is_first() -> bool:
    """Return whether this is the process that shows the network: the first, or the only one."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank() == 0
    return int(os.environ.get("RANK", "0")) == 0


def agree(problem: str) -> str:
    """Return what is wrong in the first process, in all processes.

    All of them call this once, before the training. Without it, the others would wait for a first
    process that has stopped with an error.

    Args:
        problem: What is wrong, in words; empty for nothing. Only the first process's counts.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return problem
    if distributed.get_world_size() == 1:
        return problem
    told: list[str] = [problem]
    distributed.broadcast_object_list(told, src=0)
    return told[0]


def check_whole(module: nn.Module) -> None:
    """Refuse a network of which this process has only a part of the weights.

    Raises:
        ModelError: If it is sharded, as by FSDP.
    """
    parts = [*module.modules(), *module.parameters()]
    found = next((name for each in parts for name in _classes(each) if name in SHARDED), None)
    if found is None and any(hasattr(each, "ds_id") for each in module.parameters()):
        found = "ZeRO stage 3"
    if found is not None:
        raise ModelError(
            f"the network is sharded over processes ({found}), so that none has all weights: "
            "effcam cannot run it there. Compare its saved checkpoints instead "
            "(effcam.checkpoints), or train with data parallelism (DDP)"
        )


def _classes(value: object) -> list[str]:
    return [each.__name__ for each in type(value).__mro__]

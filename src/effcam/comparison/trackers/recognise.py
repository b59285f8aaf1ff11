"""Recognise the tracker that an object belongs to, without importing any."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from os import PathLike
from types import ModuleType
from typing import Any, TypeAlias

from effcam.comparison.trackers import mlflow_run, tensorboard, weights_and_biases
from effcam.comparison.trackers.entry import Entry
from effcam.errors import ArgumentError
from effcam.text import quote

Write: TypeAlias = Callable[[Entry], None]

TAKEN = (
    "the folder of a TensorBoard log, a SummaryWriter, a run of W&B or wandb, a run of MLflow, "
    "mlflow or (MlflowClient, run_id), or Lightning's TensorBoardLogger, WandbLogger or "
    "MLFlowLogger"
)
LIGHTNING_AXIS = "trainer/global_step"
"""The figure that is the horizontal axis of everything that Lightning logs to W&B."""


def find_tracker(to: object) -> Write | None:
    """Return what writes an entry to a tracker; ``None`` if nothing is to be written.

    The latter is so for a Lightning logger in processes other than the first.

    Raises:
        ArgumentError: If an object belongs to no tracker that is known.
        OutputError: If a package is not installed, or the run has ended or does not exist.
    """
    for recognises, make in TRACKERS:
        if recognises(to):
            return make(to)
    raise _unknown(to)


def _of_wandb(run: Any, axis: str | None = None) -> Write:
    weights_and_biases.check_run(run)
    return partial(weights_and_biases.write, run, axis=axis)


def _of_mlflow(client: Any, run_id: str) -> Write:
    mlflow_run.check_run(client, run_id)
    return partial(mlflow_run.write, client, run_id)


def _of_module(to: Any) -> Write:
    """Return what writes to the active run of a tracker whose module is given."""
    if to.__name__ == "mlflow":
        return _of_mlflow(*mlflow_run.active_run(to))
    return _of_wandb(weights_and_biases.active_run(to))


def _is_logger(to: object) -> bool:
    """Return whether an object offers what all loggers of Lightning do."""
    return all(hasattr(type(to), name) for name in ("experiment", "log_metrics", "finalize"))


def _of_logger(to: Any) -> Write | None:
    """Return what writes to the tracker inside a logger of Lightning."""
    kinds = {kind.__name__ for kind in type(to).__mro__}
    if kinds.isdisjoint({"TensorBoardLogger", "WandbLogger", "MLFlowLogger"}):
        raise _unknown(to)
    inside = to.experiment
    if type(inside).__name__ == "_DummyExperiment":
        return None
    if "WandbLogger" in kinds:
        return _of_wandb(inside, LIGHTNING_AXIS)
    if "MLFlowLogger" in kinds:
        return _of_mlflow(inside, to.run_id)
    return partial(tensorboard.write, inside)


def _unknown(to: object) -> ArgumentError:
    return ArgumentError(f"cannot log to {quote(to)}: expected {TAKEN}")


def _without_run(_client: object) -> Write:
    raise ArgumentError("an MlflowClient needs the id of a run: give (client, run_id)")


TRACKERS: tuple[tuple[Callable[[Any], bool], Callable[[Any], Write | None]], ...] = (
    (_is_logger, _of_logger),
    (
        lambda to: isinstance(to, str | PathLike),
        lambda to: partial(tensorboard.write_folder, tensorboard.check_folder(to)),
    ),
    (tensorboard.is_writer, lambda to: partial(tensorboard.write, to)),
    (
        lambda to: isinstance(to, ModuleType) and to.__name__ in {"wandb", "mlflow"},
        _of_module,
    ),
    (weights_and_biases.is_run, _of_wandb),
    (mlflow_run.is_run, lambda to: _of_mlflow(*mlflow_run.of_run(to))),
    (
        lambda to: isinstance(to, tuple) and len(to) == 2 and mlflow_run.is_client(to[0]),
        lambda to: _of_mlflow(*to),
    ),
    (mlflow_run.is_client, _without_run),
)
"""What recognises an object, and what writes to its tracker."""

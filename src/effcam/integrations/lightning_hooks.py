"""What the callbacks for both packages of Lightning do; it imports neither."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from effcam.comparison.comparison import Comparison
from effcam.integrations.distributed import check_whole
from effcam.integrations.measured import Measured
from effcam.integrations.network import Part
from effcam.integrations.watch import Watch

ROUNDING = 1e-6
LOGS = ("log", "log_dict")
"""The methods of a Lightning module that log metrics of the training."""


class CompareHooks:
    """Show the network at the end of training epochs, or after steps.

    Nothing is done in the sanity check, nor in ``trainer.validate()``, ``test()`` and
    ``predict()``. Columns are called by Lightning's count, whose first epoch is 0, as the files of
    its ``ModelCheckpoint`` are.
    """

    def __init__(
        self,
        images: Any,
        *,
        module: Part = None,
        folder: Any = None,
        log: bool = True,
        **options: Any,
    ) -> None:
        """Check the arguments.

        Args:
            images: The images, as for `effcam.compare`.
            module: The part of the Lightning module to show: its dotted name as ``"model"``, or a
                function that takes the Lightning module and returns it. ``None`` is the Lightning
                module itself if it has a ``forward``, else its only child with weights, or
                ``model``, ``net`` or ``network``.
            folder: Where to write; ``None`` is ``effcam`` (or ``name``) in the folder of the first
                logger's run, or in ``trainer.default_root_dir`` without a logger.
            log: Whether to log to the trainer's loggers as well.
            options: As in `effcam.integrations.watch.Watch`: ``every_n_epochs``,
                ``every_n_steps``, ``share``, ``preprocess``, ``class_names``, ``scores``,
                ``target_layer``, ``method``, ``target``, ``batch_size``, ``boxes``, ``masks``,
                ``labels``, ``log_to``, ``name``. Of several callbacks in one trainer, each needs a
                name.

        Raises:
            EffcamError: As `effcam.integrations.watch.Watch`.
        """
        super().__init__()
        self._watch = Watch(images, folder, **options)
        self._module, self._log = module, log
        self._step = 0
        self._measured = Measured()

    @property
    def state_key(self) -> str:
        """What its columns are called in checkpoints, which several callbacks must not share."""
        return f"{type(self).__qualname__}{{'name': {self._watch.name!r}}}"

    @property
    def comparison(self) -> Comparison:
        """What was shown so far, a column for each time; empty in processes but the first."""
        return self._watch.comparison

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Try the network on all images, before the first epoch.

        Raises:
            EffcamError: As `effcam.integrations.watch.Watch.start`.
        """
        if getattr(trainer, "fast_dev_run", False):
            return
        check_whole(trainer.strategy.model)
        self._step = trainer.global_step
        self._measured = Measured()
        self._measured.note(trainer.callback_metrics, -1)  # those of an earlier fit
        self._watch.keep_columns(self._step)
        folder = _run_folder(trainer) / self._watch.name
        with _not_logging(pl_module):
            self._watch.start(
                pl_module,
                module=self._module,
                folder=folder,
                has_forward=_has_forward(pl_module),
                log_to=trainer.loggers if self._log else (),
            )

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        """Show the network if it is time to, after a step of the optimiser."""
        del args
        if trainer.global_step == self._step:  # gradients are being accumulated
            return
        self._step = trainer.global_step
        metrics = self._metrics(trainer)
        with _not_logging(pl_module):
            self._watch.step_end(self._step, metrics, epoch=trainer.current_epoch)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Keep what was measured, also if the network of this step was shown already."""
        del pl_module
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._watch.add_metrics(self._metrics(trainer), step=trainer.global_step)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Show the network if it is time to; validation is done by then."""
        metrics = self._metrics(trainer)
        with _not_logging(pl_module):
            self._watch.epoch_end(
                trainer.current_epoch,
                metrics,
                step=trainer.global_step,
                epochs=_epochs(trainer),
            )

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Show the network at its last epoch, and write all results."""
        metrics = self._metrics(trainer)
        with _not_logging(pl_module):
            self._watch.end(metrics)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Write the results so far if the training ends early."""
        del trainer, exception
        with _not_logging(pl_module):
            self._watch.end(show=False)

    def state_dict(self) -> dict[str, Any]:
        """Return the columns so far, which checkpoints keep."""
        return self._watch.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the columns of a checkpoint."""
        self._watch.load_state_dict(state_dict)

    def _metrics(self, trainer: Any) -> dict[str, object]:
        """Return the metrics that were measured on the network of this step."""
        return self._measured.note(trainer.callback_metrics, trainer.global_step)


def _has_forward(pl_module: Any) -> bool:
    """Return whether a class defines ``forward``; that of Lightning only raises an error."""
    defined_in = getattr(type(pl_module).forward, "__module__", "")
    return defined_in.partition(".")[0] not in {"lightning", "pytorch_lightning", "torch"}


def _run_folder(trainer: Any) -> Path:
    """Return the folder of a run, where Lightning's ``ModelCheckpoint`` makes ``checkpoints``.

    ``trainer.log_dir`` is one folder for all runs if the first logger is that of MLflow or W&B.
    """
    if not trainer.loggers:
        return Path(trainer.default_root_dir)
    first = trainer.loggers[0]
    own = getattr(first, "log_dir", None)
    if own:
        return Path(own)
    version = first.version if isinstance(first.version, str) else f"version_{first.version}"
    return Path(first.save_dir or trainer.default_root_dir) / str(first.name) / version


def _epochs(trainer: Any) -> int | None:
    """Return how many epochs there will be; ``None`` if it is not known.

    A training that ends by its number of steps ends in the epoch that reaches it.
    """
    known = []
    if (trainer.max_epochs or -1) > 0:
        known.append(trainer.max_epochs)
    if trainer.max_steps > 0 and trainer.global_step > 0:
        each = trainer.global_step / (trainer.current_epoch + 1)
        known.append(math.ceil(trainer.max_steps / each - ROUNDING))
    return min(known, default=None)


@contextmanager
def _not_logging(pl_module: Any) -> Iterator[None]:
    """Keep a ``forward`` that logs metrics from logging those of the images shown."""
    own = vars(pl_module)
    before = {name: own[name] for name in LOGS if name in own}
    own.update(dict.fromkeys(LOGS, _log_nothing))
    try:
        yield
    finally:
        for name in LOGS:
            del own[name]
        own.update(before)


def _log_nothing(*_args: Any, **_named: Any) -> None:
    """Stand in for ``log`` and ``log_dict``."""

"""What the callbacks for both packages of Lightning do; it imports neither."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from effcam.comparison.comparison import Comparison
from effcam.integrations.distributed import check_whole
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
            folder: Where to write; ``None`` is ``effcam`` in the folder of the first logger, or in
                ``trainer.default_root_dir`` without one.
            log: Whether to log to the trainer's loggers as well.
            options: As in `effcam.integrations.watch.Watch`: ``every_n_epochs``,
                ``every_n_steps``, ``share``, ``preprocess``, ``class_names``, ``target_layer``,
                ``method``, ``target``, ``batch_size``, ``boxes``, ``masks``, ``labels``,
                ``log_to``.

        Raises:
            EffcamError: As `effcam.integrations.watch.Watch`.
        """
        super().__init__()
        self._watch = Watch(images, folder, **options)
        self._module, self._log = module, log
        self._step = 0

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
        folder = Path(trainer.log_dir or trainer.default_root_dir) / "effcam"
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
        with _not_logging(pl_module):
            self._watch.step_end(self._step, trainer.callback_metrics, epoch=trainer.current_epoch)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Show the network if it is time to; validation is done by then."""
        with _not_logging(pl_module):
            self._watch.epoch_end(
                trainer.current_epoch,
                trainer.callback_metrics,
                step=trainer.global_step,
                epochs=_epochs(trainer),
            )

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Show the network at its last epoch, and write all results."""
        with _not_logging(pl_module):
            self._watch.end(trainer.callback_metrics)

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


def _has_forward(pl_module: Any) -> bool:
    """Return whether a class defines ``forward``; that of Lightning only raises an error."""
    defined_in = getattr(type(pl_module).forward, "__module__", "")
    return defined_in.partition(".")[0] not in {"lightning", "pytorch_lightning", "torch"}


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

"""A callback for the ``Trainer`` of transformers: ``pip install 'effcam[trainer]'``."""

from __future__ import annotations

import inspect
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from effcam.comparison.comparison import Comparison
from effcam.errors import ArgumentError
from effcam.integrations.network import Part
from effcam.integrations.watch import Watch

try:
    from transformers import TrainerCallback
    from transformers.integrations import MLflowCallback, TensorBoardCallback, WandbCallback
    from transformers.trainer_callback import CallbackHandler
except ImportError as error:
    raise ImportError(
        "effcam.integrations.transformers needs transformers and accelerate: pip install "
        "'effcam[trainer]'"
    ) from error

WHOLE = ("train_runtime", "train_samples_per_second", "train_steps_per_second", "train_loss")
"""What the trainer logs at its end of the training as a whole."""
NO_METRICS = {"epoch", "step", "total_flos", *WHOLE}


class CompareCallback(TrainerCallback):
    """Show the network in the loop of a ``transformers.Trainer``.

    Columns are called by the trainer's count, whose epoch is 1 after the first epoch.
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
            module: The part of the model to show: its dotted name, or a function that takes the
                model and returns it; ``None`` for the model itself.
            folder: Where to write; ``None`` is ``effcam`` (or ``name``) in
                ``args.output_dir``.
            log: Whether to log to TensorBoard, Weights & Biases and MLflow as well, where the
                trainer does (``report_to``).
            options: As in `effcam.integrations.watch.Watch`: ``every_n_epochs``,
                ``every_n_steps``, ``share``, ``preprocess``, ``class_names``, ``scores``,
                ``target_layer``, ``method``, ``target``, ``batch_size``, ``boxes``, ``masks``,
                ``labels``, ``log_to``, ``name``. Of several callbacks in one trainer, each needs a
                name. The transform is that of the trainer's ``processing_class`` if it is an image
                processor, and the names of the classes are ``config.id2label``.

        Raises:
            EffcamError: As `effcam.integrations.watch.Watch`.
        """
        self._watch = Watch(images, folder, **options)
        self._module, self._log = module, log

    @property
    def comparison(self) -> Comparison:
        """What was shown so far, a column for each time; empty in processes but the first."""
        return self._watch.comparison

    def on_train_begin(
        self, args: Any, state: Any, control: Any, model: Any = None, **named: Any
    ) -> None:
        """Try the network on all images, before the first epoch.

        Raises:
            ArgumentError: If another callback of this trainer has the same name.
            EffcamError: As `effcam.integrations.watch.Watch.start`.
        """
        del control
        _check_names()
        self._watch.start(
            model,
            module=self._module,
            folder=Path(args.output_dir) / self._watch.name,
            processor=named.get("processing_class"),
            log_to=tuple(_trackers()) if self._log else (),
            step=state.global_step or None,
        )

    def on_step_end(self, args: Any, state: Any, control: Any, **named: Any) -> None:
        """Show the network if it is time to, after a step of the optimiser."""
        del args, control, named
        self._watch.step_end(state.global_step, epoch=state.epoch)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **named: Any) -> None:
        """Show the network if it is time to; the trainer evaluates it afterwards."""
        del args, control, named
        self._watch.epoch_end(
            state.epoch,
            _logged(state),
            step=state.global_step,
            index=max(math.ceil(state.epoch) - 1, 0),
            epochs=state.num_train_epochs,
        )

    def on_log(
        self,
        args: Any,
        state: Any,
        control: Any,
        logs: Mapping[str, Any] | None = None,
        **named: Any,
    ) -> None:
        """Keep what was measured at the step of the latest column."""
        del args, control, named
        self._watch.add_metrics(_metrics(logs or {}), step=state.global_step)

    def on_save(self, args: Any, state: Any, control: Any, **named: Any) -> None:
        """Show the last epoch of a training that is stopped, before other weights are loaded."""
        del named
        if control.should_training_stop and args.load_best_model_at_end:
            self._watch.show_last(_logged(state))

    def on_train_end(self, args: Any, state: Any, control: Any, **named: Any) -> None:
        """Show the network at its last epoch, and write all results."""
        del control, named
        loaded = args.load_best_model_at_end and state.best_model_checkpoint is not None
        self._watch.end(_logged(state), show=not loaded)


def _metrics(logs: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was measured on the network among what the trainer logs."""
    return {
        name: value
        for name, value in logs.items()
        if name not in NO_METRICS and not name.endswith(("_runtime", "_per_second"))
    }


def _logged(state: Any) -> dict[str, Any]:
    """Return what was measured at this step before its epoch ended, or an evaluation by steps."""
    found: dict[str, Any] = {}
    for entry in reversed(state.log_history):
        if entry.get("step") != state.global_step:
            break
        found = _metrics(entry) | found
    return found


def _trackers() -> Iterator[Any]:
    """Yield the trackers that the trainer logs to.

    A callback is not given the trainer's other callbacks, which have them: they are read from the
    handler that calls it.
    """
    for each in _handler_callbacks():
        if isinstance(each, TensorBoardCallback) and each.tb_writer is not None:
            yield each.tb_writer
        elif isinstance(each, WandbCallback) and getattr(each._wandb, "run", None) is not None:
            yield each._wandb.run
        elif isinstance(each, MLflowCallback) and each._initialized:
            run = each._ml_flow.active_run()
            if run is not None:
                yield run


def _check_names() -> None:
    """Refuse two callbacks that would write over each other's files and columns.

    Raises:
        ArgumentError: If two have one name.
    """
    every = [each for each in _handler_callbacks() if isinstance(each, CompareCallback)]
    names = Counter(each._watch.name for each in every)
    shared = [name for name, number in names.items() if number > 1]
    if shared:
        raise ArgumentError(
            f"{names[shared[0]]} callbacks of this trainer are called {shared[0]!r}, and would "
            "write over each other's files: give each a name="
        )


def _handler_callbacks() -> list[Any]:
    frame = inspect.currentframe()
    while frame is not None:
        handler = frame.f_locals.get("self")
        if isinstance(handler, CallbackHandler):
            return list(handler.callbacks)
        frame = frame.f_back
    return []

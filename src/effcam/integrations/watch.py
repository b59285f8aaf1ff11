"""Show a network during its training: on fixed images, a column for each epoch or step shown."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Real
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effcam.cam.methods.table import Method
from effcam.comparison.comparison import Comparison
from effcam.errors import ArgumentError, EffcamError, ModelError, OutputError, reason_of
from effcam.images.annotations.truths import Boxes, Labels, Masks
from effcam.images.refs import ImageLike
from effcam.integrations.asked import check_asked
from effcam.integrations.distributed import agree, check_whole, is_first
from effcam.integrations.first_batch import watch_first_batch
from effcam.integrations.history import History, label_of
from effcam.integrations.network import Part, find_part, find_transform, say_transform
from effcam.integrations.pace import Pace
from effcam.integrations.results import LOGGED, Results, figures_of
from effcam.integrations.side_effects import same_randomness, wait_for_devices
from effcam.models.model import Model
from effcam.models.training_stage import TrainingStage
from effcam.models.wrappers import Layers
from effcam.targets.plain import Target
from effcam.text import count

if TYPE_CHECKING:
    from torch import nn

logger = logging.getLogger("effcam")


class Watch:
    """Show a network during its training, and leave the training exactly as it would be.

    At some epochs or steps it runs `effcam.compare` on the network and on a fixed set of images.
    Each time is a column of `comparison`. It writes into a folder: ``latest.png`` (the photos, and
    the first, the latest and some columns between), ``predictions.csv`` (a row for each image and
    column), ``figures.csv`` (a row for each column: metrics of the training, figures of
    `effcam.Summary`); and at the end ``epochs.gif`` (a frame for each column) and
    ``timeline.png``.

    Weights, gradients, buffers, training modes and random numbers of the training stay as they
    are. An error of it is logged once, and the training goes on; errors of arguments are raised
    by the constructor and by `start`.

    `effcam.integrations.lightning.CompareCallback` and
    `effcam.integrations.transformers.CompareCallback` call it in the loops of Lightning and
    transformers. In a loop of your own::

        watch = Watch(photos, "runs/1/effcam", preprocess=transform, epochs=20)
        watch.start(network)
        for epoch in range(20):
            ...  # train for an epoch
            watch.epoch_end(epoch, {"loss": loss})
        watch.end()
    """

    def __init__(
        self,
        images: ImageLike | Iterable[ImageLike],
        folder: str | PathLike[str] | None = None,
        *,
        every_n_epochs: int | None = None,
        every_n_steps: int | None = None,
        share: float | None = None,
        epochs: int | None = None,
        preprocess: object = None,
        class_names: Sequence[str] | None = None,
        target_layer: Layers = None,
        method: Method = "gradcam",
        target: Target = None,
        batch_size: int = 16,
        boxes: Boxes = None,
        masks: Masks = None,
        labels: Labels = None,
        log_to: Iterable[object] = (),
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Check the arguments; no network is needed yet.

        Args:
            images: The images, as for `effcam.compare`. A few are enough, each costs its time.
            folder: Where to write; it is made if it does not exist. The callbacks have one by
                default.
            every_n_epochs: Show the first epoch and each n-th one after it; 1 shows each. The last
                epoch is always shown too.
            every_n_steps: Show after each n-th step of the optimiser instead, and at the end.
            share: How much longer the training may get, as a share of its time. ``None`` is 0.01,
                unless an interval is given: as many epochs are shown, evenly spaced, as fit into
                that. The first and the last epoch are shown also if that takes longer.
            epochs: How many epochs there will be; ``None`` if it is not known. The callbacks know.
            preprocess: The transform from a photo to the network's input: an `effcam.Preprocess`,
                or an image processor of transformers. ``None`` is the one that the network states,
                else the usual one of ImageNet, with a warning.
            class_names: The name of each class, in order; ``None`` for those that the network
                states.
            target_layer: As in `effcam.load_model`.
            method: The method, as in `effcam.compare`.
            target: What to explain, as in `effcam.compare`; ``None`` is the class that the network
                predicts at that time, which may change.
            batch_size: As in `effcam.compare`.
            boxes: Boxes around the objects, as in `Comparison.summary`.
            masks: Masks of the objects, as in `Comparison.summary`.
            labels: The true classes, as in `Comparison.summary`.
            log_to: Trackers to log to as well, as in `Comparison.log`.
            clock: Returns the time in s.

        Raises:
            ImageError: If there are no images, or one does not exist.
            AnnotationError: If boxes, masks or labels are broken or do not fit the images.
            TargetError: If the target is impossible.
            ArgumentError: If another argument is impossible.
        """
        self._pace = Pace(
            every_n_epochs=every_n_epochs, every_n_steps=every_n_steps, share=share, clock=clock
        )
        self._clock = clock
        self._asked = check_asked(
            images,
            method=method,
            target=target,
            batch_size=batch_size,
            target_layer=target_layer,
            class_names=class_names,
            boxes=boxes,
            masks=masks,
            labels=labels,
        )
        self._folder = None if folder is None else Path(folder).expanduser()
        self._epochs = None if epochs is None else check_number("epochs", epochs)
        self._preprocess = preprocess
        self._log_to = tuple(log_to)
        self._history = History(self._asked.images)
        self._packed: bytes | None = None
        self._running: _Running | None = None
        self._failures: set[tuple[str, str]] = set()

    @property
    def comparison(self) -> Comparison:
        """What was shown so far: a column for each time."""
        return self._history.comparison()

    def start(
        self,
        network: nn.Module,
        *,
        module: Part = None,
        folder: str | PathLike[str] | None = None,
        has_forward: bool = True,
        processor: object = None,
        step: int | None = None,
    ) -> None:
        """Find the network and try it on all images, before the training.

        In a training by several processes, each calls it; only the first one shows anything.

        Args:
            network: The module that is trained.
            module: The part of it to show: its dotted name, the part itself, or a function that
                returns it; ``None`` for all.
            folder: The folder if the constructor was given none.
            has_forward: Whether the module can be called on images.
            processor: The image processor of the training, if it has one.
            step: The step at which an earlier training goes on, whose columns are in the folder;
                ``None`` for a new training.

        Raises:
            ModelError: If the network is sharded over processes, or cannot be run.
            ArgumentError: If there is no such part, or no folder; and as `effcam.load_model`.
            OutputError: If the folder cannot be made.
            EffcamError: As `effcam.compare`.
        """
        check_whole(network)
        self._pace.begin()
        self._failures.clear()
        problem: Exception | None = None
        if is_first():
            try:
                with self._timed():
                    self._make_folder(folder)
                    self._restore(step)
                    self._prepare(*find_part(network, module, has_forward=has_forward), processor)
            except Exception as error:  # noqa: BLE001  # the other processes wait for the answer
                problem = error
        told = agree("" if problem is None else reason_of(problem))
        if problem is not None:
            raise problem
        if told:
            raise ModelError(f"the first process cannot show the network: {told}")

    def step_end(self, step: int, epoch: float | None = None, **metrics: float) -> None:
        """Show the network if it is time to, after a step of the optimiser.

        Args:
            step: How many steps were done.
            epoch: The epoch, as the training counts it.
            metrics: What was measured on the network.
        """
        self._at = (epoch, step, self._at[2])
        if self._is_ready and self._pace.step_is_due(step):
            self._show(metrics)

    def epoch_end(
        self,
        epoch: float,
        metrics: Mapping[str, float] | None = None,
        *,
        step: int | None = None,
        index: int | None = None,
        epochs: int | None = None,
    ) -> None:
        """Show the network if it is time to, at the end of an epoch.

        Args:
            epoch: The epoch, as the training counts it; it becomes the column's label.
            metrics: What was measured on the network, by name.
            step: How many steps of the optimiser were done.
            index: The epoch counted from 0, if the training counts otherwise.
            epochs: How many epochs there will be; ``None`` for what the constructor was given.
        """
        at = int(epoch) if index is None else index
        total = self._epochs if epochs is None else epochs
        self._at = (epoch, step, at)
        if not self._is_ready or not self._pace.epoch_is_due(at, total):
            return
        self._show(metrics or {})
        if self._pace.is_planned and (total is None or at + 1 < total):
            self._plan(at, total)

    def add_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Keep what was measured on the network after it was shown, at the same step.

        Args:
            metrics: What was measured, by name.
            step: How many steps of the optimiser were done.
        """
        if len(self._history) and self._history.shown[-1].stage.step == step:
            self._history.complete(metrics)

    def end(self, metrics: Mapping[str, float] | None = None, *, show: bool = True) -> None:
        """Show the network at its last epoch, unless that is done, and write all results.

        Args:
            metrics: What was measured on the network.
            show: Whether the network is still that of the last epoch. If not, nothing is added.
        """
        if not self._is_ready:
            return
        self._stop_looking()
        if show and self._at[:2] != (None, None) and not self._is_shown():
            self._show(metrics or {})
        with self._timed():
            self._close()
        trained, spent = self._pace.trained, self._pace.spent
        logger.info(
            "effcam showed the network %s in %.3g s, %.2g %% of the %.3g s of the training; "
            "see %s",
            count(len(self._history), "time"),
            spent,
            100 * spent / max(trained, 1e-9),
            trained,
            self._folder,
        )
        self._model = None

    def state_dict(self) -> dict[str, Any]:
        """Return all columns so far, for a checkpoint: tensors only."""
        import torch

        if not len(self._history):
            return {}
        return {"history": torch.frombuffer(bytearray(self._history.pack()), dtype=torch.uint8)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the columns of a checkpoint, at the next `start`.

        Args:
            state: What `state_dict` returned.
        """
        if "history" in state:
            self._packed = state["history"].cpu().numpy().tobytes()

    @property
    def _is_ready(self) -> bool:
        return self._model is not None

    def _is_shown(self) -> bool:
        """Return whether the latest column is of the latest epoch or step."""
        if not len(self._history):
            return False
        epoch, step, _ = self._at
        stage = self._history.shown[-1].stage
        return stage.step == step if step is not None else stage.epoch == epoch

    def _make_folder(self, folder: str | PathLike[str] | None) -> None:
        chosen = self._folder or (None if folder is None else Path(folder).expanduser())
        if chosen is None:
            raise ArgumentError("folder= is needed: where to write the results")
        try:
            chosen.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot make the folder {chosen}: {error}") from error
        self._folder = chosen
        self._results = Results(chosen)

    def _restore(self, step: int | None) -> None:
        """Take the columns of an earlier training, if they are of the same images."""
        self._history = History(self._images)
        packed, self._packed = self._packed, None
        if packed is None and step and self._folder is not None:
            file = self._folder / HISTORY
            packed = file.read_bytes() if file.is_file() else None
        if packed is None:
            return
        try:
            reason = self._history.unpack(packed, most_steps=step)
        except Exception as error:  # noqa: BLE001  # the file may hold anything
            reason = f"it cannot be read ({reason_of(error)})"
        if reason:
            self._history = History(self._images)
            logger.warning("effcam begins a new history of the training: %s", reason)

    def _prepare(self, network: nn.Module, what: str, processor: object) -> None:
        """Load the network, and try it on all images."""
        transform = find_transform(network, self._preprocess, processor)
        with same_randomness():
            model = load_model(
                network,
                name=what,
                target_layer=self._target_layer,
                preprocess=transform.preprocess,
                labels=self._class_names,
            )
            tried = self._compare(model, "start")
        reason = self._history.difference(tried)
        if reason:
            self._history = History(self._images)
            logger.warning("effcam begins a new history of the training: %s", reason)
        self._model = model
        _speak()
        shown = count(len(self._images), "image")
        logger.info("effcam shows %s on %s, at layer %s", what, shown, model.target_layer)
        level = logging.WARNING if transform.is_assumed else logging.INFO
        logger.log(level, "effcam: %s", say_transform(transform))
        self._stop_looking()
        self._stop_looking = watch_first_batch(
            network, transform.preprocess, _warn_of_inputs, sizes=transform.is_assumed
        )

    def _compare(self, model: Model, label: str) -> Comparison:
        return compare(self._images, {label: model}, progress=False, **self._settings)

    def _show(self, metrics: Mapping[str, float]) -> None:
        """Add a column for the network as it is now, write it and log it."""
        epoch, step, _ = self._at
        stage = TrainingStage(epoch, step, _numbers(metrics))
        label = label_of(stage, steps=self._pace.counts_steps)
        with self._timed(), same_randomness():
            if self._attempt(f"show {label}", lambda: self._add(label, stage)):
                self._write()
                self._log(self._history.latest(), report=False)

    def _add(self, label: str, stage: TrainingStage) -> None:
        assert self._model is not None and self._results is not None
        made = self._compare(self._model, label)
        self._history.add(made, stage, self._results.figures(made))

    def _write(self) -> None:
        results, history = self._results, self._history
        assert results is not None
        self._attempt("write pictures", lambda: results.draw(history))
        self._attempt("write tables", lambda: results.tabulate(history))
        self._attempt("write its history", lambda: results.keep(history))

    def _close(self) -> None:
        """Write and log what shows all columns."""
        results, history = self._results, self._history
        assert results is not None
        if not len(history):
            return
        with same_randomness():
            self._attempt("write tables", lambda: results.tabulate(history))
            self._attempt("write its history", lambda: results.keep(history))
            self._attempt("write epochs.gif", lambda: results.animate(history))
            self._attempt("write timeline.png", lambda: results.draw_timeline(history))
            if len(history) > 1:
                self._log(history.comparison(results.most_logged), report=True)

    def _log(self, comparison: Comparison, *, report: bool) -> None:
        _, step, _ = self._at
        name = "effcam_training" if report else "effcam"
        for tracker in self._log_to:
            self._attempt(
                f"log to {type(tracker).__name__}",
                lambda to=tracker: comparison.log(to, name=name, step=step, report=report),  # type: ignore[misc]
            )

    def _plan(self, epoch: int, epochs: int | None) -> None:
        """Choose the next epoch to show, and say so if the interval has changed."""
        assert self._results is not None
        closing = self._results.drawing * (len(self._history) + 1)
        if not self._pace.plan(epoch, epochs, self._cost, closing):
            return
        gap = self._pace.gap or 1
        if gap > 1:
            logger.info(
                "effcam shows every %s epoch, and the last: each time takes %.2g s "
                "(every_n_epochs=1 shows each)",
                _ordinal(gap),
                self._cost,
            )

    def _attempt(self, what: str, act: Callable[[], object]) -> bool:
        """Do something, and return whether it went well; log an error once."""
        try:
            act()
        except Exception as error:  # noqa: BLE001  # a training of days must not end by this
            kind = (what.partition(" ")[0], type(error).__name__)
            if kind not in self._failures:
                self._failures.add(kind)
                logger.warning(
                    "effcam could not %s, and the training goes on without: %s",
                    what,
                    reason_of(error),
                    exc_info=None if isinstance(error, EffcamError | OSError) else error,
                )
            return False
        return True

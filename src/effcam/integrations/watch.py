"""Show a network during its training: on fixed images, a column for each epoch or step shown."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effcam.cam.methods.table import Method
from effcam.comparison.comparison import Comparison
from effcam.comparison.trackers.names import check_name
from effcam.comparison.trackers.recognise import find_tracker
from effcam.errors import (
    ArgumentError,
    ModelError,
    OutputError,
    TargetError,
    check_number,
    reason_of,
)
from effcam.images.annotations.truths import Boxes, Labels, Masks
from effcam.images.refs import ImageLike
from effcam.integrations.asked import check_asked
from effcam.integrations.distributed import agree, check_whole, is_first
from effcam.integrations.first_batch import watch_first_batch
from effcam.integrations.history import History, label_of, restored
from effcam.integrations.messages import let_be_seen, logger, ordinal, warn_of_inputs
from effcam.integrations.network import Part, find_part, find_transform, say_transform
from effcam.integrations.pace import Pace
from effcam.integrations.results import Results, figures_of
from effcam.integrations.running import Running, numbers_of, usable
from effcam.integrations.side_effects import same_randomness, wait_for_devices
from effcam.models.model import Model
from effcam.models.registry import Scores
from effcam.models.training_stage import TrainingStage
from effcam.models.wrappers import Layers
from effcam.targets.plain import Target
from effcam.text import count

if TYPE_CHECKING:
    from torch import nn


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
        scores: Scores | None = None,
        target_layer: Layers = None,
        method: Method = "gradcam",
        target: Target = None,
        batch_size: int = 16,
        boxes: Boxes = None,
        masks: Masks = None,
        labels: Labels = None,
        log_to: Iterable[object] = (),
        name: str = "effcam",
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
            scores: What the class scores are, as in `effcam.load_model`: ``"sigmoid"`` if an image
                may have several labels, each with a probability of its own.
            target_layer: As in `effcam.load_model`.
            method: The method, as in `effcam.compare`.
            target: What to explain, as in `effcam.compare`; ``None`` is the class that the network
                predicts at that time, which may change.
            batch_size: As in `effcam.compare`.
            boxes: Boxes around the objects, as in `Comparison.summary`.
            masks: Masks of the objects, as in `Comparison.summary`.
            labels: The true classes, as in `Comparison.summary`.
            log_to: Trackers to log to, as in `Comparison.log`. The callbacks also log to those of
                the training.
            name: What all that is logged begins with, as in `Comparison.log`, and how the callbacks
                call their folder.
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
            scores=scores,
            boxes=boxes,
            masks=masks,
            labels=labels,
        )
        self._folder = None if folder is None else Path(folder).expanduser()
        self._epochs = None if epochs is None else check_number("epochs", epochs)
        self._preprocess = preprocess
        self._log_to = tuple(log_to)
        self.name = check_name(name)
        self._history = History(self._asked.images)
        self._packed: bytes | None = None
        self._running: Running | None = None
        self._at = _Point()
        self._stop_looking: Callable[[], None] = _nothing

    @property
    def comparison(self) -> Comparison:
        """What was shown so far, a column for each time."""
        return self._history.comparison()

    def start(
        self,
        network: nn.Module,
        *,
        module: Part = None,
        folder: str | PathLike[str] | None = None,
        has_forward: bool = True,
        processor: object = None,
        log_to: Iterable[object] = (),
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
            log_to: The trackers that the training logs to; those that take no pictures are left
                out.
            step: The step at which an earlier training goes on, whose columns are in the folder;
                ``None`` for a new training.

        Raises:
            ModelError: If the network is sharded over processes, or cannot be run.
            ArgumentError: If there is no such part, or no folder; and as `effcam.load_model`.
            OutputError: If the folder cannot be made.
            EffcamError: As `effcam.compare`.
        """
        check_whole(network)
        self._running = None
        self._at = _Point()
        self._pace.begin()
        problem: Exception | None = None
        if is_first():
            try:
                with self._timed():
                    chosen = find_part(network, module, has_forward=has_forward)
                    self._running = self._prepare(
                        chosen,
                        processor,
                        results=self._make_folder(folder),
                        log_to=log_to,
                        step=step,
                    )
            except Exception as error:  # noqa: BLE001  # the other processes wait for the answer
                problem = error
        told = agree("" if problem is None else reason_of(problem))
        if problem is not None:
            raise problem
        if told:
            raise ModelError(f"the first process cannot show the network: {told}")

    def step_end(
        self, step: int, metrics: Mapping[str, object] | None = None, *, epoch: float | None = None
    ) -> None:
        """Show the network if it is time to, after a step of the optimiser.

        Args:
            step: How many steps were done.
            metrics: What was measured on the network, by name.
            epoch: The epoch, as the training counts it.
        """
        self._at = _Point(epoch, step)
        if self._running is not None and self._pace.step_is_due(step):
            self._show(metrics)

    def epoch_end(
        self,
        epoch: float,
        metrics: Mapping[str, object] | None = None,
        *,
        step: int | None = None,
        index: int | None = None,
        epochs: int | None = None,
    ) -> None:
        """Show the network if it is time to, at the end of an epoch.

        Args:
            epoch: The epoch, as the training counts it; the column's label has it.
            metrics: What was measured on the network, by name.
            step: How many steps of the optimiser were done.
            index: The epoch counted from 0, if the training counts otherwise.
            epochs: How many epochs there will be; ``None`` for what the constructor was given.
        """
        at = int(epoch) if index is None else index
        total = self._epochs if epochs is None else epochs
        self._at = _Point(epoch, step)
        if self._running is None or not self._pace.epoch_is_due(at, total):
            return
        self._show(metrics)
        if self._pace.is_planned and (total is None or at + 1 < total):
            self._plan(self._running, at, total)

    def add_metrics(self, metrics: Mapping[str, object], *, step: int) -> None:
        """Keep what was measured on the network after it was shown, at the same step.

        Args:
            metrics: What was measured, by name.
            step: How many steps of the optimiser were done.
        """
        shown = self._history.shown
        if shown and shown[-1].stage.step == step:
            self._history.complete(numbers_of(metrics))

    def show_last(self, metrics: Mapping[str, object] | None = None) -> None:
        """Show the network at the latest epoch or step, unless that is done.

        Args:
            metrics: What was measured on the network, by name.
        """
        if self._running is not None and not self._at.is_of(self._history):
            self._show(metrics)

    def end(self, metrics: Mapping[str, object] | None = None, *, show: bool = True) -> None:
        """Show the network at its last epoch, unless that is done, and write all results.

        Args:
            metrics: What was measured on the network, by name.
            show: Whether the network is still that of the last epoch. If not, no column is added.
        """
        running = self._running
        if running is None:
            return
        self._stop_looking()
        if show:
            self.show_last(metrics)
        with self._timed():
            running.close()
        self._running = None
        trained, spent = self._pace.trained, self._pace.spent
        logger.info(
            "effcam showed the network %s in %.3g s, %.2g %% of the training's %.3g s: see %s",
            count(len(self._history), "time"),
            spent,
            100 * spent / max(trained, 1e-9),
            trained,
            running.results.folder,
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the columns so far for a checkpoint: one (n,) uint8 tensor, or nothing."""
        if not len(self._history):
            return {}
        import torch

        return {"history": torch.frombuffer(bytearray(self._history.pack()), dtype=torch.uint8)}

    def keep_columns(self, step: int) -> None:
        """Go on with the columns so far from the next `start` on, if it is of the same training.

        Those of a checkpoint that was loaded go before them.

        Args:
            step: The step at which the training goes on; 0 for a new training.
        """
        if step > 0 and self._packed is None and len(self._history):
            self._packed = self._history.pack()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the columns of a checkpoint, from the next `start` on.

        Args:
            state: What `state_dict` returned.
        """
        if "history" in state:
            self._packed = state["history"].cpu().numpy().tobytes()

    def _make_folder(self, folder: str | PathLike[str] | None) -> Results:
        chosen = self._folder or (None if folder is None else Path(folder).expanduser())
        if chosen is None:
            raise ArgumentError("folder is needed: where to write what is shown")
        try:
            chosen.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot make the folder {chosen}: {reason_of(error)}") from error
        return Results(chosen)

    def _prepare(
        self,
        chosen: tuple[nn.Module, str],
        processor: object,
        *,
        results: Results,
        log_to: Iterable[object],
        step: int | None,
    ) -> Running:
        """Load the network, and try it on all images."""
        network, name = chosen
        transform = find_transform(network, self._preprocess, processor)
        model = self._asked.load(network, name, transform.preprocess)
        tried = self._try(model)
        let_be_seen()
        packed, self._packed = self._packed, None
        if packed is None and step:
            packed = results.kept()
        self._history, reason = restored(packed, self._asked.images, tried, most_steps=step)
        if reason:
            logger.warning("effcam does not go on with the earlier history: %s", reason)
        elif not len(self._history) and results.kept() is not None:
            logger.warning(
                "effcam replaces what an earlier training left in %s (folder= or name= keeps both)",
                results.folder,
            )
        for each in self._log_to:
            find_tracker(each)  # it raises an error for what is none
        trackers = [*self._log_to, *usable(log_to)]
        running = Running(
            self._asked, model, self._history, results, log_to=trackers, name=self.name
        )
        shown = count(len(self._asked.images), "image")
        logger.info("effcam shows %s on %s, at %s", name, shown, model.target_layer)
        level = logging.WARNING if transform.is_assumed else logging.INFO
        logger.log(level, "effcam: %s", say_transform(transform))
        self._stop_looking()
        self._stop_looking = watch_first_batch(
            network, transform.preprocess, warn_of_inputs, sizes=transform.is_assumed
        )
        return running

    def _try(self, model: Model) -> Comparison:
        """Show and measure the network once; annotations may not fit its classes."""
        try:
            tried = self._asked.show(model, "start")
            figures_of(tried)
        except TargetError as error:
            raise TargetError(f"{error} (class_names= gives the network's classes)") from error
        return tried

    def _show(self, metrics: Mapping[str, object] | None) -> None:
        """Add a column for the network as it is now."""
        if self._running is None:
            return
        # It looks at batches of training only; without one so far, none goes through the network.
        self._stop_looking()
        stage = TrainingStage(self._at.epoch, self._at.step, numbers_of(metrics or {}))
        with self._timed():
            self._running.show(label_of(stage, steps=self._pace.counts_steps), stage)

    def _plan(self, running: Running, epoch: int, epochs: int | None) -> None:
        """Choose the next epoch to show, and say so if the interval has changed."""
        # The animation draws each column; the tables and the timeline take about one showing.
        closing = running.cost + running.results.drawing * (len(self._history) + 1)
        if not self._pace.plan(epoch, epochs, running.cost, closing):
            return
        last = epochs is not None and self._pace.gap == epochs - 1 - epoch
        logger.info(
            "effcam shows %s, since each time takes %.2g s (every_n_epochs=1 shows each epoch)",
            "the last epoch next" if last else f"every {ordinal(self._pace.gap or 1)}epoch",
            running.cost,
        )

    @contextmanager
    def _timed(self) -> Iterator[None]:
        """Take the time of what is no training, apart from its random numbers."""
        wait_for_devices()
        begin = self._clock()
        try:
            with same_randomness():
                yield
        finally:
            self._pace.spent += self._clock() - begin


@dataclass(frozen=True, slots=True)
class _Point:
    """How far a training has come."""

    epoch: float | None = None
    step: int | None = None

    def is_of(self, history: History) -> bool:
        """Return whether the latest column shows this, or there is nothing to show."""
        if self == _Point():
            return True
        if not len(history):
            return False
        stage = history.shown[-1].stage
        return stage.epoch == self.epoch if self.step is None else stage.step == self.step


def _nothing() -> None:
    """Do nothing."""

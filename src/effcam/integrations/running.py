"""Show a network at one point of its training after another, whatever goes wrong."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from numbers import Real

from effcam.comparison.comparison import Comparison
from effcam.comparison.trackers.recognise import find_tracker
from effcam.errors import ArgumentError, EffcamError, reason_of
from effcam.integrations.asked import Asked
from effcam.integrations.history import History
from effcam.integrations.messages import logger
from effcam.integrations.results import LOGGED, WIDTH, Results, figures_of
from effcam.models.model import Model
from effcam.models.training_stage import TrainingStage


class Running:
    """What shows the network of a running training.

    Attributes:
        history: The columns so far.
        results: The files.
        cost: How long it took to show the network the last time, in s.
    """

    def __init__(
        self,
        asked: Asked,
        model: Model,
        history: History,
        results: Results,
        *,
        log_to: list[object],
        name: str,
    ) -> None:
        """Show nothing yet.

        Args:
            asked: What to show.
            model: The network.
            history: The columns so far.
            results: The files to write.
            log_to: The trackers to log to.
            name: The name under which everything is logged.
        """
        self.history, self.results, self.cost = history, results, 0.0
        self._asked, self._model = asked, model
        self._log_to, self._name = log_to, name
        self._failures: set[tuple[str, str]] = set()

    def show(self, label: str, stage: TrainingStage) -> None:
        """Add a column for the network as it is now; write and log it.

        Args:
            label: Its label.
            stage: The point of training.
        """
        begin = time.perf_counter()

        def add() -> None:
            made = self._asked.show(self._model, label)
            self.history.add(made, stage, figures_of(made))

        if self._attempt("show the network", label, add):
            history, results = self.history, self.results
            if len(history) == 1:
                self._attempt("remove older files", label, results.clear)
            self._attempt("write latest.png", label, lambda: results.draw(history))
            self._attempt("write tables", label, lambda: results.tabulate(history))
            self._attempt("write its history", label, lambda: results.keep(history))
            self._log(label, history.latest(self._model.name), stage.step, report=False)
        self.cost = time.perf_counter() - begin

    def close(self) -> None:
        """Write and log what shows all columns."""
        history, results = self.history, self.results
        if not len(history):
            return
        # Metrics of the last epoch may have come after it was shown.
        self._attempt("write tables", "", lambda: results.tabulate(history))
        self._attempt("write its history", "", lambda: results.keep(history))
        self._attempt("write epochs.gif", "", lambda: results.animate(history))
        if len(history) > 1:
            self._attempt("write timeline.png", "", lambda: results.draw_timeline(history))
            step = history.shown[-1].stage.step
            self._log("", history.comparison(LOGGED), step, report=True)

    def _log(self, label: str, made: Comparison, step: int | None, *, report: bool) -> None:
        name = f"{self._name}/training" if report else self._name
        for tracker in self._log_to:

            def log(to: object = tracker) -> None:
                made.log(to, name=name, step=step, report=report, fair=False, width=WIDTH)

            self._attempt(f"log to {type(tracker).__name__}", label, log)

    def _attempt(self, what: str, label: str, act: Callable[[], object]) -> bool:
        """Do something, and return whether it went well; log an error of each kind once."""
        try:
            act()
        except Exception as error:  # noqa: BLE001  # a training of days must not end by this
            kind = what, type(error).__name__
            if kind not in self._failures:
                self._failures.add(kind)
                expected = isinstance(error, EffcamError | OSError)
                logger.warning(
                    "effcam could not %s%s; the training goes on, and this is said once: %s",
                    what,
                    f" at {label}" if label else "",
                    reason_of(error),
                    exc_info=None if expected else error,
                )
            return False
        return True


def usable(trackers: Iterable[object]) -> list[object]:
    """Return the trackers of a training that comparisons can be logged to, and say which cannot.

    Args:
        trackers: Those that the training itself logs to.
    """
    found = []
    for each in trackers:
        try:
            find_tracker(each)
        except EffcamError as error:
            level = logging.INFO if isinstance(error, ArgumentError) else logging.WARNING
            logger.log(level, "effcam does not log to %s: %s", type(each).__name__, error)
        else:
            found.append(each)
    return found


def numbers_of(metrics: Mapping[str, object]) -> dict[str, float]:
    """Return the metrics that are single numbers, as tensors of one value are too."""
    found: dict[str, float] = {}
    for name, value in metrics.items():
        if isinstance(value, bool):
            continue
        if isinstance(value, Real):
            found[str(name)] = float(value)
        elif hasattr(value, "item"):
            with suppress(ValueError, RuntimeError):  # a tensor of several values
                found[str(name)] = float(value.item())
    return found

"""At which point of its training a model's weights were saved."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from numbers import Integral, Real
from types import MappingProxyType
from typing import Any

from effcam.errors import ArgumentError, check_number
from effcam.text import json_value

DIGITS = 4
"""The significant digits of a metric in words."""


@dataclass(frozen=True, slots=True)
class TrainingStage:
    """The point of training at which a model's weights were saved.

    Attributes:
        epoch: The epoch, as the training program counts it: Lightning's first epoch is 0. It may
            have a fraction, as that of transformers' Trainer; ``None`` if it is not known.
        step: How many optimiser steps were done; ``None`` if it is not known.
        metrics: What was measured on the model then, by name; a loss may be NaN.

    >>> print(TrainingStage(3, 1200, {"val_acc": 0.8125}))
    epoch 3, step 1200, val_acc 0.8125
    """

    epoch: float | None = None
    step: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Check the numbers, and keep a read-only copy of the metrics.

        Raises:
            ArgumentError: If one is no number.
        """
        if self.epoch is not None:
            epoch = _number("epoch", self.epoch)
            if not math.isfinite(epoch):
                raise ArgumentError(f"epoch must be finite, not {self.epoch!r}")
            object.__setattr__(self, "epoch", epoch)
        if self.step is not None:
            object.__setattr__(self, "step", check_number("step", self.step, least=0))
        if not isinstance(self.metrics, Mapping):
            raise ArgumentError(f"metrics must be numbers by name, not {self.metrics!r}")
        metrics = {str(name): _number(str(name), each) for name, each in self.metrics.items()}
        object.__setattr__(self, "metrics", MappingProxyType(metrics))

    def __reduce__(self) -> tuple[Callable[..., TrainingStage], tuple[Any, ...]]:
        """Pickle the metrics as a dict, since a read-only mapping cannot be pickled."""
        return TrainingStage, (self.epoch, self.step, dict(self.metrics))

    def __str__(self) -> str:
        known = {"epoch": self.epoch, "step": self.step}
        found = [f"{name} {plain_number(each)}" for name, each in known.items() if each is not None]
        found += [f"{name} {each:.{DIGITS}g}" for name, each in self.metrics.items()]
        return ", ".join(found) or "unknown"

    def record(self) -> dict[str, object]:
        """Return it as plain values for JSON; metrics that are not finite are ``None``."""
        metrics = json_value(self.metrics)
        return {"epoch": self.epoch, "step": self.step, "metrics": metrics}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> TrainingStage:
        """Return the stage of a `record`; metrics that are ``None`` are NaN.

        Args:
            record: What `record` returned.

        Raises:
            ArgumentError: If it is none.
        """
        if not isinstance(record, Mapping) or not isinstance(record.get("metrics"), Mapping):
            raise ArgumentError(f"a stage of training has an epoch, a step and metrics: {record!r}")
        metrics = {
            name: math.nan if each is None else each for name, each in record["metrics"].items()
        }
        return cls(record.get("epoch"), record.get("step"), metrics)


def plain_number(value: float) -> str:
    """Return a number with at most two decimals.

    >>> plain_number(3.0), plain_number(2 / 3), plain_number(12000)
    ('3', '0.67', '12000')
    """
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _number(name: str, value: object) -> float:
    """Return a number of any type, NumPy's too, as an int or float.

    Raises:
        ArgumentError: If it is none.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ArgumentError(f"{name} must be a number, not {value!r}")
    return operator.index(value) if isinstance(value, Integral) else float(value)

"""What was shown of a network during its training: a column for each time."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from effcam.cam.explanation import Explanation
from effcam.cam.settings import Settings
from effcam.comparison.comparison import Comparison
from effcam.errors import reason_of
from effcam.images.geometry import Box
from effcam.images.refs import ImageRef
from effcam.models.facts import ModelFacts
from effcam.models.training_stage import TrainingStage, plain_number

FORMAT = 1
"""The version of the packed form."""
META = "meta"
BOXES = ("region", "canvas", "frame")
NAMES = ("labels", "synonyms")
"""The facts that are long, and the same for all columns."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A network as it was shown at one point of its training.

    Attributes:
        stage: The point of training.
        cells: The cell of each image.
        facts: The facts of the network.
        figures: What was measured on the maps, by name.
    """

    stage: TrainingStage
    cells: tuple[Explanation, ...]
    facts: ModelFacts
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The label of its column."""
        return self.cells[0].column


def label_of(stage: TrainingStage, *, steps: bool) -> str:
    """Return the label of a column: "epoch 3", or "step 1200".

    Args:
        stage: The point of training.
        steps: Whether columns are told apart by their steps.
    """
    if steps or stage.epoch is None:
        return f"step {stage.step}"
    return f"epoch {plain_number(stage.epoch)}"


class History:
    """The columns of a training so far, on fixed images."""

    def __init__(self, images: Sequence[ImageRef]) -> None:
        """Begin without a column.

        Args:
            images: The images.
        """
        self._images = tuple(images)
        self._settings = Settings()
        self.shown: list[Shown] = []

    def __len__(self) -> int:
        """Return the number of columns."""
        return len(self.shown)

    def add(self, made: Comparison, stage: TrainingStage, figures: Mapping[str, float]) -> Shown:
        """Add a column, in place of one of the same label.

        It is of the same network as the other columns: see `difference`.

        Args:
            made: A comparison of one column.
            stage: The point of training.
            figures: What was measured on its maps, by name.
        """
        cells = tuple(
            replace(cell, image=image)
            for image, cell in zip(self._images, made.column(0), strict=True)
        )
        facts = replace(made.facts[0], training=stage)
        if self.shown:  # the names of a thousand classes are kept once
            first = self.shown[0].facts
            facts = replace(facts, labels=first.labels, synonyms=first.synonyms)
        one = Shown(stage, cells, facts, dict(figures))
        self._settings = made.settings
        self.shown = [each for each in self.shown if each.label != one.label] + [one]
        return one

    def difference(self, made: Comparison) -> str:
        """Return why a column does not belong to those so far, in words; empty if it does.

        Args:
            made: A comparison of one column.
        """
        if not self.shown:
            return ""
        before, facts = self.shown[-1].facts, made.facts[0]
        if dict(self._settings) != dict(made.settings):
            return "it was made with other settings"
        for name in ("target_layer", "input_size", "labels"):
            if getattr(before, name) != getattr(facts, name):
                return f"its network has another {name.replace('_', ' ')}"
        return ""

    def complete(self, metrics: Mapping[str, float]) -> None:
        """Add what was measured on the network after its latest column was made."""
        latest = self.shown[-1]
        stage = replace(latest.stage, metrics={**latest.stage.metrics, **metrics})
        facts = replace(latest.facts, training=stage)
        self.shown[-1] = replace(latest, stage=stage, facts=facts)

    def comparison(self, most: int | None = None) -> Comparison:
        """Return the columns as a comparison.

        Args:
            most: The most columns, evenly spaced, with the first and the last one; ``None`` for
                all.
        """
        chosen = self.shown if most is None else spread(self.shown, most)
        return Comparison(
            self._images,
            tuple(each.label for each in chosen),
            tuple(each.cells[row] for row in range(len(self._images)) for each in chosen),
            (),
            self._settings,
            tuple(each.facts for each in chosen),
        )

    def latest(self, label: str) -> Comparison:
        """Return the latest column as a comparison.

        Args:
            label: The label of the column: trackers draw a curve of what has one label.
        """
        one = self.shown[-1]
        cells = tuple(replace(cell, column=label, model_label=label) for cell in one.cells)
        return Comparison(self._images, (label,), cells, (), self._settings, (one.facts,))

    def records(self) -> list[dict[str, object]]:
        """Return one flat dict a column: the point of training, its metrics and figures."""
        return [
            {
                "column": each.label,
                "epoch": each.stage.epoch,
                "step": each.stage.step,
                **each.stage.metrics,
                **each.figures,
            }
            for each in self.shown
        ]

    def pack(self) -> bytes:
        """Return all columns as an NPZ archive, which holds numbers and JSON only."""
        names: list[object] = []
        meta = {
            "format": FORMAT,
            "images": [image.name for image in self._images],
            "settings": dict(self._settings),
            "columns": [_to_record(each, names) for each in self.shown],
            "names": names,
        }
        maps: dict[str, Any] = {
            f"{at}.{row}": cell.heatmap
            for at, each in enumerate(self.shown)
            for row, cell in enumerate(each.cells)
        }
        stream = io.BytesIO()
        maps[META] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
        np.savez_compressed(stream, **maps)
        return stream.getvalue()

    def unpack(self, packed: bytes, *, most_steps: int | None = None) -> str:
        """Take the columns of an archive, and return why not; empty if it went well.

        Args:
            packed: What `pack` returned.
            most_steps: Leave out columns of later steps.
        """
        with np.load(io.BytesIO(packed), allow_pickle=False) as archive:
            meta = json.loads(archive[META].tobytes().decode())
            if meta["format"] != FORMAT:
                return "it was written by another release of effcam"
            if meta["images"] != [image.name for image in self._images]:
                return "it is of other images"
            self._settings = Settings.of(meta["settings"])
            self.shown = [
                _from_record(record, meta["names"], self._images, at, archive)
                for at, record in enumerate(meta["columns"])
                if most_steps is None or (record["stage"]["step"] or 0) <= most_steps
            ]
        return ""


def restored(
    packed: bytes | None,
    images: Sequence[ImageRef],
    tried: Comparison,
    *,
    most_steps: int | None,
) -> tuple[History, str]:
    """Return the columns of a training that goes on, or none and why they are not used.

    Args:
        packed: What `History.pack` returned; ``None`` for nothing.
        images: The images.
        tried: A comparison of one column, of the network that goes on.
        most_steps: As in `History.unpack`.
    """
    history = History(images)
    if packed is None:
        return history, ""
    try:
        reason = history.unpack(packed, most_steps=most_steps) or history.difference(tried)
    except Exception as error:  # noqa: BLE001  # the file may hold anything
        reason = f"it cannot be read ({reason_of(error)})"
    return (History(images), reason) if reason else (history, "")


def spread(values: Sequence[Shown], most: int) -> list[Shown]:
    """Return at most a number of values, evenly spaced, with the first and the last one."""
    if len(values) <= most:
        return list(values)
    places = np.linspace(0, len(values) - 1, most).round().astype(int)
    return [values[place] for place in places]


def _to_record(shown: Shown, names: list[object]) -> dict[str, object]:
    """Return a column without its maps, in the types of JSON.

    Args:
        shown: The column.
        names: Filled with the classes' names, which columns share.
    """
    own = [getattr(shown.facts, name) for name in NAMES]
    if own not in names:
        names.append(own)
    facts = _plain(shown.facts, (*NAMES, "training"))
    cells = [
        _plain(cell, ("image", "heatmap", *BOXES))
        | {name: getattr(cell, name).as_tuple() for name in BOXES}
        for cell in shown.cells
    ]
    return {
        "stage": shown.stage.record(),
        "figures": dict(shown.figures),
        "facts": facts,
        "names": names.index(own),
        "cells": cells,
    }


def _from_record(
    record: Mapping[str, Any],
    names: Sequence[Any],
    images: Sequence[ImageRef],
    at: int,
    maps: Mapping[str, Any],
) -> Shown:
    stage = TrainingStage.from_record(record["stage"])
    labels, synonyms = (_tuples(each) for each in names[record["names"]])
    known = {name: _tuples(value) for name, value in record["facts"].items()}
    facts = ModelFacts(**known, labels=labels, synonyms=synonyms, training=stage)
    cells = []
    for row, image in enumerate(images):
        own: dict[str, Any] = {
            name: Box(*value) if name in BOXES else _tuples(value)
            for name, value in record["cells"][row].items()
        }
        cells.append(Explanation(image=image, heatmap=maps[f"{at}.{row}"], **own))
    return Shown(stage, tuple(cells), facts, record["figures"])


def _plain(value: Any, without: Sequence[str]) -> dict[str, Any]:
    """Return the fields of a dataclass but some."""
    return {
        each.name: getattr(value, each.name)
        for each in fields(value)
        if each.init and each.name not in without
    }


def _tuples(value: Any) -> Any:
    """Return a value of JSON with tuples for its lists."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value

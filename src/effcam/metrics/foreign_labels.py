"""Labels of a dataset that are no classes of the models: they leave unknown who is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from effcam.cam.explanation import Explanation
from effcam.errors import TargetError
from effcam.images.truth import NamedClass, Truth
from effcam.metrics.true_classes import Label, Rows
from effcam.models.facts import ModelFacts
from effcam.text import count, listed


@dataclass(frozen=True, slots=True)
class ForeignLabels:
    """Labels of datasets that say nothing about the models.

    Attributes:
        names: The names of the classes.
        columns: The columns whose models have no such class, or one class an image.
        images: The number of images that have such labels.
    """

    names: tuple[str, ...]
    columns: tuple[str, ...]
    images: int

    def notes(self) -> list[str]:
        """Return a note for the reader of a summary; none if there are no such labels."""
        if not self.images:
            return []
        verb = "counts" if self.images == 1 else "count"
        note = (
            f"{count(self.images, 'image')} {verb} as without label: of their classes in the "
            f"dataset, {listed(self.names)}, some are no class of {listed(self.columns)}, or "
            "several are true of an image of which a model says one. Names are compared, as a "
            "dataset's index is not a model's. Load a model of these classes with labels=, or give "
            "labels= with the models' own names."
        )
        return [note]


def known_truths(rows: Rows) -> tuple[tuple[Truth, ...], ForeignLabels]:
    """Return truths without the labels of datasets that are no class of every model, and these.

    Labels that a user gave are left: they raise an error where they are used.
    """
    names: dict[str, None] = {}
    columns: set[int] = set()
    truths = list(rows.truths)
    foreign = 0
    for at, (row, truth) in enumerate(zip(rows.cells, rows.truths, strict=True)):
        own = [each for each in truth.classes or () if _is_of_dataset(each)]
        lacking = _columns_without(rows, row, own, several=len(own) > 1) if own else []
        if lacking:
            columns.update(lacking)
            names |= dict.fromkeys(str(each) for each in own)
            truths[at] = replace(truth, label=None, labels=None)
            foreign += 1
    labels = tuple(rows.columns[at] for at in sorted(columns))
    return tuple(truths), ForeignLabels(tuple(names), labels, foreign)


def _is_of_dataset(label: Label) -> bool:
    return isinstance(label, NamedClass) and label.index is None


def _columns_without(
    rows: Rows, row: Sequence[Explanation], labels: Sequence[Label], *, several: bool
) -> list[int]:
    """Return the columns that predict a class, and cannot be right or wrong about some labels."""
    found = []
    for at, cell in enumerate(row):
        facts = rows.facts[at] if rows.facts else None
        known = facts is not None and all(_has_class(facts, each) for each in labels)
        answers = known and (not several or cell.multi_label)
        if cell.predicted is not None and not answers:
            found.append(at)
    return found


def _has_class(facts: ModelFacts, label: Label) -> bool:
    try:
        facts.find_class(label)
    except TargetError:
        return False
    return True

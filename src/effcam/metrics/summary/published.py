"""The group "published": what timm's result files say of the models, joined by their names.

These figures were measured elsewhere, on other images. A model gets them only if its weights are
those that the file names, and it had an input size that the file lists.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from effcam.metrics.summary.figures.group import Measured
from effcam.metrics.summary.records import Figure, Measure
from effcam.metrics.summary.rows import Selection
from effcam.models.facts import ModelFacts
from effcam.models.result_tables import ACCURACY, Result, ResultTable
from effcam.models.timm_architecture import replaced_names

GROUP = "published"
TIMM = "timm:"
CLASSES = 1000
"""The number of classes of a model whose accuracy on ImageNet is published."""
UNLIKE = 0.05
"""The largest relative difference of the numbers of parameters of one network."""
SPEED_PREFIX = "benchmark-infer-"


class _DataSet(NamedTuple):
    """The key and the title of a data set's figure, and what its images are."""

    key: str
    title: str
    images: str


_MATCHED = _DataSet("imagenet_v2", "V2", "10,000 new photos chosen as ImageNet's, arXiv:1902.10811")
_SKETCH = _DataSet("imagenet_sketch", "Sketch", "50,889 drawings, arXiv:1905.13549")
DATA_SETS: Mapping[str, _DataSet] = {
    "results-imagenet": _DataSet("imagenet", "ImageNet", "the 50,000 validation photos"),
    "results-imagenet-real": _DataSet(
        "imagenet_real", "ReaL", "the validation photos with corrected labels, arXiv:2006.07159"
    ),
    "results-imagenet-a": _DataSet(
        "imagenet_a", "A", "7,500 photos that a ResNet-50 gets wrong, arXiv:1907.07174"
    ),
    "results-imagenet-a-clean": _DataSet(
        "imagenet_a_clean", "A's classes", "ImageNet's photos of the 200 classes of ImageNet-A"
    ),
    "results-imagenet-r": _DataSet(
        "imagenet_r", "R", "30,000 paintings, toys and other renditions, arXiv:2006.16241"
    ),
    "results-imagenet-r-clean": _DataSet(
        "imagenet_r_clean", "R's classes", "ImageNet's photos of the 200 classes of ImageNet-R"
    ),
    "results-sketch": _SKETCH,
    "results-imagenet-sketch": _SKETCH,
    "results-imagenetv2-matched-frequency": _MATCHED,
}
"""The data sets of timm's files of accuracies, by the files' names."""


@dataclass(frozen=True, slots=True)
class PublishedValue:
    """A published figure of a column, and where it is from.

    Attributes:
        column: The column's label.
        key: The figure's key.
        file: The file's name.
        model: The model's name in the file.
        size: The input size that it was measured at, px.
        value: A share in [0, 1], or images per s.
    """

    column: str
    key: str
    file: str
    model: str
    size: int
    value: float


class PublishedFigures:
    """The results of the columns' models in some files."""

    def __init__(
        self, columns: Sequence[str], facts: Sequence[ModelFacts], tables: Sequence[ResultTable]
    ) -> None:
        self._columns, self._facts, self._tables = columns, facts, tables
        self._missing: dict[str, dict[str, None]] = {}
        """The columns of each reason for which a value is missing."""

    def add(self, selection: Selection) -> None:
        """Published figures do not depend on images."""

    def finish(self) -> Measured:
        """Return the measures, each value with its origin, and why others are missing."""
        if not self._tables:
            return Measured([])
        measures, origins = [], []
        for table in self._tables:
            figure = figure_of(table)
            found = [self._find(table, at) for at in range(len(self._columns))]
            values = [math.nan if each is None else each[1].value for each in found]
            measures.append(Measure(figure=figure, values=np.array(values, np.float64)))
            origins += [
                PublishedValue(label, figure.key, table.file, each[0], each[1].size, each[1].value)
                for label, each in zip(self._columns, found, strict=True)
                if each is not None
            ]
        files = ", ".join(table.file for table in self._tables)
        notes = [
            f"Published figures are copied from {files}: measured elsewhere, not on these images, "
            "and so neither tested nor marked.",
            *(f"{', '.join(labels)}: {reason}." for reason, labels in self._missing.items()),
        ]
        return Measured(measures, notes, published=origins)

    def _find(self, table: ResultTable, at: int) -> tuple[str, Result] | None:
        """Return a column's name and result in a table; ``None``, with a reason, if it has none."""
        label = self._columns[at]
        facts = self._facts[at] if self._facts else None
        found = _find(table, facts)
        if isinstance(found, str):
            self._missing.setdefault(found, {})[label] = None
            return None
        return found


def figure_of(table: ResultTable) -> Figure:
    """Return the figure that a table holds, which its file's name says."""
    stem = table.file.removesuffix(".csv")
    origin = f"in {table.file}; measured elsewhere, not on these images."
    if table.quantity != ACCURACY:
        machine = stem.removeprefix(SPEED_PREFIX)
        return Figure(
            f"published_speed:{machine}", f"images/s ({machine})", GROUP, "higher", "", 0,
            f"Images per second {origin}", tested=False,
        )  # fmt: skip
    known = DATA_SETS.get(stem)
    key, title = (f"published_top1:{stem}", f"top-1 ({stem})")
    of = "Top-1 accuracy"
    if known is not None:
        key, title = f"published_{known.key}", f"{known.title} top-1"
        of += f" on {known.images},"
    return Figure(key, title, GROUP, "higher", "%", 1, f"{of} {origin}", tested=False)


def _find(table: ResultTable, facts: ModelFacts | None) -> tuple[str, Result] | str:
    """Return a model's name and result in a table, or why there is none."""
    if facts is None:
        return f"not in {table.file}, as it is not known which models the columns are of"
    is_accuracy = table.quantity == ACCURACY
    wanted = _published_name(facts) if is_accuracy else facts.name.removeprefix(TIMM)
    if wanted is None or (not is_accuracy and not facts.name.startswith(TIMM)):
        return _other_weights(facts, is_accuracy=is_accuracy)
    name = _listed_name(table, wanted, is_accuracy=is_accuracy)
    if name is None:
        return f"{table.file} does not list {wanted!r}"
    return _fitting(table, name, facts, is_accuracy=is_accuracy)


def _published_name(facts: ModelFacts) -> str | None:
    """Return timm's name of a model with its weights, ``None`` if these are not timm's own."""
    bare, _, weights = facts.name.removeprefix(TIMM).partition(".")
    own = facts.name.startswith(TIMM) and (not weights or weights == facts.weights)
    if not own or len(facts.labels) != CLASSES or facts.untrained:
        return None
    # Without a tag, the weights are a file of the caller's.
    return f"{bare}.{weights}" if weights else None


def _other_weights(facts: ModelFacts, *, is_accuracy: bool) -> str:
    if not is_accuracy:
        return f"{facts.name} is no architecture of timm by its name, so it has no published speed"
    what = "random weights" if facts.untrained else f"the weights {facts.weights!r}"
    if facts.name.startswith(TIMM) and len(facts.labels) != CLASSES:
        what += f" and {len(facts.labels)} classes"
    return (
        f"{facts.name} has {what}, which are not known to be the ones that timm measured, so it "
        "has no published accuracy"
    )


def _listed_name(table: ResultTable, wanted: str, *, is_accuracy: bool) -> str | None:
    """Return the name under which a table has a model, ``None`` if it does not have it."""
    bare = wanted.partition(".")[0]
    # Speed depends on the architecture alone.
    names = (wanted,) if is_accuracy else (wanted, bare)
    for name in names:
        if name in table.results:
            return name
    if all("." in name for name in table.results):
        return None
    older = replaced_names()
    return next(
        (
            name
            for name in table.results
            if (new := older.get(name))
            and (new == wanted or (not is_accuracy and new.partition(".")[0] == bare))
        ),
        None,
    )


def _fitting(
    table: ResultTable, name: str, facts: ModelFacts, *, is_accuracy: bool
) -> tuple[str, Result] | str:
    """Return the result at the input size of the comparison, or why there is none."""
    height, width = facts.input_size
    by_size = table.results[name]
    if height != width or height not in by_size:
        sizes = " and ".join(
            f"{size} px ({_shown(result, is_accuracy=is_accuracy)})"
            for size, result in sorted(by_size.items())
        )
        return (
            f"{table.file} has {name} at {sizes}, and it was compared at {height} x {width}, so "
            "it is left blank; size= (--size) sets the input size"
        )
    result = by_size[height]
    count = facts.parameters / 1e6
    if is_accuracy and abs(count - result.parameters) > UNLIKE * result.parameters:
        return (
            f"{table.file} states {result.parameters:g} M parameters for {name}, and the model "
            f"compared has {count:.2f} M: it is another network, so it is left blank"
        )
    return name, result


def _shown(result: Result, *, is_accuracy: bool) -> str:
    return f"{100 * result.value:.1f} %" if is_accuracy else f"{result.value:,.0f} images/s"

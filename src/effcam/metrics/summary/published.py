"""The group "published elsewhere": what timm's files of results say of the models, by their names.

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

GROUP = "published elsewhere"
TIMM = "timm:"
CLASSES = 1000
"""The number of classes of a model whose accuracy on ImageNet is published."""
UNLIKE = 0.05
"""The largest relative difference of the numbers of parameters of one network."""
COST = 1.75
"""The largest ratio of the operations of one network: files count them in other ways."""
SMALL_COST = 0.05
"""A difference of 10^9 operations that says nothing: files round to two decimals."""
FILES = "\0"
"""Stands for the names of files in reasons, which are alike for several of them."""
SPEED_PREFIX = "benchmark-infer-"


class _DataSet(NamedTuple):
    """The key and the title of a data set's figure, and what its images are."""

    key: str
    title: str
    images: str


_MATCHED = _DataSet(
    "imagenet_v2", "ImageNet-V2", "10,000 new photos chosen as ImageNet's, arXiv:1902.10811"
)
_SKETCH = _DataSet("imagenet_sketch", "ImageNet-Sketch", "50,889 drawings, arXiv:1905.13549")
DATA_SETS: Mapping[str, _DataSet] = {
    "results-imagenet": _DataSet("imagenet", "ImageNet", "the 50,000 validation photos"),
    "results-imagenet-real": _DataSet(
        "imagenet_real",
        "ImageNet ReaL",
        "the validation photos with corrected labels, arXiv:2006.07159",
    ),
    "results-imagenet-a": _DataSet(
        "imagenet_a", "ImageNet-A", "7,500 photos that a ResNet-50 gets wrong, arXiv:1907.07174"
    ),
    "results-imagenet-a-clean": _DataSet(
        "imagenet_a_clean",
        "ImageNet, classes of A",
        "ImageNet's photos of the 200 classes of ImageNet-A",
    ),
    "results-imagenet-r": _DataSet(
        "imagenet_r", "ImageNet-R", "30,000 paintings, toys and other renditions, arXiv:2006.16241"
    ),
    "results-imagenet-r-clean": _DataSet(
        "imagenet_r_clean",
        "ImageNet, classes of R",
        "ImageNet's photos of the 200 classes of ImageNet-R",
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
        # For each reason why values are missing, the columns and the files.
        self._missing: dict[str, tuple[dict[str, None], dict[str, None]]] = {}

    def add(self, selection: Selection) -> None:
        """Do nothing: published figures do not depend on the images of a comparison."""

    def finish(self) -> Measured:
        """Return the measures, each value with its origin, and why others are missing."""
        measures: list[Measure] = []
        origins: list[PublishedValue] = []
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
        return Measured(measures, self._notes(), published=origins)

    def _notes(self) -> list[str]:
        files = ", ".join(table.file for table in self._tables)
        opening = (
            f"Published figures are copied from {files}: measured elsewhere, not on these images, "
            "and so neither tested nor marked. Shares are of right top-1 predictions."
        )
        missing = [
            f"{', '.join(labels)}: {reason.replace(FILES, ', '.join(of))}."
            for reason, (labels, of) in self._missing.items()
        ]
        return [opening, *missing]

    def _find(self, table: ResultTable, at: int) -> tuple[str, Result] | None:
        """Return a column's name and result in a table; ``None``, with a reason, if it has none."""
        found = find_result(table, self._facts[at] if self._facts else None)
        if not isinstance(found, str):
            return found
        labels, files = self._missing.setdefault(found, ({}, {}))
        labels[self._columns[at]] = None
        files[table.file] = None
        return None


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
        key, title = f"published_{known.key}", known.title
        of += f" on {known.images},"
    return Figure(key, title, GROUP, "higher", "%", 1, f"{of} {origin}", tested=False)


def find_result(table: ResultTable, facts: ModelFacts | None) -> tuple[str, Result] | str:
    """Return a model's name and result in a table, or why there is none.

    Args:
        table: The table.
        facts: Facts on the model, ``None`` if they are unknown.
    """
    if facts is None:
        return "it is not known which model this is, so it has no published figures"
    if not facts.name.startswith(TIMM):
        return "not by its name a model of timm, so it has no published figures"
    is_accuracy = table.quantity == ACCURACY
    full = facts.name.removeprefix(TIMM)
    if is_accuracy and (reason := _why_not_published(full, facts)):
        return reason
    name = _listed_name(table, full, is_accuracy=is_accuracy)
    if name is None:
        return f"{full} is not in {FILES}"
    return _fitting(table, name, facts, is_accuracy=is_accuracy)


def _why_not_published(full: str, facts: ModelFacts) -> str:
    """Return why a model does not have the weights that its name stands for; empty if it has."""
    weights = full.partition(".")[2]
    end = "so it has no published accuracy"
    if facts.untrained:
        return f"random weights, {end}"
    if not weights or weights != facts.weights:
        return f"its weights, {facts.weights!r}, are not timm's published ones, {end}"
    if len(facts.labels) != CLASSES:
        return f"it has {len(facts.labels)} classes, not ImageNet's {CLASSES}, {end}"
    return ""


def _listed_name(table: ResultTable, full: str, *, is_accuracy: bool) -> str | None:
    """Return the name under which a table has a model, ``None`` if it does not have it."""
    bare = full.partition(".")[0]
    # Speed depends on the architecture alone.
    names = (full,) if is_accuracy else (full, bare)
    for name in names:
        if name in table.results:
            return name
    untagged = [name for name in table.results if "." not in name]
    older = replaced_names() if untagged else {}
    for name in untagged:
        current = older.get(name) or ""
        if current in names or (not is_accuracy and current.partition(".")[0] == bare):
            return name
    return None


def _fitting(
    table: ResultTable, name: str, facts: ModelFacts, *, is_accuracy: bool
) -> tuple[str, Result] | str:
    """Return the result at the input size of the comparison, or why there is none."""
    height, width = facts.input_size
    by_size = table.results[name]
    if height != width or height not in by_size:
        sizes = " and ".join(f"{size} px" for size in sorted(by_size))
        return (
            f"{FILES}: {name} was measured at {sizes}, and compared at {height} x {width}, so it "
            "is left blank; size= (--size) sets the input size"
        )
    result = by_size[height]
    millions = facts.parameters / 1e6
    if is_accuracy and abs(millions - result.parameters) > UNLIKE * result.parameters:
        return (
            f"{FILES}: {name} has {result.parameters:g} M parameters, and the model compared has "
            f"{millions:.2f} M: it is another network, so it is left blank"
        )
    return _why_of_another_cost(name, result, facts) or (name, result)


def _why_of_another_cost(name: str, result: Result, facts: ModelFacts) -> str:
    """Return why a result is of a network with more or less to compute; empty if it is not.

    Options such as ``output_stride`` change what is computed, and neither name nor parameters.
    """
    if facts.flops is None or not math.isfinite(result.gmacs):
        return ""
    own, listed = facts.flops / 2e9, result.gmacs
    if abs(own - listed) <= SMALL_COST or max(own, listed) <= COST * min(own, listed):
        return ""
    return (
        f"{FILES}: {name} takes {listed:g} G multiplications with an addition an image, and the "
        f"model compared takes {own:.2f} G: it is another network, so it is left blank"
    )

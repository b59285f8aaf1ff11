"""Measure the images of a run, shard by shard."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from effcam.dataset.reader import Row, ShardReader
from effcam.images.annotations.truths import GroundTruth
from effcam.metrics.agreement import Agreement, mean_agreements, pair_agreements
from effcam.metrics.estimates import Means
from effcam.metrics.summary.builder import SummaryBuilder
from effcam.metrics.summary.rows import ImageRows
from effcam.models.result_tables import ResultTable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from effcam.metrics.summary import Summary


def summarize_run(
    reader: ShardReader,
    known: GroundTruth,
    *,
    fair: bool | None,
    results: Sequence[ResultTable] = (),
) -> Summary:
    """Return the summary of all images that every model has run on.

    Args:
        reader: The run.
        known: The annotations of its images.
        fair: As in `SummaryBuilder`.
        results: As in `SummaryBuilder`.

    Raises:
        AnnotationError: If annotations are those of other images, or do not fit them.
        TargetError: If a label is no class of a model.
        OutputError: If a shard cannot be read, or no shard has cells of all models.
    """
    known.check(reader.inventory.names())
    columns, facts = reader.manifest.columns, reader.facts()
    builder = SummaryBuilder(columns, facts, labelled=known.labelled, fair=fair, results=results)
    for rows in reader.rows():
        sizes = [row[0].size for row in rows.values()]
        truths = known.take([row[0].image for row in rows.values()], list(rows), sizes=sizes)
        builder.add(ImageRows(columns, tuple(rows.values()), facts, tuple(truths)))
    return builder.summary()


def measure_agreement(reader: ShardReader, measure: Agreement) -> NDArray[np.float64]:
    """Return the mean agreement of every two columns, (columns, columns)."""
    columns = len(reader.manifest.columns)
    means = Means(columns * columns, pairs=np.triu_indices(0))
    for rows in reader.rows():
        pairs = pair_agreements(tuple(rows.values()), measure)
        means.add(pairs.reshape(len(rows), -1))
    return means.values().reshape(columns, columns)


def find_least(
    reader: ShardReader, count: int, value: Callable[[Sequence[Row]], NDArray[np.float64]]
) -> list[int]:
    """Return the positions of the images of the lowest values, the lowest first."""
    least: list[tuple[float, int]] = []
    for rows in reader.rows():
        values = value(tuple(rows.values()))
        own = [(float(each), image) for each, image in zip(values, rows, strict=True)]
        least = heapq.nsmallest(count, [*least, *own])
    return [image for _, image in least]


def image_agreements(rows: Sequence[Row]) -> NDArray[np.float64]:
    """Return the mean agreement of the columns in each image, infinite where it is unknown."""
    return mean_agreements(pair_agreements(rows, "spearman"))


def image_confidences(rows: Sequence[Row]) -> NDArray[np.float64]:
    """Return the mean probability of the classes predicted in each image."""
    found = [[cell.predicted_probability for cell in row] for row in rows]
    return np.asarray(np.mean(found, axis=1))

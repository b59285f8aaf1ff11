"""The unrounded numbers of a summary, for JSON and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from effcam.metrics.calibration_result import Calibration
from effcam.metrics.intervals import CONFIDENCE, FEWEST
from effcam.metrics.significance import LEVEL
from effcam.metrics.summary.confusions import Confusion
from effcam.metrics.summary.records import MODEL, SPREADS, UNITS, Fact, Measure, baseline_names
from effcam.text import json_value

STATISTICS = {
    "confidence": CONFIDENCE,
    "least_units": FEWEST,
    "level": LEVEL,
    "correction": "Holm, over the pairs of columns of each figure; none across figures",
}
"""How the intervals and tests of every measure were made."""


def measure_dict(measure: Measure, labels: Sequence[str]) -> dict[str, object]:
    """Return a measure as a JSON object, with the unit of its values."""
    figure = asdict(measure.figure)
    del figure["possible"], figure["listed"], figure["tested"]
    return figure | {
        "values_in": UNITS[measure.figure.unit].raw,
        "values": json_value(measure.values.tolist()),
        "low": json_value(measure.low.tolist()),
        "high": json_value(measure.high.tolist()),
        "low_and_high": SPREADS[measure.spread],
        "counts": measure.counts.tolist(),
        "units": measure.units.tolist(),
        "baselines": json_value(measure.baselines),
        "difference_low": json_value(measure.difference_low.tolist()),
        "difference_high": json_value(measure.difference_high.tolist()),
        "p_values": json_value(measure.p_values.tolist()),
        "among_best": [labels[column] for column in measure.among_best()],
    }


def calibration_dicts(found: Mapping[str, Calibration]) -> list[dict[str, object]]:
    """Return the calibration of each column as a JSON object, with its bins."""
    return [
        {"column": column, **_object(each), "overconfidence": each.overconfidence}
        for column, each in found.items()
    ]


def confusion_dicts(found: Sequence[Confusion]) -> list[dict[str, object]]:
    """Return pairs of confused classes as JSON objects."""
    return [_object(each) | {"share": each.share} for each in found]


def _object(record: Any) -> dict[str, object]:
    return {name: json_value(value) for name, value in asdict(record).items()}


def to_csv(labels: Sequence[str], facts: Sequence[Fact], measures: Sequence[Measure]) -> str:
    """Return one row per column, then one per baseline, of unrounded values."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    ends = ("", "_low", "_high", "_n")
    keys = [measure.figure.key + end for measure in measures for end in ends]
    writer.writerow(["column", "kind", *(fact.title for fact in facts), *keys])
    for at, label in enumerate(labels):
        numbers = [number for measure in measures for number in _csv_cells(measure, at)]
        writer.writerow([label, MODEL, *(fact.texts[at] for fact in facts), *numbers])
    for name in baseline_names(measures):
        values = [json_value(measure.baselines.get(name)) for measure in measures]
        numbers = [cell for value in values for cell in (value, None, None, None)]
        writer.writerow([name, "baseline", *("" for _ in facts), *numbers])
    return stream.getvalue()


def _csv_cells(measure: Measure, at: int) -> list[object]:
    """Return a column's value, the ends of its interval, and the number of images."""
    numbers = [json_value(array[at]) for array in (measure.values, measure.low, measure.high)]
    return [*numbers, int(measure.counts[at])]

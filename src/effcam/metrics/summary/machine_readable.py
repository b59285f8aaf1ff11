"""The unrounded numbers of a summary, for JSON and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from effcam.data_frames import Kind
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


def columns_of(facts: Sequence[Fact], measures: Sequence[Measure]) -> dict[str, Kind]:
    """Return the columns of `records`, and what they hold."""
    columns: dict[str, Kind] = {"column": "text", "kind": "text"}
    columns |= {fact.title: "text" for fact in facts}
    for measure in measures:
        key = measure.figure.key
        columns |= {key: "float", f"{key}_low": "float", f"{key}_high": "float", f"{key}_n": "int"}
    return columns


def records(
    labels: Sequence[str], facts: Sequence[Fact], measures: Sequence[Measure]
) -> list[dict[str, object]]:
    """Return one row per column, then one per baseline, of unrounded values; ``None`` for NaN."""
    rows: list[dict[str, object]] = []
    for at, label in enumerate(labels):
        row: dict[str, object] = {"column": label, "kind": MODEL}
        row |= {fact.title: fact.texts[at] for fact in facts}
        for measure in measures:
            key = measure.figure.key
            row[key], row[f"{key}_low"], row[f"{key}_high"] = (
                json_value(float(array[at]))
                for array in (measure.values, measure.low, measure.high)
            )
            row[f"{key}_n"] = int(measure.counts[at])
        rows.append(row)
    for name in baseline_names(measures):
        values = {each.figure.key: json_value(each.baselines.get(name)) for each in measures}
        rows.append({"column": name, "kind": "baseline", **values})
    return rows


def to_csv(labels: Sequence[str], facts: Sequence[Fact], measures: Sequence[Measure]) -> str:
    """Return `records` as CSV; what is missing is empty."""
    stream = io.StringIO()
    columns = columns_of(facts, measures)
    writer = csv.DictWriter(stream, list(columns), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(records(labels, facts, measures))
    return stream.getvalue()

"""Cells as rows of a Parquet table, which pandas, polars and duckdb read without effcam.

One row is one cell: the class predicted and explained, what the map and the input cover, and the
map itself, in 16 bits as shares of its peak. An image that could not be read is a row with the
reason.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from effcam.cam.explanation import Explanation
from effcam.errors import OutputError
from effcam.images.geometry import Box
from effcam.images.refs import ImageRef
from effcam.metrics.concentration import effective_area, gini, half_mass_area
from effcam.metrics.sampling import focus_samples

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from effcam.cam.map_checks import State

FOCUS = {"effective_area": effective_area, "gini": gini, "half_mass_area": half_mass_area}
EDGES = ("left", "top", "right", "bottom")
FIELDS = {
    "image": "string",
    "width": "int32",
    "height": "int32",
    "column": "string",
    "model": "string",
    "weights": "string",
    "method": "string",
    "target_layer": "string",
    "target": "int32",
    "label": "string",
    "probability": "float32",
    "kind": "string",
    "value": "float32",
    "unit": "string",
    "asked": "string",
    "multi_label": "bool",
    "predicted": "int32",
    "predicted_label": "string",
    "predicted_probability": "float32",
    "state": "string",
    "flags": "string",
    **{f"region_{edge}": "float64" for edge in EDGES},
    **{f"canvas_{edge}": "float64" for edge in EDGES},
    **{f"frame_{edge}": "float64" for edge in EDGES},
    "heatmap_height": "int16",
    "heatmap_width": "int16",
    "heatmap_peak": "float32",
    "heatmap": "list<float16>",
    **dict.fromkeys(FOCUS, "float32"),
    "error": "string",
}
"""The columns of the table and their types. In a row with an error, all but the image, column,
model and method are null. ``heatmap_peak * heatmap``, row by row of the map, is
`Explanation.heatmap`; the figures of focus are at the map's own resolution."""
LATER: Mapping[str, str] = {f"frame_{edge}": f"canvas_{edge}" for edge in EDGES}
"""Columns that files of 0.1 lack, each with the one whose values it had there."""
CLASS: Mapping[str, str | float] = {
    "kind": "class",
    "value": math.nan,
    "unit": "",
    "asked": "",
    "multi_label": False,
}
"""Columns that files of 0.1 lack, each with its value: all of them explain one class."""
KEY = b"effcam"


@dataclass(frozen=True, slots=True)
class Unread:
    """A cell that is missing because its image could not be read.

    Attributes:
        image: The image's name.
        column: The label of its column.
        model: The model's name.
        method: The method's name.
        error: Why the image could not be read.
    """

    image: str
    column: str
    model: str
    method: str
    error: str


def require_pyarrow() -> None:
    """Check that pyarrow is installed.

    Raises:
        OutputError: If it is not.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise OutputError("Parquet files need pyarrow: pip install 'effcam[dataset]'") from error


def schema(notes: Mapping[str, object] | None = None) -> pa.Schema:
    """Return the schema of `FIELDS`, with notes as JSON in the file's metadata."""
    import pyarrow as pa

    types = {"list<float16>": pa.list_(pa.float16())}
    fields = [(name, types.get(kind) or pa.type_for_alias(kind)) for name, kind in FIELDS.items()]
    text = json.dumps(notes or {}, sort_keys=True, ensure_ascii=False)
    return pa.schema(fields, metadata={KEY: text.encode("utf-8", "backslashreplace")})


def to_table(
    rows: Sequence[Explanation | Unread], notes: Mapping[str, object] | None = None
) -> pa.Table:
    """Return cells as a table.

    Args:
        rows: The cells, in the order of the rows.
        notes: The file's metadata.
    """
    import pyarrow as pa

    kind = schema(notes)
    cells = [row for row in rows if isinstance(row, Explanation)]
    focus = iter(focus_of(cells))
    records = [
        _record(row) | next(focus) if isinstance(row, Explanation) else _error(row) for row in rows
    ]
    columns = [
        _heatmaps(rows)
        if name == "heatmap"
        else pa.array([record.get(name) for record in records], kind.field(name).type)
        for name in FIELDS
    ]
    return pa.table(columns, schema=kind)


def encode(table: pa.Table) -> bytes:
    """Encode a table as a Parquet file: the same bytes for the same table.

    Each page has a checksum (CRC-32), which readers can verify.
    """
    import pyarrow.parquet as pq

    stream = io.BytesIO()
    pq.write_table(table, stream, compression="zstd", write_page_checksum=True)
    return stream.getvalue()


def notes_of(metadata: Mapping[bytes, bytes] | None) -> dict[str, Any]:
    """Return the notes in a file's metadata."""
    found: dict[str, Any] = json.loads((metadata or {}).get(KEY, b"{}"))
    return found


def to_cells(
    table: pa.Table, images: Sequence[ImageRef], model_labels: Sequence[str]
) -> list[Explanation | None]:
    """Return the cells of a table, ``None`` for images that could not be read.

    Args:
        table: Rows of `FIELDS`.
        images: The image of each row.
        model_labels: The label of each row's model, without the method.
    """
    heat = table.column("heatmap").combine_chunks()
    offsets = heat.offsets.to_numpy()
    # A slice of a larger table still has all of that table's values.
    values = heat.values.to_numpy(zero_copy_only=False)
    records = table.drop_columns(["heatmap"]).to_pylist()
    return [
        None
        if record["error"] is not None
        else _cell(record, image, label, values[offsets[at] : offsets[at + 1]])
        for at, (record, image, label) in enumerate(zip(records, images, model_labels, strict=True))
    ]


def readable(text: str) -> str:
    """Return a text as valid UTF-8: the name of a file may hold other bytes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _record(cell: Explanation) -> dict[str, object]:
    rows, columns = cell.heatmap.shape
    # The grid is stored as numbers.
    record = {key: value for key, value in cell.record().items() if key != "grid"}
    record |= {f"canvas_{edge}": getattr(cell.canvas, edge) for edge in EDGES}
    record |= {f"frame_{edge}": getattr(cell.frame, edge) for edge in EDGES}
    record |= {"heatmap_height": rows, "heatmap_width": columns, "heatmap_peak": _peak(cell)}
    return {
        key: readable(value) if isinstance(value, str) else value for key, value in record.items()
    }


def _error(row: Unread) -> dict[str, object]:
    return {key: readable(getattr(row, key)) for key in Unread.__dataclass_fields__}


def _peak(cell: Explanation) -> float:
    return float(cell.heatmap.max(initial=0))


def _heatmaps(rows: Iterable[Explanation | Unread]) -> pa.Array:
    """Return each map as shares of its peak, which 16 bits can hold at any scale."""
    import pyarrow as pa

    maps: list[NDArray[np.float16]] = []
    missing = []
    for row in rows:
        if isinstance(row, Explanation):
            scaled = row.heatmap / (_peak(row) or 1)
            maps.append(scaled.astype(np.float16).ravel())
        else:
            maps.append(np.empty(0, np.float16))
        missing.append(not isinstance(row, Explanation))
    offsets = np.cumsum([0, *map(len, maps)]).astype(np.int32)
    values = np.concatenate([np.empty(0, np.float16), *maps])
    return pa.ListArray.from_arrays(
        pa.array(offsets), pa.array(values), mask=pa.array(missing, pa.bool_())
    )


def focus_of(cells: Sequence[Explanation]) -> list[dict[str, float]]:
    """Return the figures of focus of each cell; none if its map has no evidence."""
    found: list[dict[str, float]] = [{} for _ in cells]
    grids: dict[tuple[int, ...], list[int]] = {}
    for at, cell in enumerate(cells):
        if cell.state == "ok":
            grids.setdefault(cell.heatmap.shape, []).append(at)
    for members in grids.values():
        own = [cells[at] for at in members]
        samples, areas = focus_samples(own, [_own_cell(cell) for cell in own])
        for name, figure in FOCUS.items():
            for at, value in zip(members, figure(samples, area=areas).tolist(), strict=True):
                found[at][name] = value
    return found


def _own_cell(cell: Explanation) -> tuple[float, float]:
    """Return the height and width of a map's own cells in px."""
    rows, columns = cell.heatmap.shape
    return cell.canvas.height / rows, cell.canvas.width / columns


def _cell(
    record: Mapping[str, Any], image: ImageRef, model_label: str, values: NDArray[np.float16]
) -> Explanation:
    state: State = record["state"]
    names = (
        *("column", "model", "weights", "method", "target_layer", "target", "label"),
        *("probability", "kind", "value", "unit", "asked", "multi_label"),
        *("predicted", "predicted_label", "predicted_probability"),
    )
    shape = record["heatmap_height"], record["heatmap_width"]
    return Explanation(
        image=image,
        **{name: record[name] for name in names},
        heatmap=(values.astype(np.float32) * np.float32(record["heatmap_peak"])).reshape(shape),
        size=(record["width"], record["height"]),
        region=Box(*(record[f"region_{edge}"] for edge in EDGES)),
        canvas=Box(*(record[f"canvas_{edge}"] for edge in EDGES)),
        frame=Box(*(record[f"frame_{edge}"] for edge in EDGES)),
        state=state,
        model_label=model_label,
    )

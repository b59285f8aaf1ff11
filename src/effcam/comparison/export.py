"""Save a comparison: pictures, reports, tables, arrays; the suffix names the format.

`effcam.drawing.formats.FORMATS` lists the formats; `WRITERS` writes them.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from effcam import __version__, files
from effcam.cam.cells import Cells
from effcam.comparison.pictures.figure import Print, figure
from effcam.comparison.pictures.frames import frames
from effcam.comparison.pictures.grid import grid
from effcam.comparison.pictures.poster import check_kind, poster
from effcam.comparison.pictures.style import Style, check_page
from effcam.drawing import encode
from effcam.drawing.formats import FORMATS, PRINT
from effcam.errors import ArgumentError, OutputError
from effcam.images.frames import spacing
from effcam.text import json_value

if TYPE_CHECKING:
    from numpy.typing import NDArray

LONGEST_ANIMATION, SHORTEST_FRAME = 20.0, 0.2
"""How long an animation over columns takes by default, and one of its frames at least, in s."""


def save(content: Cells, path: str | PathLike[str], given: Mapping[str, Any]) -> Path:
    """Save a comparison in the format that the suffix names, and return the path.

    Args:
        content: The comparison.
        path: Where to write.
        given: The options of `Comparison.save`, by name; ``None`` is not given.

    Raises:
        OutputError: If the suffix is unknown, a package for the format is not installed, or the
            file cannot be written.
        ArgumentError: If an option is impossible or does not apply to the format.
    """
    target = check_output(path)
    form = FORMATS[target.suffix.lower()]
    options = {name: value for name, value in given.items() if value is not None}
    for name in options:
        if name not in form.options:
            raise ArgumentError(f"{name} has no meaning for a {form.suffix} file")
    if not content.cells:
        raise OutputError(f"cannot save {str(path)!r}: the comparison holds no images")
    WRITERS[form.writer](content, target, options)
    return target


def check_output(path: str | PathLike[str]) -> Path:
    """Check that a comparison can be saved at a path, and return the path.

    Raises:
        OutputError: If the suffix is unknown, a package for the format is not installed, or the
            folder does not exist.
    """
    target = files.check_path(path, FORMATS)
    extra = FORMATS[target.suffix.lower()].extra
    if extra == "video":
        encode.check_video(target)
    if extra == "dataset":
        from effcam.comparison.parquet import require_pyarrow

        require_pyarrow()
    return target


def check_style(**given: Any) -> None:
    """Check options of pictures, before there is anything to draw.

    Args:
        given: The options of `Comparison.save`, by name.

    Raises:
        ArgumentError: If a value is impossible.
    """
    _take_print(given)
    if "seconds" in given:
        encode.check_seconds(given.pop("seconds"))
    check_page(given.pop("layout", "grid"), Style(**given))


def _take_print(options: dict[str, Any]) -> Print:
    """Return the options of a figure, taken out of a dict."""
    return Print(**{name: options.pop(name) for name in PRINT if name in options})


def _save_picture(content: Cells, path: Path, options: dict[str, Any]) -> None:
    kind = options.pop("layout", "grid")
    style = Style(**options)
    check_kind(content, kind, style)
    picture = poster(content, 0, None, style) if kind == "poster" else grid(content, style)
    encode.write_image(picture, path)


def _save_figure(content: Cells, path: Path, options: dict[str, Any]) -> None:
    size = _take_print(options)
    drawn = figure(content, options.pop("layout", "grid"), Style(**options), size)
    with files.atomic(path) as partial:
        drawn.savefig(partial, format=path.suffix.lower().removeprefix("."))


def _save_animation(content: Cells, path: Path, options: dict[str, Any]) -> None:
    pace = {"seconds": options.pop("seconds")} if "seconds" in options else {}
    own = _own_pace(content, options.get("rows"))
    if own is not None and not pace:
        pace = {"seconds": own}
    encode.write_animation(frames(content, Style(**options)), path, **pace)


def _own_pace(content: Cells, rows: str | None) -> float | None:
    """Return how long a frame shows by default, in s; ``None`` is the encoder's default, 1 s.

    Frames of one video keep its pace; many columns share `LONGEST_ANIMATION`.
    """
    if rows == "models":
        return min(1.0, max(LONGEST_ANIMATION / len(content.columns), SHORTEST_FRAME))
    own = spacing([image.frame for image in content.images])
    return None if own is None else min(own, encode.LONGEST_SECONDS)


def _save_report(content: Cells, path: Path, options: dict[str, Any]) -> None:
    from effcam.comparison.report import Look, gather, write_report

    write_report(gather(content), path, Look(**options))


def _save_csv(content: Cells, path: Path, _options: dict[str, Any]) -> None:
    table = content.table()
    with (
        files.atomic(path) as partial,
        # The name of a file may hold bytes that are not UTF-8.
        partial.open("w", newline="", encoding="utf-8", errors="backslashreplace") as stream,
    ):
        writer = csv.DictWriter(stream, table[0])
        writer.writeheader()
        writer.writerows(table)


def to_record(content: Cells) -> dict[str, object]:
    """Return a comparison without its cells, as JSON has it."""
    return {
        "settings": dict(content.settings),
        "images": [image.name for image in content.images],
        "columns": list(content.columns),
        "models": [facts.record() for facts in content.facts],
        "skipped": [asdict(skipped) for skipped in content.skipped],
    }


def _save_json(content: Cells, path: Path, _options: dict[str, Any]) -> None:
    cells = [
        {name: json_value(value) for name, value in cell.record().items()}
        | {"heatmap": cell.heatmap.tolist()}
        for cell in content.cells
    ]
    found = {"effcam": __version__, **to_record(content), "cells": cells}
    text = json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False)
    with files.atomic(path) as partial:
        # A JSON reader turns the escapes back into the original characters.
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")


def _save_npz(content: Cells, path: Path, _options: dict[str, Any]) -> None:
    shape = len(content.images), len(content.columns)
    table = content.table()
    arrays: dict[str, NDArray[np.generic]] = {
        name: np.array([row[name] for row in table]).reshape(shape) for name in table[0]
    }
    arrays["image"] = np.array([image.name for image in content.images])
    arrays["column"] = np.array(content.columns)
    for column in range(shape[1]):
        # Maps of different columns may differ in shape, so each column has its own array.
        maps = [cell.heatmap for cell in content.column(column)]
        arrays[f"heatmap_{column}"] = np.stack(maps)
    with files.atomic(path) as partial, partial.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]  # not its flag


def _save_parquet(content: Cells, path: Path, _options: dict[str, Any]) -> None:
    from effcam.comparison import parquet

    first = content.cells[: len(content.columns)]
    unread = [
        parquet.Unread(skipped.image, cell.column, cell.model, cell.method, skipped.reason)
        for skipped in content.skipped
        for cell in first
    ]
    table = parquet.to_table([*content.cells, *unread], {"settings": dict(content.settings)})
    with files.atomic(path) as partial:
        partial.write_bytes(parquet.encode(table))


Write: TypeAlias = Callable[[Cells, Path, dict[str, Any]], None]
WRITERS: dict[str, Write] = {
    "picture": _save_picture,
    "figure": _save_figure,
    "animation": _save_animation,
    "report": _save_report,
    "csv": _save_csv,
    "json": _save_json,
    "npz": _save_npz,
    "parquet": _save_parquet,
}
"""The writers that `effcam.drawing.formats.Format.writer` names."""

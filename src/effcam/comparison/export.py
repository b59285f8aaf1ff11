"""A comparison as files: pictures, tables, arrays; the suffix names the format."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from effcam import __version__, files
from effcam.cam.cells import Cells
from effcam.comparison import parquet
from effcam.comparison.pictures.figure import Print, figure
from effcam.comparison.pictures.grid import Style, frames, grid
from effcam.comparison.pictures.poster import check_kind, check_layout, poster
from effcam.comparison.report import Look, gather, write_report
from effcam.drawing import encode
from effcam.errors import ArgumentError, OutputError
from effcam.images.frames import spacing
from effcam.text import json_value

if TYPE_CHECKING:
    from numpy.typing import NDArray


def save(content: Cells, path: str | PathLike[str], given: dict[str, Any]) -> Path:
    """Return the path of a file it wrote, in the format that its suffix names.

    Args:
        content: What to write.
        path: Where to write.
        given: What was asked for of `SAVERS`' styles; ``None`` is not.

    Raises:
        OutputError: If the suffix is unknown, what writes it is not installed, or the file cannot
            be written.
        ArgumentError: If a style is impossible or does not go with the format.
    """
    target = check_output(path)
    suffix = target.suffix.lower()
    style = {name: value for name, value in given.items() if value is not None}
    saver, understood = SAVERS[suffix]
    for name in style:
        if name not in understood:
            raise ArgumentError(f"{name} has no meaning for a {suffix} file")
    if not content.cells:
        raise OutputError(f"cannot save {str(path)!r}: the comparison holds no images")
    saver(content, target, style)
    return target


def check_output(path: str | PathLike[str]) -> Path:
    """Return the path, after making sure that a comparison can be saved there.

    Raises:
        OutputError: If the suffix names no format, what writes it is not installed, or the folder
            does not exist.
    """
    target = files.check_path(path, SAVERS)
    if target.suffix.lower() == ".mp4":
        encode.check_video(target)
    if target.suffix.lower() == ".parquet":
        parquet.require_pyarrow()
    return target


def check_style(**given: Any) -> None:
    """Check that pictures can be drawn so, before there is anything to draw.

    Args:
        given: What `Comparison.save` is told, by argument.

    Raises:
        ArgumentError: If a value is impossible.
    """
    Print(**{name: given.pop(name) for name in PRINT_STYLE if name in given})
    if "seconds" in given:
        encode.check_seconds(given.pop("seconds"))
    check_layout(given.pop("layout", "grid"), Style(**given))


def _save_picture(content: Cells, path: Path, given: dict[str, Any]) -> None:
    kind = given.pop("layout", "grid")
    style = Style(**given)
    check_kind(content, kind, style)
    picture = poster(content, 0, None, style) if kind == "poster" else grid(content, style)
    encode.write_image(picture, path)


def _save_figure(content: Cells, path: Path, given: dict[str, Any]) -> None:
    size = Print(**{name: given.pop(name) for name in PRINT_STYLE if name in given})
    drawn = figure(content, given.pop("layout", "grid"), Style(**given), size)
    with files.atomic(path) as partial:
        drawn.savefig(partial, format=path.suffix.lower().removeprefix("."))


def _save_frames(content: Cells, path: Path, style: dict[str, Any]) -> None:
    pace = {"seconds": style.pop("seconds")} if "seconds" in style else {}
    own = spacing([image.frame for image in content.images])
    if own is not None and not pace:
        pace = {"seconds": min(own, encode.LONGEST_SECONDS)}
    encode.write_animation(frames(content, Style(**style)), path, **pace)


def _save_csv(content: Cells, path: Path, _style: dict[str, Any]) -> None:
    table = content.table()
    with (
        files.atomic(path) as partial,
        # The name of a file may hold bytes that are no UTF-8.
        partial.open("w", newline="", encoding="utf-8", errors="backslashreplace") as stream,
    ):
        writer = csv.DictWriter(stream, table[0])
        writer.writeheader()
        writer.writerows(table)


def to_record(content: Cells) -> dict[str, object]:
    """Return what a comparison is, as JSON has it, without its cells."""
    return {
        "settings": dict(content.settings),
        "images": [image.name for image in content.images],
        "columns": list(content.columns),
        "models": [facts.record() for facts in content.facts],
        "skipped": [asdict(skipped) for skipped in content.skipped],
    }


def _save_json(content: Cells, path: Path, _style: dict[str, Any]) -> None:
    cells = [
        {name: json_value(value) for name, value in cell.record().items()}
        | {"heatmap": cell.heatmap.tolist()}
        for cell in content.cells
    ]
    found = {"effcam": __version__, **to_record(content), "cells": cells}
    text = json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False)
    with files.atomic(path) as partial:
        # What backslashes replace in JSON reads as what it was.
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")


def _save_npz(content: Cells, path: Path, _style: dict[str, Any]) -> None:
    shape = len(content.images), len(content.columns)
    table = content.table()
    arrays: dict[str, NDArray[np.generic]] = {
        name: np.array([row[name] for row in table]).reshape(shape) for name in table[0]
    }
    arrays["image"] = np.array([image.name for image in content.images])
    arrays["column"] = np.array(content.columns)
    for column in range(shape[1]):
        # Columns have grids of their own, so each is an array of its own.
        maps = [cell.heatmap for cell in content.cells[column :: shape[1]]]
        arrays[f"heatmap_{column}"] = np.stack(maps)
    with files.atomic(path) as partial, partial.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]  # not its flag


def _save_parquet(content: Cells, path: Path, _style: dict[str, Any]) -> None:
    first = content.cells[: len(content.columns)]
    unread = [
        parquet.Unread(skipped.image, cell.column, cell.model, cell.method, skipped.reason)
        for skipped in content.skipped
        for cell in first
    ]
    table = parquet.to_table([*content.cells, *unread], {"settings": dict(content.settings)})
    with files.atomic(path) as partial:
        partial.write_bytes(parquet.encode(table))


def _save_report(content: Cells, path: Path, style: dict[str, Any]) -> None:
    write_report(gather(content), path, Look(**style))


Saver: TypeAlias = Callable[[Cells, Path, dict[str, Any]], None]

REPORT_STYLE = ("alpha", "colormap")
PAGE_STYLE = (
    *REPORT_STYLE,
    *("boxes", "rows", "original", "title", "caption", "font", "theme"),
)
PICTURE_STYLE = (*PAGE_STYLE, "width")
PRINT_STYLE = ("inches", "fontsize", "dpi")
SAVERS: dict[str, tuple[Saver, tuple[str, ...]]] = {
    ".png": (_save_picture, (*PICTURE_STYLE, "layout")),
    ".jpg": (_save_picture, (*PICTURE_STYLE, "layout")),
    ".jpeg": (_save_picture, (*PICTURE_STYLE, "layout")),
    ".pdf": (_save_figure, (*PAGE_STYLE, *PRINT_STYLE, "layout")),
    ".svg": (_save_figure, (*PAGE_STYLE, *PRINT_STYLE, "layout")),
    ".gif": (_save_frames, (*PICTURE_STYLE, "seconds")),
    ".webp": (_save_frames, (*PICTURE_STYLE, "seconds")),
    ".mp4": (_save_frames, (*PICTURE_STYLE, "seconds")),
    ".html": (_save_report, REPORT_STYLE),
    ".htm": (_save_report, REPORT_STYLE),
    ".csv": (_save_csv, ()),
    ".json": (_save_json, ()),
    ".npz": (_save_npz, ()),
    ".parquet": (_save_parquet, ()),
}
"""How each format is written, and which parts of a style it understands."""

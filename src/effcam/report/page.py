"""The page itself: a template filled in, with a policy that lets nothing in and nothing else run."""

from __future__ import annotations

import base64
import hashlib
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effcam import __version__
from effcam.errors import ArgumentError, OutputError
from effcam.explanation import CLASSLESS, Explanation, percent
from effcam.health import SHORT
from effcam.report import plots
from effcam.report.data import colormaps, page_data, photos, to_json, truth_label
from effcam.report.material import Material
from effcam.write import atomic, check_path

if TYPE_CHECKING:
    from jinja2 import Environment

SUFFIXES = (".html", ".htm")
PACKAGES = ("torch", "torchvision", "timm", "grad-cam", "numpy", "pillow")
MARK = "bold:"
"""What the legend of the scoreboard calls the mark of its best values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How a report looks when it is opened.

    Attributes:
        title: What stands above it; ``None`` is told from what is compared.
        alpha: The opacity of the strongest heat, in [0, 1].
        colormap: The name of a matplotlib colour map.

    Raises:
        ArgumentError: If the opacity is none, or the title is no text.
    """

    title: str | None = None
    alpha: float = 0.5
    colormap: str = "turbo"

    def __post_init__(self) -> None:
        """Checks what would otherwise fail late."""
        if not isinstance(self.alpha, int | float) or not 0 <= self.alpha <= 1:
            raise ArgumentError(f"alpha is an opacity from 0 to 1, not {self.alpha!r}.")
        if self.title is not None and not (isinstance(self.title, str) and self.title.strip()):
            raise ArgumentError(f"title must be a text that says something, not {self.title!r}")


def check_report_output(path: str | PathLike[str]) -> Path:
    """Returns the path, after making sure that a report can be written there.

    Raises:
        OutputError: If the suffix is none of a page's, or the folder does not exist.
    """
    return check_path(path, SUFFIXES)


def write_report(material: Material, path: str | PathLike[str], look: Look) -> Path:
    """Returns the path of a page that it wrote.

    Args:
        material: What the page is made of.
        path: Where to write; it ends in ``.html`` or ``.htm``.
        look: How the page looks when it is opened.

    Raises:
        OutputError: If the path has another suffix, there are no images, or the file cannot be
            written.
        ArgumentError: If there is no such colour map.
        ImageError: If an image's file is gone.
    """
    target = check_report_output(path)
    if not material.content.cells:
        raise OutputError(f"cannot save {str(path)!r}: the comparison holds no images")
    text = build(material, look)
    with atomic(target) as partial:
        # The name of a file may hold bytes that are no UTF-8.
        partial.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")
    return target


def build(material: Material, look: Look) -> str:
    """Returns the page.

    Raises:
        ArgumentError: If there is no such colour map.
        ImageError: If an image's file is gone.
    """
    from markupsafe import Markup

    content = material.content
    tables = colormaps(look.colormap)
    pictures = photos(content)
    data = page_data(material, [size for _, size in pictures])
    data |= {"colormaps": tables, "colormap": look.colormap, "alpha": float(look.alpha)}
    script = _text("script.js")
    style = "\n".join(
        [_text("style.css"), plots.matrix_style(), plots.column_style(len(content.columns))]
    )
    made = datetime.now().astimezone()
    return _environment().get_template("page.html").render(
        title=look.title or _title(material),
        policy=_policy(script, style),
        # They are this package's own: what is compared is escaped, as text and as JSON.
        script=Markup(script),  # noqa: S704
        style=Markup(style),  # noqa: S704
        data=Markup(to_json(data)),  # noqa: S704
        lede=_lede(material),
        scope=material.scope,
        rows=_rows(material, pictures),
        columns=_columns(material),
        summary=material.summary.contents(MARK),
        findings=material.summary.findings(),
        plots=plots.plots(material.summary),
        plot_width=plots.WIDTH,
        matrix=plots.matrix(material.agreement) if len(content.columns) > 1 else [],
        steps=plots.STEPS,
        bars=plots.histogram(material.disagreement()),
        bar_width=plots.BAR_WIDTH,
        bar_height=plots.BAR_HEIGHT,
        settings=_settings(content.settings),
        facts=[_facts(facts.record()) for facts in content.facts],
        skipped=content.skipped,
        versions=_versions(),
        calls=material.calls,
        colormaps=list(tables),
        colormap=look.colormap,
        percent=round(100 * look.alpha),
        labelled=any(each is not None for each in _truths(material)),
        boxed=any(truth.boxes for truth in material.truths),
        flags={flag: SHORT[flag] for cell in content.cells for flag in cell.flags},
        made=made.isoformat(timespec="seconds"),
        made_text=f"{made:%Y-%m-%d %H:%M %Z}",
        effcam=__version__,
    )


@cache
def _text(name: str) -> str:
    return files("effcam.report").joinpath(name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    return Environment(
        loader=FunctionLoader(_text),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _policy(script: str, style: str) -> str:
    """Returns a policy under which nothing is fetched, and this script and style alone take effect.

    It is that of the Content-Security-Policy: https://www.w3.org/TR/CSP3/
    """
    return "; ".join(
        [
            "default-src 'none'",
            "img-src data:",
            f"script-src {_digest(script)}",
            f"style-src {_digest(style)}",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def _truths(material: Material) -> list[str | None]:
    return [truth_label(material, truth) for truth in material.truths]


def _count(number: int, name: str) -> str:
    return f"{number} {name}" + ("" if number == 1 else "s")


def _title(material: Material) -> str:
    columns, images = len(material.content.columns), len(material.content.images)
    models = {cell.model for cell in material.content.cells}
    who = f"What {_count(len(models), 'model')} look{'s' if len(models) == 1 else ''} at"
    several = f", {columns} ways" if columns > len(models) > 0 else ""
    return f"{who} in {_count(images, 'image')}{several}"


def _lede(material: Material) -> str:
    """Returns in a sentence what is shown."""
    content = material.content
    methods = list(dict.fromkeys(cell.method for cell in content.cells))
    target = content.settings.get("target")
    if target is None:
        of = "the class that each model predicts"
    elif isinstance(target, list | tuple):
        of = "a class given for each image"
    else:
        of = "the class of their consensus" if target == "consensus" else f"the class {target!r}"
    classless = all(method in CLASSLESS for method in methods)
    told = "" if classless else f" for {of}"
    where = "as each model's own transform crops it"
    if content.settings.get("view") == "whole":
        where = "squashed as a whole to each model's input"
    return f"Heat is where {', '.join(methods)} finds evidence{told}; each photo {where}."


def _columns(material: Material) -> list[dict[str, Any]]:
    first = material.content.cells[: len(material.content.columns)]
    return [
        {
            "label": cell.column,
            "origin": f"{cell.target_layer} · {cell.heatmap.shape[0]} x {cell.heatmap.shape[1]}",
            "random": cell.weights == "random",
        }
        for cell in first
    ]


def _rows(
    material: Material, pictures: list[tuple[str, tuple[int, int]]]
) -> list[dict[str, Any]]:
    truths = _truths(material)
    return [
        {
            "name": row[0].image.name,
            "source": source,
            "size": size,
            "truth": truths[at],
            "alt": _alt(row),
            "cells": [
                {
                    "label": cell.predicted_label,
                    "share": percent(cell.predicted_probability),
                    "right": bool(right) if right == right else None,
                    "explained": _explained(cell),
                    "badge": SHORT[cell.state] if cell.state in SHORT else "",
                    "odd": [SHORT[flag] for flag in cell.flags if flag != cell.state],
                }
                for cell, right in zip(row, material.right[at].tolist(), strict=True)
            ],
        }
        for at, (row, (source, size)) in enumerate(
            zip(material.content.rows(), pictures, strict=True)
        )
    ]


def _alt(row: tuple[Explanation, ...]) -> str:
    said = "; ".join(
        f"{cell.column} predicts {cell.predicted_label} {percent(cell.predicted_probability)}"
        for cell in row
    )
    return f"Photo {row[0].image.name}; {said}"


def _explained(cell: Explanation) -> str:
    """Returns which class the heat is for, where that is another one than is predicted."""
    if cell.target == cell.predicted or cell.method in CLASSLESS:
        return ""
    return f"heat: {cell.label} {percent(cell.probability)}"


def _settings(settings: Mapping[str, object]) -> dict[str, str]:
    return {
        name: ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        for name, value in settings.items()
        if value is not None
    }


def _facts(record: Mapping[str, object]) -> dict[str, str]:
    """Returns what is known of a model, as a reader expects it."""
    found = dict(record)
    parameters, flops, seconds = (found.pop(name) for name in ("parameters", "flops", "seconds"))
    shown = {
        name.replace("_", " "): " x ".join(map(str, value)) if isinstance(value, list) else str(value)
        for name, value in found.items()
    }
    shown["parameters"] = f"{parameters:,}"
    shown["GFLOP"] = "-" if flops is None else f"{flops / 1e9:.3g}"  # type: ignore[operator]
    shown["ms an image"] = "-" if seconds is None else f"{1000 * seconds:.1f}"  # type: ignore[operator]
    return shown


def _versions() -> dict[str, str]:
    """Returns the versions of effcam and what it stands on, as they are now."""
    found = {"effcam": __version__}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed as a package"
    return found | {"Python": platform.python_version()}



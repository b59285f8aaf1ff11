"""The page of a report: a filled template, under a policy that forbids all requests."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from effcam import __version__
from effcam.cam.map_checks import SHORT
from effcam.comparison.report import charts, wording
from effcam.comparison.report.confusions import confused_pairs
from effcam.comparison.report.data import colormaps, pack, page_data
from effcam.comparison.report.inputs import Material
from effcam.comparison.report.photos import photos
from effcam.comparison.report.reliability import EDGE, SIDE, reliability_plots
from effcam.drawing import overlay
from effcam.drawing.defaults import ALPHA, COLORMAP
from effcam.drawing.formats import REPORT_SUFFIXES
from effcam.errors import ArgumentError
from effcam.files import atomic, check_path
from effcam.metrics.summary.text_tables import CONFUSED

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

MARK = "bold:"
"""The mark of the best values in the scoreboard's legend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How a report looks when it is opened.

    Attributes:
        title: The title; ``None`` describes what is compared.
        alpha: The opacity of the strongest heat, in [0, 1].
        colormap: The name of a matplotlib colour map.

    Raises:
        ArgumentError: If the opacity or the title is impossible.
    """

    title: str | None = None
    alpha: float = ALPHA
    colormap: str = COLORMAP

    def __post_init__(self) -> None:
        """Check values that would otherwise fail late."""
        overlay.check_alpha(self.alpha)
        if self.title is not None and not (isinstance(self.title, str) and self.title.strip()):
            raise ArgumentError(f"title must be a text that is not empty, not {self.title!r}")


def check_report_output(path: str | PathLike[str]) -> Path:
    """Check that a report can be written at a path, and return the path.

    Raises:
        OutputError: If the suffix is not that of a report, or the folder does not exist.
    """
    return check_path(path, REPORT_SUFFIXES)


def write_report(material: Material, path: str | PathLike[str], look: Look) -> Path:
    """Write a report and return its path.

    Args:
        material: The content of the report.
        path: Where to write; it ends in ``.html`` or ``.htm``.
        look: How the page looks when it is opened.

    Raises:
        OutputError: If the path has another suffix, or the file cannot be written.
        ArgumentError: If there is no such colour map.
        ImageError: If an image's file is gone.
    """
    target = check_report_output(path)
    text = build(material, look)
    with atomic(target) as partial:
        # The name of a file may hold bytes that are not UTF-8.
        partial.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")
    return target


def build(material: Material, look: Look) -> str:
    """Return the page as HTML.

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
        [
            _text("style.css"),
            charts.plot_style(),
            charts.matrix_style(),
            charts.column_style(len(content.columns)),
        ]
    )
    made = datetime.now().astimezone()
    return (
        _environment()
        .get_template("page.html")
        .render(
            title=look.title or wording.title(material),
            policy=_policy(script, style),
            # Script and style are this package's own; data is in base64, all else escaped as HTML.
            script=Markup(script),  # noqa: S704
            style=Markup(style),  # noqa: S704
            data=Markup(pack(data)),  # noqa: S704
            lede=wording.lede(material),
            scope=material.scope,
            rows=wording.rows(material, pictures),
            columns=wording.columns(material),
            summary=material.summary.contents(MARK),
            findings=material.summary.findings(),
            plots=charts.plots(material.summary),
            plot_width=charts.WIDTH,
            reliability=reliability_plots(material.summary.calibration),
            side=SIDE,
            edge=EDGE,
            confused=confused_pairs(material),
            confused_title=CONFUSED,
            matrix=charts.matrix(material.agreement) if len(content.columns) > 1 else [],
            steps=charts.STEPS,
            bars=charts.histogram(material.disagreement()),
            bar_width=charts.BAR_WIDTH,
            bar_height=charts.BAR_HEIGHT,
            settings=wording.settings(content.settings),
            facts=[wording.facts(facts.record()) for facts in content.facts],
            skipped=content.skipped,
            versions=wording.versions(),
            snippets=material.snippets,
            colormaps=list(tables),
            colormap=look.colormap,
            percent=round(100 * look.alpha),
            labelled=any(each is not None for each in wording.truths(material)),
            boxed=any(truth.boxes for truth in material.truths),
            flags={flag: SHORT[flag] for cell in content.cells for flag in cell.flags},
            made=made.isoformat(timespec="seconds"),
            made_text=f"{made:%Y-%m-%d %H:%M %Z}",
            effcam=__version__,
        )
    )


@cache
def _text(name: str) -> str:
    return files("effcam.comparison.report").joinpath(name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(_text),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["parted"] = _part
    return environment


def _part(name: str) -> Markup:
    """Return a name that is broken behind its marks, as "_", rather than inside a word."""
    from markupsafe import Markup

    return Markup("<wbr>").join(re.findall(r"[^\W_]+[\W_]*|[\W_]+", name))


def _policy(script: str, style: str) -> str:
    """Return a policy that forbids requests and allows only this script and style.

    See Content-Security-Policy: https://www.w3.org/TR/CSP3/
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

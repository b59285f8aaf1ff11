"""Draw the cheat sheet: one landscape page, A4, whose code is run to make its pictures.

``python tools/cheat_sheet.py FOLDER`` writes ``cheat_sheet.pdf`` and ``cheat_sheet.png`` there. It
takes about half a minute and needs no network. `PANELS` is what the page shows, column by column.
"""

from __future__ import annotations

import argparse
import ast
import keyword
import os
import tempfile
import token
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS = 72
"""Points in an inch: all lengths below are in points."""
WIDTH, HEIGHT = 842.0, 595.0
MARGIN, GAP = 24.0, 16.0
TITLE = 40.0
CODE, LINE = 6.3, 8.4
LONGEST = 67
"""The most characters of a line of code."""
HEADING, AFTER_HEADING = 9.0, 13.5
BETWEEN = 12.0
PICTURE = 4.0
"""The space between code and a picture."""
INK, FAINT, BLUE, GREEN, RULE = "#1b1f24", "#667080", "#0b5cad", "#1c7a3e", "#d8dee6"
DPI = 170


@dataclass(frozen=True)
class Panel:
    """A part of the page: a heading, code, and the picture that the code makes.

    Attributes:
        title: The heading.
        code: The code, as it is shown and run.
        language: ``"python"`` to run it; ``"python, shown"``, ``"console"`` and ``"text"`` are only
            shown.
        share: How much of the column's space for pictures it gets, beside the other panels; 0 if
            the value of its last expression is not to be shown.
    """

    title: str
    code: str
    language: str = "python"
    share: float = 0.0


PANELS: tuple[tuple[Panel, ...], ...] = (
    (
        Panel(
            "Compare",
            """import effcam

photos = effcam.demo.scenes(6, seed=3)  # or "photos/", PIL, arrays
models = ["demo_resnet", "demo_efficientnet_b0"]  # or any name
comparison = effcam.compare(photos, models)
comparison.take([0, 1]).grid()""",
            share=1.5,
        ),
        Panel(
            "One cell",
            """cell = comparison[0, "demo_resnet"]
cell.predicted_label, cell.predicted_probability
cell.heatmap  # (rows, columns), float32, in [0, 1]
cell.upsampled()  # (height, width) of the photo, NaN if unseen""",
        ),
        Panel(
            "Save: the suffix names the format",
            """comparison.save("compare.gif")  # .webp .mp4: one photo a frame
comparison.save("compare.png")  # .jpg .pdf .svg: one picture
comparison.save("report.html")  # sliders, sorting, the summary
comparison.save("compare.csv")  # .json .npz .parquet: the data""",
        ),
        Panel(
            "On the command line",
            """effcam demo                       # an example, offline
effcam models 'efficientnet*'     # names, layers, input sizes
effcam compare photos/ -m resnet50 -m densenet121 -o compare.gif
effcam dataset val/ -m resnet50 -o run/ --summary    # resumes
effcam app                        # the live page in your browser""",
            "console",
        ),
    ),
    (
        Panel(
            "Ask another question",
            """from effcam.targets import Contrast, Similar

effcam.compare(photos, models, target="consensus")  # one for all
effcam.compare(
    photos[3],
    "demo_resnet",
    target={"why?": None, "not top 2?": Contrast("top1", "top2")},
).grid()""",
            share=1.0,
        ),
        Panel(
            "Other methods, in one pass",
            """methods = ["gradcam", "layercam", "eigencam"]
effcam.compare(photos[1], "demo_resnet", method=methods).grid()""",
            share=0.8,
        ),
        Panel(
            "Your own model",
            """effcam.compare(photos, {"mine": module})  # any nn.Module
model = effcam.load_model("demo_resnet", target_layer="layer3")
model.layers()  # all layers that can be looked at
effcam.load_model("resnet50", checkpoint="best.pt", labels=names)""",
            "python, shown",
        ),
        Panel(
            "While you train",
            """from effcam.integrations.lightning import CompareCallback

trainer = lightning.Trainer(callbacks=[CompareCallback(photos)])
epochs = effcam.checkpoints("runs/*.ckpt", "resnet50")
history = effcam.compare(photos, epochs)  # a column for each
history.save("epochs.gif", rows="models")
history.timeline()  # focus, localisation, agreement
history.log("runs/exp1")  # TensorBoard; also W&B and MLflow""",
            "python, shown",
        ),
    ),
    (
        Panel(
            "Numbers, with 95 % intervals",
            """photos = effcam.demo.scenes(40)
comparison = effcam.compare(photos, effcam.demo.MODELS)
summary = comparison.summary()  # boxes=, masks=, labels=
summary.plot("effective_area", "energy_pointing_game")""",
            share=1.2,
        ),
        Panel(
            "Who agrees with whom?",
            """comparison.most_disagreed(3)  # the images worth a look
comparison.agreement_picture()""",
            share=1.0,
        ),
        Panel(
            "Read it right",
            """Heat shows what the score of the class below the cell depends on.
Each map is scaled to its own range: compare places, not brightness.
What is hatched, the model did not see: its transform crops.
Maps have few cells, often 7 x 7: the edges of heat say little.
Read the notes: they say what a map or a figure may not mean.""",
            "text",
        ),
    ),
)
"""What the page shows, column by column."""


def main(argv: Sequence[str] | None = None) -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    write(parser.parse_args(argv).folder)


def write(folder: Path) -> None:
    """Draw the page, and write it into a folder as PDF and as PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    page = draw(run(PANELS))
    page.savefig(folder / "cheat_sheet.pdf", metadata={"CreationDate": None})
    page.savefig(folder / "cheat_sheet.png", dpi=DPI)


def run(columns: Sequence[Sequence[Panel]]) -> list[list[tuple[Panel, Image.Image | None]]]:
    """Run the code of the panels in order and in one namespace, and return their pictures."""
    names: dict[str, Any] = {}
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            return [[(panel, _run(panel, names)) for panel in column] for column in columns]
        finally:
            os.chdir(here)


def _run(panel: Panel, names: dict[str, Any]) -> Image.Image | None:
    if panel.language != "python":
        return None
    *before, last = ast.parse(panel.code).body
    exec(ast.unparse(ast.Module(before, [])), names)  # noqa: S102  # the code of this file
    if not panel.share:
        exec(ast.unparse(last), names)  # noqa: S102  # likewise
        return None
    return _picture(eval(ast.unparse(last), names))  # noqa: S307  # likewise


def _picture(shown: Any) -> Image.Image:
    """Return what was shown, a picture or a figure, as a picture."""
    if isinstance(shown, Figure):
        canvas = FigureCanvasAgg(shown)
        shown.set_dpi(220)
        canvas.draw()
        shown = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    assert isinstance(shown, Image.Image)
    return shown


def draw(columns: Sequence[Sequence[tuple[Panel, Image.Image | None]]]) -> Figure:
    """Return the page."""
    page = Figure(figsize=(WIDTH / POINTS, HEIGHT / POINTS), facecolor="white")
    axes = page.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(HEIGHT, 0))
    axes.axis("off")
    axes.text(MARGIN, MARGIN + 12, "effcam", size=19, weight="bold", color=INK)
    words = "What image classifiers look at, side by side · the code above each picture made it"
    axes.text(MARGIN + 92, MARGIN + 12, words, size=9, color=FAINT)
    width = (WIDTH - 2 * MARGIN - GAP * (len(columns) - 1)) / len(columns)
    for at, column in enumerate(columns):
        _draw_column(axes, column, MARGIN + at * (width + GAP), width)
    return page


def _draw_column(
    axes: Axes, column: Sequence[tuple[Panel, Image.Image | None]], left: float, width: float
) -> None:
    top = MARGIN + TITLE
    room = HEIGHT - MARGIN - top - sum(_text_height(panel) for panel, _ in column)
    heights = _picture_heights(column, room - BETWEEN * (len(column) - 1), width)
    for (panel, picture), height in zip(column, heights, strict=True):
        axes.plot([left, left + width], [top, top], color=RULE, linewidth=0.7)
        axes.text(left, top + HEADING + 2, panel.title, size=HEADING, weight="bold", color=INK)
        _draw_code(axes, panel, left, top + AFTER_HEADING)
        top += _text_height(panel)
        if picture is not None:
            across = min(width, height * picture.width / picture.height)
            down = across * picture.height / picture.width
            box = (left, left + across, top + PICTURE + down, top + PICTURE)
            axes.imshow(picture, extent=box, interpolation="lanczos", aspect="auto", zorder=2)
            top += PICTURE + down
        top += BETWEEN
    axes.set(xlim=(0, WIDTH), ylim=(HEIGHT, 0))


def _text_height(panel: Panel) -> float:
    return AFTER_HEADING + LINE * len(panel.code.splitlines()) + 3


def _picture_heights(
    column: Sequence[tuple[Panel, Image.Image | None]], room: float, width: float
) -> list[float]:
    """Return the height of each panel's picture: as wide as the column, unless room is short."""
    natural = [
        0.0 if picture is None else width * picture.height / picture.width + PICTURE
        for _, picture in column
    ]
    if sum(natural) <= room:
        return natural
    shares = [panel.share for panel, _ in column]
    return [max(0.0, room * share / sum(shares) - PICTURE) for share in shares]


def _draw_code(axes: Axes, panel: Panel, left: float, top: float) -> None:
    for at, line in enumerate(panel.code.splitlines()):
        for start, text, colour in _coloured(line, panel.language):
            axes.text(
                left + start * CODE * 0.602,
                top + LINE * (at + 0.85),
                text,
                size=CODE,
                family="DejaVu Sans" if panel.language == "text" else "DejaVu Sans Mono",
                color=colour,
            )


def _coloured(line: str, language: str) -> Iterator[tuple[int, str, str]]:
    """Yield the parts of a line of code: the column where it starts, its text, its colour."""
    if language == "console":
        code, mark, remark = line.partition("  #")
        yield 0, code, INK
        yield len(code), mark + remark, FAINT
        return
    if language == "text":
        yield 0, line, INK
        return
    yield from _python(line)


def _python(line: str) -> Iterator[tuple[int, str, str]]:
    kinds = {token.STRING: GREEN, tokenize.COMMENT: FAINT}
    try:
        for each in tokenize.generate_tokens(StringIO(line.strip()).readline):
            indent = len(line) - len(line.lstrip())
            colour = BLUE if keyword.iskeyword(each.string) else kinds.get(each.type, INK)
            if each.string.strip():
                yield indent + each.start[1], each.string, colour
    except tokenize.TokenError:  # a statement of several lines, of which this is one
        return


if __name__ == "__main__":
    main()

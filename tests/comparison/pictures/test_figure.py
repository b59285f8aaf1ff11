"""Figures for print: real text that fits, pictures at their resolution, reproducible files."""

from __future__ import annotations

import base64
import io
import itertools
import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import matplotlib
import numpy as np
import pytest
from PIL import Image

from effcam import Comparison
from effcam.comparison.pictures.figure import INCH, POINT, Print
from effcam.errors import ArgumentError, OutputError
from tests.tiers import core

if TYPE_CHECKING:
    from tests.conftest import DemoPart

ODD = {
    r"$x_1^2$ \alpha & <b>": "resnet",
    "\u05e9\u05dc\u05d5\u05dd": "alexnet",
    "tf_efficientnet_b3.ns_jft_in1k_finetuned_on_my_own_pictures": "densenet",
}
SERIF = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSerif.ttf")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def comparison(demo_part: DemoPart) -> Comparison:
    return demo_part(2, ODD)


def texts(path: Path) -> list[str]:
    root = ET.fromstring(path.read_text("utf-8"))  # noqa: S314 - it is our own
    return ["".join(node.itertext()) for node in root.iter(f"{SVG}text")]


def objects(pdf: bytes) -> bytes:
    """The file followed by its decompressed streams."""
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL)
    clear = []
    for stream in streams:
        try:
            clear.append(zlib.decompress(stream))
        except zlib.error:
            continue
    return b"\n".join([pdf, *clear])


@pytest.mark.parametrize(
    "style",
    [
        {},
        {"rows": "models"},
        {"rows": "methods"},
        {"original": False, "title": "A <title> of $x^2$"},
        {"inches": 3.3, "fontsize": 5, "caption": "{image}\n{label} {probability:.0%}"},
    ],
    ids=str,
)
def test_all_text_is_inside_the_page_and_does_not_overlap(
    comparison: Comparison, style: dict[str, Any]
) -> None:
    figure = comparison.figure(**style)
    figure.draw_without_rendering()
    page, boxes = figure.bbox, []
    for text in figure.texts:
        if text.get_text():
            box = text.get_window_extent()
            # Ink may exceed its advance by a fraction of a point.
            assert box.x0 > -2
            assert box.x1 < page.x1 + 2
            assert box.y0 > -2
            assert box.y1 < page.y1 + 2
            boxes.append(box.padded(-0.11 * min(box.width, box.height)))
    for one, other in itertools.combinations([*boxes, *(axes.bbox for axes in figure.axes)], 2):
        across = min(one.x1, other.x1) - max(one.x0, other.x0)
        down = min(one.y1, other.y1) - max(one.y0, other.y0)
        assert min(across, down) <= 0.5


def test_the_svg_has_text_that_is_text(comparison: Comparison, tmp_path: Path) -> None:
    path = comparison.save(tmp_path / "a.svg", title=r"A <title> & $more$_x ^ \n", inches=6)
    found = texts(path)
    assert r"A <title> & $more$_x ^ \n" in found
    assert "\u05e9\u05dc\u05d5\u05dd" in found
    assert r"$x_1^2$ \alpha & <b>" in found
    cell = comparison[0, 0]
    predicted, share = cell.caption()
    for line in (
        f"\u2713\u00a0{predicted}",
        share,
        "is clover",
        "Original",
        "scene 1",
        "low",
        "high",
    ):
        assert line in found
    assert (
        "font-family: &#x27;DejaVu Sans" in path.read_text() or "'DejaVu Sans'" in path.read_text()
    )


def test_the_pdf_embeds_truetype_and_maps_it_to_text(
    comparison: Comparison, tmp_path: Path
) -> None:
    pdf = objects(comparison.save(tmp_path / "a.pdf", title="T").read_bytes())
    assert b"/FontFile2" in pdf
    assert b"/CIDFontType2" in pdf
    assert b"/ToUnicode" in pdf
    assert b"/Type3" not in pdf
    assert b"/CreationDate" not in pdf
    assert re.search(rb"/BaseFont /(\w{6}\+)?DejaVuSans", pdf)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", core([".pdf", ".svg"], {".svg"}))
def test_the_same_figure_has_the_same_bytes(
    comparison: Comparison, tmp_path: Path, suffix: str
) -> None:
    first = comparison.save(tmp_path / f"a{suffix}").read_bytes()
    with matplotlib.rc_context({"savefig.bbox": "tight", "pdf.fonttype": 3, "text.color": "red"}):
        assert comparison.save(tmp_path / f"b{suffix}").read_bytes() == first
        stream = io.BytesIO()
        comparison.figure().savefig(stream, format=suffix[1:])
    assert stream.getvalue() == first


@pytest.mark.parametrize("rows", ["images", "models", "methods"])
def test_width_and_resolution_are_as_asked(
    comparison: Comparison, tmp_path: Path, rows: Any
) -> None:
    path = comparison.save(tmp_path / "a.svg", inches=3.5, fontsize=5, dpi=200, rows=rows)
    root = ET.fromstring(path.read_text("utf-8"))  # noqa: S314 - it is our own
    assert root.attrib["width"] == "252pt"
    figure = comparison.figure(inches=3.5, fontsize=5, dpi=200, rows=rows)
    for axes in figure.axes[:-1]:
        (picture,) = axes.get_images()
        shape = picture.get_array().shape  # type: ignore[union-attr]
        assert shape[1] == pytest.approx(axes.bbox.width, abs=1.5)
        assert shape[0] == pytest.approx(axes.bbox.height, abs=1.5)
    sizes = {text.get_fontsize() for text in figure.texts if text.get_text() == "scene 1"}
    assert sizes == {5.0}
    stored = re.findall(r"data:image/\w+;base64,\s*([A-Za-z0-9+/=\s]+)", path.read_text())
    (bar, *_), pictures = (
        stored[-1:],
        [Image.open(io.BytesIO(base64.b64decode(each))) for each in stored[:-1]],
    )
    assert Image.open(io.BytesIO(base64.b64decode(bar))).size == (256, 1)
    assert (
        {each.width for each in pictures}
        == {
            axes.get_images()[0].get_array().shape[1]  # type: ignore[union-attr]
            for axes in figure.axes[:-1]
        }
    )


def decoded(path: Path) -> list[np.ndarray]:
    """The pictures of an SVG or PDF file."""
    if path.suffix == ".svg":
        found = re.findall(r"data:image/\w+;base64,\s*([A-Za-z0-9+/=\s]+)", path.read_text("utf-8"))
        files = [base64.b64decode(each) for each in found]
    else:
        files = re.findall(rb"(\xff\xd8\xff.*?\xff\xd9)\nendstream", path.read_bytes(), re.DOTALL)
    pictures = [np.asarray(Image.open(io.BytesIO(each)).convert("RGB"), float) for each in files]
    # Matplotlib stores pictures in a PDF upside down, and turns them by a matrix.
    return pictures if path.suffix == ".svg" else [each[::-1] for each in pictures]


@pytest.mark.parametrize("suffix", [".pdf", ".svg"])
def test_photos_are_jpeg_unless_lossless(
    comparison: Comparison, tmp_path: Path, suffix: str
) -> None:
    style: dict[str, Any] = {"inches": 3, "dpi": 150}
    small = comparison.save(tmp_path / f"small{suffix}", **style)
    exact = comparison.save(tmp_path / f"exact{suffix}", **style, lossless=True)
    assert small.stat().st_size < exact.stat().st_size / 2
    pixels = [
        axes.get_images()[0].get_array()  # type: ignore[union-attr]
        for axes in comparison.figure(**style).axes
    ]
    # The last is the colour bar, which is stored without loss.
    for one, other in zip(decoded(small)[: len(pixels) - 1], pixels[:-1], strict=True):
        error = np.mean((one - np.asarray(other)) ** 2)
        assert 10 * np.log10(255**2 / error) > 33
    if suffix == ".svg":
        for one, other in zip(decoded(exact), pixels, strict=True):
            assert np.array_equal(one, np.asarray(other))
    else:
        assert b"/DCTDecode" in small.read_bytes()
        assert b"/DCTDecode" not in exact.read_bytes()


def test_lossless_is_for_figures_only(comparison: Comparison, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"lossless has no meaning for a \.png file"):
        comparison.save(tmp_path / "a.png", lossless=True)
    with pytest.raises(ArgumentError, match="lossless is True or False, not 1"):
        comparison.figure(lossless=1)  # type: ignore[arg-type]


def test_a_figure_can_be_saved_tight_and_to_a_stream(comparison: Comparison) -> None:
    figure = comparison.figure(inches=3, dpi=72)
    for form, begins in (("pdf", b"%PDF"), ("svg", b"<?xml")):
        for options in ({}, {"bbox_inches": "tight"}):
            stream = io.BytesIO()
            figure.savefig(stream, format=form, **options)
            assert stream.getvalue().startswith(begins)
            assert b"\xff\xd8\xff" in stream.getvalue() or b"image/jpeg" in stream.getvalue()


def test_it_needs_no_pyplot_and_notebooks_show_it(comparison: Comparison) -> None:
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    figure: Any = comparison.figure(dpi=60)
    assert pyplot.get_fignums() == before
    picture = Image.open(io.BytesIO(figure._repr_png_()))
    assert picture.width == pytest.approx(60 * figure.get_figwidth(), abs=1)


def test_ones_own_font_is_embedded_and_named(comparison: Comparison, tmp_path: Path) -> None:
    pdf = comparison.save(tmp_path / "a.pdf", font=SERIF).read_bytes()
    assert b"DejaVuSerif" in objects(pdf)
    assert b"DejaVuSerif" not in objects(comparison.save(tmp_path / "b.pdf").read_bytes())
    assert "DejaVu Serif" in comparison.save(tmp_path / "a.svg", font=SERIF).read_text()


def test_themes_and_maps_reach_the_figure(comparison: Comparison) -> None:
    dark = comparison.figure(theme="dark", colormap="gray")
    assert max(dark.get_facecolor()[:3]) < 0.1
    bar = dark.axes[-1].get_images()[0].get_array()
    assert bar is not None
    assert np.array_equal(bar[0, 0], [0, 0, 0])


def test_a_poster_is_of_one_image(comparison: Comparison, tmp_path: Path) -> None:
    one = comparison.take([1])
    for suffix in (".pdf", ".svg", ".png"):
        poster = one.save(tmp_path / f"poster{suffix}", layout="poster").read_bytes()
        assert poster != one.save(tmp_path / f"grid{suffix}").read_bytes()
    for draw_it in (
        comparison.figure,
        lambda **style: comparison.save(tmp_path / "a.png", **style),
    ):
        with pytest.raises(ArgumentError, match=r"one image, and there are 2: .*take\(\[0\]\)"):
            draw_it(layout="poster")
        with pytest.raises(ArgumentError, match="rows has no meaning for a poster"):
            draw_it(layout="poster", rows="models")
        with pytest.raises(ArgumentError, match="original has no meaning for a poster"):
            draw_it(layout="poster", original=False)
        with pytest.raises(ArgumentError, match="layout is 'grid' or 'poster', not 'wall'"):
            draw_it(layout="wall")


@pytest.mark.parametrize(
    ("style", "message"),
    [
        (
            {"inches": 1},
            "1 inches are too narrow for 4 columns of 7 pt text: give at least inches=",
        ),
        ({"inches": 0}, "inches is a number from 0.5 to 100, not 0"),
        ({"inches": float("nan")}, "inches is a number from 0.5 to 100, not nan"),
        ({"inches": "3"}, "inches is a number from 0.5 to 100, not '3'"),
        ({"fontsize": 2}, "fontsize is a number from 3 to 72, not 2"),
        ({"fontsize": True}, "fontsize is a number from 3 to 72, not True"),
        ({"dpi": 5000}, "dpi is a number from 50 to 2400, not 5000"),
    ],
)
def test_impossible_sizes_are_refused(
    comparison: Comparison, style: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        comparison.figure(**style)


def test_the_least_width_that_is_offered_is_enough(comparison: Comparison) -> None:
    with pytest.raises(ArgumentError) as caught:
        comparison.figure(inches=1, rows="models")
    least = re.search(r"inches=([\d.]+)", str(caught.value))
    assert least is not None
    width = comparison.figure(inches=float(least[1]), rows="models").get_figwidth()
    assert width == pytest.approx(float(least[1]))


def test_a_figure_is_not_endlessly_tall(comparison: Comparison) -> None:
    with pytest.raises(
        ArgumentError, match="inches tall; at most 200 are possible: take fewer images"
    ):
        comparison.take([0] * 15).figure(inches=60, dpi=50)


def test_the_empty_comparison_is_not_drawn(comparison: Comparison, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="holds no images"):
        comparison.take([]).save(tmp_path / "a.pdf")


def test_units_are_tenths_of_a_point() -> None:
    assert (POINT, INCH) == (10, 720)
    assert Print().fontsize == 7

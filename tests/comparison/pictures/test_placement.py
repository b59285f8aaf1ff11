"""Which cell stands where, for every kind of rows; and the default grid."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
import pytest

import effcam
from effcam import Comparison
from effcam.comparison.pictures.placement import plan_page
from effcam.drawing import overlay
from effcam.drawing.sheet import Heading, Panel, sheet
from effcam.errors import ArgumentError

if TYPE_CHECKING:
    from tests.conftest import DemoPart

METHODS = ["gradcam", "layercam", "hirescam"]
SERIF = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSerif.ttf")


@pytest.fixture(scope="module")
def comparison(demo_part: DemoPart) -> Comparison:
    return demo_part(3, {"A": "resnet", "B": "alexnet"})


@pytest.fixture(scope="module")
def methods() -> Comparison:
    models = {"A": "demo_resnet", "B gradcam": "demo_alexnet"}
    return effcam.compare(effcam.demo.scenes(2, seed=5), models, method=METHODS, progress=False)


def test_rows_are_images(comparison: Comparison) -> None:
    placement = plan_page(comparison, rows="images", photo="Original").place([0, 2])
    assert [heading.title for heading in placement.headings] == ["Original", "A", "B"]
    assert placement.sides == ()
    assert placement.places == (((0, None), (0, 0), (0, 1)), ((2, None), (2, 0), (2, 1)))
    alone = plan_page(comparison, rows="images", photo=None).place([0, 2])
    assert [heading.title for heading in alone.headings] == ["A", "B"]
    assert [side.title for side in alone.sides] == ["scene 1", "scene 3"]
    assert alone.places == (((0, 0), (0, 1)), ((2, 0), (2, 1)))


def test_rows_are_models(comparison: Comparison) -> None:
    placement = plan_page(comparison, rows="models", photo="Original").place(range(3))
    assert [heading.title for heading in placement.headings] == ["scene 1", "scene 2", "scene 3"]
    assert [side.title for side in placement.sides] == ["Original", "A", "B"]
    assert placement.sides[1].detail.startswith("layer4 · ")
    assert placement.places[0] == ((0, None), (1, None), (2, None))
    assert placement.places[2] == ((0, 1), (1, 1), (2, 1))
    alone = plan_page(comparison, rows="models", photo=None).place(range(3))
    assert alone.places == placement.places[1:]
    assert alone.sides == placement.sides[1:]


def test_rows_are_methods_in_a_block_an_image(methods: Comparison) -> None:
    placement = plan_page(methods, rows="methods", photo="Original").place([0, 1])
    assert [heading.title for heading in placement.headings] == ["Original", "A", "B gradcam"]
    assert "gradcam" not in placement.headings[1].detail
    assert [side.title for side in placement.sides] == METHODS * 2
    assert placement.block == 3
    for row, places in enumerate(placement.places):
        image, method = divmod(row, 3)
        assert places[0] == ((image, None) if method == 0 else None)
        for model, place in zip(("A", "B gradcam"), places[1:], strict=True):
            assert place is not None
            assert place[1] is not None
            cell = methods[place]  # type: ignore[index]
            assert (cell.method, cell.column) == (METHODS[method], f"{model} {METHODS[method]}")
    alone = plan_page(methods, rows="methods", photo=None).place([1])
    assert alone.places == tuple(places[1:] for places in placement.places[3:])
    assert {side.detail for side in alone.sides} == {"scene 2"}


def test_a_method_that_a_model_was_not_run_with_is_left_empty(methods: Comparison) -> None:
    shown = replace(
        methods,
        images=methods.images[:1],
        columns=methods.columns[:-1],
        cells=methods.cells[: len(methods.columns) - 1],
    )
    placement = plan_page(shown, rows="methods", photo=None).place([0])
    assert placement.places[-1] == ((0, 2), None)
    assert (
        shown.grid(rows="methods", width=64).width == methods.grid(rows="methods", width=64).width
    )


def test_columns_of_one_method_and_label_keep_their_names(methods: Comparison) -> None:
    first = methods.cells[: len(methods.columns)]
    same = replace(first[0], column="A")
    shown = replace(
        methods, images=methods.images[:1], columns=("A gradcam", "A"), cells=(first[0], same)
    )
    placement = plan_page(shown, rows="methods", photo=None).place([0])
    assert [heading.title for heading in placement.headings] == ["A gradcam", "A"]
    assert placement.places == (((0, 0), (0, 1)),)


def test_the_usual_grid_is_the_sheet_of_its_photos_and_cells(comparison: Comparison) -> None:
    headings = [Heading("Original")] + [
        Heading(name, "{} · {}\u00a0x\u00a0{}".format(cell.target_layer, *cell.heatmap.shape))
        for name, cell in zip(comparison.columns, comparison.cells, strict=False)
    ]
    rows = []
    for row in comparison.rows():
        photo = overlay.fit(row[0].image.open(), 224, 448)
        known = row[0].image.truth
        assert known is not None
        cells = []
        for cell in row:
            mark = "\u2713" if cell.predicted_label == known.label else "\u2717"
            predicted, share = cell.caption()
            picture = cell.over(photo, alpha=0.5, colormap="turbo")
            cells.append(Panel(picture, (f"{mark}\u00a0{predicted}", share)))
        rows.append([Panel(photo, (row[0].image.name, f"is {known.label}")), *cells])
    notes = ["\u2713 right, \u2717 wrong", "hatched: not seen by the model"]
    expected = sheet(headings, rows, legend=notes)
    assert comparison.grid().tobytes() == expected.tobytes()
    usual = {"rows": "images", "original": True, "title": "", "caption": None, "font": None}
    said: dict[str, Any] = {**usual, "theme": "light"}
    assert comparison.grid(**said).tobytes() == expected.tobytes()
    dark: dict[str, Any] = {**usual, "theme": "dark"}
    for plain, frame in zip(comparison.frames(), comparison.frames(**dark), strict=True):
        assert plain.tobytes() == frame.tobytes()


STYLES: list[dict[str, Any]] = [
    {"rows": "models"},
    {"rows": "methods"},
    {"original": False},
    {"title": "A title"},
    {"caption": "{model}"},
    {"caption": ""},
    {"font": SERIF},
]


@pytest.mark.parametrize("style", [*STYLES, {"theme": "dark"}], ids=str)
def test_every_option_changes_the_grid(comparison: Comparison, style: dict[str, Any]) -> None:
    assert comparison.grid(width=64, **style).tobytes() != comparison.grid(width=64).tobytes()


@pytest.mark.parametrize("style", [*STYLES, {"theme": "light"}], ids=str)
def test_every_option_changes_the_frames_and_they_are_of_one_size(
    methods: Comparison, style: dict[str, Any]
) -> None:
    frames = list(methods.frames(width=64, **style))
    assert len({frame.size for frame in frames}) == 1
    assert frames[0].tobytes() != next(methods.frames(width=64)).tobytes()


def test_pictures_stand_where_the_placement_says() -> None:
    plain = effcam.compare(
        [np.full((64, 64, 3), (200, 40 * image, 0), np.uint8) for image in range(3)],
        {"A": "demo_resnet", "B": "demo_alexnet"},
        view="whole",
        progress=False,
    )
    page = np.asarray(plain.grid(rows="models", width=64, alpha=0), np.int32)
    for image in range(3):
        ys, xs = np.nonzero((page == (200, 40 * image, 0)).all(axis=-1))
        assert int(np.ptp(xs)) + 1 == 64
        # Three rows: the photo, and each model that found evidence in it.
        assert len(ys) == 64 * 64 * (1 + sum(plain[image, at].state == "ok" for at in (0, 1)))


@pytest.mark.parametrize(
    ("style", "message"),
    [
        ({"rows": "model"}, "rows is 'images', 'models' or 'methods', not 'model'"),
        ({"rows": None}, "rows is 'images', 'models' or 'methods', not None"),
        ({"original": 1}, "original is True or False, not 1"),
        ({"title": None}, "title is a text, not None"),
        ({"caption": "{lable}"}, "no field 'lable'"),
        ({"font": "none.ttf"}, "font 'none.ttf' cannot be read"),
        ({"theme": "blue"}, "theme is 'light' or 'dark', not 'blue'"),
    ],
)
def test_impossible_options_are_refused(
    comparison: Comparison, style: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        comparison.grid(**style)
    with pytest.raises(ArgumentError, match=message):
        next(comparison.frames(**style))

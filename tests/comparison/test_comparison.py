"""A comparison: access by name or position, pictures, and every file format."""

from __future__ import annotations

import base64
import csv
import inspect
import io
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
from PIL import Image, ImageSequence

import effcam
from effcam import Box, Comparison, Explanation
from effcam.cam.cells import Skipped
from effcam.cli import picture_options
from effcam.comparison import export, notebook
from effcam.comparison.notebook import ROWS, WIDTH
from effcam.comparison.pictures import grid as grid_module
from effcam.drawing.formats import FORMATS
from effcam.drawing.matrix import draw_matrix
from effcam.errors import ArgumentError, CellError, ImageError, OutputError, TargetError
from effcam.images.refs import ImageRef
from effcam.metrics.agreement import AGREEMENT_TITLES
from effcam.models.facts import ModelFacts
from tests.tiers import core

if TYPE_CHECKING:
    from effcam.drawing.sheet import Heading, Panel

PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".mp4")
LOOPS = (".gif", ".webp")
ANIMATIONS = (*LOOPS, ".mp4")
REPORTS = (".html", ".htm")
PRINTED = (".pdf", ".svg")
TABLES = (".csv", ".json", ".npz", ".parquet")


def photo(width: int, height: int, seed: int = 0) -> Image.Image:
    """Soft blobs, which GIF and JPEG preserve better than noise."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def explain(image: ImageRef, size: tuple[int, int], column: str, seed: int) -> Explanation:
    rng = np.random.default_rng(seed)
    grid = (7, 7) if seed % 2 else (3, 4)
    box = Box(0, 0, *size)
    return Explanation(
        image=image,
        column=column,
        model=f"model of {column}",
        weights="IMAGENET1K_V1",
        method="gradcam",
        target_layer="features",
        target=seed,
        label=f"class, {seed}",
        probability=0.25,
        predicted=seed,
        predicted_label=f"class, {seed}",
        predicted_probability=0.25,
        heatmap=rng.random(grid, dtype=np.float32),
        size=size,
        region=box,
        canvas=box,
        frame=box,
        state="ok",
        value=0.5 * seed,
    )


def build(
    sizes: Sequence[tuple[int, int]] = ((96, 64), (40, 80), (64, 64)),
    columns: Sequence[str] = ("first", "second"),
) -> Comparison:
    """A comparison of photos of these sizes; each column has its own grid."""
    images = tuple(
        ImageRef(f"{position}.jpg", photo(*size, position)) for position, size in enumerate(sizes)
    )
    cells = tuple(
        explain(image, size, column, place)
        for image, size in zip(images, sizes, strict=True)
        for place, column in enumerate(columns)
    )
    skipped = (Skipped("broken.jpg", "image 'broken.jpg': the file is empty"),)
    return Comparison(images, tuple(columns), cells, skipped)


def facts(name: str, **changes: Any) -> ModelFacts:
    """The facts of a model with a hundred classes."""
    labels = tuple(f"class, {index}" for index in range(100))
    known = ModelFacts(
        name=name,
        weights="IMAGENET1K_V1",
        parameters=1_000_000,
        flops=2_000_000,
        input_size=(64, 64),
        grid=(7, 7),
        target_layer="features",
        seconds=0.02,
        labels=labels,
        synonyms=tuple((label,) for label in labels),
    )
    return replace(known, **changes)


def change(comparison: Comparison, **changes: Any) -> Comparison:
    """The same comparison with its first cell changed."""
    first = replace(comparison.cells[0], **changes)
    return replace(comparison, cells=(first, *comparison.cells[1:]))


def frames_in(path: Path) -> list[Image.Image]:
    with Image.open(path) as file:
        return [frame.convert("RGB") for frame in ImageSequence.Iterator(file)]


def psnr(left: Image.Image, right: Image.Image) -> float:
    assert left.size == right.size
    difference = np.asarray(left, dtype=float) - np.asarray(right, dtype=float)
    return float(10 * np.log10(255**2 / max((difference**2).mean(), 1e-9)))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The arguments of each call of `sheet`: headings, rows and style."""
    calls: list[dict[str, Any]] = []
    draw_sheet = grid_module.sheet

    def sheet(
        headings: Sequence[Heading], rows: Sequence[Sequence[Panel]], **style: Any
    ) -> Image.Image:
        calls.append({"headings": headings, "rows": rows, **style})
        return draw_sheet(headings, rows, **style)

    monkeypatch.setattr(grid_module, "sheet", sheet)
    return calls


# As a collection


def test_cells_are_reached_by_position_and_by_name() -> None:
    comparison = build()
    for row, image in enumerate(comparison.images):
        for place, column in enumerate(comparison.columns):
            cell = comparison.cells[2 * row + place]
            assert cell.image is image
            assert cell.column == column
            for row_key in (row, row - 3, image.name, np.int64(row)):
                for column_key in (place, place - 2, column):
                    assert comparison[row_key, column_key] is cell  # type: ignore[index]


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        (("2.jgp", 0), CellError, r"no image is called '2\.jgp'\. Did you mean '2\.jpg'"),
        (("2", 0), CellError, r"Did you mean '2\.jpg'"),
        (("/home/me/photos/2.jpg", 0), CellError, r"Did you mean '2\.jpg'"),
        (
            (Path("photos", "2.JPG"), 0),
            CellError,
            r"called 'photos.2\.JPG'\. Did you mean '2\.jpg'",
        ),
        (("zebra", 0), CellError, r"'zebra'\. There are '0\.jpg', '1\.jpg', '2\.jpg'\."),
        (("first", 0), CellError, "the image comes first, then the column"),
        ((0, "0.jpg"), CellError, "the image comes first, then the column"),
        ((0, "model of second"), CellError, "Did you mean 'second'"),
        ((0, "timm:second.a1_in1k"), CellError, "Did you mean 'second'"),
        ((0, "third"), CellError, "no column is called 'third'. There are 'first', 'second'"),
        ((0, "frist"), CellError, "Did you mean 'first'"),
        ((3, 0), CellError, "image 3 is out of range: there are 3 images, at positions 0 to 2"),
        ((-4, 0), CellError, "image -4 is out of range"),
        ((0, 2), CellError, "column 2 is out of range: there are 2"),
        (0, ArgumentError, r"comparison\[image, column\] takes two keys, not 0"),
        ("0.jpg", ArgumentError, r"takes two keys, not '0\.jpg'"),
        ((0, 0, 0), ArgumentError, r"takes two keys, not \(0, 0, 0\)"),
        ((slice(2), 0), ArgumentError, r"image must be a position or a name, not slice"),
        ((0, None), ArgumentError, "column must be a position or a name, not None"),
        ((0.0, 0), ArgumentError, r"image must be a position or a name, not 0\.0"),
    ],
)
def test_a_missing_cell_says_what_is_missing(
    key: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        build()[key]


def test_a_missing_cell_is_what_python_calls_it() -> None:
    assert issubclass(CellError, KeyError)
    assert issubclass(CellError, IndexError)


def test_it_iterates_row_by_row() -> None:
    comparison = build()
    assert len(comparison) == 6
    assert list(comparison) == list(comparison.cells)
    rows = list(comparison.rows())
    assert [len(row) for row in rows] == [2, 2, 2]
    assert [cell for row in rows for cell in row] == list(comparison.cells)
    assert [row[0].image for row in rows] == list(comparison.images)


def test_the_repr_says_what_it_is_and_how_to_go_on() -> None:
    lines = repr(build()).splitlines()
    assert lines[0] == "Comparison: 3 images x 2 columns, gradcam"
    assert "0.jpg, 1.jpg, 2.jpg" in lines[1]
    assert "first (model of first), second (model of second)" in lines[2]
    assert "1 image" in lines[3]
    assert "comparison[0, 'first'] is one cell" in lines[4]
    assert len(lines) == 5


def test_the_repr_of_many_is_short() -> None:
    many = build(sizes=[(8, 8)] * 300, columns=[f"c{place}" for place in range(20)])
    assert len(repr(many).splitlines()) == 5
    assert len(repr(many)) < 1000
    assert "0.jpg, 1.jpg, 2.jpg, 3.jpg, 4.jpg, ..., 299.jpg" in repr(many)
    assert repr(Comparison((), (), ())) == "Comparison: 0 images x 0 columns, gradcam"
    cell = repr(many[0, 0])
    assert "predicts class, 0 25 %" in cell
    assert len(cell.splitlines()) == 4


def test_table_has_a_plain_row_for_each_cell() -> None:
    comparison = build()
    table = comparison.table()
    assert [(row["image"], row["column"]) for row in table] == [
        (image.name, column) for image in comparison.images for column in comparison.columns
    ]
    assert len({tuple(row) for row in table}) == 1
    assert {type(value) for row in table for value in row.values()} == {bool, str, int, float}
    assert table[3] == comparison.cells[3].record()
    assert {row["flags"] for row in change(comparison, state="flat").table()} >= {"flat"}


# Drawn


def test_grid_shows_the_original_first_then_every_column(drawn: list[dict[str, Any]]) -> None:
    comparison = build()
    picture = comparison.grid(width=96)
    (call,) = drawn
    assert [heading.title for heading in call["headings"]] == ["Original", "first", "second"]
    assert call["headings"][1].detail == "features · 3\u00a0x\u00a04"
    assert call["headings"][2].detail == "features · 7\u00a0x\u00a07"
    assert len(call["rows"]) == 3
    for row, cells in zip(call["rows"], comparison.rows(), strict=True):
        assert row[0].lines == (cells[0].image.name,)
        assert [panel.lines for panel in row[1:]] == [cell.caption() for cell in cells]
        fitted = row[0].picture
        for panel, cell in zip(row[1:], cells, strict=True):
            overlaid = cell.over(fitted, alpha=0.5, colormap="turbo", boxes=False)
            assert panel.picture.tobytes() == overlaid.tobytes()
    assert picture.mode == "RGB"


def test_grid_keeps_the_photos_proportions(drawn: list[dict[str, Any]]) -> None:
    build(sizes=[(96, 64), (40, 80), (64, 640)]).grid(width=96)
    sizes = [row[0].picture.size for row in drawn[0]["rows"]]
    assert sizes == [(96, 64), (96, 192), (19, 192)]


def test_frames_are_one_an_image_and_all_of_one_size(drawn: list[dict[str, Any]]) -> None:
    comparison = build(sizes=[(96, 64), (40, 80), (64, 640), (300, 20)])
    frames = list(comparison.frames(width=80))
    assert len(frames) == 4
    assert len({frame.size for frame in frames}) == 1
    for call, cells in zip(drawn, comparison.rows(), strict=True):
        assert [heading.title for heading in call["headings"]] == ["Original", "first", "second"]
        assert call["theme"] == "dark"
        (row,) = call["rows"]
        assert row[0].lines == (cells[0].image.name,)
        assert max(row[0].picture.size) == 80


def test_frames_of_wide_photos_waste_no_height() -> None:
    (wide,) = build(sizes=[(90, 30)]).frames(width=90)
    (square,) = build(sizes=[(90, 90)]).frames(width=90)
    assert square.height - wide.height == 60


@pytest.mark.parametrize("width", [64, 96])
@pytest.mark.parametrize("count", [1, 20])
def test_any_number_of_columns_is_drawn(count: int, width: int) -> None:
    comparison = build(sizes=[(96, 64), (64, 96)], columns=[f"column {n}" for n in range(count)])
    grid = comparison.grid(width=width)
    frames = list(comparison.frames(width=width))
    least = (count + 1) * width
    assert least < grid.width < 1.5 * least + 100
    assert {frame.width for frame in frames} == {grid.width}


def test_style_reaches_the_pictures() -> None:
    comparison = build(sizes=[(64, 64)])
    (frame,) = comparison.frames()
    for style in ({"alpha": 0.1}, {"colormap": "gray"}, {"width": 100}):
        assert comparison.grid(**style).tobytes() != comparison.grid().tobytes()
        assert next(comparison.frames(**style)).tobytes() != frame.tobytes()


@pytest.mark.parametrize(
    "draw_it", [Comparison.grid, lambda *a, **k: next(Comparison.frames(*a, **k))]
)
@pytest.mark.parametrize(
    ("style", "message"),
    [
        ({"width": 63}, "width must be a whole number from 64 to 4096, not 63"),
        ({"width": 5000}, "not 5000"),
        ({"width": 100.5}, r"not 100\.5"),
        ({"alpha": -0.1}, r"alpha is an opacity from 0 to 1, not -0\.1"),
        ({"colormap": "viridsi"}, "no colour map is called 'viridsi'. Did you mean 'viridis'"),
    ],
)
@pytest.mark.parametrize("state", ["ok", "flat"])
def test_impossible_styles_are_refused(
    draw_it: Callable[..., object], style: dict[str, Any], message: str, state: str
) -> None:
    comparison = build(sizes=[(64, 64)])
    cells = tuple(replace(cell, state=state) for cell in comparison)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match=message):
        draw_it(replace(comparison, cells=cells), **style)


def test_the_legend_says_what_the_pictures_hold(drawn: list[dict[str, Any]]) -> None:
    comparison = build(sizes=[(64, 64)])
    comparison.grid()
    change(comparison, region=Box(8, 0, 56, 64)).grid()
    untrained = change(comparison, weights="random")
    untrained.grid()
    next(untrained.frames())
    hatched, random = "hatched: not seen by the model", "random weights: untrained"
    legends = [" | ".join(call["legend"]) for call in drawn]
    assert [hatched in legend for legend in legends] == [False, True, False, False]
    assert [random in legend for legend in legends] == [False, False, True, True]
    assert [heading.detail.endswith("random weights") for heading in drawn[2]["headings"]] == [
        False, True, False,
    ]  # fmt: skip


def test_the_legend_says_which_evidence_is_not_in_the_maps(drawn: list[dict[str, Any]]) -> None:
    comparison = build(sizes=[(64, 64)], columns=["a", "b", "c", "d"])
    whole = facts("whole", bypass=0.0)
    part = facts("part", bypass=0.4, notes=("about 40% ...",))
    astray = facts("astray", notes=("layers nearer to the head ...",))
    replace(comparison, facts=(whole, part, part, astray)).grid()
    assert drawn[0]["legend"] == ["without 40 % of part's evidence", "see astray's notes"]


def test_a_heading_keeps_its_method_apart_where_there_are_several(
    drawn: list[dict[str, Any]],
) -> None:
    comparison = build(sizes=[(64, 64)], columns=["A gradcam", "A layercam"])
    cells = tuple(
        replace(cell, method=method, model_label="A")
        for cell, method in zip(comparison, ["gradcam", "layercam"], strict=True)
    )
    replace(comparison, cells=cells).grid()
    _, first, second = drawn[0]["headings"]
    assert (first.title, second.title) == ("A", "A")
    assert first.detail.startswith("gradcam · features")
    assert second.detail.startswith("layercam · features")


def headings_of(comparison: Comparison, drawn: list[dict[str, Any]]) -> list[str]:
    """The details below the titles of a comparison's columns."""
    comparison.grid(width=64)
    return [heading.detail for heading in drawn[-1]["headings"][1:]]


def several(maps: Sequence[Sequence[Any]]) -> Comparison:
    """A comparison of these maps, one row for each image."""
    comparison = build(sizes=[(64, 64)] * len(maps), columns=["A", "B"][: len(maps[0])])
    every = [heatmap for row in maps for heatmap in row]
    cells = tuple(
        replace(cell, heatmap=np.asarray(heatmap, np.float32))
        for cell, heatmap in zip(comparison, every, strict=True)
    )
    return replace(comparison, cells=cells)


def noise(seed: int, shape: tuple[int, int] = (7, 7)) -> Any:
    heatmap = np.random.default_rng(seed).random(shape, dtype=np.float32)
    heatmap[3, 3] = 1.5
    return heatmap


def test_a_heading_warns_of_maps_that_are_all_alike(drawn: list[dict[str, Any]]) -> None:
    same = noise(0)
    comparison = several([[noise(at), same + 0.01 * noise(at)] for at in range(5)])
    first, second = headings_of(comparison, drawn)
    assert first == "features · 7\u00a0x\u00a07"
    assert second == "same map throughout · features · 7\u00a0x\u00a07"
    assert headings_of(comparison.take(range(4)), drawn) == [first, first]  # too few to tell


def test_a_heading_warns_of_peaks_at_the_border(drawn: list[dict[str, Any]]) -> None:
    maps = [[noise(at), noise(at)] for at in range(6)]
    for at, row in enumerate(maps):
        row[1][0, at] = 2
    first, second = headings_of(several(maps), drawn)
    assert "border" not in first
    assert second.startswith("peaks at the border · features")


def test_flags_of_one_map_are_shown_below_that_map_only(drawn: list[dict[str, Any]]) -> None:
    comparison = change(several([[noise(at), noise(9 - at)] for at in range(5)]), state="flat")
    detail = "features · 7\u00a0x\u00a07"
    assert headings_of(comparison, drawn) == [detail, detail]


# Measured


def test_summary_has_a_row_a_column_and_counts_the_images() -> None:
    comparison = build()
    summary = comparison.summary()
    assert summary.columns == comparison.columns
    assert (summary.images, summary.used) == (3, 3)
    assert summary["first", "confidence"] == pytest.approx(0.25)
    assert "first" in str(summary)


def test_summary_takes_boxes_masks_and_labels_in_any_form(tmp_path: Path) -> None:
    comparison = replace(build(), facts=(facts("first"), facts("second")))
    sizes = [comparison[row, 0].size for row in range(3)]
    boxes = [Box(0, 0, width / 2, height) for width, height in sizes]
    labels = tmp_path / "labels.csv"
    labels.write_text('image,label\n0.jpg,"class, 0"\n1.jpg,0\n2.jpg,1\n')
    masks = {f"{row}.jpg": np.eye(tall, wide) > 0 for row, (wide, tall) in enumerate(sizes)}
    summary = comparison.summary(boxes=boxes, masks=masks, labels=labels, fair=False)
    # Its columns predict class 0 and class 1 throughout.
    assert summary.measure("accuracy").values == pytest.approx([2 / 3, 1 / 3])
    assert summary.measure("pointing_game").counts.tolist() == [3, 3]
    assert summary.measure("pixel_average_precision").counts.tolist() == [3, 3]
    assert comparison.summary(labels=str(labels)).used == 0
    with pytest.raises(TargetError, match="first has no class called 'ant'"):
        comparison.summary(labels=["ant", 0, 0])


def test_agreement_is_the_mean_over_images() -> None:
    one, other, third = noise(0), noise(1), 2 - noise(0)
    comparison = several([[one, one], [one, third], [one, other]])
    matrix = comparison.agreement()
    assert matrix.shape == (2, 2)
    assert np.diag(matrix).tolist() == [1, 1]
    own = [float(comparison.take([row]).agreement()[0, 1]) for row in range(3)]
    assert own[:2] == pytest.approx([1, -1], abs=1e-3)
    assert matrix[0, 1] == matrix[1, 0] == pytest.approx(np.mean(own))
    overlap = comparison.agreement(measure="iou")
    assert overlap[0, 1] == pytest.approx(
        np.mean([comparison.take([row]).agreement(measure="iou")[0, 1] for row in range(3)])
    )
    assert 0 < overlap[0, 1] < 1


def test_agreement_leaves_out_maps_without_evidence() -> None:
    comparison = change(several([[noise(0), 2 - noise(0)], [noise(0), noise(0)]]), state="flat")
    assert comparison.agreement()[0, 1] == pytest.approx(1)
    nothing = comparison.take([0]).agreement()
    assert np.isnan(nothing[0]).all()
    assert nothing[1, 1] == 1


@pytest.mark.parametrize("measure", ["spearman", "iou"])
def test_the_agreement_picture_is_the_matrix_under_its_name(measure: Any) -> None:
    comparison = build()
    picture = comparison.agreement_picture(measure=measure)
    expected = draw_matrix(
        comparison.agreement(measure=measure),
        comparison.columns,
        title=AGREEMENT_TITLES[measure],
    )
    assert picture.tobytes() == expected.tobytes()


def test_an_unknown_measure_of_agreement_is_refused() -> None:
    for method in (Comparison.agreement, Comparison.agreement_picture):
        with pytest.raises(ArgumentError, match="measure must be one of spearman, iou, not 'r2'"):
            method(build(), measure="r2")


def test_the_most_disagreed_come_first() -> None:
    one = noise(0)
    comparison = several([[one, one], [one, 2 - one], [one, noise(1)], [one, one + noise(1)]])
    assert [image.name for image in comparison.most_disagreed(2).images] == ["1.jpg", "2.jpg"]
    every = comparison.most_disagreed()
    assert [image.name for image in every.images] == ["1.jpg", "2.jpg", "3.jpg", "0.jpg"]
    for row, image in enumerate(every.images):
        for column in every.columns:
            assert every[row, column] is comparison[image.name, column]
    assert every.most_disagreed(4).cells == every.cells


def test_what_else_a_comparison_holds_stays_with_the_most_disagreed() -> None:
    comparison = replace(build(), facts=(facts("first"), facts("second")))
    part = comparison.most_disagreed(1)
    assert (part.columns, part.skipped) == (comparison.columns, comparison.skipped)
    assert (part.settings, part.facts) == (comparison.settings, comparison.facts)
    assert len(part) == 2


@pytest.mark.parametrize("n", [0, -1, True, 2.0, "3", None])
def test_an_invalid_number_of_images_is_refused(n: Any) -> None:
    with pytest.raises(ArgumentError, match=rf"^n must be a whole number from 1, not {n!r}$"):
        build().most_disagreed(n)


def test_one_column_does_not_disagree() -> None:
    with pytest.raises(ArgumentError, match="a single column cannot disagree"):
        build(columns=["only"]).most_disagreed(1)


def test_images_are_taken_by_position_and_by_name_in_the_order_given() -> None:
    comparison = build()
    part = comparison.take(["2.jpg", 0, -2])
    assert [image.name for image in part.images] == ["2.jpg", "0.jpg", "1.jpg"]
    assert [cell.image for cell in part] == [image for image in part.images for _ in range(2)]
    assert part["2.jpg", "second"] is comparison["2.jpg", "second"]
    assert part.settings == comparison.settings
    assert len(comparison.take([])) == 0


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        ([3], CellError, "image 3 is out of range: there are 3"),
        (["2.jgp"], CellError, r"no image is called '2\.jgp'\. Did you mean '2\.jpg'"),
        ([1.0], ArgumentError, r"image must be a position or a name, not 1\.0"),
    ],
)
def test_images_that_are_not_there_cannot_be_taken(
    images: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        build().take(images)


# Saved


def test_png_holds_the_grid(tmp_path: Path) -> None:
    comparison = build()
    path = comparison.save(tmp_path / "a.png", width=80)
    assert path == tmp_path / "a.png"
    (picture,) = frames_in(path)
    assert picture.tobytes() == comparison.grid(width=80).tobytes()


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".JPG"])
def test_jpg_holds_the_grid(tmp_path: Path, suffix: str) -> None:
    comparison = build()
    (picture,) = frames_in(comparison.save(tmp_path / f"a{suffix}"))
    assert psnr(picture, comparison.grid()) > 30


@pytest.mark.parametrize("suffix", LOOPS)
@pytest.mark.parametrize(("seconds", "milliseconds"), [(None, 1000), (0.25, 250)])
def test_animations_hold_the_frames(
    tmp_path: Path, suffix: str, seconds: float | None, milliseconds: int
) -> None:
    comparison = build()
    path = comparison.save(tmp_path / f"a{suffix}", seconds=seconds, width=96)
    frames = list(comparison.frames(width=96))
    found = frames_in(path)
    assert len(found) == len(frames) == 3
    for saved, frame in zip(found, frames, strict=True):
        assert psnr(saved, frame) > 25
    with Image.open(path) as file:
        assert file.info["loop"] == 0
        for position in range(3):
            file.seek(position)
            file.load()
            assert file.info["duration"] == milliseconds


@pytest.mark.parametrize(("seconds", "each"), [(None, 1.0), (0.25, 0.25)])
def test_a_video_holds_the_frames(tmp_path: Path, seconds: float | None, each: float) -> None:
    comparison = build()
    path = comparison.save(tmp_path / "a.mp4", seconds=seconds, width=96)
    frames = list(comparison.frames(width=96))
    with av.open(str(path)) as file:
        found = [frame for frame in file.decode(video=0) if frame.key_frame]
    assert [frame.time for frame in found] == pytest.approx([0, each, 2 * each], abs=1e-3)
    for saved, frame in zip(found, frames, strict=True):
        assert psnr(saved.to_image().crop((0, 0, *frame.size)), frame) > 25


def test_without_pyav_a_video_is_refused_before_any_model_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(OutputError, match=r"pip install 'effcam\[video\]'"):
        export.check_output(tmp_path / "a.mp4")


def test_csv_holds_the_table(tmp_path: Path) -> None:
    comparison = change(build(), label='Grus, "grus"\nén')
    path = comparison.save(tmp_path / "a.csv")
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    expected = [{name: str(value) for name, value in row.items()} for row in comparison.table()]
    assert rows == expected
    assert rows[0]["label"] == 'Grus, "grus"\nén'


def test_json_holds_everything(tmp_path: Path) -> None:
    comparison = change(build(), label="pélican")
    text = comparison.save(tmp_path / "a.json").read_text(encoding="utf-8")
    assert "pélican" in text
    content = json.loads(text)
    assert content["effcam"] == effcam.__version__
    assert content["settings"] == dict(comparison.settings)
    assert content["images"] == ["0.jpg", "1.jpg", "2.jpg"]
    assert content["columns"] == ["first", "second"]
    assert content["models"] == []
    assert content["skipped"] == [
        {"image": "broken.jpg", "reason": "image 'broken.jpg': the file is empty"}
    ]
    assert len(content["cells"]) == 6
    for saved, cell in zip(content["cells"], comparison, strict=True):
        heatmap = np.array(saved.pop("heatmap"), np.float32)
        np.testing.assert_array_equal(heatmap, cell.heatmap)
        assert saved == cell.record()


def test_json_holds_what_is_known_of_the_models(tmp_path: Path) -> None:
    comparison = replace(build(), facts=(facts("first"), facts("second", seconds=None)))
    content = json.loads(comparison.save(tmp_path / "a.json").read_text(encoding="utf-8"))
    assert content["models"] == [each.record() for each in comparison.facts]
    assert [model["seconds"] for model in content["models"]] == [0.02, None]
    assert "class, 1" not in json.dumps(content["models"])


def test_json_has_null_where_there_is_no_number(tmp_path: Path) -> None:
    comparison = change(build(), probability=float("nan"), predicted_probability=float("inf"))
    text = comparison.save(tmp_path / "a.json").read_text(encoding="utf-8")

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    first = json.loads(text, parse_constant=refuse)["cells"][0]
    assert first["probability"] is None
    assert first["predicted_probability"] is None


def test_tables_hold_names_that_are_not_unicode(tmp_path: Path) -> None:
    # A Latin-1 file name, as Python decodes it on a UTF-8 system.
    name = "caf\udce9.jpg"
    comparison = build(sizes=[(32, 32)])
    image = replace(comparison.images[0], name=name)
    cells = tuple(replace(cell, image=image) for cell in comparison)
    comparison = replace(comparison, images=(image,), cells=cells)
    text = comparison.save(tmp_path / "a.csv").read_text(encoding="utf-8")
    assert text.splitlines()[1].startswith(r"caf\udce9.jpg,first")
    text = comparison.save(tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text)["images"] == [name]
    with np.load(comparison.save(tmp_path / "a.npz")) as arrays:
        assert arrays["image"].tolist() == [name]
    assert comparison.grid(width=64).width > 64


def test_npz_holds_the_heatmaps_and_the_table_without_pickles(tmp_path: Path) -> None:
    comparison = build()
    path = comparison.save(tmp_path / "a.npz")
    with np.load(path, allow_pickle=False) as arrays:
        content = dict(arrays)
    assert content["image"].tolist() == ["0.jpg", "1.jpg", "2.jpg"]
    assert content["column"].tolist() == ["first", "second"]
    for place, grid in enumerate([(3, 4), (7, 7)]):
        heatmaps = content[f"heatmap_{place}"]
        assert heatmaps.dtype == np.float32
        assert heatmaps.shape == (3, *grid)
        for row in range(3):
            np.testing.assert_array_equal(heatmaps[row], comparison[row, place].heatmap)
    table = comparison.table()
    for name in set(table[0]) - {"image", "column"}:
        assert content[name].ravel().tolist() == [row[name] for row in table]
        assert content[name].shape == (3, 2)


def test_saving_takes_a_string_and_expands_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert build().save("~/a.csv") == tmp_path / "a.csv"
    assert names(tmp_path) == ["a.csv"]


@pytest.mark.parametrize(
    ("suffix", "style"),
    [
        *((suffix, style) for suffix in TABLES
          for style in ({"alpha": 0.5}, {"colormap": "turbo"}, {"width": 224}, {"seconds": 1},
                        {"rows": "models"}, {"original": True}, {"title": ""}, {"caption": ""},
                        {"font": "a.ttf"}, {"theme": "dark"}, {"layout": "grid"}, {"dpi": 300})),
        *((suffix, style) for suffix in PRINTED for style in ({"seconds": 1}, {"width": 224})),
        *((suffix, style) for suffix in PICTURES
          for style in ({"inches": 3}, {"fontsize": 7}, {"dpi": 300})),
        *((suffix, {"layout": "grid"}) for suffix in ANIMATIONS),
        *((suffix, {"seconds": 1}) for suffix in PICTURES if suffix not in ANIMATIONS),
        *((suffix, style) for suffix in REPORTS for style in ({"width": 224}, {"seconds": 1})),
    ],
)  # fmt: skip
def test_a_style_without_meaning_is_refused(
    tmp_path: Path, suffix: str, style: dict[str, Any]
) -> None:
    (name,) = style
    with pytest.raises(ArgumentError, match=rf"^{name} has no meaning for a \{suffix} file"):
        build().save(tmp_path / f"a{suffix}", **style)
    assert names(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("suffix", core([*PICTURES, *PRINTED], PICTURES))
def test_every_other_style_is_heeded(tmp_path: Path, suffix: str) -> None:
    comparison = build(sizes=[(64, 64), (32, 64)])
    plain = comparison.save(tmp_path / f"plain{suffix}").read_bytes()
    styles: list[dict[str, Any]] = [
        {"alpha": 0.1}, {"colormap": "gray"}, {"rows": "models"}, {"original": False},
        {"title": "T"}, {"caption": "{model}"}, {"caption": ""},
        {"theme": "light" if suffix in ANIMATIONS else "dark"},
    ]  # fmt: skip
    if suffix in PRINTED:
        styles += [{"inches": 3}, {"fontsize": 5}, {"dpi": 100}]
    else:
        styles.append({"width": 100})
    if suffix in ANIMATIONS:
        styles.append({"seconds": 2})
    for style in styles:
        assert comparison.save(tmp_path / f"styled{suffix}", **style).read_bytes() != plain


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.bmp", r"cannot save '.*a\.bmp': its name has the unknown suffix '\.bmp'.*use one of"),
        ("a", r"its name has no suffix.*\.png, \.jpg, .*\.npz"),
        ("gone/a.png", r"there is no folder '.*gone'"),
    ],
)
def test_saving_says_what_is_wrong_with_a_path(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(OutputError, match=message):
        build().save(tmp_path / name)
    assert names(tmp_path) == []


def test_nothing_cannot_be_saved(tmp_path: Path) -> None:
    empty = Comparison((), ("first",), ())
    for suffix in FORMATS:
        with pytest.raises(OutputError, match="the comparison holds no images"):
            empty.save(tmp_path / f"a{suffix}")
    assert names(tmp_path) == []


def test_every_format_is_tested_here() -> None:
    assert set(FORMATS) == {*PICTURES, *PRINTED, *REPORTS, *TABLES}


def test_formats_have_writers_and_their_options_are_those_of_save() -> None:
    assert {each.writer for each in FORMATS.values()} == set(export.WRITERS)
    arguments = set(inspect.signature(Comparison.save).parameters) - {"self", "path"}
    assert {option for each in FORMATS.values() for option in each.options} == arguments
    assert set(picture_options.OPTIONS) == arguments


@pytest.mark.parametrize("suffix", PICTURES)
def test_a_photo_that_is_gone_leaves_the_old_picture(tmp_path: Path, suffix: str) -> None:
    source = tmp_path / "photos" / "last.png"
    source.parent.mkdir()
    photo(64, 64).save(source)
    comparison = build(sizes=[(64, 64), (64, 64)])
    last = ImageRef("last.png", source)
    cells = tuple(replace(cell, image=last) for cell in comparison.cells[2:])
    comparison = replace(
        comparison,
        images=(comparison.images[0], last),
        cells=(*comparison.cells[:2], *cells),
    )
    path = comparison.save(tmp_path / f"a{suffix}")
    before = path.read_bytes()
    source.unlink()
    with pytest.raises(ImageError, match=r"image 'last\.png': the file does not exist"):
        comparison.save(path)
    assert path.read_bytes() == before
    assert names(tmp_path) == [path.name, "photos"]


@pytest.mark.parametrize("suffix", [*TABLES, *REPORTS, *PICTURES])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_an_interrupted_save_leaves_the_old_file(
    tmp_path: Path, suffix: str, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"old")

    def interrupt(_: int) -> None:
        raise error

    # Called when the temporary file is complete and not yet renamed.
    monkeypatch.setattr("os.fsync", interrupt)
    expected = OutputError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        build(sizes=[(32, 32)]).save(path)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == [path.name]


# In a notebook


class Page(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def pictures(page: Page) -> list[Image.Image]:
    found = []
    for tag, attributes in page.tags:
        if tag == "img":
            head, _, data = str(attributes["src"]).partition(",")
            assert head == "data:image/jpeg;base64"
            found.append(Image.open(io.BytesIO(base64.b64decode(data, validate=True))))
    return found


def test_the_preview_is_one_embedded_picture_and_a_scoreboard() -> None:
    comparison = build()
    page = Page(comparison._repr_html_())
    tags = [tag for tag, _ in page.tags]
    assert tags[:5] == ["figure", "figcaption", "img", "details", "summary"]
    assert page.text.startswith("3 images x 2 columns1 skipped")
    assert "Scoreboard3 images." in page.text
    assert "effective area" in page.text
    (picture,) = pictures(page)
    grid = comparison.grid(width=WIDTH)
    assert picture.size == grid.size
    assert psnr(picture, grid) > 28


def test_the_preview_runs_and_fetches_nothing() -> None:
    page = Page(build(columns=["<script>", "http://effcam.invalid"])._repr_html_())
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        assert not any(name.startswith("on") or name == "href" for name in attributes)
        assert str(attributes.get("src", "data:")).startswith("data:")


def test_the_preview_escapes_names() -> None:
    columns = ("<script>alert(1)</script>", '" onload="alert(2)', "a & b")
    page = Page(build(columns=columns)._repr_html_())
    attributes = page.tags[2][1]
    assert set(attributes) == {"alt", "style", "src"}
    assert attributes["alt"] == f"What these models look at: {', '.join(columns)}"
    assert columns[0] in page.text


def test_the_preview_shows_the_first_images_of_many() -> None:
    comparison = build(sizes=[(32, 32)] * (ROWS + 1), columns=["only"])
    page = Page(comparison._repr_html_())
    assert page.text.startswith("11 images x 1 column, the first 10 shown")
    (picture,) = pictures(page)
    assert picture.size == comparison.take(range(ROWS)).grid(width=WIDTH).size


def test_the_preview_of_many_cells_names_the_call_of_the_scoreboard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(notebook, "MEASURED", 5)
    page = Page(replace(build(), skipped=())._repr_html_())
    assert page.text == "3 images x 2 columnsScoreboard: comparison.summary()"


def test_the_preview_says_what_was_skipped() -> None:
    bad = tuple(Skipped(f"{at}.png", f"image '{at}.png': <gone>") for at in range(ROWS + 2))
    page = Page(replace(build(), skipped=bad)._repr_html_())
    assert "12 skippedimage '0.png': <gone>image '1.png'" in page.text
    assert "and 2 more" in page.text
    assert "image '10.png'" not in page.text


def test_the_preview_of_one_image_counts_in_singular() -> None:
    text = Page(build(sizes=[(32, 32)])._repr_html_()).text
    assert text.startswith("1 image x 2 columns")


def test_the_preview_of_nothing_is_a_line() -> None:
    assert Comparison((), ("first",), ())._repr_html_() == "<p>0 images x 1 column</p>"

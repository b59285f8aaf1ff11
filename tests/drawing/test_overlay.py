"""Pixels to pixels: what each drawing changes, and what it must not change."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image, ImageDraw

from effcam.drawing import text
from effcam.drawing.fonts import load_font
from effcam.drawing.overlay import badge, colormap_table, fit, overlay, shade_outside
from effcam.errors import ArgumentError
from tests.drawing.pictures import LABELS, LONG, flat_heat, photo, pixels, solid

# colormap_table


def test_colormap_table_is_that_of_matplotlib() -> None:
    import matplotlib

    table = colormap_table("turbo")
    assert table.shape == (256, 3)
    assert table.dtype == np.uint8
    for index in (0, 100, 255):
        expected = np.array(matplotlib.colormaps["turbo"](index)[:3]) * 255
        assert np.abs(table[index] - expected).max() <= 1


def test_colormap_table_has_256_colours_of_a_short_map_and_cannot_be_spoilt() -> None:
    table = colormap_table("tab10")
    assert table.shape == (256, 3)
    assert len(np.unique(table, axis=0)) == 10
    with pytest.raises(ValueError, match="read-only"):
        table[0] = 0


def test_colormap_table_offers_close_names() -> None:
    with pytest.raises(ArgumentError, match=r"no colour map is called 'turbi'.*'turbo'"):
        colormap_table("turbi")


# overlay


@pytest.mark.parametrize("strength", [0.0, 0.4, 1.0])
def test_overlay_with_alpha_0_is_the_photo(strength: float) -> None:
    picture = photo()
    drawn = overlay(picture, flat_heat(picture, strength), alpha=0)
    assert drawn is not picture
    assert np.array_equal(pixels(drawn), pixels(picture))


@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_overlay_without_heat_is_the_photo(alpha: float) -> None:
    picture = photo()
    drawn = overlay(picture, flat_heat(picture, 0), alpha=alpha)
    assert np.array_equal(pixels(drawn), pixels(picture))


def test_overlay_of_full_heat_and_alpha_1_is_the_last_colour() -> None:
    picture = photo()
    drawn = overlay(picture, flat_heat(picture, 1), alpha=1, colormap="viridis")
    assert (pixels(drawn) == colormap_table("viridis")[255]).all()


def test_overlay_of_full_heat_mixes_photo_and_colour_by_alpha() -> None:
    picture = photo()
    drawn = pixels(overlay(picture, flat_heat(picture, 1), alpha=0.5))
    expected = (pixels(picture) + colormap_table("turbo")[255].astype(np.int32)) / 2
    assert np.abs(drawn - expected).max() <= 1


def test_overlay_colours_more_where_heat_is_stronger() -> None:
    ramp = np.tile(np.linspace(0, 1, 256, dtype=np.float32), (4, 1))
    white = colormap_table("gray")[255]
    for alpha in (0.3, 0.5, 1.0):
        # On black, a white-only map shows opacity times strength, which must never fall.
        drawn = pixels(overlay(solid(256, 4, (0, 0, 0)), ramp, alpha=alpha, colormap="gray"))
        steps = np.diff(drawn[0, :, 0])
        assert (steps >= 0).all()
        assert drawn[0, -1, 0] == pytest.approx(white[0] * alpha, abs=1)


def test_overlay_opacity_never_falls_and_grows_with_alpha() -> None:
    ramp = np.linspace(0, 1, 256, dtype=np.float32)[np.newaxis]
    shown = []
    for alpha in (0.2, 0.5, 0.8):
        black = overlay(solid(256, 1, (0, 0, 0)), ramp, alpha=alpha)
        white = overlay(solid(256, 1, (255, 255, 255)), ramp, alpha=alpha)
        # The remaining contrast of the photo is the share that the colour does not cover.
        left = (pixels(white) - pixels(black))[0, :, 0]
        assert (np.diff(left) <= 1).all()
        shown.append(left)
    assert (shown[0] >= shown[1]).all()
    assert (shown[1] >= shown[2]).all()
    assert shown[1][-1] == pytest.approx(127, abs=2)


def test_overlay_of_a_pixel_depends_on_that_pixel_alone() -> None:
    picture = photo()
    heat = np.random.default_rng(1).random((40, 60)).astype(np.float32)
    whole = pixels(overlay(picture, heat))
    for row, column in ((0, 0), (13, 37), (39, 59)):
        one = picture.crop((column, row, column + 1, row + 1))
        drawn = pixels(overlay(one, heat[row : row + 1, column : column + 1]))
        assert np.array_equal(drawn[0, 0], whole[row, column])
    weak = pixels(overlay(picture, heat * np.float32(0.2)))
    assert not np.array_equal(weak, whole)


def test_overlay_takes_any_mode_and_clips_overshoot() -> None:
    grey = photo().convert("L")
    above = overlay(grey, flat_heat(grey, 1.001))
    assert above.mode == "RGB"
    assert np.array_equal(pixels(above), pixels(overlay(grey, flat_heat(grey, 1))))


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_overlay_rejects_alpha_out_of_range(alpha: float) -> None:
    with pytest.raises(ArgumentError, match="alpha is an opacity from 0 to 1"):
        overlay(photo(), flat_heat(photo(), 0), alpha=alpha)


def test_overlay_rejects_heat_of_another_size() -> None:
    with pytest.raises(ArgumentError, match=r"\(60, 40\).*60 x 40 px.*\(40, 60\)"):
        overlay(photo(), flat_heat(photo(), 0).T)


def test_overlay_rejects_heat_that_is_not_finite() -> None:
    heat = flat_heat(photo(), 0)
    heat[3, 4] = np.nan
    with pytest.raises(ArgumentError, match="not finite"):
        overlay(photo(), heat)


# shade_outside


def test_shade_outside_changes_everything_outside_and_nothing_inside() -> None:
    picture = photo(seed=3)
    before = pixels(picture)
    after = pixels(shade_outside(picture, (10, 5, 50, 30)))
    inside = np.zeros((40, 60), dtype=bool)
    inside[5:30, 10:50] = True
    assert np.array_equal(after[inside], before[inside])
    assert (after[~inside] != before[~inside]).any(axis=-1).mean() > 0.98
    assert np.array_equal(pixels(picture), before)


def test_shade_outside_is_grey_and_hatched_with_an_edge() -> None:
    shaded = pixels(shade_outside(solid(120, 120), (40, 40, 80, 80)))
    outside = shaded.copy()
    outside[40:80, 40:80] = 0
    assert np.ptp(outside, axis=-1).max() == 0
    assert len(np.unique(shaded[0])) > 2
    edge = shaded[39, 39:81]
    assert (edge == edge[0]).all()
    assert edge[0, 0] > shaded[0].max()


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255)])
def test_shade_outside_shows_on_black_and_on_white(colour: tuple[int, int, int]) -> None:
    shaded = pixels(shade_outside(solid(80, 80, colour), (20, 0, 80, 80)))
    assert np.abs(shaded[:, :19] - np.array(colour)).mean() > 40


@pytest.mark.parametrize("box", [(0, 0, 60, 40), (-5, -5, 99, 99), (0.3, 0.2, 59.8, 40.0)])
def test_shade_outside_of_a_covering_box_changes_nothing(
    box: tuple[float, float, float, float],
) -> None:
    picture = photo()
    shaded = shade_outside(picture, box)
    assert shaded is not picture
    assert np.array_equal(pixels(shaded), pixels(picture))


@pytest.mark.parametrize("box", [(20, 20, 20, 20), (70, 0, 90, 40)])
def test_shade_outside_of_an_empty_box_shades_all(box: tuple[float, float, float, float]) -> None:
    shaded = pixels(shade_outside(solid(60, 40), box))
    assert np.ptp(shaded, axis=-1).max() == 0
    assert shaded.max() < 235


@pytest.mark.parametrize("box", [(9, 0, 3, 40), (0, 9, 60, 3), (0, 0, float("nan"), 9)])
def test_shade_outside_rejects_invalid_boxes(box: tuple[float, float, float, float]) -> None:
    with pytest.raises(ArgumentError, match="left, top, right, bottom"):
        shade_outside(photo(), box)


# badge


@pytest.mark.parametrize("size", [(64, 64), (64, 20), (224, 150), (512, 512), (8, 8), (1, 1)])
@pytest.mark.parametrize("text", ["no positive evidence", "not a number", LONG, ""])
def test_badge_keeps_size_and_dims(size: tuple[int, int], text: str) -> None:
    marked = badge(solid(*size), text)
    assert marked.size == size
    assert np.ptp(pixels(marked), axis=-1).max() <= 3


@pytest.mark.parametrize("width", [64, 96, 224, 512])
def test_badge_shows_its_whole_text_within_its_plate(width: int) -> None:
    dimmed = pixels(badge(solid(width, width, (0, 0, 0)), ""))
    marked = pixels(badge(solid(width, width, (0, 0, 0)), "no positive evidence"))
    bright = marked.max(axis=-1) > 128
    assert bright.sum() > 100
    rows, columns = np.nonzero(bright)
    assert columns.min() >= 2
    assert columns.max() <= width - 3
    assert abs((rows.min() + rows.max()) / 2 - width / 2) < width * 0.06
    assert np.array_equal(marked[0], dimmed[0])


def test_badge_of_64_px_shortens_no_text() -> None:
    lines = text.fit_text("no positive evidence", text.Line("", text.MIN_FONT + 1), 54, 3)
    assert " ".join(line.text for line in lines) == "no positive evidence"


# fit


@pytest.mark.parametrize(
    ("size", "limits", "expected"),
    [
        ((400, 200), (100, 100), (100, 50)),
        ((200, 400), (100, 100), (50, 100)),
        ((20, 10), (100, 100), (100, 50)),
        ((200, 400), (100, None), (100, 200)),
        ((100, 50), (100, 100), (100, 50)),
        ((1000, 2), (100, 100), (100, 1)),
    ],
)
def test_fit_keeps_proportions(
    size: tuple[int, int], limits: tuple[int, int | None], expected: tuple[int, int]
) -> None:
    assert fit(photo(*size), *limits).size == expected


def test_fit_averages_when_it_reduces() -> None:
    checks = Image.fromarray((np.indices((256, 256)).sum(axis=0) % 2 * 255).astype(np.uint8))
    reduced = pixels(fit(checks, 32, 32))
    assert np.abs(reduced - 127.5).max() < 12


# Text


@pytest.mark.parametrize("bold", [False, True])
@pytest.mark.parametrize("size", [8, 13, 24])
def test_ink_clips_nothing(size: int, bold: bool) -> None:
    letters = "j\u00c5\u00c9gy|fQ\u0389\u0419 100.0% f"
    ink = text.ink(text.Line(letters, size, bold))
    wide = Image.new("L", (ink.width + 40, ink.height + 40))
    baseline = 20 + round(size * 0.98)
    ImageDraw.Draw(wide).text(
        (21, baseline), letters, fill=255, font=load_font(size, bold), anchor="ls"
    )
    assert np.asarray(ink).sum(dtype=int) == np.asarray(wide).sum(dtype=int)


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize(("width", "size"), [(64, 9), (128, 9), (224, 13), (512, 24)])
@pytest.mark.parametrize("most", [1, 2, 3])
def test_fitted_text_fits(label: str, width: int, size: int, most: int) -> None:
    lines = text.fit_text(label, text.Line("", size, bold=True), width, most)
    assert 1 <= len(lines) <= most
    for line in lines:
        assert text.measure_text(line.text, line) <= width
        assert text.MIN_FONT <= line.size <= size
        assert line.bold
    kept = "".join(line.text for line in lines).replace(" ", "")
    whole = text._clean(label).replace(" ", "")
    head, _, tail = kept.partition("\u2026")
    assert kept == whole or (whole.startswith(head) and whole.endswith(tail))


@pytest.mark.parametrize("number", ["+5.12", "-0.614", "1.5", "+3", "1,234.5", "95 %", "0.5 %"])
def test_numbers_stay_whole(number: str) -> None:
    for width in range(60, 260, 10):
        lines = text.fit_text(f"97 % · heat: key - heart = {number}", text.Line("", 13), width, 6)
        assert any(number in line.text for line in lines)
        assert not any(line.text.endswith(" =") for line in lines) or number[0] not in "+-"


def test_fitted_text_shrinks_before_it_cuts_a_word() -> None:
    (line,) = text.fit_text("densenet121", text.Line("", 10, bold=True), 70, 2)
    assert line.text == "densenet121"
    assert line.size < 10


def test_fitted_text_breaks_names_after_their_punctuation() -> None:
    lines = text.fit_text("tf_efficientnet_b0.in1k", text.Line("", 13), 120, 2)
    assert [line.text for line in lines] == ["tf_efficientnet_", "b0.in1k"]


@pytest.mark.parametrize(
    ("name", "width", "most", "expected"),
    [
        ("sunsetAtTheLake.jpg", 90, 3, ["sunsetAtThe", "Lake.jpg"]),
        ("HTMLParserOfPages", 80, 2, ["HTMLParser", "OfPages"]),
        ("holiday-in_france.2024.jpg", 110, 2, ["holiday-in_", "france.2024.jpg"]),
        ("\u5317\u4eac\u7684\u72d7\u548c\u732b", 60, 2, None),
    ],
)
def test_names_break_at_sensible_places(
    name: str, width: int, most: int, expected: list[str] | None
) -> None:
    lines = text.fit_text(name, text.Line("", 13), width, most)
    assert "".join(line.text for line in lines) == name
    if expected is not None:
        assert [line.text for line in lines] == expected


@pytest.mark.parametrize("most", [1, 2])
@pytest.mark.parametrize(
    "name",
    [
        "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz0123.jpg",
        "IMG_20240512_114532_holiday_in_france_with_the_children_0017.jpg",
        "my holiday in the south of france with all the children 17.jpeg",
        "0123456789abcdef0123456789abcdef0123456789abcdef",
    ],
)
def test_long_names_are_shortened_in_the_middle(name: str, most: int) -> None:
    lines = text.fit_text(name, text.Line("", 13), 150, most)
    assert len(lines) <= most
    shown = " ".join(line.text for line in lines)
    head, tail = re.split("\u2026", shown)
    assert len(head) >= 5
    assert len(tail) >= 5
    squeezed = name.replace(" ", "")
    assert squeezed.startswith(head.replace(" ", ""))
    assert squeezed.endswith(tail.replace(" ", ""))
    # No line ends within a word.
    for line in lines[:-1]:
        assert re.search("[_.\u2026-]$", line.text) or f"{line.text} " in name


def test_a_long_sentence_is_shortened_at_its_end() -> None:
    lines = text.fit_text("a sentence that goes on and on", text.Line("", 13), 90, 1)
    assert lines[0].text.startswith("a sent")
    assert lines[0].text.endswith("\u2026")


def test_clean_text_is_one_line_of_visible_characters() -> None:
    assert text._clean(" one\n two\x00\tthree\u200b\ud800 ") == "one two three"
    assert text._clean("e\u0301") == "\u00e9"
    assert text._clean("7\u00a0x\u00a07") == "7\u00a0x\u00a07"

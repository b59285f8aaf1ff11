"""Fonts: DejaVu Sans, or a user's file, whose content is checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import pytest

from effcam.drawing.fonts import font_file, load_font
from effcam.errors import ArgumentError

FONTS = Path(matplotlib.get_data_path(), "fonts", "ttf")


def test_without_a_file_it_is_dejavu_sans() -> None:
    assert font_file(None) == ""
    assert load_font(12, False).getname() == ("DejaVu Sans", "Book")
    assert load_font(12, True).getname() == ("DejaVu Sans", "Bold")


@pytest.mark.parametrize("kind", [str, Path])
def test_a_file_is_used_in_its_own_weight(kind: type[str] | type[Path]) -> None:
    path = font_file(kind(FONTS / "DejaVuSerif.ttf"))
    assert load_font(12, True, path).getname() == ("DejaVu Serif", "Book")


def test_a_file_that_is_not_a_font_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.ttf").write_text("no font")
    (tmp_path / "cut.ttf").write_bytes((FONTS / "DejaVuSerif.ttf").read_bytes()[:40])
    cases: list[tuple[Any, str]] = [
        (tmp_path / "text.ttf", "text.ttf' is not a TrueType or OpenType file"),
        (tmp_path / "cut.ttf", "cut.ttf' cannot be read"),
        (tmp_path / "none.ttf", "none.ttf' cannot be read: No such file"),
        (tmp_path, "cannot be read: "),
        ("Helvetica", "font 'Helvetica' cannot be read: No such file"),
        ("a\0b", "cannot be read"),
        (12, "font is the path of a .ttf or .otf file, not 12"),
    ]
    for font, message in cases:
        with pytest.raises(ArgumentError, match=message):
            font_file(font)

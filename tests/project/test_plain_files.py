"""The files for programs and for print that lie beside the pages of the documentation."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import effcam

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
TEXT = (DOCS / "llms.txt").read_text(encoding="utf-8")
LINKS = re.findall(r"\]\(([^)]+)\)", TEXT)
WRITTEN_AT_BUILD = {"models.md", "architectures.md", "attention.md"}


def test_it_has_the_parts_of_its_format() -> None:
    lines = TEXT.splitlines()
    assert lines[0] == "# effcam"
    assert lines[2].startswith("> ")
    headings = [line for line in lines if line.startswith("## ")]
    assert headings[-1] == "## Optional"


@pytest.mark.parametrize("link", LINKS)
def test_its_links_lead_to_pages(link: str) -> None:
    assert link in WRITTEN_AT_BUILD or (DOCS / link).is_file()


def test_it_names_every_how_to_page() -> None:
    pages = {f"howto/{path.name}" for path in (DOCS / "howto").glob("*.md")}
    assert pages - set(LINKS) == set()


def test_it_names_every_extra() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (listed,) = re.findall(r"Extras: ([^.]+)\.", TEXT)
    assert set(re.findall(r"`(\w+)`", listed)) == set(project["optional-dependencies"])


def test_the_names_that_it_mentions_exist() -> None:
    for dotted in re.findall(r"`effcam\.([\w.]+)", TEXT):
        found = effcam
        for part in dotted.split("."):
            found = getattr(found, part)


@pytest.fixture(scope="module")
def sheet() -> object:
    sys.path.insert(0, str(ROOT / "tools"))
    import cheat_sheet

    return cheat_sheet


def test_code_of_the_cheat_sheet_fits_its_column(sheet: object) -> None:
    for column in sheet.PANELS:  # type: ignore[attr-defined]
        for panel in column:
            if panel.language == "text":  # in a narrower font
                continue
            assert max(map(len, panel.code.splitlines())) <= sheet.LONGEST  # type: ignore[attr-defined]


@pytest.mark.slow
def test_the_cheat_sheet_is_one_page_with_its_pictures(sheet: object, tmp_path: Path) -> None:
    from PIL import Image

    sheet.write(tmp_path)  # type: ignore[attr-defined]
    pdf = (tmp_path / "cheat_sheet.pdf").read_bytes()
    assert len(re.findall(rb"/Type /Page\b", pdf)) == 1
    with Image.open(tmp_path / "cheat_sheet.png") as picture:
        assert picture.width > 1900
        colours = picture.convert("RGB").getcolors(2**24)
    assert colours is not None
    assert len(colours) > 10_000  # photographs, not text alone
    # A page that overflows has ink on its lower margin.
    with Image.open(tmp_path / "cheat_sheet.png") as picture:
        margin = picture.convert("L").crop((0, picture.height - 30, picture.width, picture.height))
        assert margin.getextrema()[0] > 250

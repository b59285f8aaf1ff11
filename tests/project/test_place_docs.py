"""The site of all versions of the documentation."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "place_docs.py"
URL = "https://docs.example/effcam/"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("place_docs", TOOL)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Site:
    def __init__(self, tool: ModuleType, folder: Path) -> None:
        self.tool = tool
        self.built = folder / "html"
        self.folder = folder / "site"
        self.built.mkdir()
        self.folder.mkdir()

    def place(self, version: str, text: str = "") -> None:
        (self.built / "index.html").write_text(text or version, encoding="utf-8")
        self.tool.place(self.built, self.folder, version, URL)

    def read(self, folder: str) -> str:
        return (self.folder / folder / "index.html").read_text(encoding="utf-8")

    def versions(self) -> list[dict[str, str]]:
        text = (self.folder / "versions.json").read_text(encoding="utf-8")
        listed: list[dict[str, str]] = json.loads(text)
        return listed


@pytest.fixture
def site(tool: ModuleType, tmp_path: Path) -> Site:
    return Site(tool, tmp_path)


def test_before_the_first_release_there_is_dev(site: Site) -> None:
    site.place("dev")
    assert site.versions() == [
        {"name": "dev", "version": "dev", "url": "https://docs.example/effcam/dev/"}
    ]
    assert 'href="dev/"' in site.read(".")
    assert not (site.folder / "stable").exists()


def test_the_newest_release_is_stable(site: Site) -> None:
    for version in ("dev", "v0.9.0", "v0.10.0"):
        site.place(version)
    assert site.read("stable") == site.read("0.10.0") == "v0.10.0"
    assert site.versions() == [
        {
            "name": "0.10.0 (stable)",
            "version": "0.10.0",
            "url": "https://docs.example/effcam/stable/",
        },
        {"name": "0.9.0", "version": "0.9.0", "url": "https://docs.example/effcam/0.9.0/"},
        {"name": "dev", "version": "dev", "url": "https://docs.example/effcam/dev/"},
    ]
    assert 'href="stable/"' in site.read(".")
    assert (site.folder / ".nojekyll").exists()


@pytest.mark.parametrize("late", ["v0.1.1", "v0.3.0rc1"])
def test_old_releases_and_previews_leave_stable_alone(site: Site, late: str) -> None:
    site.place("v0.2.0")
    site.place(late)
    assert site.read("stable") == "v0.2.0"
    assert site.read(late.removeprefix("v")) == late


def test_versions_are_in_the_order_of_their_age(site: Site) -> None:
    ages = ["0.2.0a2", "0.2.0b1", "0.2.0rc1", "0.2.0rc2", "0.2.0", "0.2.0.post1", "0.10.0"]
    for version in sorted(ages):
        site.place(version)
    assert [each["version"] for each in site.versions()] == ages[::-1]


def test_a_version_that_is_placed_again_replaces_the_old_pages(site: Site) -> None:
    site.place("v0.1.0", "first")
    (site.folder / "0.1.0" / "gone.html").touch()
    site.place("v0.1.0", "second")
    assert site.read("0.1.0") == site.read("stable") == "second"
    assert not (site.folder / "0.1.0" / "gone.html").exists()


@pytest.mark.parametrize("version", ["main", "../etc", "v", "1.0/..", ""])
def test_an_invalid_version_is_refused(site: Site, version: str) -> None:
    (site.built / "index.html").touch()
    with pytest.raises(SystemExit, match="a version is `dev` or reads like"):
        site.tool.place(site.built, site.folder, version, URL)
    assert list(site.folder.iterdir()) == []


def test_a_folder_without_pages_is_refused(site: Site) -> None:
    with pytest.raises(SystemExit, match="no built documentation"):
        site.tool.place(site.built, site.folder, "dev", URL)


def test_the_page_for_missing_ones_is_the_newest_releases(site: Site) -> None:
    for version, base in (("dev", "dev"), ("v0.1.0", "0.1.0"), ("dev", "dev")):
        (site.built / "404.html").write_text(base, encoding="utf-8")
        site.place(version)
    assert (site.folder / "404.html").read_text(encoding="utf-8") == "0.1.0"

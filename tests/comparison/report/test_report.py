"""The page of a comparison as text: its content, its safety, its size."""

from __future__ import annotations

import ast
import base64
import hashlib
import json
import re
import shlex
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import effcam
from effcam import Comparison
from effcam.cam.cells import Skipped
from effcam.cam.settings import Settings
from effcam.cli import main
from effcam.comparison.report import Look, build, gather
from effcam.comparison.report.charts import EDGE, WIDTH, histogram, matrix, matrix_style, plots
from effcam.comparison.report.confusions import confused_pairs
from effcam.comparison.report.data import COLORMAPS, pack, quantise
from effcam.comparison.report.photos import QUALITIES, SIDE, TALLEST, choose_quality
from effcam.comparison.report.reliability import reliability_plots
from effcam.comparison.report.reproduce import snippets_for
from effcam.comparison.report.wording import facts as facts_text
from effcam.demo import scenes
from effcam.drawing.overlay import colormap_table
from effcam.errors import ArgumentError, ImageError, OutputError
from effcam.images.refs import ImageRef
from effcam.images.truth import Truth
from effcam.metrics.summary import Figure, Measure, Summary
from effcam.targets import Contrast, Sum
from tests.labelled import confused

Sample = Callable[..., Comparison]
EVIL = '</script><img src=x onerror="alert(1)">&amp;\u2028\u202e'
VOID = {"meta", "wbr", "link", "img", "input", "col"}


class Page(HTMLParser):
    """A page as elements with their attributes, its text, and its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.source = text
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.inside: list[str] = []
        self.text = ""
        self.parts: dict[str, list[str]] = {"script": [], "style": []}
        self.feed(text)
        assert self.inside == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.inside.append(tag)
        if tag in self.parts:
            self.parts[tag].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.inside.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.inside and self.inside[-1] in self.parts:
            self.parts[self.inside[-1]][-1] += data
        else:
            self.text += data

    def all(self, tag: str, **wanted: str) -> list[dict[str, str | None]]:
        return [
            attributes
            for name, attributes in self.elements
            if name == tag and all(attributes.get(key) == value for key, value in wanted.items())
        ]

    @property
    def data(self) -> dict[str, Any]:
        found = unpack(self.parts["script"][0])
        assert isinstance(found, dict)
        return found


def unpack(text: str) -> Any:
    return json.loads(zlib.decompress(base64.b64decode(text)))


def page_of(comparison: Comparison, **look: Any) -> Page:
    return Page(build(gather(comparison), Look(**look)))


@pytest.fixture(scope="module")
def page(sample: Sample) -> Page:
    return page_of(sample(6))


def changed(comparison: Comparison, **changes: Any) -> Comparison:
    """The same comparison with its first cell changed."""
    first = replace(comparison.cells[0], **changes)
    return replace(comparison, cells=(first, *comparison.cells[1:]))


# The page


def test_the_questions_of_columns_are_listed_by_name(sample: Sample) -> None:
    comparison = sample(1)
    settings = replace(comparison.settings, target={"a cat": 0, "dog": 1, "why": "top2"})
    page = page_of(replace(comparison, settings=settings))
    assert 'evidence for "a cat", "dog" and "why".' in page.text


def test_every_image_and_column_is_in_the_page(page: Page, sample: Sample) -> None:
    comparison = sample(6)
    assert len(page.all("div", role="row")) == 1 + 6
    assert len(page.all("div", role="gridcell")) == 6 * 3
    assert len(page.all("div", role="columnheader")) == 1 + 3
    photos = [each for each in page.all("img") if str(each["src"]).startswith("data:image/webp")]
    assert len(photos) == 6
    for image, photo in zip(comparison.images, photos, strict=True):
        assert image.name in page.text
        assert str(photo["alt"]).startswith(f"Photo {image.name}; one predicts class ")
    assert page.all("html", lang="en")
    assert page.all("h1")
    assert [name for name, _ in page.elements].count("main") == 1


def test_every_table_has_a_caption_and_scoped_headers(page: Page) -> None:
    assert len(page.all("table")) == len(page.all("caption")) > 3
    assert all(each.get("scope") in ("row", "col") for each in page.all("th"))


def test_the_scoreboard_is_that_of_the_summary(page: Page, sample: Sample) -> None:
    comparison = sample(6)
    summary = comparison.summary()
    for table in summary.contents("").tables:
        for label, cells in table.rows():
            assert label in page.text
            for cell in cells:
                assert cell.text in page.text
                assert cell.interval in page.text
    for note in (*summary.notes, *summary.findings()):
        assert note in page.text
    for value in comparison.agreement().ravel():
        assert f"{value:z.2f}" in page.text


def test_what_was_left_out_is_printed(sample: Sample) -> None:
    skipped = (Skipped("broken.jpg", "the file is <empty>"),)
    assert "broken.jpg: the file is <empty>" in page_of(replace(sample(2), skipped=skipped)).text


def test_a_page_says_how_it_was_made(demo: Comparison) -> None:
    page = page_of(demo)
    for text in (effcam.__version__, "torch", "grad-cam", "Python", "demo_alexnet.safetensors"):
        assert text in page.text
    assert page.text.count("128 x 128") >= 2
    assert len(page.all("time")) == 2


@pytest.mark.parametrize(
    ("places", "cells", "measured"),
    [
        ((None, None, None), "-", "-"),
        (((16, 16), (0, 0), None), "16 px apart, not 21.3", "-"),
        (((128 / 6, 128 / 6), (0, 0), (0, 0)), "21.3 px apart", "+0 px"),
        (((16, 8), (0, 0), None), "16 x 8 px apart, not 21.3", "-"),
        (((16, 16), (-5.44, 3), (-5.44, 3)), "16 px apart, not 21.3", "-5.44 x +3 px"),
        (((16, 16), (0, 0), (-5.44, 3)), "16 px apart, not 21.3", "-5.44 x +3 px, not applied"),
    ],
)
def test_the_table_of_models_says_where_other_placements_would_lay_the_cells(
    demo: Comparison, places: tuple[Any, Any, Any], cells: str, measured: str
) -> None:
    pitch, offset, known = places
    first = replace(demo.facts[0], pitch=pitch, offset=offset, measured_offset=known)
    assert (first.grid, first.input_size) == ((6, 6), (128, 128))
    shown = facts_text(first.record())
    assert (shown["cells"], shown["measured offset"]) == (cells, measured)
    text = page_of(replace(demo, facts=(first, *demo.facts[1:]))).text
    assert cells in text
    assert measured in text


@pytest.mark.parametrize(
    ("images", "columns", "title"),
    [
        (1, ("one",), "What 1 model looks at in 1 image"),
        (3, ("one", "two"), "What 2 models look at in 3 images"),
    ],
)
def test_a_title_says_what_is_compared(
    sample: Sample, images: int, columns: tuple[str, ...], title: str
) -> None:
    page = page_of(sample(images, columns))
    assert page.text.count(title) == 2
    several = len(columns) > 1
    for each in ("disagreements", "sort"):
        assert (each in {element.get("id") for _, element in page.elements}) == (
            several or each == "sort"
        )
    assert ("matrix" in {each.get("class") for each in page.all("table")}) == several


def test_methods_and_models_make_columns() -> None:
    models = {"a": "demo_alexnet", "b": "demo_resnet"}
    comparison = effcam.compare(
        scenes(2, 1), models, method=["gradcam", "layercam"], progress=False
    )
    page = page_of(comparison)
    assert [each["label"] for each in page.data["columns"]] == list(comparison.columns)
    assert "What 2 models look at in 2 images, 4 ways" in page.text
    assert "gradcam and layercam find evidence" in page.text
    python, *_ = snippets_for(comparison)
    assert "{'a': 'demo_alexnet', 'b': 'demo_resnet'}" in python.code
    assert "method=['gradcam', 'layercam']" in python.code


# The script's data


def test_data_are_those_of_the_cells(page: Page, sample: Sample) -> None:
    comparison = sample(6)
    pairs = gather(comparison).pairs
    for at, (image, row) in enumerate(zip(page.data["images"], comparison.rows(), strict=True)):
        assert image["name"] == row[0].image.name
        assert image["size"] == list(row[0].size)
        assert image["truth"] == f"class {at % 4}"
        np.testing.assert_allclose(
            np.array(image["boxes"]) * [*row[0].size, *row[0].size], [[20, 20, 60, 70]], atol=1e-3
        )
        np.testing.assert_allclose(
            image["pairs"], [pairs[at, 0, 1], pairs[at, 0, 2], pairs[at, 1, 2]], atol=6e-4
        )
        for found, cell in zip(image["cells"], row, strict=True):
            levels = np.frombuffer(base64.b64decode(found["map"]), np.uint8).reshape(found["shape"])
            heat = found["low"] + levels / 255 * (found["high"] - found["low"])
            np.testing.assert_allclose(heat, cell.heatmap, atol=np.ptp(cell.heatmap) / 500)
            scale = [*cell.size, *cell.size]
            np.testing.assert_allclose(
                np.array(found["extent"]) * scale, cell.canvas.as_tuple(), atol=1e-3
            )
            np.testing.assert_allclose(
                np.array(found["region"]) * scale, cell.region.as_tuple(), atol=1e-3
            )
            assert found["predicted"][:2] == [cell.predicted, cell.predicted_label]
            assert found["predicted"][2] == pytest.approx(cell.predicted_probability, abs=1e-5)
            assert found["explained"] == [cell.label, cell.explained]
            assert found["flags"] == list(cell.flags)
            assert found["right"] is (cell.predicted == at % 4)
            assert 0 < found["focus"] <= 1


def test_colours_are_those_of_the_tables(page: Page, sample: Sample) -> None:
    assert list(page.data["colormaps"]) == list(COLORMAPS)
    other = page_of(sample(1), colormap="jet", alpha=0.25).data
    assert list(other["colormaps"]) == ["jet", *COLORMAPS]
    assert (other["colormap"], other["alpha"]) == ("jet", 0.25)
    for name, text in other["colormaps"].items():
        assert base64.b64decode(text) == colormap_table(name).tobytes()


def test_photos_are_as_large_as_a_cell(sample: Sample) -> None:
    comparison = sample(2)
    large = (
        ImageRef("wide", Image.new("RGB", (3000, 1000))),
        ImageRef("tall", Image.new("RGB", (500, 4000))),
    )
    cells = [
        replace(cell, image=large[at // 3], size=large[at // 3].source.size)
        for at, cell in enumerate(comparison.cells)
    ]
    data = page_of(replace(comparison, images=large, cells=tuple(cells))).data
    assert [each["photo"] for each in data["images"]] == [[SIDE, 80], [38, TALLEST]]


def test_maps_that_are_not_numbers_are_left_out(sample: Sample) -> None:
    broken = np.full((7, 7), np.nan, np.float32)
    comparison = changed(sample(2), heatmap=broken, state="nan", predicted_probability=float("nan"))
    page = page_of(comparison)
    found = page.data["images"][0]["cells"][0]
    assert (found["map"], found["low"], found["high"], found["focus"]) == (None,) * 4
    assert found["predicted"][2] is None
    assert page.data["images"][0]["pairs"][0] is None
    assert "not a number" in page.text
    assert "NaN" not in page.parts["script"][0]


def test_maps_without_evidence_are_kept(sample: Sample) -> None:
    page = page_of(changed(sample(2), heatmap=np.zeros((7, 7), np.float32), state="flat"))
    found = page.data["images"][0]["cells"][0]
    assert set(base64.b64decode(found["map"])) == {0}
    assert (found["low"], found["high"], found["flags"]) == (0, 0, ["flat"])
    assert "no positive evidence" in page.text


def test_a_map_keeps_its_range() -> None:
    text, low, high = quantise(np.array([[1, 2], [3, 6]], np.float32))
    assert list(base64.b64decode(str(text))) == [0, 51, 102, 255]
    assert (low, high) == (1, 6)


def test_where_no_label_is_known_nothing_is_right_or_wrong(sample: Sample) -> None:
    comparison = sample(2)
    unknown = tuple(replace(image, truth=None) for image in comparison.images)
    page = page_of(replace(comparison, images=unknown))
    ids = {element.get("id") for _, element in page.elements}
    assert "mistakes" not in ids
    assert {cell["right"] for image in page.data["images"] for cell in image["cells"]} == {None}


# Escaping


def test_names_stay_text(sample: Sample) -> None:
    comparison = sample((EVIL, "b.jpg"), ("one", EVIL))
    comparison = changed(comparison, predicted_label=EVIL, label=EVIL, target_layer=EVIL)
    comparison = replace(
        comparison, skipped=(Skipped(EVIL, EVIL),), settings=Settings(method=(EVIL,), view=EVIL)
    )
    page = page_of(comparison, title=EVIL)
    assert [each for each in page.all("img") if "onerror" in each] == []
    assert len(page.parts["script"]) == 2
    assert page.data["images"][0]["name"] == EVIL
    assert page.data["columns"][1]["label"] == EVIL
    assert page.text.count(EVIL) > 10
    assert not re.search("[<>&\u2028\u2029]", page.parts["script"][0])


def test_nothing_runs_or_loads_but_what_the_policy_names(page: Page) -> None:
    (policy,) = [each["content"] for each in page.all("meta") if "http-equiv" in each]
    rules = dict(rule.split(" ", 1) for rule in str(policy).split("; "))
    script, style = page.parts["script"][1], page.parts["style"][0]
    assert rules == {
        "default-src": "'none'",
        "img-src": "data:",
        "script-src": digest(script),
        "style-src": digest(style),
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert [name for _, each in page.elements for name in each if name.startswith("on")] == []
    assert [each for _, each in page.elements if "style" in each] == []


def digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_nothing_is_fetched(page: Page) -> None:
    addresses = [
        str(each[name])
        for _, each in page.elements
        for name in ("src", "href", "action", "data", "poster", "srcset")
        if name in each
    ]
    assert addresses
    assert [each for each in addresses if not each.startswith(("data:", "#"))] == []
    assert not re.search(r"https?:|url\(|@import|fetch\(|XMLHttp|innerHTML", page.source)


def test_names_that_are_not_unicode_can_be_written(sample: Sample, tmp_path: Path) -> None:
    path = sample(("\udcff.jpg",), ("one",)).report(tmp_path / "report.html")
    assert Page(path.read_text(encoding="utf-8")).data["images"][0]["name"] == "\udcff.jpg"


def test_data_ends_no_script() -> None:
    assert re.fullmatch(r"[A-Za-z0-9+/=]+", pack([EVIL]))
    assert unpack(pack([EVIL, 1.5, None])) == [EVIL, 1.5, None]
    with pytest.raises(ValueError, match="not JSON compliant"):
        pack(float("nan"))


# Size


def test_a_page_of_35_images_and_5_models_is_a_few_hundred_kilobytes(demo: Comparison) -> None:
    names = [f"{at:02}.png" for at in range(35)]
    rows = [list(demo.rows())[at % 7] for at in range(35)]
    images = [replace(row[0].image, name=name) for name, row in zip(names, rows, strict=True)]
    many = replace(
        demo,
        images=tuple(images),
        cells=tuple(
            replace(cell, image=image)
            for image, row in zip(images, rows, strict=True)
            for cell in row
        ),
    )
    text = build(gather(many), Look())
    assert 100_000 < len(text.encode()) < 800_000
    # Each photo is there once, and everything else takes less than half.
    photos = re.findall("data:image/webp;base64,[^\"']*", text)
    assert len(photos) == 35
    assert len(text) < 2 * sum(map(len, photos))


def test_many_photos_have_a_lower_quality_than_few() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, 120, 160, 3), np.uint8)
    few = tuple(ImageRef(str(at), Image.fromarray(each)) for at, each in enumerate(noise))
    assert choose_quality(few) == QUALITIES[0]
    found = [choose_quality(few * times) for times in (25, 30, 35, 1000)]
    assert found == sorted(found, reverse=True)
    assert (found[0], found[-1]) == (QUALITIES[0], QUALITIES[-1])
    assert QUALITIES[-1] < found[1] < QUALITIES[0]


# Writing it


def test_a_report_is_saved_by_its_suffix(sample: Sample, tmp_path: Path) -> None:
    comparison = sample(2)
    for name in ("a.html", "b.HTM"):
        path = comparison.save(tmp_path / name, alpha=0.75, colormap="magma")
        data = Page(path.read_text(encoding="utf-8")).data
        assert (data["alpha"], data["colormap"]) == (0.75, "magma")
        assert data["images"][0]["cells"][0]["right"] is True
    for style in ("width", "seconds"):
        with pytest.raises(ArgumentError, match=f"{style} has no meaning for a .html file"):
            comparison.save(tmp_path / "a.html", **{style: 100})  # type: ignore[arg-type]


def test_what_is_given_of_the_images_is_in_the_report(sample: Sample, tmp_path: Path) -> None:
    path = sample(2).report(
        tmp_path / "a.html",
        labels=[3, None],
        boxes={"000.jpg": (0, 0, 60, 40)},
        title="Mine & theirs",
        fair=False,
    )
    page = Page(path.read_text(encoding="utf-8"))
    first, second = page.data["images"]
    assert (first["truth"], second["truth"]) == ("class 3", "class 1")
    assert first["boxes"] == [[0, 0, 0.5, 0.5]]
    assert first["cells"][0]["right"] is False
    assert "Mine & theirs" in page.text
    assert "comparison.report('report.html', labels=labels, boxes=boxes)" in page.text


def test_a_report_measures_as_the_summary_does(sample: Sample, tmp_path: Path) -> None:
    comparison = sample(5)
    fair = Page(comparison.report(tmp_path / "a.html").read_text(encoding="utf-8"))
    assert "every figure but accuracy uses 4 of them" in fair.text
    every = Page(comparison.report(tmp_path / "a.html", fair=False).read_text(encoding="utf-8"))
    assert "every figure but accuracy" not in every.text


@pytest.mark.parametrize(
    ("name", "options", "complaint"),
    [
        ("a.png", {}, "unknown suffix '.png'"),
        ("a", {}, "has no suffix"),
        ("no/a.html", {}, "there is no folder"),
        ("a.html", {"alpha": 2}, "opacity from 0 to 1, not 2"),
        ("a.html", {"alpha": "x"}, "opacity from 0 to 1, not 'x'"),
        ("a.html", {"colormap": "tubro"}, "Did you mean 'turbo'"),
        ("a.html", {"title": " "}, "title must be a text that is not empty"),
        ("a.html", {"title": 3}, "title must be a text that is not empty, not 3"),
    ],
)
def test_impossible_options_of_a_report_are_refused(
    sample: Sample, tmp_path: Path, name: str, options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises((OutputError, ArgumentError), match=complaint):
        sample(1).report(tmp_path / name, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_report_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="holds no images"):
        Comparison((), ("one",), ()).report(tmp_path / "a.html")


def test_a_photo_that_is_gone_is_named(sample: Sample, tmp_path: Path) -> None:
    comparison = sample(1, ("one",))
    gone = ImageRef("gone.png", tmp_path / "gone.png")
    comparison = replace(comparison, images=(gone,))
    with pytest.raises(ImageError, match=r"gone\.png"):
        changed(comparison, image=gone).report(tmp_path / "a.html")
    assert list(tmp_path.iterdir()) == []


def test_truths_are_one_each(sample: Sample) -> None:
    with pytest.raises(ArgumentError, match="1 truths for 2 images"):
        gather(sample(2), truths=[Truth()])


@pytest.mark.slow
def test_jinja_is_loaded_by_reports_alone() -> None:
    code = "import sys, effcam.api; assert 'jinja2' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# Code that makes it again


def test_calls_make_the_same_comparison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "it's $HOME"
    folder.mkdir()
    for at, scene in enumerate(scenes(2, 5)):
        scene.image.save(folder / f"{at}.png")
    monkeypatch.chdir(tmp_path)
    models = {"a model": "demo_alexnet", "demo_resnet": "demo_resnet"}
    comparison = effcam.compare(folder, models, view="whole", target=3, progress=False)
    python, line = snippets_for(comparison)
    run: dict[str, Any] = {}
    exec(python.code, run)  # noqa: S102 - it is to run
    assert repr(str(folder)) in python.code
    assert run["comparison"].columns == comparison.columns
    for one, other in zip(run["comparison"], comparison, strict=True):
        np.testing.assert_allclose(one.heatmap, other.heatmap, atol=1e-6)
    assert Path("report.html").is_file()
    Path("report.html").unlink()
    words = shlex.split(line.code.replace("\\\n", ""))
    assert words[:2] == ["effcam", "compare"]
    assert main([words[1], "-q", *words[2:]]) == 0
    page = Page(Path("report.html").read_text(encoding="utf-8"))
    assert [image["name"] for image in page.data["images"]] == ["0.png", "1.png"]
    assert page.data["images"][0]["cells"][0]["explained"][0] == comparison[0, 0].label


@pytest.mark.parametrize(
    "target",
    [
        Contrast("fish", "star", strength=0.5),
        Sum("fish", 3),
        {"top1": "top1", "fish - star": Contrast("fish", "star")},
        {"a": "fish"},
        ["fish", Contrast(0, [1, 2])],
    ],
)
def test_calls_ask_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: Any) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for at, scene in enumerate(scenes(2, 5)):
        scene.image.save(f"photos/{at}.png")
    comparison = effcam.compare("photos", "demo_alexnet", target=target, progress=False)
    python, *line = snippets_for(comparison)
    run: dict[str, Any] = {}
    exec(python.code, run)  # noqa: S102 - it is to run
    assert run["comparison"].columns == comparison.columns
    for one, other in zip(run["comparison"], comparison, strict=True):
        np.testing.assert_allclose(one.heatmap, other.heatmap, atol=1e-6)
    # Names of one's own, and targets of single images, have no place on a command line.
    assert bool(line) == (target not in ({"a": "fish"}, ["fish", Contrast(0, [1, 2])]))
    if line:
        words = shlex.split(line[0].code.replace("\\\n", ""))
        assert main([words[1], "-q", *words[2:]]) == 0
        page = Page(Path("report.html").read_text(encoding="utf-8"))
        assert page.data["images"][0]["cells"][0]["explained"][0] == comparison[0, 0].label


def test_single_files_are_listed(tmp_path: Path) -> None:
    for at in range(3):
        Image.new("RGB", (40, 40), (90 * at, 0, 0)).save(tmp_path / f"{at}.png")
    files = [tmp_path / "2.png", tmp_path / "0.png"]
    comparison = effcam.compare(files, "demo_alexnet", progress=False)
    python, line = snippets_for(comparison)
    assert str(files[0]) in python.code
    assert shlex.split(line.code.replace("\\\n", ""))[-3:] == ["--", *map(str, files)]


def test_models_that_are_not_names_are_shown_as_such(sample: Sample) -> None:
    comparison = sample(1, ("one", "two"))
    python, *rest = snippets_for(changed(comparison, model="Net\nx", weights="as given"))
    assert rest == []
    assert "'one': ...,  # Net x, a module of yours" in python.code
    assert "'two': effcam.ModelSpec('demo_two', pretrained=False)" in python.code
    assert "The images came from memory" in python.note
    ast.parse(python.code)
    python, *_ = snippets_for(changed(comparison, model="resnet50", weights="best.pt"))
    assert "effcam.ModelSpec('resnet50', checkpoint='best.pt')" in python.code
    # A registered name is no architecture: a spec of it would be refused.
    python, *_ = snippets_for(changed(comparison, model="demo_resnet", weights="best.pt"))
    assert "effcam.load_model('demo_resnet', checkpoint='best.pt')" in python.code


def test_a_class_an_image_has_no_command_line(sample: Sample, tmp_path: Path) -> None:
    comparison = sample(1, ("one",))
    settings = replace(comparison.settings, target=("cat",))
    file = ImageRef("a.png", tmp_path / "a.png")
    comparison = replace(comparison, images=(file,), settings=settings)
    python, *rest = snippets_for(comparison)
    assert rest == []
    assert "target='cat'" in python.code
    assert snippets_for(replace(comparison, settings=Settings()))[1].title == "Command line"


# The small plots


def test_a_histogram_counts_every_image() -> None:
    bars = histogram(np.array([0, 0.01, 0.5, 1.34, np.nan, -0.1]))
    assert sum(bar.images for bar in bars) == 5
    assert bars[0].images == 3
    assert bars[-1].stop == 1.4
    assert max(bar.height for bar in bars) == bars[0].height
    assert histogram(np.array([np.nan])) == ()


def test_a_plot_goes_from_the_lowest_to_the_highest_end() -> None:
    area = Figure("effective_area", "effective area", "focus", "lower", "%")
    measure = Measure(
        figure=area,
        values=np.array([0.3, np.nan, 0.2]),
        low=np.array([0.25, np.nan, 0.1]),
        high=np.array([0.5, np.nan, 0.3]),
        baselines={"uniform": 0.9},
    )
    (plot,) = plots(Summary(columns=("a", "b", "c"), images=2, used=2, measures=(measure,)))
    first, second, third = plot.dots
    assert (plot.start, plot.stop) == ("10.0", "90.0")
    assert (third.low, plot.baselines[0][2]) == (EDGE, WIDTH - EDGE)
    assert first.x == pytest.approx(EDGE + (WIDTH - 2 * EDGE) / 4, abs=0.1)
    assert (second.text, second.interval, second.x) == ("-", "", None)
    assert plot.baselines[0][:2] == ("uniform", "90.0 %")


def test_one_value_stands_in_the_middle() -> None:
    measure = Measure(figure=Figure("accuracy", "accuracy", "model"), values=np.array([0.5]))
    (plot,) = plots(Summary(columns=("a",), images=1, used=1, measures=(measure,)))
    assert plot.dots[0].x == WIDTH / 2
    assert (plot.start, plot.stop) == ("", "")


def test_a_matrix_has_a_colour_a_value() -> None:
    ((one, two, three),) = matrix(np.array([[1, np.nan, -0.4]]))
    assert (one.text, one.step) == ("1.00", 31)
    assert two.step is None
    assert (three.text, three.step) == ("-0.40", 0)


def test_numbers_stand_out_from_their_colour() -> None:
    for back, ink in re.findall("background:#(.{6});color:#(.{3})", matrix_style()):
        assert contrast(back, ink * 2) >= 4.5


def contrast(one: str, other: str) -> float:
    """As WCAG 2 defines it."""

    def luminance(text: str) -> float:
        parts = [int(text[at : at + 2], 16) / 255 for at in (0, 2, 4)]
        red, green, blue = (
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


# Calibration, confused classes, and published results


@pytest.fixture(scope="module")
def many() -> Comparison:
    return confused()


def test_a_reliability_plot_has_a_dot_for_each_bin(many: Comparison) -> None:
    summary = many.summary()
    one, two = reliability_plots(summary.calibration)
    assert (one.label, two.label) == ("A", "B")
    bins = summary.calibration["A"].bins
    for dot, each in zip(one.dots, bins, strict=True):
        assert dot.x == pytest.approx(8 + 134 * each.confidence, abs=0.1)
        assert dot.y == pytest.approx(142 - 134 * each.accuracy, abs=0.1)
        assert dot.low is not None
        assert dot.high is not None
        assert dot.high <= dot.y <= dot.low
    assert one.error.startswith(f"ECE {100 * summary.calibration['A'].error:.1f} % [")
    same = dict.fromkeys(("a", "b"), summary.calibration["A"])
    assert [plot.label for plot in reliability_plots(same)] == ["a, b"]


def test_confused_classes_lead_to_their_pictures(many: Comparison, tmp_path: Path) -> None:
    page = Page(many.report(tmp_path / "report.html").read_text(encoding="utf-8"))
    links = page.all("a", **{"class": "example"})
    assert [(each["href"], each["data-column"]) for each in links] == [
        (f"#image-{at}", "0") for at in (0, 3, 6, 9)
    ]
    assert page.text.count("most confused") == 1
    assert "20 of 60" in page.text
    assert "On the dashed line both are equal" in page.text
    few = Page(many.take(range(3)).report(tmp_path / "few.html").read_text(encoding="utf-8"))
    assert "most confused" not in few.text
    assert "On the dashed line" not in few.text


def test_a_page_of_some_images_links_to_those_it_has(many: Comparison) -> None:
    material = gather(many.take([1, 3]), summary=many.summary())
    (pair,) = confused_pairs(material)
    assert [(each.image, each.name) for each in pair.links] == [(1, "3.png")]
    (pair,) = confused_pairs(gather(many.take([1]), summary=many.summary()))
    assert pair.links == ()


def test_published_results_are_on_the_page_and_in_its_code(tmp_path: Path) -> None:
    speed = tmp_path / "benchmark-infer-x.csv"
    speed.write_text("model,infer_img_size,infer_samples_per_sec\ntest_resnet,64,1234\n")
    model = effcam.ModelSpec("test_resnet", pretrained=False)
    photo = Image.new("RGB", (64, 64), "red")
    found = effcam.compare(photo, {"a": model}, size=64, progress=False)
    path = found.report(tmp_path / "report.html", results=speed)
    page = Page(path.read_text(encoding="utf-8"))
    assert "images/s (x)" in page.text
    assert "1234" in page.text
    assert "results=results)" in page.text


# The command line, and dataset runs


def test_the_command_line_puts_what_it_is_given_into_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for at, scene in enumerate(scenes(3, 5)):
        scene.image.save(tmp_path / f"{at}.png")
    (tmp_path / "labels.json").write_text(json.dumps({"0.png": 0, "1.png": 1}))
    page = tmp_path / "page.html"
    given = [
        "compare",
        str(tmp_path),
        "-m",
        "demo_alexnet",
        "--labels",
        str(tmp_path / "labels.json"),
    ]
    assert main([*given, "-o", str(page), "-o", str(tmp_path / "grid.png")]) == 0
    out = capsys.readouterr().out
    assert f"wrote {page} (3 images x 1 column)" in out
    assert out.index("wrote") < out.index("accuracy") < out.index(f"wrote {page}")
    data = Page(page.read_text(encoding="utf-8")).data
    assert [type(image["cells"][0]["right"]) for image in data["images"]] == [
        bool,
        bool,
        type(None),
    ]
    assert (
        main(["compare", str(tmp_path / "0.png"), "-m", "demo_alexnet", "-o", str(page), "-q"]) == 0
    )
    assert len(Page(page.read_text(encoding="utf-8")).data["images"]) == 1


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    (folder / "photos").mkdir()
    for at, scene in enumerate(scenes(9, 5)):
        scene.image.save(folder / "photos" / f"{at}.png")
    (folder / "photos" / "bad.png").write_bytes(b"no image")
    models = {"a": "demo_alexnet", "b": "demo_resnet"}
    effcam.compare_dataset(folder / "photos", models, folder / "both", shard_size=4, progress=False)
    effcam.compare_dataset(
        folder / "photos", {"a": "demo_alexnet"}, folder / "alone", shard_size=4, progress=False
    )
    return folder


def test_a_run_is_reported_by_what_columns_differ_in_most(run_folder: Path, tmp_path: Path) -> None:
    run = effcam.open_run(run_folder / "both")
    labels = {f"{at}.png": 0 for at in range(9)}
    path = run.report(tmp_path / "report.html", n=3, labels=labels, title="A run")
    page = Page(path.read_text(encoding="utf-8"))
    names = [image["name"] for image in page.data["images"]]
    assert names == [image.name for image in run.most_disagreed(3).images]
    assert "3 of 10 images on which the columns differ most" in page.text
    summary = run.summary(labels=labels)
    assert summary.contents("").opening in page.text
    speed = tmp_path / "benchmark-infer-x.csv"
    speed.write_text("model,infer_img_size,infer_samples_per_sec\na,64,1234\n")
    published = run.report(tmp_path / "published.html", results=speed)
    assert "images/s (x)" in published.read_text(encoding="utf-8")
    assert page.data["images"][0]["cells"][0]["right"] in (True, False)
    assert f"{run.agreement()[0, 1]:.2f}" in page.text
    assert "run.report('report.html', n=3, labels=labels)" in page.text
    everything = run.report(tmp_path / "all.html")
    assert len(Page(everything.read_text(encoding="utf-8")).data["images"]) == 9


def test_a_run_of_one_column_is_reported_by_what_it_is_least_confident_of(
    run_folder: Path, tmp_path: Path
) -> None:
    run = effcam.open_run(run_folder / "alone")
    page = Page(run.report(tmp_path / "report.html", n=2).read_text(encoding="utf-8"))
    shares = {cell.image.name: cell.predicted_probability for cell in run.comparison()}
    assert [image["name"] for image in page.data["images"]] == sorted(
        shares, key=shares.__getitem__
    )[:2]
    assert "2 of 10 images of which it is least confident" in page.text


@pytest.mark.parametrize("n", [0, -1, 2.5, True, "3"])
def test_a_run_is_reported_by_at_least_one_image(run_folder: Path, tmp_path: Path, n: Any) -> None:
    run = effcam.open_run(run_folder / "both")
    with pytest.raises(ArgumentError, match=f"n must be a whole number from 1, not {n!r}"):
        run.report(tmp_path / "report.html", n=n)
    with pytest.raises(OutputError, match="unknown suffix"):
        run.report(tmp_path / "report.png")


def test_the_code_names_a_function_of_the_users_own() -> None:
    def mine(activations: Any, gradients: Any) -> Any:
        return (activations * gradients).sum(1)

    methods: list[Any] = ["gradcam", mine]
    found = effcam.compare(scenes(1, size=64), "demo_resnet", method=methods, progress=False)
    (python,) = snippets_for(found)
    assert "method=['gradcam', mine]," in python.code
    assert "Define mine" in python.note

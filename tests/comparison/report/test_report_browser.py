"""The page of a comparison in a browser: drawing, use, accessibility."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from effcam import Comparison
from effcam.comparison.report.photos import small_photo
from effcam.metrics.agreement import least_agreed, pair_agreements
from tests.labelled import confused

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Locator, LocatorAssertions, Page

pytestmark = pytest.mark.browser

Sample = Callable[..., Comparison]
EVIL = "</script><img src=x onerror=\"document.title='hit'\">"
HEATS = "canvas.heat"
SHOWN = "#grid .row:not([hidden])"


@pytest.fixture(scope="session")
def comparison(sample: Sample) -> Comparison:
    return sample(12)


@pytest.fixture(scope="session")
def report(comparison: Comparison, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return comparison.report(tmp_path_factory.mktemp("page") / "report.html")


def expect(locator: Locator) -> LocatorAssertions:
    """A condition of an element, checked until it holds."""
    from playwright.sync_api import expect as of

    return of(locator)


class Visit:
    """An open page, with its requests and console errors."""

    def __init__(self, browser: Browser, **context: Any) -> None:
        size = {"width": 1200, "height": 900}
        self.context: BrowserContext = browser.new_context(**{"viewport": size, **context})
        self.page: Page = self.context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def go(self, path: Path, fragment: str = "") -> Page:
        self.page.goto(path.as_uri() + fragment)
        return self.page


@pytest.fixture
def visit(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Visit]:
    opened = Visit(browser, **getattr(request, "param", {}))
    yield opened
    opened.context.close()


@pytest.fixture
def page(visit: Visit, report: Path) -> Page:
    opened = visit.go(report)
    show_pictures(opened)
    return opened


def show_pictures(page: Page) -> None:
    """Scroll to the pictures and wait until the first row is drawn."""
    page.evaluate("document.querySelector('#pictures').scrollIntoView({behavior: 'instant'})")
    page.wait_for_selector(f".row {HEATS}")
    settle(page)


def settle(page: Page) -> None:
    """Wait until the next frames are drawn."""
    page.evaluate(
        "async () => { for (const _ of Array(12)) await new Promise(requestAnimationFrame); }"
    )


def names(page: Page) -> list[str]:
    return page.locator(f"{SHOWN} .open bdi").all_text_contents()


def pixels(locator: Locator) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A screenshot of an element, (height, width, 3)."""
    with Image.open(io.BytesIO(locator.screenshot())) as picture:
        return np.asarray(picture.convert("RGB"))


def canvas_pixels(page: Page, selector: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The pixels of a canvas element, (height, width, 4)."""
    found = page.evaluate(
        """selector => {
          const canvas = document.querySelector(selector);
          const { width, height } = canvas;
          const data = canvas.getContext("2d").getImageData(0, 0, width, height).data;
          return [height, width, ...data];
        }""",
        selector,
    )
    return np.array(found[2:], np.uint8).reshape(found[0], found[1], 4)


# It loads


def test_it_says_nothing_and_asks_for_nothing(visit: Visit, report: Path) -> None:
    page = visit.go(report)
    show_pictures(page)
    page.locator(".open").first.click()
    page.wait_for_selector("#large canvas.heat")
    page.keyboard.press("Escape")
    assert visit.said == []
    assert [each for each in visit.asked if not each.startswith("data:")] == [report.as_uri()]


def test_names_stay_text(visit: Visit, sample: Sample, tmp_path: Path) -> None:
    comparison = sample((EVIL, "b.jpg"), ("one", EVIL))
    cells = tuple(replace(cell, predicted_label=EVIL, label=EVIL) for cell in comparison)
    path = replace(comparison, cells=cells).report(tmp_path / "evil.html", title=EVIL)
    page = visit.go(path)
    show_pictures(page)
    page.locator(".c1 .pic").first.hover()
    assert EVIL in page.locator("#readout").inner_text()
    page.locator(".open").first.click()
    page.wait_for_selector("#large canvas.heat")
    assert page.locator("#large-title").inner_text() == EVIL
    assert page.locator("h1").inner_text() == EVIL
    assert page.title() == EVIL
    assert page.locator("img[onerror]").count() == 0
    assert visit.said == []


@pytest.mark.parametrize("visit", [{"java_script_enabled": False}], indirect=True)
def test_without_scripts_photos_and_tables_are_there(visit: Visit, report: Path) -> None:
    page = visit.go(report)
    assert "scripts are turned off" in page.locator("body").inner_text()
    assert page.locator("#bar").is_hidden()
    assert page.locator(".row img").first.is_visible()
    assert page.locator(".row .cap").nth(1).inner_text()
    assert page.locator(".figures").first.is_visible()


def test_a_browser_too_old_to_unpack_the_data_shows_the_page_as_without_scripts(
    visit: Visit, report: Path
) -> None:
    visit.page.add_init_script("delete window.DecompressionStream")
    page = visit.go(report)
    page.wait_for_selector("#too-old")
    assert "needs a browser of 2023 or later" in page.locator("#too-old").inner_text()
    assert page.locator("#bar").is_hidden()
    assert page.locator(".row img").first.is_visible()
    assert page.locator(".figures").first.is_visible()
    assert any("DecompressionStream" in each for each in visit.said)


# Drawing


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_cells_look_as_effcam_draws_them(
    page: Page, comparison: Comparison, at: int, place: int
) -> None:
    page.locator(f"#image-{at}").scroll_into_view_if_needed()
    cell = f"#image-{at} .c{place}"
    page.wait_for_selector(f"{cell} {HEATS}")
    explanation = comparison[at, place]
    base = canvas_pixels(page, f"{cell} canvas.base")[..., :3].astype(float)
    heat = canvas_pixels(page, f"{cell} {HEATS}").astype(float)
    opacity = (
        heat[..., 3:]
        / 255
        * float(
            page.locator(f"{cell} {HEATS}").evaluate("canvas => getComputedStyle(canvas).opacity")
        )
    )
    seen = base * (1 - opacity) + heat[..., :3] * opacity
    # The photo of the page, after lossy compression.
    photo = small_photo(explanation.image)
    expected = np.asarray(explanation.over(photo, alpha=0.5, colormap="turbo"), float)
    assert seen.shape == expected.shape
    error = np.abs(seen - expected)
    assert error.mean() < 3
    # With the same photo below, the heat above is the same.
    stored = Image.fromarray(photo_of(page, at))
    exact = np.asarray(explanation.over(stored, alpha=0.5, colormap="turbo"), float)
    error = np.abs(seen - exact)
    assert error.mean() < 0.7
    assert np.quantile(error, 0.999) <= 6


def photo_of(page: Page, at: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The photo of a row as the browser decodes it, (height, width, 3)."""
    found = page.evaluate(
        """at => {
          const image = document.querySelector(`#image-${at} img`);
          const canvas = document.createElement("canvas");
          const [width, height] = [image.naturalWidth, image.naturalHeight];
          Object.assign(canvas, { width, height });
          const context = canvas.getContext("2d");
          context.drawImage(image, 0, 0);
          return [height, width, ...context.getImageData(0, 0, width, height).data];
        }""",
        at,
    )
    return np.array(found[2:], np.uint8).reshape(found[0], found[1], 4)[..., :3].copy()


def test_maps_without_evidence_have_a_badge(visit: Visit, sample: Sample, tmp_path: Path) -> None:
    comparison = sample(1, ("one", "two"))
    flat, nan = (
        replace(cell, heatmap=np.full((7, 7), value, np.float32), state=state)
        for cell, value, state in zip(comparison.cells, (0, np.nan), ("flat", "nan"), strict=True)
    )
    path = replace(comparison, cells=(flat, nan)).report(tmp_path / "a.html")
    page = visit.go(path)
    page.wait_for_selector(".row canvas.base")
    assert page.locator(HEATS).count() == 0
    assert page.locator(".row .badge").all_text_contents() == [
        "no positive evidence",
        "not a number",
    ]
    page.locator(".c1 .pic").hover()
    assert "not a number" in page.locator("#readout").inner_text()
    grey = canvas_pixels(page, ".c0 canvas.base").astype(int)
    assert np.ptp(grey[..., :3], axis=-1).max() == 0
    assert visit.said == []


@pytest.mark.core
def test_opacity_colours_and_heat_change_what_is_seen(page: Page) -> None:
    cell = page.locator("#image-0 .c0 .pic")
    page.mouse.move(0, 0)
    before = pixels(cell)
    page.locator("#alpha").fill("100")
    settle(page)
    opaque = pixels(cell)
    page.locator("#map").select_option("viridis")
    settle(page)
    other = pixels(cell)
    page.keyboard.press("Escape")
    page.locator("#count").click()
    page.keyboard.press("h")
    settle(page)
    bare = pixels(cell)
    for one, two in ((before, opaque), (opaque, other), (other, bare), (before, bare)):
        assert np.abs(one.astype(int) - two).mean() > 3
    assert not page.locator("#heat").is_checked()
    page.locator("#heat").check()
    page.locator("#map").select_option("turbo")
    page.locator("#alpha").fill("50")
    settle(page)
    assert np.abs(pixels(cell).astype(int) - before).mean() < 3


def test_rows_are_drawn_where_they_are_seen(visit: Visit, sample: Sample, tmp_path: Path) -> None:
    many = sample(500, ("one", "two", "three", "four", "five"))
    page = visit.go(many.report(tmp_path / "many.html"))
    show_pictures(page)
    drawn = page.locator(HEATS).count()
    assert 10 <= drawn <= 100
    page.locator(".row").nth(400).evaluate("row => row.scrollIntoView({behavior: 'instant'})")
    page.wait_for_selector(f"#image-400 {HEATS}")
    settle(page)
    assert page.locator(HEATS).count() <= 100
    assert page.locator(f"#image-0 {HEATS}").count() == 0
    page.locator("#find").fill("499.jpg")
    settle(page)
    assert names(page) == ["499.jpg"]
    page.wait_for_selector(f"#image-499 {HEATS}")
    page.locator("#find").fill("")
    page.locator("#sort").select_option("disagreement")
    settle(page)
    assert len(names(page)) == 500
    assert visit.said == []


def test_a_link_to_the_pictures_opens_no_menu(page: Page) -> None:
    page.locator('nav a[href="#pictures"]').click()
    settle(page)
    assert page.url.endswith("#pictures")
    assert page.locator("details[open].menu").count() == 0


@pytest.mark.parametrize("section", ["figures", "making"])
def test_links_lead_past_rows_that_were_never_drawn(
    visit: Visit, sample: Sample, tmp_path: Path, section: str
) -> None:
    page = visit.go(sample(60).report(tmp_path / "report.html"))
    page.locator(f'nav a[href="#{section}"]').click()
    # Rows get their real height when they scroll by, which may differ from the estimate.
    page.wait_for_timeout(700)
    top = page.evaluate("id => document.getElementById(id).getBoundingClientRect().top", section)
    at_end = page.evaluate("scrollY + innerHeight >= document.documentElement.scrollHeight - 2")
    assert 0 <= top < 200 or (at_end and 0 <= top < 900)


# Filters and order


def values(comparison: Comparison, sort: str) -> list[float]:
    rows = list(comparison.rows())
    if sort == "confidence":
        return [float(np.mean([cell.predicted_probability for cell in row])) for row in rows]
    right = [[cell.predicted == at % 4 for cell in row] for at, row in enumerate(rows)]
    return [float(np.mean(each)) for each in right]


@pytest.mark.parametrize("sort", ["confidence", "correctness"])
def test_images_are_sorted(page: Page, comparison: Comparison, sort: str) -> None:
    page.locator("#sort").select_option(sort)
    settle(page)
    given = [image.name for image in comparison.images]
    known = values(comparison, sort)
    order = sorted(range(12), key=lambda at: known[at])
    assert names(page) == [given[at] for at in order]
    page.locator("#down").click()
    settle(page)
    order = sorted(range(12), key=lambda at: -known[at])
    assert names(page) == [given[at] for at in order]
    assert page.locator("#down").get_attribute("aria-pressed") == "true"


def test_images_are_sorted_by_disagreement(page: Page, comparison: Comparison) -> None:
    page.locator("#sort").select_option("disagreement")
    page.locator("#down").click()
    settle(page)
    order = least_agreed(pair_agreements(tuple(comparison.rows()), "spearman"))
    assert names(page) == [comparison.images[at].name for at in order]
    # The order is that of the two visible columns.
    page.locator(".menu summary").click()
    page.locator(".column").nth(1).uncheck()
    settle(page)
    left = [(row[0], row[2]) for row in comparison.rows()]
    order = least_agreed(pair_agreements(left, "spearman"))
    assert names(page) == [comparison.images[at].name for at in order]


def test_focus_sorts_by_the_area_of_heat(page: Page, comparison: Comparison) -> None:
    from effcam.comparison.report import gather

    page.locator("#sort").select_option("focus")
    settle(page)
    order = np.argsort(gather(comparison).focus.mean(1), kind="stable")
    assert names(page) == [comparison.images[at].name for at in order]


@pytest.mark.core
def test_images_are_filtered(page: Page, comparison: Comparison) -> None:
    count = page.locator("#count")
    assert count.inner_text() == "12 of 12 images shown"
    page.locator("#mistakes").check()
    settle(page)
    wrong = ["000.jpg", "005.jpg", "010.jpg"]
    assert names(page) == wrong
    assert count.inner_text() == "3 of 12 images shown"
    page.locator("#mistakes").uncheck()
    page.locator("#disagreements").check()
    settle(page)
    assert names(page) == wrong
    page.locator("#find").fill("CLASS 4")
    settle(page)
    assert names(page) == [
        image.name
        for image, row in zip(comparison.images, comparison.rows(), strict=True)
        if any("class 4" in cell.predicted_label for cell in row)
    ]
    page.locator("#find").fill("nothing at all")
    settle(page)
    assert names(page) == []
    page.locator("#again").click()
    settle(page)
    assert len(names(page)) == 12
    page.locator("#flag").select_option("border")
    settle(page)
    assert names(page) == [
        image.name
        for image, row in zip(comparison.images, comparison.rows(), strict=True)
        if any("border" in cell.flags for cell in row)
    ]
    page.locator("#reset").click()
    settle(page)
    assert len(names(page)) == 12


def test_columns_are_hidden_but_the_last(page: Page) -> None:
    page.locator(".menu summary").click()
    boxes = page.locator(".column")
    boxes.nth(0).uncheck()
    boxes.nth(2).uncheck()
    settle(page)
    assert page.locator("#image-0 .c0").is_hidden()
    assert page.locator("#image-0 .c1").is_visible()
    assert boxes.nth(1).is_disabled()
    boxes.nth(0).check()
    settle(page)
    assert page.locator(f"#image-0 .c0 {HEATS}").is_visible()
    assert boxes.nth(1).is_enabled()
    page.keyboard.press("Escape")
    assert boxes.nth(1).is_hidden()
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"


def test_a_view_is_in_the_address(visit: Visit, page: Page, report: Path) -> None:
    page.locator("#sort").select_option("confidence")
    page.locator("#down").click()
    page.locator("#alpha").fill("80")
    page.locator("#map").select_option("gray")
    page.locator("#find").fill("class 1 & 2")
    page.locator("#find").fill("class 1")
    page.locator("#theme").click()
    page.locator(".menu summary").click()
    page.locator(".column").nth(1).uncheck()
    settle(page)
    order, address = names(page), page.url
    assert len(order) < 12
    other = visit.context.new_page()
    other.goto(address)
    show_pictures(other)
    assert names(other) == order
    assert other.locator("#alpha").input_value() == "80"
    assert other.locator("#map").input_value() == "gray"
    assert other.locator("html").get_attribute("data-theme") == "light"
    assert other.locator("#image-1 .c1").is_hidden()
    other.locator("#reset").click()
    settle(other)
    assert other.url.removesuffix("#") == report.as_uri() + "#theme=light"
    other.evaluate("location.hash = '#sort=confidence'")
    settle(other)
    assert other.locator("#sort").input_value() == "confidence"


@pytest.mark.parametrize(
    "fragment", ["#sort=x&map=y&alpha=900&hide=0,1,2&theme=z", "#hide=9&alpha=x", "#figures", "#%"]
)
def test_a_broken_address_is_the_usual_view(visit: Visit, report: Path, fragment: str) -> None:
    page = visit.go(report, fragment)
    show_pictures(page)
    assert len(names(page)) == 12
    assert page.locator("#alpha").input_value() == "50"
    assert page.locator("#image-0 .c0").is_visible()
    assert visit.said == []


# The heat at a point


@pytest.mark.parametrize("place", [0, 1, 2])
def test_heat_is_read_off(page: Page, comparison: Comparison, place: int) -> None:
    pic = page.locator(f"#image-0 .c{place} .pic")
    box = pic.bounding_box()
    assert box
    explanation = comparison[0, place]
    width, height = explanation.size
    heat, evidence = explanation.upsampled(), explanation.evidence(width, height)
    for x, y in ((0.5, 0.5), (0.31, 0.62), (0.72, 0.33)):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        text = page.locator("#readout").inner_text()
        found = re.search(r"heat (\d\.\d+) \((\S+)\)", text)
        assert found, text
        column, row = int(x * width), int(y * height)
        near = heat[row - 1 : row + 2, column - 1 : column + 2]
        assert near.min() - 0.02 <= float(found[1]) <= near.max() + 0.02
        assert float(found[1]) == pytest.approx(float(heat[row, column]), abs=0.05)
        assert float(found[2]) == pytest.approx(float(evidence[row, column]), abs=0.05)
        assert f"predicts {explanation.predicted_label}" in text
    assert page.locator("#image-0 .point").count() == 4
    page.mouse.move(2, 2)
    assert page.locator("#readout").is_hidden()
    assert page.locator(".point").count() == 0


def test_what_was_not_seen_has_no_heat(page: Page) -> None:
    page.locator("#image-0 .c1 .pic").hover(position={"x": 3, "y": 3})
    assert "not seen by the model" in page.locator("#readout").inner_text()


# Keyboard


def test_everything_is_reached_by_keyboard(page: Page) -> None:
    page.locator("#reset").focus()
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("Enlarge 000.jpg")
    page.keyboard.press("Enter")
    page.wait_for_selector("#large canvas.heat")
    title, place = page.locator("#large-title"), page.locator("#large-place")
    assert (title.inner_text(), place.inner_text()) == ("000.jpg", "1 of 12")
    page.keyboard.press("ArrowRight")
    expect(place).to_have_text("2 of 12")
    assert title.inner_text() == "001.jpg"
    page.keyboard.press("ArrowLeft")
    expect(place).to_have_text("1 of 12")
    page.keyboard.press("ArrowLeft")
    settle(page)
    assert title.inner_text() == "000.jpg"
    page.keyboard.press("Escape")
    assert page.locator("#large").is_hidden()
    assert page.evaluate("document.activeElement.closest('.row').id") == "image-0"


def test_the_enlarged_view_keeps_to_the_order(page: Page) -> None:
    page.locator("#sort").select_option("confidence")
    page.locator("#mistakes").check()
    settle(page)
    order = names(page)
    page.locator(f"{SHOWN} .pic").first.click()
    page.wait_for_selector("#large canvas.heat")
    for name in order:
        expect(page.locator("#large-title")).to_have_text(name)
        page.locator("#next").press("ArrowRight")
    assert page.locator("#large figure").count() == 4
    assert page.locator("#large .box").count() == 1
    page.locator("#close").click()
    # The browser moves the focus a moment after the click.
    expect(page.locator(":focus")).to_have_text(f"Enlarge {order[-1]}")


def test_enlarged_heat_is_read_off_in_every_column(page: Page) -> None:
    page.locator(".open").first.click()
    page.wait_for_selector("#large canvas.heat")
    page.locator("#large .pic").nth(1).hover()
    settle(page)
    here = page.locator("#large .here").all_text_contents()
    assert len(here) == 3
    assert all(re.match(r"heat here \d\.\d\d \(", each) for each in here)
    small = page.locator("#image-0 .c0 canvas.heat").first
    large = page.locator("#large canvas.heat").first
    wide = "canvas => canvas.width"
    assert large.evaluate(wide) > 2 * small.evaluate(wide)


def test_arrows_go_from_cell_to_cell(page: Page, comparison: Comparison) -> None:
    page.locator(".open").first.focus()
    page.keyboard.press("ArrowRight")
    settle(page)
    said = page.locator("#announcement").inner_text()
    peak = re.match(r"one: heat (\d\.\d+) ", said)
    assert peak, said
    assert float(peak[1]) > 0.95
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Shift+ArrowRight")
    assert page.locator("#announcement").inner_text() != said
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.className") == "cell c1"
    assert page.evaluate("document.activeElement.parentNode.id") == "image-1"
    page.keyboard.press("Enter")
    page.wait_for_selector("#large canvas.heat")
    assert page.locator("#large-title").inner_text() == comparison.images[1].name


def test_a_call_is_copied(visit: Visit, page: Page) -> None:
    visit.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator(".copy").first.click()
    expect(page.locator(".copy").first).to_have_text("Copied")
    code = page.locator("pre code").first.inner_text()
    assert page.evaluate("navigator.clipboard.readText()") == code
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(Error('no')); }")
    expect(page.locator(".copy").first).to_have_text("Copy")
    page.locator(".copy").first.click()
    expect(page.locator(".copy").first).to_have_text(re.compile("Copied|Ctrl"))
    assert page.evaluate("getSelection().toString()").strip() == code.strip()


# Print, phones and accessibility


@pytest.mark.parametrize("visit", [{"viewport": {"width": 390, "height": 844}}], indirect=True)
def test_a_phone_shows_a_picture_at_once_and_figures_on_demand(visit: Visit, report: Path) -> None:
    page = visit.go(report)
    page.wait_for_selector(f".row {HEATS}")
    top = page.evaluate("document.querySelector('.row .pic').getBoundingClientRect().top")
    assert top < 844 * 0.75
    overview = page.locator("#overview .card").first
    assert not overview.is_visible()
    link = page.locator("nav a[href='#overview']")
    link.click()
    expect(overview).to_be_visible()
    page.locator("#overview summary").click()
    expect(overview).not_to_be_visible()
    # The address is the same as before.
    link.click()
    expect(overview).to_be_visible()
    assert visit.said == []


@pytest.mark.parametrize("visit", [{"viewport": {"width": 390, "height": 844}}], indirect=True)
def test_an_address_opens_its_section_on_a_phone(visit: Visit, report: Path) -> None:
    page = visit.go(report, "#overview")
    expect(page.locator("#overview .card").first).to_be_visible()


@pytest.mark.parametrize(
    "visit",
    [{"viewport": {"width": width, "height": 900}} for width in (1280, 1440, 1441, 1920)],
    indirect=True,
    ids=lambda context: context["viewport"]["width"],
)
def test_no_strip_of_rows_shows_beside_or_above_the_headings(visit: Visit, report: Path) -> None:
    page = visit.go(report)
    assert page.locator("#overview .card").first.is_visible()
    show_pictures(page)
    page.evaluate("document.querySelectorAll('.row')[2].scrollIntoView({behavior: 'instant'})")
    page.mouse.wheel(0, 120)
    page.wait_for_timeout(300)
    place = """name => {
        const { left, right, top, bottom } = document.querySelector(name).getBoundingClientRect();
        return [left, right, top, bottom];
    }"""
    bar, heads = page.evaluate(place, "#bar"), page.evaluate(place, ".heads")
    width = page.evaluate("document.documentElement.clientWidth")
    assert heads[0] <= 0
    assert heads[1] >= width
    assert heads[2] <= bar[3] - 0.5
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    shown = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"), int)
    # Beside the headings there is only the page's own colour.
    middle = round((heads[2] + heads[3]) / 2)
    assert np.ptp(shown[middle - 8 : middle + 8, width - 20 : width - 2], axis=(0, 1)).max() == 0


@pytest.mark.parametrize("visit", [{"viewport": {"width": 1300, "height": 800}}], indirect=True)
def test_names_beside_plots_are_whole(page: Page) -> None:
    lines = """(element, name) => {
        element.innerHTML = name;
        return element.getClientRects().length && element.offsetHeight / 17;
    }"""
    label = page.locator(".plot th bdi").first
    assert label.evaluate(lines, "densenet") < 1.5
    assert label.evaluate(lines, "mobilenet_v2") < 1.5
    assert 1.5 < label.evaluate(lines, "efficientnet_<wbr>lite0") < 2.5


def test_paper_has_no_controls_and_all_rows(page: Page) -> None:
    page.locator("#figures summary").click()
    page.emulate_media(media="print")
    for hidden in ("#bar", "nav", ".copy", "#keys"):
        assert page.locator(hidden).first.is_hidden()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    settle(page)
    assert page.locator(f".row {HEATS}").count() == 12 * 3
    assert page.locator("#figures table").first.is_visible()
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert min(map(int, re.findall(r"\d+", background)[:3])) > 240
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    expect(page.locator("#figures table").first).to_be_hidden()


@pytest.mark.parametrize("visit", [{"viewport": {"width": 390, "height": 800}}], indirect=True)
def test_a_phone_shows_all_without_scrolling_sideways(page: Page) -> None:
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 390
    assert page.locator("#panel > *").first.is_hidden()
    page.locator("#more").click()
    assert page.locator("#sort").is_visible()
    assert page.locator("#more").get_attribute("aria-expanded") == "true"
    assert page.locator("#image-0 .tag").nth(1).inner_text() == "one"


@pytest.mark.parametrize(
    "visit",
    [
        pytest.param({"color_scheme": "light"}, id="light"),
        pytest.param({"color_scheme": "dark"}, id="dark"),
        pytest.param({"viewport": {"width": 390, "height": 800}}, id="phone"),
    ],
    indirect=True,
)
@pytest.mark.parametrize("enlarged", [False, True])
def test_the_page_is_accessible(page: Page, enlarged: bool) -> None:
    if enlarged:
        page.locator(".open").first.click()
        page.wait_for_selector("#large canvas.heat")
    assert grave_violations(page) == []


def grave_violations(page: Page) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        axe = pytest.importorskip(
            "axe_playwright_python.sync_playwright", reason="axe-playwright-python is missing"
        )
    # The page's policy forbids other scripts, so this one is injected from outside.
    found = axe.Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {node['html'][:200]} {node.get('failureSummary')}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


@pytest.mark.parametrize("visit", [{"color_scheme": "dark"}], indirect=True)
def test_the_page_follows_the_theme_of_the_system_by_default(page: Page) -> None:
    def brightness() -> int:
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return max(map(int, re.findall(r"\d+", colour)[:3]))

    assert brightness() < 60
    page.locator("#theme").click()
    settle(page)
    assert brightness() > 200
    page.locator("#theme").click()
    settle(page)
    assert brightness() < 60


# Confused classes


@pytest.fixture(scope="session")
def confusing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return confused().report(tmp_path_factory.mktemp("confusing") / "report.html")


def test_an_example_of_confused_classes_opens_its_image(visit: Visit, confusing: Path) -> None:
    page = visit.go(confusing)
    example = page.locator(".example").nth(1)
    example.scroll_into_view_if_needed()
    expect(page.locator(".example.drawn")).to_have_count(4)
    assert example.locator("canvas.heat").count() == 1
    page.locator("#find").fill("nothing has this name")
    expect(page.locator(SHOWN)).to_have_count(0)
    example.click()
    expect(page.locator("#large-title")).to_have_text("3.png")
    expect(page.locator("#large-place")).to_have_text("4 of 120")
    page.keyboard.press("Escape")
    assert example.evaluate("link => link === document.activeElement")
    assert visit.said == []


@pytest.mark.parametrize(
    "visit",
    [
        pytest.param({"color_scheme": "dark"}, id="dark"),
        pytest.param({"viewport": {"width": 390, "height": 800}}, id="phone"),
    ],
    indirect=True,
)
def test_a_page_with_calibration_is_accessible_and_fits(visit: Visit, confusing: Path) -> None:
    page = visit.go(confusing)
    page.evaluate("document.querySelectorAll('section > details').forEach(d => d.open = true)")
    page.locator(".example").first.scroll_into_view_if_needed()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert grave_violations(page) == []

"""The live page in a real browser: use, limits, refusals, files, accessibility."""

from __future__ import annotations

import ast
import datetime
import io
import json
import re
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from effcam.app.limits import Limits

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Frame, Page

    from effcam.app.server import LivePage

pytestmark = [
    pytest.mark.integrations,
    pytest.mark.browser,
    # Gradio 6.31 with Starlette 1.0 and newer asks for an argument that Starlette has renamed.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:gradio"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:starlette"),
]

SECOND = 1000  # ms
LIMITS = Limits(photos=3, models=5, photo_megabytes=0.5, checkpoint_megabytes=1, waiting=1)
EVIL = "<img src=x onerror=\"document.title='hit'\">${6*7}{{value}}"


@pytest.fixture(scope="module")
def live() -> Iterator[LivePage]:
    pytest.importorskip("gradio", reason="gradio is not installed")
    from effcam.app import launch

    with launch(limits=LIMITS, browser=False, port=7900) as page:
        yield page


class Visit:
    """One visitor of the live page, with the requests and errors of their browser."""

    def __init__(self, browser: Browser, url: str, **context: Any) -> None:
        size = {"width": 1280, "height": 900}
        self.context: BrowserContext = browser.new_context(**{"viewport": size, **context})
        self.context.set_default_timeout(15 * SECOND)
        self.page: Page = self.context.new_page()
        self.asked: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(url)
        self.button("Compare").wait_for()
        # The components are there a moment before what they call is.
        self.page.wait_for_timeout(SECOND)

    def button(self, name: str) -> Any:
        return self.page.get_by_role("button", name=name, exact=True)

    def compare(self) -> str:
        """Press Compare and return what is said at the end."""
        mark = "nodes => nodes.forEach(node => node.classList.add('earlier'))"
        self.page.locator("#eff-status :is(.eff-done, .eff-problem)").evaluate_all(mark)
        self.button("Compare").click()
        ended = "#eff-status :is(.eff-done, .eff-problem):not(.earlier)"
        return self.page.wait_for_selector(ended, timeout=60 * SECOND).inner_text()

    def report(self) -> Frame:
        """The frame of the report, when its first heat is drawn."""
        self.page.wait_for_function("document.querySelector('#eff-frame iframe')?.src")
        handle = self.page.wait_for_selector("#eff-frame iframe")
        frame = handle.content_frame()
        assert frame is not None
        frame.wait_for_selector(".row canvas.heat")
        return frame

    def upload(self, *files: Path | dict[str, Any]) -> None:
        self.page.locator("#eff-images").get_by_text("Your photos").click()
        field = self.page.locator("#eff-photos input[type=file]")
        field.set_input_files(list(files))
        self.page.locator("#eff-photos .file-preview").wait_for()

    def choose(self, *models: str) -> None:
        """Choose these models alone, as a visitor does: by typing."""
        self.page.locator("#eff-models .remove-all").click()
        field = self.page.locator("#eff-models input")
        for name in models:
            field.fill(name)
            self.page.get_by_role("option", name=name, exact=True).click()
        field.press("Escape")

    def close(self) -> None:
        self.context.close()


@pytest.fixture
def visit(browser: Browser, live: LivePage, request: pytest.FixtureRequest) -> Iterator[Visit]:
    opened = Visit(browser, live.url, **getattr(request, "param", {}))
    yield opened
    opened.close()


def photo(name: str, size: tuple[int, int] = (96, 64), *, turned: bool = False) -> dict[str, Any]:
    """A photo to upload; turned by its EXIF orientation, so that it is shown upright."""
    stream = io.BytesIO()
    rng = np.random.default_rng(len(name))
    picture = Image.fromarray(rng.integers(0, 256, (*size[::-1], 3), dtype=np.uint8))
    exif = Image.Exif()
    if turned:
        exif[0x0112] = 6
    picture.save(stream, "JPEG", exif=exif)
    return {"name": name, "mimeType": "image/jpeg", "buffer": stream.getvalue()}


def opened(address: str | urllib.request.Request, timeout: float = 60) -> Any:
    """Open an address of the live page, without a browser."""
    return urllib.request.urlopen(address, timeout=timeout)  # noqa: S310  # it is on this machine


def files_of(live: LivePage) -> list[str]:
    """The names of all files that the page keeps."""
    return [each.name for each in live._store.folder.rglob("*") if each.is_file()]


def eventually(visit: Page, check: Callable[[], bool]) -> bool:
    """Whether a condition holds within ten seconds."""
    for _ in range(100):
        if check():
            return True
        visit.wait_for_timeout(100)
    return False


def test_demo_scenes_are_compared_and_downloaded(visit: Visit, tmp_path: Path) -> None:
    page = visit.page
    page.locator("#eff-scenes input[type=number]").fill("2")
    page.locator("#eff-scenes input[type=number]").press("Tab")
    assert re.match(r"2 scenes, 5 models, gradcam, in [\d.]+ s", visit.compare())
    frame = visit.report()
    assert frame.locator(".row").count() == 2
    assert frame.locator(".row").first.locator("canvas.heat").count() == 5
    assert not frame.locator(".menu[open]").count()

    cell = frame.locator("#image-0 .c0 .pic")
    cell.scroll_into_view_if_needed()
    before = np.asarray(Image.open(io.BytesIO(cell.screenshot())).convert("RGB"), int)
    frame.locator("#alpha").fill("100")
    page.wait_for_timeout(300)
    after = np.asarray(Image.open(io.BytesIO(cell.screenshot())).convert("RGB"), int)
    assert np.abs(before - after).mean() > 3

    # Its links lead to sections, not out of the frame.
    frame.locator('nav a[href="#figures"]').click()
    page.wait_for_timeout(300)
    assert frame.url.startswith("blob:")

    found = {}
    for name in ("GIF", "PNG", "report"):
        with page.expect_download() as download:
            visit.button(f"Download {name}").click()
        found[name] = tmp_path / download.value.suggested_filename
        download.value.save_as(found[name])
    with Image.open(found["GIF"]) as picture:
        assert (picture.format, picture.n_frames) == ("GIF", 2)
    with Image.open(found["PNG"]) as picture:
        assert picture.format == "PNG"
    assert "temp" not in (text := found["report"].read_text(encoding="utf-8"))[:20]
    assert "effcam.demo.scenes(2, seed=0)" in text.replace("&#39;", "'")
    code = page.locator("#eff-code pre").inner_text()
    assert "effcam.demo.scenes(2, seed=0)" in code
    ast.parse(code)
    assert visit.errors == []


def test_nothing_is_asked_of_other_hosts(visit: Visit, live: LivePage) -> None:
    assert "5 models" in visit.compare()
    visit.report()
    own = (live.url, "data:", f"blob:{live.url}")
    assert [each for each in visit.asked if not each.startswith(own)] == []


def test_photos_are_uploaded_and_upright(visit: Visit) -> None:
    visit.upload(photo("wide.jpg"), photo("turned.jpg", turned=True))
    assert "mean" in visit.page.locator("#eff-model-note").inner_text()
    visit.choose("demo_resnet")
    assert visit.compare().startswith("2 photos, 1 model, gradcam")
    frame = visit.report()
    assert sorted(frame.locator(".open bdi").all_text_contents()) == ["turned.jpg", "wide.jpg"]
    shapes = frame.locator(".row img").evaluate_all(
        "images => images.map(i => [i.alt, i.naturalWidth > i.naturalHeight])"
    )
    wide = {name: shape for name in ("wide", "turned") for alt, shape in shapes if name in alt}
    assert wide == {"wide": True, "turned": False}
    code = visit.page.locator("#eff-code pre").inner_text()
    assert re.search(r"\['(wide|turned)\.jpg', '(wide|turned)\.jpg'\]", code)
    assert "effcam-app" not in code


def test_files_that_are_refused(visit: Visit) -> None:
    note = visit.page.locator("#eff-photo-note [role=alert]")
    visit.upload(*(photo(f"{at}.jpg") for at in range(4)))
    note.wait_for()
    assert note.inner_text().startswith("4 photos are too many: at most 3")
    assert "too many" in visit.compare()
    visit.page.locator("#eff-photos button[aria-label=Clear]").click()
    large = {**photo("a.jpg"), "name": "large.jpg", "buffer": bytes(600_000)}
    visit.upload(large)
    note.wait_for()
    assert note.inner_text() == "large.jpg has 0.6 MB: at most 0.5 MB are accepted"
    visit.page.locator("#eff-photos button[aria-label=Clear]").click()
    visit.upload({**photo("a.jpg"), "name": "words.jpg", "buffer": b"no picture"})
    assert note.count() == 0
    said = visit.compare()
    assert "image 'words.jpg': the file is not an image" in said
    assert "effcam-app" not in said


def upload_weights(visit: Visit, path: Path | dict[str, Any], architecture: str) -> None:
    visit.page.locator("#eff-own > button").click()
    visit.page.locator("#eff-checkpoints input[type=file]").set_input_files([path])
    visit.page.locator("#eff-checkpoints .file-preview").wait_for()
    field = visit.page.locator("#eff-architecture input")
    # Key by key, as a visitor does: Gradio shows all names to whoever enters the field at once.
    field.press_sequentially(architecture, delay=20)
    visit.page.get_by_role("option", name=architecture, exact=True).click()


def test_a_checkpoint_of_ones_own_is_a_column(visit: Visit) -> None:
    from effcam.demo.models import WEIGHTS

    visit.choose("demo_alexnet")
    upload_weights(visit, WEIGHTS / "demo_resnet.safetensors", "demo_resnet")
    assert "2 models" in visit.compare()
    frame = visit.report()
    assert frame.locator("#image-0 canvas.heat").count() == 2
    code = visit.page.locator("#eff-code pre").inner_text()
    assert "'demo_resnet (2)'" not in code
    assert "'demo_resnet': " in code


def test_a_checkpoint_that_holds_code_is_not_opened(visit: Visit) -> None:
    import torch

    stream = io.BytesIO()
    torch.save(datetime.date(2026, 1, 1), stream)
    file = {"name": "mine.pth", "mimeType": "application/x", "buffer": stream.getvalue()}
    visit.choose("demo_alexnet")
    upload_weights(visit, file, "demo_resnet")
    said = visit.compare()
    assert "checkpoint 'mine.pth' holds more than tensors (datetime.date)" in said


def test_published_weights_are_announced_and_their_error_is_shown(visit: Visit) -> None:
    visit.choose("resnet18")
    note = visit.page.locator("#eff-model-note")
    note.get_by_text("Compare will download").wait_for()
    assert "resnet18 (about 47 MB)" in note.inner_text()
    said = visit.compare()
    assert "these weights are not on this machine" in said
    # The page still works.
    visit.choose("demo_resnet")
    assert "1 model" in visit.compare()


def test_enter_takes_the_model_that_is_typed(visit: Visit) -> None:
    visit.page.locator("#eff-models .remove-all").click()
    field = visit.page.locator("#eff-models input")
    for name in ("resnet50", "efficientnet_b0"):
        field.fill(name)
        visit.page.get_by_role("option", name=name, exact=True).wait_for()
        field.press("Enter")
    tokens = visit.page.locator("#eff-models .token")
    tokens.nth(1).wait_for()
    assert [text.strip() for text in tokens.all_inner_texts()] == ["resnet50", "efficientnet_b0"]


@pytest.mark.parametrize(
    "visit", [{"viewport": {"width": 390, "height": 640}}], indirect=True, ids=["phone"]
)
def test_nothing_is_drawn_over_the_button(visit: Visit) -> None:
    """The button stays at the bottom of the window, and fields pass below it."""
    layers = visit.page.evaluate(
        """() => [...document.querySelectorAll(".eff-controls *")]
          .filter(each => !each.closest(".eff-actions, .options"))
          .map(each => +getComputedStyle(each).zIndex || 0)"""
    )
    own = "+getComputedStyle(document.querySelector('.eff-actions')).zIndex"
    assert visit.page.evaluate(own) > max(layers) > 0


def test_texts_stay_text(visit: Visit) -> None:
    visit.page.get_by_text("By name", exact=True).click()
    visit.page.locator("#eff-class textarea, #eff-class input").fill(EVIL)
    visit.choose("demo_resnet")
    said = visit.compare()
    assert EVIL in said.replace("\\", "")
    assert visit.page.locator("img[onerror]").count() == 0
    assert "hit" not in visit.page.title()


def test_a_class_is_asked_for_by_name(visit: Visit) -> None:
    visit.page.get_by_text("By name", exact=True).click()
    visit.page.locator("#eff-class textarea, #eff-class input").fill("bone")
    visit.choose("demo_resnet")
    assert "1 model" in visit.compare()
    assert "target='bone'" in visit.page.locator("#eff-code pre").inner_text()


# What the page itself never sends


def ask_directly(live: LivePage, **changes: object) -> str:
    """Send values to Compare without the page, and return the last state of its status."""
    config = json.loads(opened(f"{live.url}config").read())
    button = next(
        each for each in config["components"] if each["props"].get("elem_id") == "eff-compare"
    )
    call = next(
        each
        for each in config["dependencies"]
        if [button["id"], "click"] in each["targets"] and each["inputs"]
    )
    values = {
        "images": "scenes", "scenes": 1, "photos": None, "models": ["demo_resnet"],
        "checkpoints": None, "architecture": None, "method": "gradcam", "question": "top",
        "class_name": "", **changes,
    }  # fmt: skip
    session = "abcdef123"
    body = {"data": list(values.values()), "fn_index": call["id"], "session_hash": session}
    request = urllib.request.Request(  # noqa: S310
        f"{live.url}gradio_api/queue/join",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    opened(request).read()
    address = f"{live.url}gradio_api/queue/data?session_hash={session}"
    with opened(address, timeout=60) as stream:
        for line in stream:
            message = json.loads(line.partition(b"data: ")[2] or b"{}")
            if message.get("msg") == "process_generating":
                shown = json.dumps(message["output"])
                if "alert" in shown:
                    return shown
            if message.get("msg") == "process_completed":
                return json.dumps(message["output"])
    raise AssertionError("the page did not answer")


def uploaded(path: object) -> list[dict[str, Any]]:
    return [{"path": path, "orig_name": "a.jpg", "meta": {"_type": "gradio.FileData"}}]


MANY = ["resnet18"] * 9 + ["resnet26", "resnet34", "resnet50", "vgg11", "vgg13"]
UPLOADS = "only files that were uploaded are accepted"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"models": ["hf-hub:someone/something"]}, "no model of this page is called"),
        ({"models": ["local-dir:/tmp"]}, "no model of this page is called"),
        ({"models": [{"a": 1}]}, "no model of this page is called"),
        ({"models": MANY}, "6 models are too many: at most 5"),
        ({"method": "__import__('os')"}, "this page has no method"),
        ({"scenes": 10**9}, "the number of scenes must be from 1 to 3"),
        ({"question": "else"}, "this page has no target"),
        ({"images": "photos", "photos": uploaded("/etc/hostname")}, UPLOADS),
        ({"images": "photos", "photos": uploaded(["x"])}, UPLOADS),
        ({"images": "photos", "photos": "/etc/hostname"}, '"error"'),
        ({"class_name": uploaded("/etc/hostname")}, UPLOADS),
    ],
)  # fmt: skip
def test_values_that_no_page_sends_are_refused(
    live: LivePage, changes: dict[str, object], said: str
) -> None:
    answer = ask_directly(live, **changes)
    assert said in answer


def test_paths_beside_the_uploads_are_refused(live: LivePage) -> None:
    folder = live._store.folder
    (folder / "runs" / "x").mkdir(exist_ok=True)
    for inside in (folder / "runs" / "x" / "a.jpg", folder / "a.jpg"):
        inside.write_bytes(b"here")
        assert "none of an upload" in ask_directly(
            live, images="photos", photos=uploaded(str(inside))
        )
        inside.unlink()
    outside = uploaded(str(folder / "x" / ".." / ".." / "a.jpg"))
    assert UPLOADS in ask_directly(live, images="photos", photos=outside)


def test_addresses_are_not_fetched(live: LivePage, monkeypatch: pytest.MonkeyPatch) -> None:
    from gradio import processing_utils

    fetched: list[object] = []
    for name in ("ssrf_protected_download", "async_ssrf_protected_download"):
        monkeypatch.setattr(processing_utils, name, lambda *given: fetched.append(given))
    for field in ("photos", "class_name"):
        changes: dict[str, object] = {field: uploaded("https://example.com/a.jpg")}
        assert UPLOADS in ask_directly(live, images="photos", **changes)
    assert fetched == []


def test_files_outside_are_not_served(live: LivePage, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    for path in (secret, Path(__file__), live._store.folder / ".." / "secret.txt"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            opened(f"{live.url}gradio_api/file={path}")
        assert refused.value.code in (403, 404)
        refused.value.close()


def test_no_function_is_offered_to_programs(live: LivePage) -> None:
    config = json.loads(opened(f"{live.url}config").read())
    assert {each["api_visibility"] for each in config["dependencies"]} == {"private"}
    info = json.loads(opened(f"{live.url}gradio_api/info").read())
    assert info == {"named_endpoints": {}, "unnamed_endpoints": {}}


# One at a time


def test_others_wait_and_a_comparison_is_cancelled(
    browser: Browser, live: LivePage, visit: Visit
) -> None:
    visit.page.locator("#eff-method input").fill("rise")
    visit.page.get_by_role("option", name=re.compile("^rise")).click()
    visit.button("Compare").click()
    visit.page.wait_for_selector(".eff-busy progress[value]", timeout=30 * SECOND)
    other = Visit(browser, live.url)
    other.button("Compare").click()
    waiting = other.page.locator(".eff-busy", has_text="Yours starts after 1 comparison")
    waiting.wait_for()
    third = Visit(browser, live.url)
    assert "please try again" in third.compare()
    third.close()
    other.button("Cancel").click()
    other.page.get_by_text("Cancelled", exact=True).wait_for()
    assert other.button("Compare").is_visible()
    other.close()
    visit.button("Cancel").click()
    visit.page.get_by_text("Cancelled", exact=True).wait_for()
    visit.page.reload()
    visit.button("Compare").wait_for()
    visit.page.wait_for_timeout(SECOND)
    assert "5 models" in visit.compare()


# Files


def test_files_go_with_their_visitor(browser: Browser, live: LivePage) -> None:
    visitor = Visit(browser, live.url)
    visitor.upload(photo("gone.jpg"))
    visitor.choose("demo_resnet")
    assert "1 photo" in visitor.compare()
    kept = files_of(live)
    assert {"gone.jpg", "effcam.gif", "effcam.png", "effcam_report.html"} <= set(kept)
    visitor.page.goto("about:blank")
    gone = eventually(visitor.page, lambda: not {"gone.jpg", "effcam.gif"} & set(files_of(live)))
    visitor.close()
    assert gone, files_of(live)


# How it looks


@pytest.mark.parametrize("visit", [{"viewport": {"width": 390, "height": 844}}], indirect=True)
def test_the_page_fits_a_phone(visit: Visit) -> None:
    wide = "document.documentElement.scrollWidth - innerWidth"
    assert visit.page.evaluate(wide) <= 0
    assert "5 models" in visit.compare()
    frame = visit.report()
    assert visit.page.evaluate(wide) <= 0
    assert frame.evaluate(wide) <= 0
    box = visit.page.locator("#eff-frame iframe").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_accessible(browser: Browser, live: LivePage, scheme: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        axe = pytest.importorskip(
            "axe_playwright_python.sync_playwright", reason="axe-playwright-python is missing"
        )
    visitor = Visit(browser, live.url, color_scheme=scheme)
    assert "5 models" in visitor.compare()
    visitor.report()
    visitor.page.locator("#eff-own > button").click()
    found = axe.Axe().run(visitor.page).response["violations"]
    grave = [
        f"{each['id']}: {node['html'][:300]} {node.get('failureSummary')}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]
    visitor.close()
    assert grave == []


def test_the_keyboard_is_enough(visit: Visit) -> None:
    page = visit.page
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "eff-compare":
            break
    assert page.evaluate("document.activeElement.id") == "eff-compare"
    page.keyboard.press("Enter")
    page.wait_for_selector("#eff-status .eff-done", timeout=60 * SECOND)


def test_a_closed_page_leaves_nothing(live: LivePage) -> None:
    """Stands last in the file: it closes the page of all tests."""
    folder = live._store.folder
    assert folder.is_dir()
    live.close()
    assert not folder.exists()
    with pytest.raises(urllib.error.URLError):
        opened(live.url, timeout=5)

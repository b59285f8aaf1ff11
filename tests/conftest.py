"""Fixtures of several test modules; those for all tests are in the conftest.py above."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from effcam import Comparison

REPOSITORY = Path(__file__).parents[1]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="session")
def data() -> Path:
    """Return the folder of real weights and photos; skip where there is none."""
    given = os.environ.get("EFFCAM_TEST_DATA")
    folder = Path(given) if given else REPOSITORY.parent / "shared" / "data"
    if not (folder / "expected.json").is_file():
        pytest.skip(f"no real weights and photos in {folder}: set EFFCAM_TEST_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The system's Chromium; skips where it or Playwright is missing."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"there is no browser: none of {', '.join(BROWSERS)}")
    # Chromium has no sandbox for the root user.
    alone = ["--no-sandbox"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
    with api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=alone)
        yield running
        running.close()


class Sampler(Protocol):
    """Maker of comparisons without models, whose maps are random."""

    def __call__(
        self, images: int | tuple[str, ...] = 4, columns: tuple[str, ...] = ..., *, seed: int = 0
    ) -> Comparison: ...


@pytest.fixture(scope="session")
def sample() -> Sampler:
    """Return a maker of comparisons to report: photos of three shapes, crops, padding and grids.

    Columns alternate: the first sees the whole image, the second a crop, of which its cells cover
    the middle, the third padding. Every fifth image has a label that the first column alone
    predicts.
    """
    from effcam import Box, Comparison, Explanation
    from effcam.images.refs import ImageRef
    from effcam.images.truth import Truth

    grids = ((7, 7), (4, 5), (14, 14))
    sizes = ((120, 80), (80, 120), (96, 96))

    def cell(image: ImageRef, column: str, at: int, place: int, rng: Any) -> Explanation:
        width, height = sizes[at % 3]
        frame = (
            Box(0, 0, width, height),
            Box(10, 8, width - 14, height - 6),
            Box(-12, -9, width + 12, height + 9),
        )[place % 3]
        probabilities = rng.uniform(0.05, 0.99, 2)
        return Explanation(
            image=image,
            column=column,
            model=f"demo_{column}",
            weights="random",
            method="gradcam",
            target_layer="features",
            target=at % 4,
            label=f"class {at % 4}",
            probability=float(probabilities[0]),
            predicted=at % 4 + (place if at % 5 == 0 else 0),
            predicted_label=f"class {at % 4 + (place if at % 5 == 0 else 0)}",
            predicted_probability=float(probabilities[1]),
            heatmap=rng.random(grids[place % 3], dtype=np.float32) ** 3,
            size=(width, height),
            region=frame.clip(width, height),
            canvas=Box(18, 12, width - 20, height - 9) if place % 3 == 1 else frame,
            frame=frame,
            state="ok",
        )

    def make(
        images: int | tuple[str, ...] = 4,
        columns: tuple[str, ...] = ("one", "two", "three"),
        *,
        seed: int = 0,
    ) -> Comparison:
        rng = np.random.default_rng(seed)
        names = images if isinstance(images, tuple) else [f"{at:03}.jpg" for at in range(images)]
        refs = []
        for at, name in enumerate(names):
            blobs = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
            photo = blobs.resize(sizes[at % 3], Image.Resampling.BICUBIC)
            refs.append(ImageRef(name, photo, Truth(label=at % 4, boxes=(Box(20, 20, 60, 70),))))
        cells = [
            cell(ref, column, at, place, rng)
            for at, ref in enumerate(refs)
            for place, column in enumerate(columns)
        ]
        return Comparison(tuple(refs), tuple(columns), tuple(cells))

    return make


@pytest.fixture(scope="session")
def demo() -> Comparison:
    """Return the comparison of seven scenes of the demo by its five models."""
    from effcam import compare
    from effcam.demo import MODELS, scenes

    return compare(scenes(7, 3), MODELS, progress=False)


class DemoPart(Protocol):
    """Maker of a comparison of the first scenes and some models, with given labels."""

    def __call__(self, scenes: int, columns: Mapping[str, str]) -> Comparison: ...


@pytest.fixture(scope="session")
def demo_part(demo: Comparison) -> DemoPart:
    """Take part of the comparison above instead of running the models again."""

    def part(scenes: int, columns: Mapping[str, str]) -> Comparison:
        places = [demo.columns.index(column) for column in columns.values()]
        cells = [
            replace(demo[at, place], column=label)
            for at in range(scenes)
            for label, place in zip(columns, places, strict=True)
        ]
        facts = tuple(demo.facts[place] for place in places)
        images, labels = demo.images[:scenes], tuple(columns)
        return replace(demo, images=images, columns=labels, cells=tuple(cells), facts=facts)

    return part


@pytest.fixture(scope="module")
def fuzz() -> Iterator[ModuleType]:
    """Return the fuzzer as a module; its worker loads files under limits."""
    spec = spec_from_file_location("fuzz", REPOSITORY / "tools" / "fuzz.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


# sources of published weights: the two caches, and a host on this machine


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache of the Hugging Face hub."""
    import huggingface_hub.constants

    folder = tmp_path / "hub"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder))
    return folder


@pytest.fixture
def torch_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the empty folder in which torch.hub keeps checkpoints."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Refuse and record attempts to connect to or look up a host, including this machine."""
    tried: list[Any] = []

    def refuse(*address: Any, **_: Any) -> None:
        tried.append(address)
        raise ConnectionError("no socket is to be used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return tried


class Host:
    """A web server on this machine: its responses by path, and the requests it received.

    It resolves a repository's revisions to the commits in ``commits``.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {"/": b"welcome"}
        self.commits: dict[str, str] = {}
        self.asked: list[str] = []
        self.status: int | None = None
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.answer(body=False)

            def do_GET(self) -> None:
                self.answer(body=True)

            def answer(self, *, body: bool) -> None:
                host.asked.append(f"{self.command} {self.path}")
                data = host.files.get(self.path)
                revision = self.path.partition("/resolve/")[2].partition("/")[0]
                self.send_response(host.status or (404 if data is None else 200))
                if data is None:
                    self.send_header("X-Error-Code", "EntryNotFound")
                self.send_header("X-Repo-Commit", host.commits.get(revision, COMMIT))
                self.send_header("ETag", f'"{hashlib.sha256(data or b"").hexdigest()}"')
                self.send_header("Content-Length", str(len(data or b"")))
                self.end_headers()
                if body:
                    self.wfile.write(data or b"")

            def log_message(self, *_: object) -> None:
                """Log nothing to stderr."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    running = Host()
    thread = threading.Thread(target=running.server.serve_forever, args=(0.01,))
    thread.start()
    yield running
    running.server.shutdown()
    thread.join()
    running.server.server_close()


@pytest.fixture
def hub(host: Host, hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """Return the host, in place of the Hugging Face hub."""
    from effcam.models import downloads

    assert not hub_cache.exists()
    monkeypatch.setattr(downloads, "_hub_address", lambda: host.address)
    return host

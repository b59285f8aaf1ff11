"""Fixtures of the command line's tests: photos, a runner, and a stand-in for `compare`."""

from __future__ import annotations

import importlib
import json
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from effcam import api
from effcam.cli import main
from effcam.demo import Scene, scenes
from tests.cli.commands import Done


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder ``photos`` of three photos, in the empty folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for position, (width, height) in enumerate([(96, 64), (64, 96), (80, 80)]):
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{position}.png")
    return folder


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run a command line in this process."""

    def run(*argv: object) -> Done:
        try:
            code = main([str(each) for each in argv])
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
        shown = capsys.readouterr()
        return Done(code, shown.out, shown.err)

    return run


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a command asks of `effcam.compare`, which is not run."""
    calls: dict[str, Any] = {}

    def compare(images: Any, models: Any, **options: Any) -> None:
        calls.update(images=images, models=models, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "compare", compare)
    return calls


@pytest.fixture
def module_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Write a module of the user's own into the current folder, and forgets it afterwards."""

    def write(name: str, text: str) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text), encoding="utf-8")
        monkeypatch.setitem(sys.modules, name, None)  # so that it is taken back
        del sys.modules[name]
        importlib.invalidate_caches()

    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return write


@pytest.fixture
def truths(photos: Path) -> list[Scene]:
    """Scenes in the place of the photos, and beside them files of what is known of them."""
    shown = scenes(3, 9_000, 96)
    for position, scene in enumerate(shown):
        scene.image.save(photos / f"{position}.png")
    Path("labels.csv").write_text(
        "image,label\n" + "".join(f"{at}.png,{each.label}\n" for at, each in enumerate(shown))
    )
    boxes = {f"{at}.png": list(each.box.as_tuple()) for at, each in enumerate(shown)}
    Path("boxes.json").write_text(json.dumps(boxes))
    Path("masks").mkdir()
    for position, scene in enumerate(shown):
        Image.fromarray(scene.mask).save(f"masks/{position}.png")
    return shown

"""Where the live page is served, and what the command says."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import pytest

from effcam.app import server
from effcam.app.limits import PUBLIC, Limits
from effcam.app.package import import_gradio
from effcam.app.server import find_port, launch
from effcam.cli import main
from effcam.errors import ArgumentError, ModelError, UnknownModelError


def test_without_gradio_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delenv("GRADIO_ANALYTICS_ENABLED", raising=False)
    with pytest.raises(ModelError, match=r"pip install 'effcam\[app\]'"):
        import_gradio()


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def test_a_port_that_is_taken_is_not_used(taken: int) -> None:
    port = find_port("127.0.0.1", taken)
    assert taken < port <= taken + server.TRIED
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_a_host_that_is_none_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"cannot listen on '192\.0\.2\.1'"):
        find_port("192.0.2.1", 7860)


def test_what_is_allowed_must_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", ModuleType("gradio"))
    with pytest.raises(UnknownModelError, match="resnet5"):
        launch(limits=Limits(allowed=("resnet5",)))
    with pytest.raises(ArgumentError, match="port must be"):
        launch(port=0)


class Stand:
    """Stands for a live page that is closed at once."""

    url, port = "http://127.0.0.1:7861/", 7861

    def __init__(self, asked: list[dict[str, Any]]) -> None:
        self.asked = asked

    def __call__(self, **options: Any) -> Stand:
        self.asked.append(options)
        return self

    def __enter__(self) -> Stand:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.asked.append({})

    def wait(self) -> None:
        raise KeyboardInterrupt


def test_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(server, "launch", Stand(asked))
    assert main(["app"]) == 130
    out, err = capsys.readouterr()
    assert out == "http://127.0.0.1:7861/  (Ctrl-C ends it)\n"
    assert "port 7860 is taken, the page is on port 7861" in err
    assert "others can reach" not in err
    usual = {"limits": Limits(), "host": "127.0.0.1", "port": 7860, "browser": True}
    assert asked == [usual, {}]
    options = ["--public", "--allow", "resnet18", "--photos", "3", "--models", "2"]
    server_options = ["--host", "0.0.0.0", "--port", "7861", "--no-browser"]  # noqa: S104
    assert main(["app", *options, *server_options, "--minutes", "5"]) == 130
    assert asked[2] == {
        "limits": replace(PUBLIC, allowed=("resnet18",), photos=3, models=2, minutes=5),
        "host": "0.0.0.0",  # noqa: S104
        "port": 7861,
        "browser": False,
    }
    err = capsys.readouterr().err
    assert "others can reach this page" in err
    assert "taken" not in err


def test_misuse_is_told_in_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stand: Callable[..., Stand] = Stand([])
    monkeypatch.setattr(server, "launch", stand)
    assert main(["app", "--minutes", "0"]) == 2
    assert "minutes must be more than 0, not 0.0" in capsys.readouterr().err

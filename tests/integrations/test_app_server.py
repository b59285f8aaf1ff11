"""The live page as a process of its own: the command, and the Space."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.integrations

SPACE = Path(__file__).parents[2] / "space"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def config_of(port: int, process: subprocess.Popen[str]) -> dict[str, Any]:
    """What the page consists of, as soon as it is served."""
    for _ in range(600):
        assert process.poll() is None, process.communicate()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/config", timeout=10) as answer:
                return dict(json.load(answer))
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.2)
    raise AssertionError("the page does not start")


@pytest.mark.parametrize(
    ("kind", "ended_by"),
    [("command", signal.SIGTERM), ("space", signal.SIGINT), ("space", signal.SIGTERM)],
)
def test_a_page_starts_and_leaves_nothing(
    kind: str, ended_by: signal.Signals, tmp_path: Path
) -> None:
    pytest.importorskip("gradio", reason="gradio is not installed")
    port = free_port()
    options = ["-m", "effcam", "app", "--no-browser", "--port", str(port)]
    server = {"GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port)}
    process = subprocess.Popen(
        [sys.executable, *(options if kind == "command" else [str(SPACE / "app.py")])],
        env={**os.environ, **server, "TMPDIR": str(tmp_path)},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        config = config_of(port, process)
        models = next(
            each["props"]
            for each in config["components"]
            if each["props"].get("elem_id") == "eff-models"
        )
        assert (len(models["choices"]) > 1000) is (kind == "command")
        assert len(list(tmp_path.glob("effcam-app-*"))) == 1
        assert process.stdout is not None
        # It is served a moment before its address is printed.
        said = process.stdout.readline()
    finally:
        process.send_signal(ended_by)
        _, err = process.communicate(timeout=60)
    assert not list(tmp_path.glob("effcam-app-*"))
    address = f"http://127.0.0.1:{port}/"
    assert said == address + ("  (Ctrl-C ends it)\n" if kind == "command" else "\n")
    if kind == "command":
        assert "the page is closed" in err
        assert "Traceback" not in err


def test_the_space_states_what_it_needs() -> None:
    head = (SPACE / "README.md").read_text(encoding="utf-8").split("---")[1]
    stated = dict(line.split(": ", 1) for line in head.strip().splitlines())
    assert (stated["sdk"], stated["app_file"]) == ("gradio", "app.py")
    assert (SPACE / "requirements.txt").read_text(encoding="utf-8").split() == ["effcam[app]"]
    assert int(stated["sdk_version"].partition(".")[0]) >= 6

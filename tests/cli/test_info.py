"""``effcam info`` works on every machine, and does not name the user."""

from __future__ import annotations

import getpass
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch

from effcam.cli import info, main
from effcam.cli.info import EXTRAS, PACKAGES, anonymous

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_every_package_that_effcam_needs_is_listed() -> None:
    project = tomllib.loads(PROJECT.read_text("utf-8"))["project"]

    def names(needed: list[str]) -> set[str]:
        return {re.split(r"[\[<>=]", each)[0] for each in needed}

    assert set(PACKAGES) == names(project["dependencies"])
    extras = {name: names(needed) for name, needed in project["optional-dependencies"].items()}
    assert {name: set(needed) for name, needed in EXTRAS.items()} == extras


def test_json_has_what_a_report_needs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["packages"]["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert found["python"]["version"] == ".".join(map(str, sys.version_info[:3]))
    assert found["torch"]["threads"] == torch.get_num_threads()
    assert len(found["torch"]["devices"]) == torch.cuda.device_count()


def test_caches_and_their_settings_are_listed(
    torch_cache: Path,
    hub_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert main(["info", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["caches"] == {
        "torch hub": {"folder": anonymous(str(torch_cache))},
        "Hugging Face": {"folder": anonymous(str(hub_cache))},
    }
    assert found["environment"]["HF_HUB_OFFLINE"] == "1"


def test_the_text_shows_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(info, "PACKAGES", ("torch", "no-such-package"))
    assert main(["info"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"^  no-such-package +missing$", shown, re.MULTILINE)
    for heading in ("packages", "extras", "torch", "caches", "environment"):
        assert f"\n{heading}\n" in shown


def test_packages_are_not_imported_for_their_versions() -> None:
    code = (
        "import sys; from effcam.cli import main; main(['info']); "
        "print(sorted({'timm', 'torchvision', 'pytorch_grad_cam', 'ray', 'av'} & {*sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.endswith("\n[]\n")


@pytest.mark.parametrize("broken", ["torch", "huggingface_hub"])
def test_it_works_without_a_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], broken: str
) -> None:
    monkeypatch.setitem(sys.modules, broken, None)
    assert main(["info"]) == 0
    assert f"error  ModuleNotFoundError: import of {broken} halted" in capsys.readouterr().out


def test_only_the_first_line_of_an_error_is_shown() -> None:
    def refuse() -> None:
        raise ImportError("undefined symbol\nmore")

    assert info._attempt(refuse) == {"error": "ImportError: undefined symbol"}


def test_no_user_is_named_and_no_token_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.setattr(getpass, "getuser", lambda: "jane")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("HTTPS_PROXY", "http://jane:secret@proxy:80")
    monkeypatch.setenv("HF_ENDPOINT", "https://jane:secret@hub.example")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home" / "hf"))
    monkeypatch.setenv("TORCH_HOME", "/scratch/jane/torch")
    assert main(["info"]) == 0
    shown = capsys.readouterr().out
    assert "secret" not in shown
    assert "jane" not in shown
    assert str(tmp_path / "home") not in shown
    assert re.search(r"HF_TOKEN +set, not shown", shown)
    assert re.search(r"HF_ENDPOINT +https://\*\*\*@hub.example", shown)
    assert "~/hf" in shown
    assert "/scratch/USER/torch/hub/checkpoints" in shown


def test_a_user_whose_name_is_a_word_leaves_words_unchanged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "test")
    assert anonymous(["a test", "/data/test/x", "/data/tests"]) == [
        "a test", "/data/USER/x", "/data/tests",
    ]  # fmt: skip

    def nobody() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert anonymous({"a": "/data/test"}) == {"a": "/data/test"}


def test_devices_are_named_with_their_memory() -> None:
    card = {"name": "cuda:0", "model": "Big Card", "memory": 80 * 2**30}
    assert list(info._rows({"devices": [card], "mps": False})) == [
        ("devices 0 name", "cuda:0"),
        ("devices 0 model", "Big Card"),
        ("devices 0 memory", "85899345920"),
        ("mps", "False"),
    ]
    assert list(info._rows({"devices": [], "cuda": None})) == [
        ("devices", "none"),
        ("cuda", "none"),
    ]

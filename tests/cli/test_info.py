"""``effcam info``: it comes about on every machine, and gives nobody away."""

from __future__ import annotations

import getpass
import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch

from effcam.cli import environment, info, main
from effcam.cli.environment import EXTRAS, PACKAGES, anonymous, find_out

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the extras, which take seconds to import."""
    monkeypatch.setattr(environment, "EXTRAS", {"video": {"av": "av"}})


def test_every_package_that_effcam_needs_is_told_of() -> None:
    project = tomllib.loads(PROJECT.read_text("utf-8"))["project"]

    def names(needed: list[str]) -> set[str]:
        return {re.split(r"[\[<>=]", each)[0] for each in needed}

    assert set(PACKAGES) == names(project["dependencies"])
    extras = {name: names(needed) for name, needed in project["optional-dependencies"].items()}
    assert {name: set(needed) for name, needed in EXTRAS.items()} == extras


@pytest.mark.usefixtures("light")
def test_json_has_what_a_report_needs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["packages"]["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert found["python"]["version"] == ".".join(map(str, sys.version_info[:3]))
    assert found["torch"]["threads"] == torch.get_num_threads()
    assert len(found["torch"]["devices"]) == torch.cuda.device_count()
    assert found["weights"]["known"] > 1000
    assert found["weights"]["here"] == 0


@pytest.mark.usefixtures("light")
def test_caches_are_measured_and_what_is_there_is_counted(
    torch_cache: Path, hub_cache: Path
) -> None:
    from effcam.models.architectures import torchvision_entry
    from effcam.models.zoo import find_architecture

    address = torchvision_entry(find_architecture("torchvision:alexnet.IMAGENET1K_V1")).url
    (torch_cache / address.rpartition("/")[2]).write_bytes(b"12345")
    found = find_out()
    assert found["weights"]["here"] == 1
    assert found["caches"]["torch hub"]["bytes"] == 5
    assert found["caches"]["Hugging Face"] == {"folder": str(hub_cache), "bytes": None}


@pytest.mark.usefixtures("light")
def test_the_text_says_what_is_missing_or_broken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.setattr(environment, "PACKAGES", {"torch": "torch", "no-such-package": "nothing"})
    assert main(["info"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"^  no-such-package +missing$", shown, re.MULTILINE)
    assert re.search(r"effcam\[video\] +av [\d.]+, broken: ModuleNotFoundError", shown)
    for heading in ("packages", "extras", "devices", "caches", "environment"):
        assert f"\n{heading}\n" in shown


@pytest.mark.usefixtures("light")
@pytest.mark.parametrize("broken", ["torch", "timm", "huggingface_hub"])
def test_it_comes_about_without_a_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], broken: str
) -> None:
    def refuse(*_: Any) -> None:
        raise ImportError(f"{broken}: undefined symbol\nmore")

    parts = {"torch": ("_torch",), "timm": ("_weights",), "huggingface_hub": ("_caches",)}
    for part in parts[broken]:
        monkeypatch.setattr(environment, part, refuse)
    monkeypatch.setitem(sys.modules, broken, None)
    monkeypatch.setattr(environment, "PACKAGES", {"numpy": "numpy"})
    assert main(["info"]) == 0
    assert f"not known: ImportError: {broken}: undefined symbol\n" in capsys.readouterr().out


@pytest.mark.usefixtures("light")
def test_nobody_is_named_and_no_token_shown(
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


def test_a_user_whose_name_is_a_word_costs_no_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "test")
    assert anonymous(["a test", "/data/test/x", "/data/tests"]) == [
        "a test", "/data/USER/x", "/data/tests",
    ]  # fmt: skip

    def nobody() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert anonymous({"a": Path("/data/test")}) == {"a": "/data/test"}


def test_devices_are_named_with_their_memory() -> None:
    processor = {"name": None, "machine": "x", "cores": 8, "usable": 4, "memory": 2**34}
    card = {"name": "cuda:0", "model": "Big Card", "memory": 80 * 2**30}
    torch_says = {"threads": 4, "cuda": "12.8", "devices": [card], "mps": False}
    assert list(info._devices(processor, torch_says)) == [
        ("cpu", "not known, 8 cores, 4 of them usable, 4 threads, 16.0 GiB"),
        ("cuda:0", "Big Card, 80.0 GiB, CUDA 12.8"),
    ]
    assert ("mps", "available") in info._devices(processor, torch_says | {"mps": True})

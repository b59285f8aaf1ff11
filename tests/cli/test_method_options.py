"""``--method help``, and the options of methods."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import effcam
from effcam.cli import main


def photo(folder: Path) -> str:
    path = folder / "photo.png"
    effcam.demo.scenes(1, size=96)[0].image.save(path)
    return str(path)


def test_the_methods_are_listed_without_images(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["compare", "--method", "help"])
    assert not stopped.value.code
    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading.split()[0] == "method"
    names = [line.split()[0] for line in lines if line.strip()]
    assert [each.name for each in effcam.methods()] == names[: len(effcam.methods())]
    assert "arXiv:1610.02391" in lines[0]


def test_an_unknown_method_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["compare", "photo.png", "--method", "gradcan"])
    assert stopped.value.code == 2
    assert "invalid choice: 'gradcan'" in capsys.readouterr().err


def test_options_reach_the_comparison(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["compare", photo(tmp_path), "-m", "demo_resnet", "--json", "-o"]
    out = str(tmp_path / "found.json")
    assert not main([*arguments, out, "--aug-smooth", "--eigen-smooth", "--method", "layercam"])
    capsys.readouterr()
    settings: dict[str, Any] = json.loads(Path(out).read_text("utf-8"))["settings"]
    assert settings["aug_smooth"] is True
    assert settings["eigen_smooth"] is True
    assert settings["fuse"] == "sum"


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (
            ["--samples", "5"],
            2,
            "samples is for methods that make copies of an image, not for gradcam",
        ),
        (
            ["--resolution", "28"],
            2,
            "resolution is for maps of the input's pixels, not for gradcam",
        ),
        (["--fuse", "product"], 1, "fuse='product' makes one map of several target layers"),
    ],
)
def test_options_without_effect_are_refused(
    options: list[str], code: int, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "found.png")
    assert main(["compare", photo(tmp_path), "-m", "demo_resnet", "-o", out, *options]) == code
    assert message in capsys.readouterr().err
    assert not Path(out).exists()


def test_layers_are_multiplied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["compare", photo(tmp_path), "-m", "demo_resnet", "--fuse", "product"]
    out = tmp_path / "found.png"
    layers = [each.name for each in effcam.load_model("demo_resnet").layers()][-2:]
    several = [f"--layer=demo_resnet={each}" for each in layers]
    assert not main([*arguments, *several, "-o", str(out)])
    capsys.readouterr()
    with Image.open(out) as picture:
        assert picture.width > 100

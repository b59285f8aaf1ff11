"""What a user installs: the wheel, its metadata, and how little importing it costs."""

from __future__ import annotations

import email
import json
import os
import re
import subprocess
import sys
import zipfile
from email.message import Message
from pathlib import Path

import pytest

import effcam

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "src" / "effcam"
HEAVY = ("torch", "torchvision", "timm", "numpy", "PIL", "pytorch_grad_cam", "matplotlib")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from the sources without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONWARNINGS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return email.message_from_bytes(wheel.read(name))


def test_wheel_holds_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    sources = {
        f"effcam/{path.relative_to(PACKAGE).as_posix()}"
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    inside = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert inside == sources
    assert "effcam/py.typed" in inside


def test_wheel_is_a_small_download(wheel: zipfile.ZipFile) -> None:
    assert Path(str(wheel.filename)).stat().st_size <= 3.5e6


def test_wheel_holds_the_licence(wheel: zipfile.ZipFile, metadata: Message) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith("/LICENSE"))
    assert wheel.read(name) == (REPOSITORY / "LICENSE").read_bytes()
    assert metadata["License-Expression"] == "MIT"


def test_wheel_has_the_command(wheel: zipfile.ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith("/entry_points.txt"))
    assert "effcam = effcam.cli:main" in wheel.read(name).decode()


def test_python_has_a_lower_bound_alone(metadata: Message) -> None:
    assert metadata["Requires-Python"] == ">=3.11"


def test_every_requirement_has_a_lower_bound_and_grad_cam_an_upper_one(metadata: Message) -> None:
    requirements = metadata.get_all("Requires-Dist") or []
    assert requirements
    assert [each for each in requirements if ">=" not in each] == []
    versions = [each.partition(";")[0] for each in requirements]
    assert [each for each in versions if re.search(r"<|==|~=", each)] == ["grad-cam<1.6,>=1.5.4"]


def test_version_is_the_same_everywhere(metadata: Message) -> None:
    citation = (REPOSITORY / "CITATION.cff").read_text(encoding="utf-8")
    assert metadata["Version"] == effcam.__version__
    assert f"\nversion: {effcam.__version__}\n" in citation


def test_changelog_describes_this_version() -> None:
    text = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    section = r"^## \[(?P<version>[^]]+)\][^\n]*\n(?P<changes>.*?)(?=^## |\Z)"
    latest = re.search(section, text, re.MULTILINE | re.DOTALL)
    assert latest
    version = "Unreleased" if "dev" in effcam.__version__ else effcam.__version__
    assert latest["version"] == version
    assert re.search(r"^- \w", latest["changes"], re.MULTILINE)


def loaded_after(code: str) -> list[str]:
    """Which of the heavy packages a fresh Python has loaded once it has run some code."""
    report = f"import json, sys; print(json.dumps([m for m in {HEAVY} if m in sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{code}\n{report}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "code",
    [
        "import effcam",
        "import effcam; dir(effcam); effcam.__all__; effcam.__version__; effcam.errors",
        "import effcam; effcam.ModelSpec; effcam.EffcamError; effcam.DEFAULT_MODELS",
        "import effcam.cli",
    ],
)
def test_importing_loads_nothing_heavy(code: str) -> None:
    assert loaded_after(code) == []


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_asking_the_command_for_help_loads_nothing_heavy(argument: str) -> None:
    code = f"""
import effcam.cli
try:
    effcam.cli.main([{argument!r}])
except SystemExit as end:
    assert not end.code, end.code
"""
    assert loaded_after(code) == []


def test_reference_has_every_public_name() -> None:
    pages = [REPOSITORY / "docs" / "reference.md", *(REPOSITORY / "docs").glob("reference/*.md")]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages if page.exists())
    described = set(re.findall(r"^\.\. (?:auto\w+|data):: effcam\.(\w+)$", text, re.MULTILINE))
    assert set(effcam.__all__) - described == set()


def test_the_reference_lists_the_default_models() -> None:
    text = (REPOSITORY / "docs" / "reference.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| `([\w:.]+)` \|$", text, re.MULTILINE)
    assert rows == list(effcam.DEFAULT_MODELS.items())

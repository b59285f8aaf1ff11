"""What a user installs: wheel, source distribution, metadata, and what importing costs."""

from __future__ import annotations

import email
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from pathlib import Path

import pytest

import effcam

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "src" / "effcam"
HEAVY = ("torch", "torchvision", "timm", "numpy", "PIL", "pytorch_grad_cam", "matplotlib")


def build(target: str, sources: Path, folder: Path) -> Path:
    """Build a wheel or a source distribution without a network, and returns where it is."""
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)],
        cwd=sources,
        env={**os.environ, "PYTHONWARNINGS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    (path,) = folder.iterdir()
    return path


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from the sources."""
    return zipfile.ZipFile(build("wheel", REPOSITORY, tmp_path_factory.mktemp("wheel")))


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is in the source distribution."""
    archive = build("sdist", REPOSITORY, tmp_path_factory.mktemp("sdist"))
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    return folder / f"effcam-{effcam.__version__}"


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
    assert {"effcam/py.typed", "effcam/models/architectures.csv"} <= inside
    weights = {name for name in inside if name.startswith("effcam/demo/weights/")}
    assert {Path(name).stem for name in weights} == set(effcam.list_models("demo_*"))


def test_wheel_holds_only_what_effcam_reads(wheel: zipfile.ZipFile) -> None:
    suffixes = {Path(name).suffix for name in wheel.namelist() if ".dist-info/" not in name}
    read = {".py", ".typed", ".csv", ".json", ".safetensors", ".html", ".css", ".js", ".j2", ".svg"}
    assert suffixes - read == set()


def test_source_distribution_holds_the_repository(unpacked: Path) -> None:
    git = shutil.which("git")
    if git is None or not (REPOSITORY / ".git").exists():
        pytest.skip("which files the repository holds is known in a checkout only")
    listed = subprocess.run(
        [git, "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    kept = {name for name in listed.stdout.split("\0") if (REPOSITORY / name).is_file()}
    inside = {
        path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*") if path.is_file()
    }
    assert inside - {"PKG-INFO"} == kept


def test_source_distribution_builds_and_tests_effcam(
    unpacked: Path, wheel: zipfile.ZipFile, tmp_path: Path
) -> None:
    for name in ("pyproject.toml", "tox.ini", ".ci/run", "conftest.py", "tests/conftest.py"):
        assert (unpacked / name).is_file()
    rebuilt = zipfile.ZipFile(build("wheel", unpacked, tmp_path))
    assert {name: rebuilt.read(name) for name in rebuilt.namelist()} == {
        name: wheel.read(name) for name in wheel.namelist()
    }


def test_wheel_is_a_small_download(wheel: zipfile.ZipFile) -> None:
    assert Path(str(wheel.filename)).stat().st_size <= 4e6


def test_wheel_holds_the_licence(wheel: zipfile.ZipFile, metadata: Message) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith("/LICENSE"))
    assert wheel.read(name) == (REPOSITORY / "LICENSE").read_bytes()
    assert metadata["License-Expression"] == "MIT"


def test_wheel_has_the_command(wheel: zipfile.ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith("/entry_points.txt"))
    assert "effcam = effcam.cli:main" in wheel.read(name).decode()


def test_metadata_says_what_it_is(metadata: Message) -> None:
    assert metadata["Name"] == "effcam"
    assert metadata["Metadata-Version"] == "2.4"
    assert metadata["Summary"]
    assert set(metadata.get_all("Provides-Extra") or []) == {
        *("app", "clip", "dataset", "datasets", "fiftyone", "lightning", "mlflow", "pandas"),
        *("polars", "ray", "tensorboard", "trainer", "video", "wandb"),
    }
    pythons = [
        found[1]
        for each in metadata.get_all("Classifier") or []
        if (found := re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", each))
    ]
    assert pythons == ["3.11", "3.12", "3.13"]


def test_description_needs_no_other_text(metadata: Message) -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    description = str(metadata.get_payload(decode=False))
    relative = r"\]\((?!https?://|#)|(?:src|href)=\"(?!https?://|#)"
    assert re.search(relative, readme), "the README refers to nothing beside it: simplify"
    assert re.findall(rf".*(?:{relative}).*", description) == []
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert ".venv/bin/pip install effcam &&" in description
    # All else is the README's, its code above all.
    code = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
    assert code.findall(description) == code.findall(readme)
    assert re.findall("^## .*", description, re.MULTILINE) == re.findall(
        "^## .*", readme, re.MULTILINE
    )


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
    assert ("\ndate-released: " in citation) != ("dev" in effcam.__version__)


def test_changelog_describes_this_version() -> None:
    text = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    section = r"^## (?P<version>\S+)(?: - (?P<date>[\d-]+))?\n(?P<changes>.*?)(?=^## |\Z)"
    first, *others = re.finditer(section, text, re.MULTILINE | re.DOTALL)
    # Changes after a release come before its section.
    skipped = first["version"] == "Unreleased" and "dev" not in effcam.__version__
    latest = others[0] if skipped else first
    version = "Unreleased" if "dev" in effcam.__version__ else effcam.__version__
    assert latest["version"] == version
    citation = (REPOSITORY / "CITATION.cff").read_text(encoding="utf-8")
    released = re.search(r"^date-released: (\S+)$", citation, re.MULTILINE)
    assert latest["date"] == (released and released[1])
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
        "import effcam.cli.program",
    ],
)
def test_importing_loads_nothing_heavy(code: str) -> None:
    assert loaded_after(code) == []


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_asking_the_command_for_help_loads_nothing_heavy(argument: str) -> None:
    code = f"""
import effcam.cli
try:
    effcam.cli.program.main([{argument!r}])
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

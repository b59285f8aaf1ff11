"""The code that the documentation shows runs, page by page, as a reader would run it."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Callable
from contextlib import nullcontext
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.tiers import core

ROOT = Path(__file__).parents[2]

SKIPPED = {
    ("README.md", "runs these very tests"),
    ("docs/explanation/notebook.md", "downloads"),
    ("docs/explanation/notebook.md", "needs packages of weights"),
    ("docs/explanation/untrusted.md", "takes ten minutes"),
    ("docs/howto/cluster.md", "needs a cluster"),
    ("docs/howto/data_tools.md", "needs another package"),
    ("docs/howto/live_page.md", "needs Gradio"),
    ("docs/howto/live_page.md", "runs until it is interrupted"),
    ("docs/howto/texts.md", "downloads"),
    ("docs/howto/trackers.md", "needs a tracker"),
    ("docs/howto/training.md", "needs Lightning or transformers"),
}
"""What is not run, and why: everything else is."""


def load() -> ModuleType:
    spec = spec_from_file_location("docs_code", ROOT / "tools" / "docs_code.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


code = load()
PAGES = {str(path.relative_to(ROOT)): code.read(path) for path in code.pages()}


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Write a page and reads it."""

    def write(text: str) -> Any:
        path = tmp_path / "page.md"
        path.write_text(text)
        return code.read(path)

    monkeypatch.setattr(code, "ROOT", tmp_path)
    monkeypatch.setattr(code, "prepare", lambda _: None)
    return write


@pytest.mark.docs
@pytest.mark.parametrize(
    "name",
    core([name for name, page in PAGES.items() if page.blocks], {"docs/metrics.md"}),
)
def test_every_block_runs(name: str, tmp_path: Path) -> None:
    code.run(PAGES[name], tmp_path / "page")


def test_what_is_left_out_is_known() -> None:
    skipped = {(name, block.skip) for name, page in PAGES.items() for block in page.blocks}
    assert {each for each in skipped if each[1]} == SKIPPED


def test_no_block_is_of_a_language_that_is_taken_for_another() -> None:
    shown = {"text", "json", "xml", "toml", "yaml", "html", "css", "latex"} | set(code.LANGUAGES)
    for path in code.pages():
        found = re.findall(r"^ *```+(\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert set(found) <= shown, path


@pytest.mark.parametrize("command", ["pip install 'effcam[ray]'", "python3 -m venv .venv"])
def test_installing_is_not_run(command: str) -> None:
    assert code.commands(f"$ {command} && .venv/bin/effcam demo") == [("effcam demo", "")]


def test_extras_that_are_installed_exist() -> None:
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    texts = [path.read_text(encoding="utf-8") for path in code.pages()]
    named = {each for text in texts for each in re.findall(r"effcam\[([\w,]+)\]", text)}
    assert named
    assert {extra for each in named for extra in each.split(",")} <= set(known)


def test_commands_follow_a_prompt_or_are_every_line() -> None:
    assert code.commands("$ effcam demo -o \\\n    here\nwrote") == [("effcam demo -o here", "")]
    assert code.commands("effcam demo\n# a remark\neffcam info") == [
        ("effcam demo", ""),
        ("effcam info", ""),
    ]
    assert code.commands("$ effcam info |\n    cat") == [("effcam info | cat", "")]
    script = "if true; then\n    effcam info\nfi"
    assert code.commands(script) == [(script, "")]


@pytest.mark.parametrize(
    ("shown", "said"), [("image 'nowhere' does not exist", ""), ("another", "does not exist")]
)
def test_errors_that_are_shown_are_those_that_come(
    page: Any, tmp_path: Path, shown: str, said: str
) -> None:
    text = f"```console\n$ effcam compare nowhere -m demo_resnet\neffcam: error: {shown}\n```\n"
    with pytest.raises(code.BlockError, match=said) if said else nullcontext():
        code.run(page(text), tmp_path / "run")


def test_blocks_share_names_and_errors_name_the_line(page: Any, tmp_path: Path) -> None:
    read = page("# A\n\n```python\none = 1\n```\n\n```python\nassert one == 2\n```\n")
    with pytest.raises(code.BlockError, match=r"page\.md:8: AssertionError"):
        code.run(read, tmp_path / "run")


def test_hidden_code_runs_and_skipped_code_does_not(page: Any, tmp_path: Path) -> None:
    read = page(
        "<!-- run:\none = 1\n-->\n```python\nassert one == 1\n```\n"
        "<!-- skip: breaks -->\n```python\n1 / 0\n```\n"
        "<!-- fails: by zero -->\n```python\n1 / 0\n```\n"
    )
    assert [block.skip for block in read.blocks] == ["", "", "breaks", ""]
    code.run(read, tmp_path / "run")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<!-- fails: by zero -->\n```python\none = 1\n```\n", "it was to fail"),
        ("<!-- fails: by one -->\n```python\n1 / 0\n```\n", "by zero"),
        ("```pycon\n>>> 1 + 1\n3\n```\n", "Expected"),
        ("```console\n$ effcam compare nowhere/ -m demo_resnet\n```\n", "ended with 1"),
        ("```console\n$ false | true\n```\n", "ended with 1"),
    ],
)
def test_what_is_wrong_is_found(page: Any, tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(code.BlockError, match=said):
        code.run(page(text), tmp_path / "run")


@pytest.mark.parametrize(
    "command",
    [
        "effcam --version | grep effcam",
        "ls one.png | effcam compare - -m demo_resnet --json | grep one.png",
        pytest.param("found=$(effcam --version); echo $found | grep eff", marks=pytest.mark.slow),
    ],
)
def test_pipes_and_shells_find_effcam(page: Any, tmp_path: Path, command: str) -> None:
    draw = 'import effcam\neffcam.demo.scenes(1)[0].image.save("one.png")'
    text = f"<!-- run:\n{draw}\n-->\n```console\n$ {command}\n```\n"
    code.run(page(text), tmp_path / "run")
    with pytest.raises(code.BlockError, match="ended with 1"):
        code.run(page(text.replace("grep ", "false ")), tmp_path / "again")

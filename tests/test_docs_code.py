"""The code that the documentation shows runs, page by page, as a reader would run it."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]

SKIPPED = {
    ("docs/explanation/notebook.md", "downloads"),
    ("docs/explanation/untrusted.md", "takes ten minutes"),
    ("docs/howto/cluster.md", "needs a cluster"),
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


def page(tmp_path: Path, text: str) -> Path:
    """Writes a page among those of the repository's; blocks are named from its root."""
    path = tmp_path / "page.md"
    path.write_text(text)
    return path


@pytest.fixture(autouse=True)
def pages_lie_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "tmp_path_as_root" in str(tmp_path):
        monkeypatch.setattr(code, "ROOT", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, page in PAGES.items() if page.blocks])
def test_every_block_runs(name: str, tmp_path: Path) -> None:
    code.run(PAGES[name], tmp_path / "page")

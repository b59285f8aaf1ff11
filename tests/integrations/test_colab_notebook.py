"""The notebook of the documentation runs from top to bottom with what its first cell installs."""

from __future__ import annotations

import json
import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs" / "notebooks" / "first_look.ipynb"


def cells(kind: str) -> list[dict[str, Any]]:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    return [each for each in notebook["cells"] if each["cell_type"] == kind]


def installed() -> set[str]:
    """The packages that the first cell installs."""
    (first, *_) = cells("code")
    lines = "".join(first["source"]).splitlines()
    assert all(line.startswith("%pip install -q ") for line in lines)
    return {name for line in lines for name in line.split()[3:]}


def test_it_is_kept_without_output() -> None:
    assert all(each["outputs"] == [] for each in cells("code"))
    assert all(each["execution_count"] is None for each in cells("code"))


def test_it_is_tested_with_the_packages_that_it_installs() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    given = [each for each in groups["integrations"] if isinstance(each, str)]
    tested = {re.split(r"[<>=\[]", each)[0] for each in given}
    assert installed() - {"effcam"} <= tested


@pytest.mark.integrations
# Kernels and their messages are code of others, with its own deprecation warnings.
@pytest.mark.filterwarnings("default")
def test_it_runs_from_top_to_bottom(tmp_path: Path) -> None:
    import nbclient
    import nbformat

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    # The environment has the packages already, and maybe no pip.
    install = next(each for each in notebook.cells if each.cell_type == "code")
    install.source = ""
    client = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    client.execute(env={**os.environ, "PYTHONPATH": str(ROOT / "src")})
    shown = [output for each in notebook.cells for output in each.get("outputs", [])]
    kinds = [kind for each in shown for kind in each.get("data", {})]
    assert kinds.count("image/png") >= 5
    assert kinds.count("image/gif") == 1
    assert kinds.count("text/html") >= 2
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        *("compare.csv", "compare.gif", "compare.html"),
    ]
    told = "".join(each["text"] for each in shown if each["output_type"] == "stream")
    assert "Warning" not in told

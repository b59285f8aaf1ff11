"""Notebooks that use effcam, executed in separate kernels."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

nbclient = pytest.importorskip("nbclient", reason="nbclient executes notebooks")
nbformat = pytest.importorskip("nbformat", reason="nbformat makes notebooks")
pytest.importorskip("ipykernel", reason="ipykernel is what notebooks run in")

# Kernels and their messages are code of others, with its own deprecation warnings.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

CELLS = (
    """
import effcam
scenes = effcam.demo.scenes(3)
models = dict(list(effcam.demo.MODELS.items())[:2])
""",
    "comparison = effcam.compare(scenes, models)\ncomparison",
    "comparison[0, 0]",
    "comparison.summary()",
    "comparison.grid()",
    "comparison.agreement_picture()",
    'comparison.summary().plot("effective_area", "gini")',
    'effcam.compare(scenes, ["demo_resne"])',
)


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The cells of an executed notebook."""
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(code) for code in CELLS]
    notebook.cells[-1].metadata.tags = ["raises-exception"]
    source = Path(__file__).parents[2] / "src"
    client = nbclient.NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path_factory.mktemp("notebook"))}},
    )
    client.execute(env={**os.environ, "PYTHONPATH": str(source)})
    return list(notebook.cells)


def shown(cell: Any) -> dict[str, str]:
    """The output of a cell's last line, by MIME type."""
    (output,) = [each for each in cell.outputs if each.output_type == "execute_result"]
    return dict(output.data)


def told(cell: Any) -> str:
    """The text that a cell writes to standard error."""
    streams = [each for each in cell.outputs if each.output_type == "stream"]
    assert {each.name for each in streams} <= {"stderr"}
    return "".join(each.text for each in streams)


@pytest.mark.parametrize("at", [1, 2, 3])
def test_results_show_themselves_as_static_html(cells: list[Any], at: int) -> None:
    page = shown(cells[at])["text/html"]
    assert "<script" not in page
    assert "http" not in page
    assert ("<table" in page) == (at != 2)
    assert page.count("data:image/jpeg;base64,") == {1: 1, 2: 2, 3: 0}[at]


def test_a_comparison_shows_how_far_it_is(cells: list[Any]) -> None:
    assert "6/6" in told(cells[1])


@pytest.mark.parametrize("at", [4, 5, 6])
def test_pictures_show_themselves(cells: list[Any], at: int) -> None:
    assert "image/png" in shown(cells[at])


def test_an_error_says_what_to_do(cells: list[Any]) -> None:
    (error,) = [each for each in cells[-1].outputs if each.output_type == "error"]
    assert error.ename == "UnknownModelError"
    assert "Did you mean 'demo_resnet'" in error.evalue


def test_nothing_else_is_printed(cells: list[Any]) -> None:
    for at in (0, 2, 3, 4, 5, 6):
        assert told(cells[at]) == ""

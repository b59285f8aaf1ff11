"""The record of attention against today's code: designs are read again, and some are run again."""

from __future__ import annotations

import csv
import importlib
import random
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from effcam.models.architectures import is_current

ROOT = Path(__file__).parents[2]
READ, RUN = 40, 12
COLUMNS = ("layers", "design", "run", "found", "mapped", "exact", "checked", "problem")

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # libraries' remarks on their own future
    pytest.mark.skipif(
        not (is_current("timm") and is_current("torchvision")),
        reason="the table is of other versions of timm and torchvision",
    ),
]


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    with warnings.catch_warnings():
        yield importlib.import_module("attention_sweep")


def table() -> list[dict[str, str]]:
    with (ROOT / "docs" / "attention.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def sample() -> list[dict[str, str]]:
    return random.Random(0).sample(table(), READ)  # noqa: S311


def small() -> list[dict[str, str]]:
    """Return architectures that were run themselves, in a second or a few."""
    own = [row for row in table() if row["found"] and row["run"] == row["name"]]
    quick = [row for row in own if float(row["seconds"]) < 5]
    return random.Random(0).sample(quick, min(RUN, len(quick)))  # noqa: S311


@pytest.mark.usefixtures("tools")
def test_widths_and_repeats_are_no_design_and_pools_are() -> None:
    designs = importlib.import_module("attention_designs")

    def read(**options: object) -> str:
        name = "vit_tiny_patch16_224"
        digest: str = designs.read_design("timm", name, **options).digest
        return digest

    plain = read()
    assert plain == read(depth=2, embed_dim=96, num_heads=2)
    assert plain != read(global_pool="avg")
    assert plain != read(reg_tokens=2)
    assert plain != read(class_token=False, global_pool="avg")
    assert designs.read_design("timm", "resnet18") == designs.Design(0, "")


@pytest.mark.sweep
@pytest.mark.slow
@pytest.mark.parametrize("row", sample(), ids=lambda row: f"{row['library']}:{row['name']}")
@pytest.mark.usefixtures("tools")
def test_designs_are_as_recorded(row: dict[str, str]) -> None:
    designs = importlib.import_module("attention_designs")
    found = designs.read_design(row["library"], row["name"])
    assert (str(found.layers), found.digest) == (row["layers"], row["design"])


@pytest.mark.sweep
@pytest.mark.slow
@pytest.mark.parametrize("row", small(), ids=lambda row: f"{row['library']}:{row['name']}")
def test_runs_give_what_is_recorded(tools: ModuleType, row: dict[str, str]) -> None:
    again = tools.run(row["library"], row["name"])
    assert {each: getattr(again, each) for each in COLUMNS} == {each: row[each] for each in COLUMNS}
    for method in tools.METHODS:
        assert getattr(again, method) == row[method]

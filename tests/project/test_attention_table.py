"""The record of attention is complete, agrees with itself, and gives the page its numbers."""

from __future__ import annotations

import csv
import importlib
from collections import defaultdict
from pathlib import Path

import pytest

from effcam.models.architectures import known_architectures

DOCS = Path(__file__).parents[2] / "docs"
METHODS = ("legrad", "rollout", "chefer")
COUNTS = ("found", "mapped", "exact", "checked")


def rows() -> list[dict[str, str]]:
    with (DOCS / "attention.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_architecture_has_one_row() -> None:
    listed = [(row["library"], row["name"]) for row in rows()]
    assert len(set(listed)) == len(listed)
    assert set(listed) == set(known_architectures())


def test_rows_without_attention_say_so_and_the_others_have_a_design() -> None:
    for row in rows():
        assert bool(row["design"]) == (row["layers"] != "0")
        assert all((row[each] == "no attention") == (row["layers"] == "0") for each in METHODS)


def test_architectures_of_a_design_have_the_result_of_one_of_them() -> None:
    designs = defaultdict(list)
    for row in rows():
        if row["design"]:
            designs[row["design"]].append(row)
    assert len(designs) > 100
    for members in designs.values():
        results = {tuple(row[each] for each in ("run", *COUNTS, *METHODS)) for row in members}
        assert len(results) == 1
        (run, *_), *_ = results
        assert not run or run.split()[0] in {row["name"] for row in members}


def test_only_layers_that_are_mapped_are_confirmed() -> None:
    for row in rows():
        if row["found"]:
            found, mapped, exact, checked = (int(row[each]) for each in COUNTS)
            assert found >= mapped >= max(exact, checked)
            assert all(row[each] for each in METHODS)


def test_the_page_has_the_numbers_of_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    page = importlib.import_module("attention_table")
    (tmp_path / "attention.csv").write_bytes((DOCS / "attention.csv").read_bytes())
    page.write_page(tmp_path)
    text = (tmp_path / "attention.md").read_text("utf-8")
    having = [row for row in rows() if row["design"]]
    ran = [row for row in having if row["found"]]
    assert f"**{len(having):,}** compute attention" in text
    assert f"are of **{len({row['design'] for row in having}):,} designs**" in text
    assert f"stand for **{len(ran):,} architectures**" in text
    refused = sum(row["rollout"].startswith("refused") for row in ran)
    assert f"| `rollout` | {sum(page.gives_a_map(row['rollout']) for row in ran)} |" in text
    assert f" {refused} |" in text


def test_a_reason_names_no_layer() -> None:
    cell = "refused: 'a.b': its queries stand for some"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(DOCS / "_ext"))
        assert (
            importlib.import_module("attention_table").reason(cell) == "its queries stand for some"
        )

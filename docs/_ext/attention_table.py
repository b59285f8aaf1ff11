"""Write the page on the attention of every architecture, from the recorded sweep."""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effcam.models.architectures import known_architectures

if TYPE_CHECKING:
    from sphinx.application import Sphinx

Row = dict[str, str]

METHODS = ("legrad", "rollout", "chefer")
SHOWN = 3
INTRODUCTION = """\
# Attention of every architecture

[`legrad`, `rollout` and `chefer`](methods.md) read attention. Of {total:,} architectures of timm
and torchvision, **{having:,}** compute attention: a softmax of products of queries and keys that
multiplies values. The other {without:,} compute none, and these methods refuse them. This was
counted in a pass of each architecture on tensors that have shapes and no numbers.

Many architectures differ only in widths, in how often blocks repeat, in their weights, or in the
input size, so not each was run. The {having:,} are of **{designs:,} designs**. Two architectures
are of one design if the classes of their modules, how these are nested, and all settings of
modules are the same, except for:

- widths, numbers of heads and classes, settings with a fraction, activation functions, dropout;
- how often numbered parts, as blocks, repeat: each kind counts once;
- the size of the input and what follows from it, if all attention is of one sequence of tokens, as
  in a ViT. With windows or pooled keys, the input size is part of the design.

The smallest architecture of each design is run with random weights; one of more than 60 million
weights with three blocks, if it then still is of the same design. **{ran:,} designs** were run,
{short:,} of them with fewer blocks. They stand for **{covered:,} architectures**: for all but the
one that was run, the result is inferred by this rule and was not measured. In {full:,} designs, all
attention layers are mapped to the image. In {checked:,} designs, a check by another way confirmed
all layers that are mapped: part of the image was changed, and values of attention changed at the
tokens there.

The record ({{download}}`attention.csv`) has a row for each architecture, with the name of what was
run; `tools/attention_sweep.py` makes it again.
"""


def write_page(folder: Path) -> None:
    """Write ``attention.md`` into a folder of documentation."""
    rows = read_rows(folder / "attention.csv")
    sections = [
        introduction(rows),
        _methods(rows),
        _refusals(rows),
        _exceptions(rows),
        _families(rows),
    ]
    text = "\n".join(each for each in sections if each)
    path = folder / "attention.md"
    if not path.is_file() or path.read_text("utf-8") != text:
        path.write_text(text, "utf-8")


def read_rows(path: Path) -> list[Row]:
    """Return the rows of the record."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def introduction(rows: Sequence[Row]) -> str:
    """Return what the record says, in numbers."""
    having = [row for row in rows if row["design"]]
    ran = [row for row in having if row["found"]]
    designs = _one_of_each(ran)
    return INTRODUCTION.format(
        total=len(rows),
        having=len(having),
        without=len(rows) - len(having),
        designs=len(_one_of_each(having)),
        ran=len(designs),
        covered=len(ran),
        short=sum(" " in row["run"] for row in designs),
        full=sum(row["mapped"] == row["found"] for row in designs),
        checked=sum(row["checked"] == row["mapped"] != "0" for row in designs),
    )


def _one_of_each(rows: Iterable[Row]) -> list[Row]:
    """Return one row of each design."""
    return list({row["design"]: row for row in rows}.values())


def _methods(rows: Sequence[Row]) -> str:
    ran = [row for row in rows if row["design"] and row["found"]]
    lines = [
        (
            f"`{method}`",
            str(sum(gives_a_map(row[method]) for row in ran)),
            str(sum("(flat)" in row[method] for row in ran)),
            str(sum(row[method].startswith("refused") for row in ran)),
        )
        for method in METHODS
    ]
    header = ("method", "gives a map", "its map is empty with random weights", "refuses")
    return f"## Methods\n\nOf the architectures whose design was run:\n\n{_table(header, lines)}\n"


def gives_a_map(cell: str) -> bool:
    """Return whether a method's cell is of a map that is not empty."""
    return bool(cell) and not cell.startswith("refused") and "(" not in cell


def _refusals(rows: Sequence[Row]) -> str:
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for row, method in product(rows, METHODS):
        if row["design"] and row[method].startswith("refused"):
            found[reason(row[method])][method].append(_name(row))
    lines = [
        (why, *(str(len(by[method])) for method in METHODS), _some(max(by.values(), key=len)))
        for why, by in sorted(found.items())
    ]
    header = ("reason", *(f"`{method}`" for method in METHODS), "for example")
    return f"## Refusals\n\n{_table(header, lines)}\n" if lines else ""


def reason(cell: str) -> str:
    """Return why a method was refused, without the name of the layer and its numbers."""
    text = re.sub(r"^refused: (attention layer )?('[^']*'[: ]*)?", "", cell)
    text = text.removeprefix("has no tokens of the image: ")
    return f"no grid{text.rpartition(': no grid')[2]}" if ": no grid" in text else text


def _exceptions(rows: Sequence[Row]) -> str:
    """Return the architectures whose design was not run, or not confirmed."""
    found: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row["design"] and (not row["found"] or row["checked"] != row["mapped"]):
            found[_problem(row)].append(_name(row))
    lines = [(why, str(len(members)), _some(members)) for why, members in sorted(found.items())]
    header = ("why", "architectures", "for example")
    text = "Not run, or not confirmed in all layers that are mapped:"
    return f"## Exceptions\n\n{text}\n\n{_table(header, lines)}\n" if lines else ""


def _problem(row: Row) -> str:
    if row["found"]:
        return f"{row['checked']} of {row['mapped']} layers confirmed in `{row['run']}`"
    if "million weights" in row["problem"]:
        return "not run: too many weights"
    if "expected a classifier" in row["problem"]:
        return "not run: returns no class scores"
    if "TimeoutError" in row["problem"]:
        return "not run: not finished in the time allowed"
    return row["problem"].partition(". ")[0] or "not run yet"


def _families(rows: Sequence[Row]) -> str:
    known = known_architectures()
    family = {pair: f"{each.library} {each.family}" for pair, each in known.items()}
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["design"]:
            groups[family.get((row["library"], row["name"]), "others")].append(row)
    lines = [
        (
            name,
            str(len(group)),
            str(len(_one_of_each(group))),
            _layers(group),
            *(str(sum(gives_a_map(row[method]) for row in group)) for method in METHODS),
        )
        for name, group in sorted(groups.items())
    ]
    header = ("family", "architectures", "designs", "layers", *(f"`{each}`" for each in METHODS))
    text = "How many of each family give a map, by method:"
    return f"## Families\n\n{text}\n\n{_table(header, lines)}\n"


def _layers(group: Sequence[Row]) -> str:
    numbers = sorted({int(row["layers"]) for row in group})
    return " to ".join(dict.fromkeys(str(each) for each in (numbers[0], numbers[-1])))


def _name(row: Row) -> str:
    prefix = "" if row["library"] == "timm" else f"{row['library']}:"
    return f"`{prefix}{row['name']}`"


def _some(names: Sequence[str]) -> str:
    """Return the first few names, and how many there are more."""
    kinds = Counter(each.partition("_")[0] for each in names)
    first = {each.partition("_")[0]: each for each in reversed(names)}
    shown = [first[kind] for kind, _ in kinds.most_common(SHOWN)]
    rest = len(names) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _before_build(app: Sphinx) -> None:
    write_page(Path(app.srcdir))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension with Sphinx."""
    app.connect("builder-inited", _before_build)
    return {"parallel_read_safe": True}

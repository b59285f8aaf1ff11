"""Write the pages on supported models, from the package's data and the recorded sweep."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effcam.models.architectures import JOINT, ArchitectureFacts, known_architectures
from effcam.text import natural_key

if TYPE_CHECKING:
    from sphinx.application import Sphinx

Runs = dict[tuple[str, str], dict[str, str]]

INTRODUCTION = """\
# Supported models

effcam knows **{total:,} architectures** by name: {libraries}. It finds the target layer of
{resolved:,} of them; the other {unresolved} return no class scores. {ran:,} were run with random
weights. For **{verified:,}** of these the map is finite, is not constant, depends on more than one
position, and equals that of the grad-cam package at the same layer. The largest difference is
{difference:.1e} of the largest value of the map before its ReLU.

`effcam models 'resnet50*' --pretrained` lists names with weights, such as `resnet50.a1_in1k`.
[The rule for the target layer](explanation/layer.md) also applies to your own networks and to newer
architectures: they are traced when they are loaded. Large architectures were run with a smaller
input than their own. The record of the sweep ({{download}}`sweep.csv`) has the size of each;
`tools/sweep.py` makes it again.

[Another page](architectures.md) lists every architecture.
"""

ARCHITECTURES = """\
# Every architecture

*Past the map* is the share of what the scores depend on that goes past the target layers
(`Model.bypass`). Where pooling follows the map, 0 % holds for any weights. Other shares were
measured with random weights, and differ with trained ones: a class token carries evidence from
earlier blocks.
"""


def write_pages(folder: Path) -> None:
    """Write ``models.md`` and ``architectures.md`` into a folder of documentation."""
    runs = _read_runs(folder / "sweep.csv")
    known = list(known_architectures().values())
    sections = [_introduction(known, runs), _exceptions(known, runs), _families(known)]
    _write(folder / "models.md", "\n".join(sections))
    _write(folder / "architectures.md", _architectures(known))


def _introduction(known: Sequence[ArchitectureFacts], runs: Runs) -> str:
    counts = Counter((entry.library, entry.version) for entry in known)
    libraries = " and ".join(
        f"{count:,} of {library} {version}" for (library, version), count in counts.items()
    )
    ran = [row for row in runs.values() if row["difference"]]
    return INTRODUCTION.format(
        total=len(known),
        libraries=libraries,
        resolved=sum(bool(entry.layers) for entry in known),
        unresolved=sum(not entry.layers for entry in known),
        ran=len(ran),
        verified=sum(entry.verified for entry in known),
        difference=max((float(row["difference"]) for row in ran), default=0.0),
    )


def _exceptions(known: Sequence[ArchitectureFacts], runs: Runs) -> str:
    rows = [
        (f"`{entry.library}:{entry.name}`", _reason(entry, runs.get((entry.library, entry.name))))
        for entry in known
        if not entry.verified
    ]
    if not rows:
        return ""
    return f"## Exceptions\n\n{_table(('architecture', 'why'), rows)}\n"


def _reason(entry: ArchitectureFacts, run: dict[str, str] | None) -> str:
    if not entry.layers:
        return entry.rule
    if run is None:
        return "not run"
    return run["reason"] or ", ".join(
        f"{column} {run[column]}" for column in ("finite", "varies", "support", "difference")
    )


def _families(known: Sequence[ArchitectureFacts]) -> str:
    rows = []
    for (library, family), members in sorted(_by_family(known).items()):
        sizes = sorted(entry.parameters for entry in members)
        layers = Counter(_pattern(entry) for entry in members if entry.layers)
        layouts = dict.fromkeys(entry.layout for entry in members if entry.layers)
        rows.append(
            (
                f"[{family}](architectures.md#{library}-{family.replace('_', '-')})",
                library,
                str(len(members)),
                " to ".join(dict.fromkeys(_millions(size) for size in (sizes[0], sizes[-1]))),
                ", ".join(layouts),
                f"`{layers.most_common(1)[0][0]}`" if layers else "",
                f"{sum(entry.verified for entry in members)}",
            )
        )
    header = (
        "family", "library", "architectures", "parameters", "layout", "usual layer", "verified"
    )  # fmt: skip
    return f"## Families\n\n{_table(header, rows)}\n"


def _architectures(known: Sequence[ArchitectureFacts]) -> str:
    parts = [ARCHITECTURES]
    for (library, family), members in sorted(_by_family(known).items()):
        ordered = sorted(members, key=lambda entry: natural_key(entry.name))
        columns = {
            "name": [f"`{entry.name}`" for entry in ordered],
            "parameters": [_millions(entry.parameters) for entry in ordered],
            "input": ["x".join(map(str, entry.size)) for entry in ordered],
            "top-1 %": [_top1(entry) for entry in ordered],
            "layer": [_layer(entry) for entry in ordered],
            "layout": [entry.layout for entry in ordered],
            "prefix": [str(entry.prefix or "") for entry in ordered],
            "map": ["x".join(map(str, entry.grid)) if entry.layers else "" for entry in ordered],
            "past the map": [_share(entry) for entry in ordered],
            "verified": ["yes" if entry.verified else "no" for entry in ordered],
        }
        # timm states no accuracies, and most families have no prefix tokens.
        shown = {title: cells for title, cells in columns.items() if any(cells)}
        table = _table(list(shown), zip(*shown.values(), strict=True))
        parts.append(f"## {library} {family}\n\n{table}\n")
    return "\n".join(parts)


def _layer(entry: ArchitectureFacts) -> str:
    return f"`{JOINT.join(entry.layers)}`" if entry.layers else "no class scores"


def _share(entry: ArchitectureFacts) -> str:
    if not entry.layers:
        return ""
    return "unknown" if entry.bypass is None else f"{entry.bypass:.0%}"


def _by_family(
    known: Iterable[ArchitectureFacts],
) -> dict[tuple[str, str], list[ArchitectureFacts]]:
    families: dict[tuple[str, str], list[ArchitectureFacts]] = defaultdict(list)
    for entry in known:
        families[entry.library, entry.family].append(entry)
    return families


def _pattern(entry: ArchitectureFacts) -> str:
    """Return a layer's name without its numbers, to group layers of one kind."""
    parts = JOINT.join(entry.layers).split(".")
    return ".".join("n" if part.isdigit() else part for part in parts)


def _top1(entry: ArchitectureFacts) -> str:
    accuracy = next(iter(entry.weights.values()), None)
    return "" if accuracy is None else f"{accuracy:.2f}"


def _millions(count: int) -> str:
    return f"{count / 1e6:,.1f} M"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _read_runs(path: Path) -> Runs:
    with path.open(newline="", encoding="utf-8") as file:
        return {(row["library"], row["name"]): row for row in csv.DictReader(file)}


def _write(path: Path, text: str) -> None:
    if not path.is_file() or path.read_text("utf-8") != text:
        path.write_text(text, "utf-8")


def _before_build(app: Sphinx) -> None:
    write_pages(Path(app.srcdir))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension with Sphinx."""
    app.connect("builder-inited", _before_build)
    return {"parallel_read_safe": True}

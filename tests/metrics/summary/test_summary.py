"""The summary: single values, findings, and the same content in every format."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from effcam.errors import ArgumentError, CellError, OutputError
from effcam.metrics.summary import Fact, Figure, Measure, Summary
from effcam.metrics.summary.summary import FORMATS
from effcam.metrics.summary.text_tables import LONGEST, WIDTH

COLUMNS = ("alexnet", "densenet121", "resnet152", "EB0", "EB3")
NASTY = ("a<b>", "x|y", "R&D_50%", "back\\slash{1}", "Größe #1 ~^$")
AREA = Figure(
    "effective_area",
    "effective area",
    "focus",
    "lower",
    "%",
    explains='The share of the image that holds "most" of the heat, if heat < all.',
)
CENTRE = {"centre": 0.612, "uniform": 0.231}
RANDOM = {"random map": 0.41}
HEATLESS = (
    "EB3 has no heat at all on 4 of the 812 images, which every figure of it but accuracy leaves "
    "out, so these are of 808 images."
)


def estimate(
    figure: Figure,
    values: list[float],
    half: float,
    count: int = 812,
    baselines: dict[str, float] | None = None,
) -> Measure:
    """Return a measure with intervals of +-``half``, and +-1.2 ``half`` for differences.

    Differences whose interval excludes zero are significant after correction, too.
    """
    array = np.array(values)
    gap = array[:, None] - array
    return Measure(
        figure=figure,
        values=array,
        low=array - half,
        high=array + half,
        counts=np.full(len(values), count),
        baselines=baselines or {},
        difference_low=gap - 1.2 * half,
        difference_high=gap + 1.2 * half,
        p_values=np.where(np.isnan(gap), np.nan, np.where(np.abs(gap) > 1.2 * half, 0.01, 0.6)),
        units=np.full(len(values), count),
    )


def exact(figure: Figure, values: list[float]) -> Measure:
    return Measure(figure=figure, values=np.array(values))


def faithfulness() -> list[Measure]:
    def figure(key: str, better: Any) -> Figure:
        return Figure(key, key.replace("_", " "), "faithfulness", better, "", 3)

    return [
        estimate(figure("average_drop", "lower"), [0.3, 0.2, 0.19, 0.17, 0.18], 0.02, 812, RANDOM),
        estimate(figure("insertion", "higher"), [0.3, 0.42, 0.49, 0.57, 0.58], 0.02, 812, RANDOM),
        estimate(figure("deletion", "lower"), [0.12, 0.11, 0.09, 0.08, 0.07], 0.02, 812, RANDOM),
        estimate(figure("road", "higher"), [-0.1, 0.02, 0.09, 0.11, 0.08], 0.02, 812, RANDOM),
    ]


def localisation() -> list[Measure]:
    def figure(key: str, title: str) -> Figure:
        return Figure(key, title, "localisation", "higher", "%")

    game, energy = [0.712, 0.834, 0.846, 0.871, 0.865], [0.412, 0.523, 0.571, 0.589, np.nan]
    return [
        estimate(figure("pointing_game", "pointing game"), game, 0.02, 812, CENTRE),
        estimate(figure("energy", "energy inside"), energy, 0.018, 812, {"uniform": 0.235}),
        estimate(figure("max_box_acc_v2", "MaxBoxAccV2"), [0.52, 0.58, 0.59, 0.6, 0.61], 0.2),
    ]


def build(columns: tuple[str, ...] = COLUMNS) -> Summary:
    measures = [
        estimate(AREA, [0.312, 0.221, 0.18, 0.121, 0.126], 0.015),
        estimate(
            Figure("gini", "Gini", "focus", "higher", "", 3),
            [0.412, 0.523, 0.571, 0.689, 0.68],
            0.02,
        ),
        estimate(
            Figure("half_mass_area", "half-mass area", "focus", "lower", "%"),
            [0.2, 0.14, 0.12, 0.087, 0.09],
            0.01,
        ),
        *localisation(),
        *faithfulness(),
        # Out of order on purpose: this group must still come first.
        estimate(
            Figure("accuracy", "accuracy", "model", "higher", "%"),
            [0.565, 0.744, 0.783, 0.777, 0.816],
            0.028,
            1000,
        ),
        estimate(
            Figure("confidence", "confidence", "model", None, "%"),
            [0.55, 0.7, 0.75, 0.69, 0.72],
            0.02,
        ),
        exact(
            Figure("parameters", "parameters", "model", "lower", "M"),
            [61.1e6, 7.98e6, 60.19e6, 5.29e6, 12.23e6],
        ),
        exact(
            Figure("flops", "operations", "model", "lower", "G"),
            [0.71e9, 2.83e9, 11.5e9, 0.39e9, 1.83e9],
        ),
        exact(
            Figure("time", "time", "model", "lower", "ms"), [0.0021, 0.0312, 0.0621, 0.0153, 0.0287]
        ),
    ]
    layers = ("features.12", "features.denseblock4.denselayer16.conv2", "layer4.2", "f.8", "f.8")
    return Summary(
        columns=columns,
        images=1000,
        used=812,
        facts=(Fact("target layer", layers), Fact("grid", ("13 x 13", *("7 x 7",) * 4))),
        measures=tuple(measures),
        notes=(
            HEATLESS,
            "Baselines ignore the image & <what> is in it: 100 %.",
        ),
    )


def single() -> Summary:
    """Return the summary of one column."""
    measure = Measure(figure=AREA, values=np.array([0.25]), low=np.array([0.2]))
    return Summary(columns=("EB0",), images=1, used=1, measures=(measure,))


def blocks(summary: Summary) -> list[list[str]]:
    """Return the lines of each printed table."""
    parts = [part.splitlines() for part in str(summary).split("\n\n")]
    groups = {"model", *(measure.figure.group for measure in summary.measures)}
    return [lines for lines in parts if lines[0].split()[0] in groups]


def cut(lines: list[str]) -> list[list[str]]:
    """Return the cells of a printed table, split where all lines have two or more spaces."""
    width = max(map(len, lines))
    padded = [line.ljust(width) for line in lines]
    inked = "".join("x" if set(column) != {" "} else " " for column in zip(*padded, strict=True))
    spans = [match.span() for match in re.finditer(r"x+(?: x+)*", inked)]
    return [[line[slice(*span)] for span in spans] for line in padded]


def printed(summary: Summary) -> dict[tuple[str, str], str]:
    """Return every printed cell by the label of its row and its heading."""
    return {
        (row[0].strip(), heading.strip()): cell.strip()
        for head, *rows in map(cut, blocks(summary))
        for row in rows
        for heading, cell in zip(head, row, strict=True)
    }


# Single values, differences and findings


def test_value_is_found_by_label_and_by_position() -> None:
    summary = build()
    assert summary["EB0", "effective_area"] == 0.121
    assert summary[3, "effective_area"] == summary[-2, "effective_area"] == 0.121
    assert summary.measure("gini").figure.title == "Gini"


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (("resnet15", "gini"), "no column is called .* Did you mean 'resnet152'"),
        ((5, "gini"), "column 5 is out of range: there are 5"),
        (("EB0", "effectiv_area"), "no figure is called .* Did you mean 'effective_area'"),
    ],
)
def test_unknown_cells_suggest_close_names(key: Any, message: str) -> None:
    with pytest.raises(CellError, match=message):
        build()[key]


@pytest.mark.parametrize("key", ["EB0", (0.5, "gini"), ("EB0", "gini", 1)])
def test_keys_of_another_kind_are_refused(key: Any) -> None:
    with pytest.raises(ArgumentError):
        build()[key]


def test_differences_are_significant_and_the_largest_first() -> None:
    found = build().differences("effective_area")
    pairs = {frozenset((each.one, each.other)) for each in found}
    everyone = {frozenset(both) for both in itertools.combinations(COLUMNS, 2)}
    assert everyone - pairs == {frozenset(("EB0", "EB3"))}
    assert (found[0].one, found[0].other) == ("alexnet", "EB0")
    assert found[0].value == pytest.approx(0.191)
    values = [each.value for each in found]
    assert values == sorted(values, reverse=True)
    assert all(each.low > 0 for each in found)


def test_differences_leave_out_columns_without_value() -> None:
    assert all("EB3" not in (each.one, each.other) for each in build().differences("energy"))
    assert build().differences("max_box_acc_v2") == []


def finding(key: str, summary: Summary | None = None) -> str:
    """Return the sentence on one figure."""
    title = (summary or build()).measure(key).figure.title
    (sentence,) = [each for each in (summary or build()).findings() if f" {title}," in each]
    return sentence


def test_finding_names_from_which_columns_the_best_differs() -> None:
    assert finding("effective_area") == (
        "EB0 has the lowest effective area, 12.1 %; it is significantly different from alexnet, "
        "densenet121 and resnet152, not from EB3."
    )
    # EB3 has no value, so the sentence leaves it out.
    assert finding("energy").endswith("from alexnet and densenet121, not from resnet152.")


def test_finding_of_a_best_that_differs_from_no_column() -> None:
    assert finding("max_box_acc_v2") == (
        "EB3 has the highest MaxBoxAccV2, 61.0 %, but is not significantly different from the "
        "others."
    )


def timed(low: list[float], high: list[float]) -> Summary:
    figure = Figure("seconds", "time per image", "model", "lower", "ms")
    ends = np.array(low), np.array(high)
    time = Measure(figure=figure, values=sum(ends) / 2, low=ends[0], high=ends[1], spread="batches")
    return Summary(columns=("a", "b", "c"), images=9, used=9, measures=(time,))


def test_times_are_shown_with_their_batches_and_marked_only_if_these_are_apart() -> None:
    summary = timed([0.001, 0.002, 0.003], [0.0025, 0.004, 0.005])
    assert finding("seconds", summary) == (
        "a has the lowest time per image, 1.8 ms, but the range of batches of b overlaps."
    )
    assert "1.8 [1.0, 2.5]" in str(summary)
    assert "[ ] of the time: the middle 80 % of batches" in str(summary)
    assert "95 % interval" not in str(summary)
    known = summary.to_dict()["measures"]
    assert known[0]["low_and_high"] == "10th and 90th percentile of batches"  # type: ignore[index]
    apart = timed([0.001, 0.002, 0.003], [0.0015, 0.004, 0.005])
    assert "1.2* [1.0, 1.5]" in str(apart)
    assert finding("seconds", apart).endswith("no other range of batches overlaps with its own.")


def test_one_time_alone_is_no_best_one() -> None:
    summary = timed([np.nan] * 3, [np.nan] * 3)
    time = Measure(figure=summary.measures[0].figure, values=np.array([1, 2, 3]), spread="batches")
    once = Summary(columns=("a", "b", "c"), images=9, used=9, measures=(time,))
    assert finding("seconds", once).endswith("; there is no test to compare columns.")
    assert "*" not in str(once).split("\n\n")[1]


def test_how_intervals_and_tests_were_made_is_machine_readable() -> None:
    known = build().to_dict()["statistics"]
    assert known["least_units"] == 6  # type: ignore[index]
    assert known["level"] == 0.05  # type: ignore[index]
    assert "Holm" in known["correction"]  # type: ignore[index]


def test_finding_of_all_others() -> None:
    measure = estimate(AREA, [0.1, 0.2, 0.3], 0.01)
    summary = Summary(columns=("a", "b", "c"), images=9, used=9, measures=(measure,))
    assert finding("effective_area", summary).endswith(
        "; it is significantly different from all others."
    )


def test_without_tests_measures_on_images_have_no_finding() -> None:
    assert finding("parameters") == "EB0 has the lowest parameters, 5.3 M."
    measure = Measure(figure=AREA, values=np.array([0.1, 0.1, 0.2]), counts=np.full(3, 9))
    summary = Summary(columns=("a", "b", "c"), images=9, used=9, measures=(measure,))
    assert finding("effective_area", summary) == (
        "a and b have the lowest effective area, 10.0 %; there is no test to compare columns."
    )


def test_columns_that_share_what_their_model_costs_have_no_finding_on_it() -> None:
    size = Figure("parameters", "parameters", "model", "lower", "M")
    measure = Measure(figure=size, values=np.array([5.3e6, 5.3e6]))
    summary = Summary(columns=("m top1", "m top2"), images=9, used=9, measures=(measure,))
    assert summary.findings() == []


def test_one_column_and_figures_without_a_side_have_no_finding() -> None:
    assert single().findings() == []
    assert not any("confidence" in each for each in build().findings())


# Plain text


def test_text_begins_with_the_number_of_images() -> None:
    first = str(build()).splitlines()[0]
    assert first == "1,000 images; every figure but accuracy uses 812 of them."
    assert str(single()).splitlines()[0] == "1 image."


@pytest.mark.parametrize("columns", [COLUMNS, NASTY, tuple(f"{n}" * 60 for n in range(5))])
def test_text_is_no_wider_than_a_screen(columns: tuple[str, ...]) -> None:
    lines = str(build(columns)).splitlines()
    assert max(map(len, lines)) <= WIDTH


def test_text_starts_with_the_model_block_and_shows_facts_there() -> None:
    heads = [block[0] for block in blocks(build())]
    assert re.match(r"model +target layer +grid", heads[0])
    groups = [head.split()[0] for head in heads]
    assert [group for group, _ in itertools.groupby(groups)] == [
        "model",
        "focus",
        "localisation",
        "faithfulness",
    ]


def test_text_columns_line_up() -> None:
    for lines in blocks(build()):
        head, *rows = cut(lines)
        assert [cell.strip() for cell in head] == re.split(r" {2,}", lines[0])
        for column in list(zip(*rows, strict=True))[1:]:
            numbers = [cell for cell in column if re.match(r" *-?\d+\.\d", cell)]
            assert len({cell.index(".") for cell in numbers}) <= 1
            assert len({cell.index("]") for cell in numbers if "]" in cell}) <= 1


def test_text_holds_every_value_with_its_interval() -> None:
    cells = printed(build())
    assert cells["alexnet", "effective area, % ↓"] == "31.2  [29.7, 32.7]"
    assert cells["alexnet", "parameters, M ↓"] == "61.1"
    assert cells["densenet121", "time, ms ↓"] == "31.2"
    assert cells["EB3", "energy inside, % ↑"] == "-"
    assert cells["alexnet", "confidence, %"] == "55.0 [53.0, 57.0]"
    assert cells["EB0", "target layer"] == "f.8"
    headings = {measure.figure.heading for measure in build().measures}
    assert headings < {heading for _, heading in cells}


def test_text_marks_the_best_and_those_that_do_not_differ() -> None:
    cells = printed(build())
    marked = {label for label in COLUMNS if "*" in cells[label, "effective area, % ↓"]}
    assert marked == {"EB0", "EB3"}
    assert cells["EB0", "effective area, % ↓"] == "12.1* [10.6, 13.6]"
    # In one figure all are among the best; in the other none is better.
    for heading in ("MaxBoxAccV2, % ↑", "confidence, %"):
        assert not any("*" in cells[label, heading] for label in COLUMNS)


def test_text_has_a_legend_only_for_the_signs_it_uses() -> None:
    legend = str(build()).split("\n\n")[-2]
    signs, *best, none = legend.splitlines()
    assert signs == "↑ higher is better; ↓ lower is better; [ ] 95 % interval; ( ) baseline"
    assert " ".join(each.strip() for each in best) == (
        "* best, or not significantly different from the best, at 5 % for all pairs of models in a "
        "figure (Holm); of 20 figures in which no model differs, one has false marks"
    )
    assert none == "no * under ↑ or ↓: no model is known to differ from the best"
    alone = str(single())
    assert "↑" not in alone
    assert "*" not in alone
    assert "baseline" not in alone


def test_text_shows_baselines_in_brackets_and_a_dash_where_there_is_none() -> None:
    cells = printed(build())
    assert cells["(centre)", "pointing game, % ↑"] == "61.2"
    assert cells["(centre)", "energy inside, % ↑"] == "-"
    assert cells["(uniform)", "energy inside, % ↑"] == "23.5"
    assert cells["(random map)", "road ↑"] == "0.410"
    assert not any(label.startswith("(") and "Gini" in heading for label, heading in cells)


def test_long_labels_and_facts_lose_their_middle_in_text_only() -> None:
    labels = tuple(f"{'long' * 20}{n}" for n in range(5))
    summary = build(labels)
    (shown,) = {label for label, _ in printed_labels(summary) if label.endswith("3")}
    assert len(shown) == LONGEST
    assert "…" in shown
    assert labels[3] in summary.to_markdown()


def printed_labels(summary: Summary) -> list[tuple[str, int]]:
    """Return the labels of all rows, and the block of each."""
    tables = [cut(lines) for lines in blocks(summary)]
    return [(row[0].strip(), at) for at, table in enumerate(tables) for row in table[1:]]


def test_every_block_has_every_row() -> None:
    for at, _ in enumerate(blocks(build())):
        labels = [label for label, block in printed_labels(build()) if block == at]
        assert labels[:5] == list(COLUMNS)


def test_text_wraps_notes_as_a_list_at_the_end() -> None:
    _, last = str(build()).rsplit("\n\n", 1)
    title, first, second, third = last.splitlines()
    assert title == "Notes"
    assert first.startswith("- EB3 has no heat")
    assert second.startswith("  ")
    assert third == "- Baselines ignore the image & <what> is in it: 100 %."


def test_text_of_an_empty_summary_is_its_first_line() -> None:
    assert str(Summary(columns=("a",), images=3, used=3)) == "3 images."


def test_repr_is_short() -> None:
    shown = repr(single())
    assert shown.splitlines()[:2] == ["Summary: 1 image x 1 column", "columns  EB0"]


# HTML


class Reader(HTMLParser):
    """Collects the texts of cells, table by table; fails on tags that are not closed."""

    VOID: ClassVar = {"br", "meta", "!doctype"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.titles: list[str] = []
        self.strong: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert {name for name, _ in attrs} <= {"style", "scope", "title", "lang", "charset"}
        self.titles += [value for name, value in attrs if name == "title" and value]
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] += data
        if "strong" in self.open:
            self.strong.append(data)


def test_html_has_a_table_a_group_with_all_rows_and_values() -> None:
    page = Reader(build()._repr_html_())
    heads = [table[0][0] for table in page.tables]
    assert heads == ["model", "focus", "localisation", "faithfulness"]
    assert all(len({len(row) for row in table}) == 1 for table in page.tables)
    assert page.tables[1][1][:2] == ["alexnet", "31.2 [29.7, 32.7]"]
    assert [row[0] for row in page.tables[2]][1:] == [*COLUMNS, "(centre)", "(uniform)"]


def test_html_has_the_best_in_strong_and_explanations_as_tooltips() -> None:
    page = Reader(build()._repr_html_())
    assert {"12.1", "12.6"} <= set(page.strong)
    assert not {"31.2 ", "52.0"} & set(page.strong)
    assert page.titles == [AREA.explains]


@pytest.mark.parametrize("suffix", ["page", "fragment"])
def test_html_is_escaped_without_scripts_or_external_content(suffix: str, tmp_path: Path) -> None:
    summary = build(NASTY)
    text = summary._repr_html_()
    if suffix == "page":
        text = summary.save(tmp_path / "x.html").read_text(encoding="utf-8")
    page = Reader(text)
    assert [row[0] for row in page.tables[1]][1:] == list(NASTY)
    assert not page.tags & {"script", "img", "link", "iframe", "b", "what"}
    assert "http" not in text


# JSON and CSV


def test_json_has_no_nan_and_parses_to_its_source() -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    summary = build(NASTY)
    content = json.loads(summary.to_json(), parse_constant=refuse)
    assert content == summary.to_dict()
    assert content["columns"] == list(NASTY)
    assert (content["images"], content["used"]) == (1000, 812)
    assert content["notes"] == list(summary.notes)
    assert content["facts"][1] == {"title": "grid", "texts": ["13 x 13", *["7 x 7"] * 4]}


def test_json_holds_raw_values_intervals_and_units() -> None:
    measures = {each["key"]: each for each in json.loads(build().to_json())["measures"]}
    area, energy = measures["effective_area"], measures["energy"]
    assert area["values"][0] == 0.312
    assert (area["unit"], area["values_in"]) == ("%", "shares from 0 to 1")
    assert (measures["time"]["values"][0], measures["time"]["values_in"]) == (0.0021, "seconds")
    assert area["among_best"] == ["EB0", "EB3"]
    assert area["counts"] == area["units"] == [812] * 5
    assert area["low_and_high"] == "95 % interval"
    assert area["p_values"][0][3] == 0.01
    assert area["p_values"][3][4] == 0.6
    assert area["difference_low"][0][3] == pytest.approx(0.191 - 0.018)
    assert energy["values"][4] is None
    assert energy["low"][4] is None
    assert energy["difference_high"][4] == [None] * 5
    assert energy["p_values"][4] == [None] * 5
    assert energy["baselines"] == {"uniform": 0.235}


def test_infinity_is_none_in_json_and_empty_in_csv() -> None:
    measure = exact(AREA, [float("inf")])
    summary = Summary(columns=("a",), images=1, used=1, measures=(measure,))
    assert json.loads(summary.to_json())["measures"][0]["values"] == [None]
    (row,) = csv.DictReader(io.StringIO(summary.to_csv()))
    assert row["effective_area"] == ""


def test_csv_parses_back_to_the_same_numbers() -> None:
    summary = build(NASTY)
    rows = list(csv.DictReader(io.StringIO(summary.to_csv())))
    assert [(row["column"], row["kind"]) for row in rows] == [
        *((label, "model") for label in NASTY),
        *((name, "baseline") for name in ("centre", "uniform", "random map")),
    ]
    for measure in summary.measures:
        for end, array in (("", measure.values), ("_low", measure.low), ("_high", measure.high)):
            read = [float(row[measure.figure.key + end] or "nan") for row in rows[:5]]
            np.testing.assert_array_equal(read, array)
        assert [int(row[f"{measure.figure.key}_n"]) for row in rows[:5]] == measure.counts.tolist()


def test_csv_has_facts_and_baselines() -> None:
    rows = {row["column"]: row for row in csv.DictReader(io.StringIO(build().to_csv()))}
    assert rows["densenet121"]["target layer"] == "features.denseblock4.denselayer16.conv2"
    assert rows["centre"]["pointing_game"] == "0.612"
    assert rows["centre"]["energy"] == rows["centre"]["grid"] == rows["centre"]["gini_n"] == ""


# Markdown and LaTeX


def split_markdown(text: str) -> list[list[list[str]]]:
    """Return the cells of each table, split like GitHub does: at bars without a backslash."""
    tables = [part.splitlines() for part in text.split("\n\n") if part.startswith("| ")]
    return [[re.split(r"(?<!\\)(?:\\\\)*\|", line)[1:-1] for line in table] for table in tables]


def test_markdown_has_a_table_a_group_with_bold_best() -> None:
    tables = split_markdown(build().to_markdown())
    assert [table[0][0].strip() for table in tables] == [
        "model",
        "focus",
        "localisation",
        "faithfulness",
    ]
    focus = [[cell.strip() for cell in row] for row in tables[1]]
    assert focus[1] == [":--", "--:", "--:", "--:"]
    assert focus[2][:2] == ["alexnet", "31.2 [29.7, 32.7]"]
    assert focus[5][:2] == ["EB0", "**12.1** [10.6, 13.6]"]
    assert focus[6][:2] == ["EB3", "**12.6** [11.1, 14.1]"]


def test_markdown_escapes_special_characters() -> None:
    text = build(NASTY).to_markdown()
    for table in split_markdown(text):
        assert len({len(row) for row in table}) == 1
    for label in (
        "a&lt;b&gt;",
        "x\\|y",
        "R&amp;D\\_50%",
        "back\\\\slash{1}",
        "Größe \\#1 \\~^&#36;",
    ):
        assert f"| {label} |" in text
    assert "- Baselines ignore the image &amp; &lt;what&gt; is in it: 100 %." in text


def braces_balance(text: str) -> bool:
    depth = 0
    for sign in re.sub(r"\\[{}]", "", text):
        depth += (sign == "{") - (sign == "}")
        if depth < 0:
            return False
    return depth == 0


def test_latex_has_a_tabular_a_group_with_bold_best() -> None:
    text = build().to_latex()
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 4
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == 4
    # Rules divide the head from the models and, in two tables, the models from the baselines.
    assert text.count(r"\midrule") == 6
    assert r"EB0 & \textbf{12.1} {\footnotesize [10.6, 13.6]} &" in text
    assert r"alexnet & 31.2 {\footnotesize [29.7, 32.7]} &" in text
    assert r"effective area, \% $\downarrow$" in text
    assert r"$-$0.100" in text


@pytest.mark.parametrize("columns", [COLUMNS, NASTY, ("[a]", "*b", "{c", "}d", "\\")])
def test_latex_braces_balance_and_every_row_has_as_many_cells(columns: tuple[str, ...]) -> None:
    text = build(columns).to_latex()
    assert braces_balance(text)
    for table in re.findall(r"\\begin\{tabular\}\{(.*?)\}(.*?)\\end", text, re.DOTALL):
        rows = [line for line in table[1].splitlines() if line.endswith(r" \\")]
        assert {len(re.split(r"(?<!\\)&", row)) for row in rows} == {len(table[0])}
        # LaTeX would read them as options of the row's end.
        assert not any(row.startswith(("[", "*")) for row in rows)


def test_latex_escapes_every_special_character() -> None:
    text = build(NASTY).to_latex()
    for label in (
        r"a\textless{}b\textgreater{}",
        r"x\textbar{}y",
        r"R\&D\_50\%",
        r"back\textbackslash{}slash\{1\}",
        r"Größe \#1 \textasciitilde{}\textasciicircum{}\$",
    ):
        assert f"\n{label} & " in text
    assert r"\item Baselines ignore the image \& \textless{}what\textgreater{}" in text


def test_a_line_break_in_a_label_breaks_no_rendering() -> None:
    summary = build(("two\nlines", *COLUMNS[1:]))
    assert "| two lines |" in summary.to_markdown()
    assert "\ntwo lines & " in summary.to_latex()
    assert ("two lines", 0) in printed_labels(summary)


# Files


@pytest.mark.parametrize("suffix", FORMATS)
def test_save_writes_the_format_of_the_suffix(suffix: str, tmp_path: Path) -> None:
    summary = build(NASTY)
    path = summary.save(tmp_path / f"table{suffix.upper()}")
    made = {
        ".txt": str(summary),
        ".md": summary.to_markdown(),
        ".tex": summary.to_latex(),
        ".csv": summary.to_csv(),
        ".json": summary.to_json(),
        ".html": summary._repr_html_(),
    }[suffix]
    content = path.read_bytes().decode("utf-8")
    assert made in content
    assert content.endswith("\n")
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_save_refuses_other_suffixes_and_names_the_known(tmp_path: Path) -> None:
    for name in ("table.xlsx", "table"):
        with pytest.raises(OutputError, match=r"\.txt, \.md, \.tex, \.csv, \.json, \.html"):
            build().save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("summary", [single(), Summary(columns=(), images=0, used=0)])
def test_small_summaries_are_rendered(summary: Summary, tmp_path: Path) -> None:
    for suffix in FORMATS:
        assert summary.save(tmp_path / f"x{suffix}").stat().st_size > 0

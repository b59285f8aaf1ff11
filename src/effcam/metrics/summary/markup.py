"""Summaries as HTML, Markdown and LaTeX."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence

from effcam.metrics.summary.records import NONE
from effcam.metrics.summary.text_tables import Cell, Column, Contents, Table, flat


def to_html(contents: Contents) -> str:
    """Return one table per group and the notes, for notebooks, without scripts or downloads."""
    notes = "".join(f"<li>{_html(note)}</li>" for note in contents.notes)
    legend = "<br>".join(map(_html, contents.legend))
    return (
        f'<div style="overflow-x: auto"><p>{_html(contents.opening)}</p>'
        + "".join(map(_html_table, contents.tables))
        + (f"<p><small>{legend}</small></p>" if legend else "")
        + (f"<ul>{notes}</ul>" if notes else "")
        + "</div>"
    )


def to_page(contents: Contents) -> str:
    """Return an HTML page of `to_html`."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>effcam</title>'
        "<style>body { font-family: sans-serif } th, td { padding: 0.2em 0.7em }</style></head>\n"
        f"<body>{to_html(contents)}</body></html>\n"
    )


def _html_table(table: Table) -> str:
    head = "".join(map(_html_heading, table.columns))
    rows = "".join(
        ("<tr>" if at < table.models else '<tr style="opacity: 0.6">')
        + f'<th scope="row" style="{_side()}">{_html(label)}</th>'
        + "".join(map(_html_cell, table.columns, cells))
        + "</tr>"
        for at, (label, cells) in enumerate(table.rows())
    )
    return (
        f'<table style="white-space: nowrap; margin-bottom: 1em"><thead><tr><th style="{_side()}">'
        f"{_html(table.group)}</th>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )


def _html_heading(column: Column) -> str:
    title = f' title="{_html(column.explains)}"' if column.explains else ""
    return f'<th scope="col"{title} style="{_side(column)}">{_html(column.heading)}</th>'


def _html_cell(column: Column, cell: Cell) -> str:
    text = _html(cell.text)
    value = f"<strong>{text}</strong>" if cell.best else text
    interval = f" <small>{cell.interval}</small>" if cell.interval else ""
    return f'<td style="{_side(column)}">{value}{interval}</td>'


def _side(column: Column | None = None) -> str:
    return f"padding-right: 1em; text-align: {'right' if column and column.is_number else 'left'}"


def _html(text: str) -> str:
    return html.escape(flat(text))


def to_markdown(contents: Contents) -> str:
    """Return one table per group in GitHub's Markdown; the best values in bold."""
    parts = [escape_markdown(contents.opening), *map(_markdown_table, contents.tables)]
    # A backslash at the end forces a line break.
    parts.append("\\\n".join(contents.legend))
    parts.append("\n".join(f"- {escape_markdown(note)}" for note in contents.notes))
    return "\n\n".join(part for part in parts if part) + "\n"


def _markdown_table(table: Table) -> str:
    heads = [table.group, *(column.heading for column in table.columns)]
    rules = [":--", *("--:" if column.is_number else ":--" for column in table.columns)]
    rows = [
        [
            escape_markdown(label),
            *(_marked(cell, "**{}**", "{}", escape_markdown) for cell in cells),
        ]
        for label, cells in table.rows()
    ]
    return "\n".join(
        f"| {' | '.join(row)} |" for row in [list(map(escape_markdown, heads)), rules, *rows]
    )


# Some readers of Markdown take an escaped bracket or dollar for mathematics: use entities.
_MARKDOWN = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", "[": "&#91;", "$": "&#36;"}
    | {sign: f"\\{sign}" for sign in "\\|*_`~#"}
)


def escape_markdown(text: str) -> str:
    """Return text as one line of Markdown that shows it as it is."""
    return flat(text).translate(_MARKDOWN)


def to_latex(contents: Contents) -> str:
    r"""Return one ``tabular`` per group, for ``\usepackage{booktabs}``; the best values in bold."""
    parts = ["% needs \\usepackage{booktabs}", _latex(contents.opening)]
    parts += map(_latex_table, contents.tables)
    parts.append("\n".join(_latex(line) + r" \par" for line in contents.legend))
    if contents.notes:
        items = [rf"\item {_latex(note)}" for note in contents.notes]
        parts.append("\n".join([r"\begin{itemize}", *items, r"\end{itemize}"]))
    return "\n\n".join(part for part in parts if part) + "\n"


def _latex_table(table: Table) -> str:
    sides = "".join("r" if column.is_number else "l" for column in table.columns)
    heads = [table.group, *(column.heading for column in table.columns)]
    rows = [_latex_row(table, label, cells) for label, cells in table.rows()]
    baselines = [r"\midrule", *rows[table.models :]] if rows[table.models :] else []
    return "\n".join(
        [
            rf"\begin{{tabular}}{{l{sides}}}",
            r"\toprule",
            " & ".join(map(_latex, heads)) + r" \\",
            r"\midrule",
            *rows[: table.models],
            *baselines,
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


def _latex_row(table: Table, label: str, cells: Sequence[Cell]) -> str:
    texts = [
        _marked(cell, r"\textbf{{{}}}", r"{{\footnotesize {}}}", _latex_number)
        if column.is_number
        else _latex(cell.text)
        for column, cell in zip(table.columns, cells, strict=True)
    ]
    return " & ".join([_latex(label), *texts]) + r" \\"


_LATEX = str.maketrans(
    {sign: f"\\{sign}" for sign in "&%$#_{}"}
    # At the start of a row, LaTeX reads a star or a bracket as an option of the row before.
    | {"[": "{[}", "*": "{*}", "\\": r"\textbackslash{}", "~": r"\textasciitilde{}"}
    | {"^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}"}
    | {"|": r"\textbar{}", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "…": r"\ldots{}"}
)


def _latex(text: str) -> str:
    return flat(text).translate(_LATEX)


def _latex_number(text: str) -> str:
    return "--" if text == NONE else _latex(text).replace("-", "$-$")


def _marked(cell: Cell, best: str, interval: str, escape: Callable[[str], str]) -> str:
    """Return a cell in markup, from the formats of the best values and of intervals."""
    text = escape(cell.text)
    value = best.format(text) if cell.best else text
    return f"{value} {interval.format(cell.interval)}" if cell.interval else value

"""A list of methods that prints as a table, with what each costs as measured."""

from __future__ import annotations

import csv
from functools import cache
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from effcam.text import align

if TYPE_CHECKING:
    from effcam.cam.methods.table import MethodFacts

COSTS = "costs.csv"
"""Written by ``benchmarks/method_speed.py``."""
HEADINGS = ("method", "time, ResNet-18", "ViT-S", "needs", "map of", "by", "paper")
"""Of the table's columns; the times are multiples of one forward pass."""


class MethodList(tuple["MethodFacts", ...]):
    """What is known of several methods, which prints as a table."""

    __slots__ = ()

    def __repr__(self) -> str:
        return align(self.table(), right=[1, 2])

    def _repr_html_(self) -> str:
        heading, *rows = (
            [f"<{tag}>{escape(cell)}</{tag}>" for cell in row]
            for tag, row in zip(["th", *["td"] * len(self)], self.table(), strict=True)
        )
        lines = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
        return f"<table><tr>{''.join(heading)}</tr>{lines}</table>"

    def table(self) -> list[tuple[str, ...]]:
        """Return the table's rows, the headings first."""
        rows = [
            (
                each.name,
                *(_multiple(each.cost.get(model)) for model in MEASURED),
                ", ".join(each.needs),
                each.source,
                "grad-cam" if each.grad_cam else "effcam",
                each.paper,
            )
            for each in self
        ]
        return [HEADINGS, *rows]


MEASURED = ("resnet18", "vit_small_patch16_224")
"""The models whose times are known."""


@cache
def known_costs() -> dict[str, dict[str, float]]:
    """Return by method and model the time of a map, as a multiple of that of one forward pass.

    They were measured on a CPU, for batches of eight images of 224 px, and for single images where
    a method takes more than a hundred passes. They are the shortest of several rounds.
    """
    text = (files("effcam.cam.methods") / COSTS).read_text(encoding="utf-8")
    return {
        row["method"]: {model: float(row[model]) for model in MEASURED if row[model]}
        for row in csv.DictReader(text.splitlines())
    }


def _multiple(cost: float | None) -> str:
    """Return a multiple as text.

    >>> _multiple(1.04), _multiple(63.2), _multiple(None)
    ('1.04', '63', '')
    """
    if cost is None:
        return ""
    return f"{cost:.0f}" if cost >= 10 else f"{cost:.2f}"

"""The most confused pairs of classes, with the images of the page that show them."""

from __future__ import annotations

from typing import NamedTuple

from effcam.comparison.report.inputs import Material
from effcam.metrics.summary.confusions import Confusion, listed_pairs
from effcam.metrics.summary.text_tables import SHARE, pairs_of_each

MOST_LINKS = 4
"""The most images of a pair that the page links to."""


class Link(NamedTuple):
    """A cell of the page: the positions of its image and of its column, and the image's name."""

    image: int
    column: int
    name: str


class Pair(NamedTuple):
    """A pair of classes as text, and cells that show it."""

    label: str
    truth: str
    predicted: str
    images: str
    share: str
    interval: str
    links: tuple[Link, ...]


def confused_pairs(material: Material) -> list[Pair]:
    """Return the pairs that the summary lists."""
    summary = material.summary
    by_columns = listed_pairs(summary.confusions, pairs_of_each(len(summary.columns)))
    return [
        _pair(material, ", ".join(columns), each)
        for columns, own in by_columns.items()
        for each in own
    ]


def _pair(material: Material, label: str, each: Confusion) -> Pair:
    return Pair(
        label,
        each.truth,
        each.predicted,
        f"{each.images:,} of {each.of:,}",
        SHARE.show(each.share),
        SHARE.interval(each.low, each.high),
        tuple(_links(material, each))[:MOST_LINKS],
    )


def _links(material: Material, each: Confusion) -> list[Link]:
    """Return the cells of a pair whose images are on the page; a run's page shows few."""
    column = material.content.columns.index(each.column)
    return [
        Link(at, column, row[column].image.name)
        for at, row in enumerate(material.content.rows())
        if row[column].image.name in each.names
        and row[column].predicted == each.classes[1]
        and material.right[at, column] == 0
    ]

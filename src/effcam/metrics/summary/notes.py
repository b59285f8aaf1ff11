"""What stands beside the figures of a summary: facts of the columns, and notes for the reader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from effcam.cam.map_checks import Finding
from effcam.metrics.summary import Fact
from effcam.models.architectures import JOINT
from effcam.models.facts import ModelFacts

UNEQUAL = 0.03
"""How far the shares of the images that models saw may differ without a word."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What is told of the images of a comparison.

    Attributes:
        images: How many there are.
        used: Of how many the figures other than accuracy are.
        comparable: Whether all models answer one question in all of them.
        seen: The share of them that each column saw, the mean over images.
    """

    images: int
    used: int
    comparable: bool
    seen: Sequence[float]


def facts_of_columns(facts: Sequence[ModelFacts], seen: Sequence[float]) -> tuple[Fact, ...]:
    """Return what is known of each column, as text; nothing if nothing is."""
    if not facts:
        return ()
    texts = [
        (
            _short(each.target_layer),
            " x ".join(map(str, each.grid)),
            " x ".join(map(str, each.input_size)) + " px",
            f"{100 * share:.0f} %",
        )
        for each, share in zip(facts, seen, strict=True)
    ]
    titles = ("looked at", "grid", "input", "saw")
    return tuple(
        Fact(title, each) for title, each in zip(titles, zip(*texts, strict=True), strict=True)
    )


def notes(
    columns: Sequence[str],
    facts: Sequence[ModelFacts],
    counted: Counted,
    *,
    fair: bool,
    labelled: bool,
) -> list[str]:
    """Return what a reader of the figures must know.

    Args:
        columns: The columns' labels.
        facts: What is known of their models.
        counted: What is told of the images.
        fair: Whether the figures are of those alone in which the models answer one question.
        labelled: Whether labels are known.
    """
    found = []
    if fair:
        which = "that every model gets right" if labelled else "on which all models predict alike"
        found.append(
            f"Figures other than accuracy are of the {counted.used} of {counted.images} images "
            f"{which} and are explained by one class; fair=False (--all-images) takes all."
        )
    elif len(columns) > 1 and not counted.comparable:
        found.append(
            "Some models predict or explain different classes in an image, so their maps answer "
            "different questions; fair=True takes the other images alone."
        )
    if max(counted.seen) - min(counted.seen) > UNEQUAL:
        found.append(
            "The models saw different shares of the images. Areas are of the whole image, so that "
            'who sees less of it has less heat in it; view="whole" shows all of it to all.'
        )
    names = [label for label, each in zip(columns, facts, strict=bool(facts)) if each.untrained]
    if names:
        found.append(f"{', '.join(names)}: random weights, so the heat means nothing.")
    return found


def sequence_notes(pairs: int, block: int) -> list[str]:
    """Return what a reader must know of figures of films; nothing if there are none.

    Args:
        pairs: Of how many pairs of frames the figures of the group "sequence" are.
        block: How many pairs are drawn together for their intervals.
    """
    if not pairs:
        return []
    counted = (
        f"Sequence figures are of {pairs} pairs of frames that follow each other in a film. "
        "Steady is not right: heat should move as its object does."
    )
    alike = (
        f"Frames of a film are alike. Intervals of sequence figures draw blocks of {block} pairs; "
        "all others take each frame for an image of its own, and are too narrow. None says "
        "anything of other films."
    )
    return [counted, alike]


def health_notes(label: str, findings: Sequence[Finding]) -> list[str]:
    """Return what is odd about a column's maps, one sentence each."""
    return [f"{label}: {finding}" for finding in findings]


def _short(layers: str) -> str:
    first, *others = layers.split(JOINT)
    return f"{first} + {len(others)} more" if others else first

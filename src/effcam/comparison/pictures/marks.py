"""Marks at predictions whose truth is known, and the true class below the original."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from effcam.cam.cells import Cells
from effcam.cam.explanation import Explanation
from effcam.comparison.pictures.captions import shows_marks
from effcam.comparison.pictures.style import Style
from effcam.drawing.fonts import has_glyphs
from effcam.errors import TargetError
from effcam.images.refs import ImageRef
from effcam.images.truth import NamedClass
from effcam.models.facts import ModelFacts, class_names

SIGNS = {True: "\u2713", False: "\u2717"}
"""The marks of right and wrong predictions: they differ in shape, not in colour."""
WORDS = {True: "right:", False: "wrong:"}
"""The marks in a font that lacks `SIGNS`."""


@dataclass(frozen=True)
class Marks:
    """Marks of the predictions of a comparison.

    Attributes:
        content: The comparison.
        style: How it is drawn.
    """

    content: Cells
    style: Style

    def row(self, row: Sequence[Explanation]) -> list[str]:
        """Return the mark of each cell of an image, empty where it is unknown who is right."""
        found = self._right(row) if self.style.marks else [None] * len(row)
        return ["" if right is None else self._signs[right] for right in found]

    def truth(self, image: ImageRef) -> str:
        """Return the name of an image's true class, empty if unknown or without marks."""
        if image.truth is None or not self.style.marks:
            return ""
        return class_names(image.truth.classes, self.content.facts) or ""

    def legend(self) -> list[str]:
        """Return the meaning of the marks, if there are any."""
        if not self.style.marks or not shows_marks(self.style.caption):
            return []
        marked = [
            (right, cell.asks_other_label)
            for row in self.content.rows()
            for right, cell in zip(self._right(row), row, strict=True)
        ]
        found = {right for right, _ in marked}
        if found <= {None}:
            return []
        meaning = [f"{SIGNS[True]} right, {SIGNS[False]} wrong"] if self._signs is SIGNS else []
        if (None, False) in marked:
            meaning.append("no mark: not known")
        if (None, True) in marked:
            meaning.append("no mark: not the most probable label")
        return meaning

    @cached_property
    def _signs(self) -> dict[bool, str]:
        return SIGNS if has_glyphs(self.style.font_file, "".join(SIGNS.values())) else WORDS

    def _right(self, row: Sequence[Explanation]) -> list[bool | None]:
        """Return whether each model is right about an image, ``None`` where it is unknown."""
        truth = row[0].image.truth
        if truth is None or not truth.classes:
            return [None] * len(row)
        facts: Sequence[ModelFacts | None] = self.content.facts
        if len(facts) != len(row):
            facts = [None] * len(row)
        wanted = [[self._index(known, each) for each in truth.classes] for known in facts]
        return [
            # Such a caption begins with the label asked for, which is no prediction.
            None if None in indices or cell.asks_other_label else cell.predicted in indices
            for cell, indices in zip(row, wanted, strict=True)
        ]

    def _index(self, facts: ModelFacts | None, label: int | str | NamedClass) -> int | None:
        """Return the index of a class in a model, ``None`` if it is not one of its classes."""
        if facts is None:
            known = label.index if isinstance(label, NamedClass) else label
            return known if isinstance(known, int) else None
        key = id(facts), label
        if key not in self._indices:
            try:
                self._indices[key] = facts.find_class(label)
            except TargetError:
                self._indices[key] = None
        return self._indices[key]

    @cached_property
    def _indices(self) -> dict[tuple[int, int | str | NamedClass], int | None]:
        return {}

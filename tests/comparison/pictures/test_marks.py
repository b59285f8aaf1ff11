"""Marks of right and wrong predictions, from the labels of images to every kind of page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from PIL import Image

import effcam
from effcam import Comparison
from effcam.comparison.pictures.grid import grid_panels, grid_placement, legend, panels
from effcam.comparison.pictures.marks import Marks
from effcam.comparison.pictures.style import Style
from effcam.errors import AnnotationError, ArgumentError, TargetError
from effcam.images.refs import ImageRef
from effcam.images.truth import Truth
from effcam.models.facts import ModelFacts
from tests.cells import explain

LABELS = ("ant", "bee", "cat")
SYMBOLS = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans-Oblique.ttf")
WITHOUT = Path(matplotlib.get_data_path(), "fonts", "ttf", "cmr10.ttf")


def facts(labels: tuple[str, ...] = LABELS) -> ModelFacts:
    return ModelFacts(
        name="net",
        weights="as given",
        parameters=1,
        flops=1,
        input_size=(8, 8),
        grid=(2, 2),
        target_layer="layer4",
        seconds=0.1,
        labels=labels,
        synonyms=tuple((label,) for label in labels),
    )


def build(*known: int | str | None, others: tuple[str, ...] = LABELS) -> Comparison:
    """Two columns that predict ant and bee in every image; the classes of images as given."""
    images = tuple(
        ImageRef(f"{at}.png", Image.new("RGB", (96, 96)), None if label is None else Truth(label))
        for at, label in enumerate(known)
    )
    cells = [
        explain(
            np.eye(2), image=image, column=f"c{column}", predicted=column,
            predicted_label=LABELS[column], target=column, label=LABELS[column],
        )
        for image in images
        for column in (0, 1)
    ]  # fmt: skip
    return Comparison(images, ("c0", "c1"), tuple(cells), facts=(facts(), facts(others)))


def captions(comparison: Comparison, **style: Any) -> list[list[tuple[str, ...]]]:
    given = Style(**style)
    rows = grid_panels(comparison, grid_placement(comparison, given), given)
    return [[panel.lines for panel in row if panel is not None] for row in rows]


def test_right_and_wrong_predictions_differ_in_shape() -> None:
    comparison = build("bee")
    assert captions(comparison) == [
        [("0.png", "is bee"), ("\u2717\u00a0ant", "50 %"), ("\u2713\u00a0bee", "50 %")]
    ]
    assert legend(comparison, Style())[0] == "\u2713 right, \u2717 wrong"


def test_a_class_by_index_is_the_same() -> None:
    assert captions(build(1)) == captions(build("bee"))


def test_without_labels_nothing_changes() -> None:
    comparison = build(None)
    assert captions(comparison) == [[("0.png",), ("ant", "50 %"), ("bee", "50 %")]]
    assert not any("right" in note for note in legend(comparison, Style()))


def test_unknown_truths_have_no_mark_and_the_legend_says_so() -> None:
    comparison = build("bee", None)
    assert Marks(comparison, Style()).row(comparison.cells[2:]) == ["", ""]
    assert legend(comparison, Style())[:2] == [
        "\u2713 right, \u2717 wrong",
        "no mark: not known",
    ]
    # The class is not one of the second model's.
    other = build("bee", others=("dog", "cow", "pig"))
    assert Marks(other, Style()).row(other.cells) == ["\u2717", ""]
    assert "no mark: not known" in legend(other, Style())


def test_marks_can_be_left_out() -> None:
    assert captions(build("bee"), marks=False) == captions(build(None))
    assert legend(build("bee"), Style(marks=False)) == legend(build(None), Style())
    with pytest.raises(ArgumentError, match="marks is True or False, not 'no'"):
        build("bee").grid(marks="no")  # type: ignore[arg-type]


def test_a_template_places_marks_itself() -> None:
    comparison = build("bee")
    assert captions(comparison, caption="{label}")[0][1] == ("ant",)
    assert not any("right" in note for note in legend(comparison, Style(caption="{label}")))
    assert captions(comparison, caption="{mark} {label}, is {truth}")[0][1:] == [
        ("\u2717 ant, is bee",),
        ("\u2713 bee, is bee",),
    ]
    assert "\u2713 right, \u2717 wrong" in legend(comparison, Style(caption="{mark}"))
    assert captions(comparison, caption="") == [[(), (), ()]]


def test_a_font_without_the_marks_shows_words() -> None:
    assert captions(build("bee"), font=SYMBOLS)[0][1][0] == "\u2717\u00a0ant"
    assert captions(build("bee"), font=WITHOUT)[0][1][0] == "wrong:\u00a0ant"
    assert not any("wrong" in note for note in legend(build("bee"), Style(font=WITHOUT)))


@pytest.mark.parametrize("labels", [["bee", "ant"], {"0.png": "bee", "1.png": 0}])
def test_annotations_reach_pictures_and_the_summary(labels: Any) -> None:
    plain = build(None, None)
    known = plain.annotate(labels=labels)
    assert captions(known) == captions(build("bee", "ant"))
    assert known.summary()["c0", "accuracy"] == 0.5
    assert known.cells[2].image is known.images[1]
    assert known.cells[2].image.open() == plain.images[1].open()
    # What is known stays known, and the first comparison stays as it was.
    assert captions(known.take([1]).annotate()) == captions(known.take([1]))
    assert captions(plain) == captions(build(None, None))


def test_impossible_annotations_are_refused() -> None:
    with pytest.raises(TargetError, match="dog"):
        build(None).annotate(labels=["dog"])
    with pytest.raises(AnnotationError):
        build(None).annotate(labels={"9.png": "bee"})


def test_every_page_has_the_marks(tmp_path: Path) -> None:
    comparison = build("bee", "ant")
    for draw in (
        lambda part, **style: part.grid(width=96, **style),
        lambda part, **style: next(iter(part.frames(width=96, **style))),
        lambda part, **style: part.poster(0, width=96, **style),
    ):
        assert draw(comparison) != draw(comparison, marks=False)
    svg = comparison.save(tmp_path / "a.svg").read_text(encoding="utf-8")
    assert svg.count("\u2713\u00a0") == svg.count("\u2717\u00a0") == 2
    assert "is bee" in svg


def test_frames_of_a_video_with_and_without_a_class_have_one_size() -> None:
    comparison = build("bee", None)
    size = (96, 96)
    lines = {
        len(panels(row, size, Marks(comparison, Style()))[0].lines) for row in comparison.rows()
    }
    assert lines == {1, 2}
    assert len({frame.size for frame in comparison.frames(width=96)}) == 1


def test_scenes_under_models_of_other_classes_are_not_judged() -> None:
    """The index of a scene's class means another class in other models."""
    (scene,) = effcam.demo.scenes(1)
    assert scene.ref.truth is not None
    assert scene.ref.truth.label == scene.label
    cell = explain(np.eye(2), image=replace(scene.ref, name="a"), size=scene.image.size)
    comparison = Comparison((cell.image,), ("column",), (cell,), facts=(facts(),))
    assert Marks(comparison, Style()).row(comparison.cells) == [""]

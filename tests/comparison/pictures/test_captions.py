"""Templates of captions: every field and format, and no access to attributes of objects."""

from __future__ import annotations

from typing import Any

import pytest

from effcam import Comparison
from effcam.cam.explanation import Explanation
from effcam.comparison.pictures.captions import FIELDS, caption_lines, check_caption
from effcam.errors import ArgumentError


@pytest.fixture(scope="module")
def cell(demo: Comparison) -> Explanation:
    return demo[0, "resnet"]


def test_the_fields_are_those_of_a_table(cell: Explanation) -> None:
    record = {**cell.record(), "mark": "", "truth": ""}
    assert set(FIELDS) == set(record)
    assert {name: type(value) for name, value in FIELDS.items()} == {
        name: type(value) for name, value in record.items()
    }


def test_without_a_template_it_is_the_usual_caption(cell: Explanation) -> None:
    assert caption_lines(None, cell) == cell.caption()
    assert caption_lines("", cell) == ()


def test_fields_are_filled_in(cell: Explanation) -> None:
    template = "{predicted_label}\n{predicted_probability:.1%} {{x}} {target:>4} {label!s:.2}"
    with pytest.raises(ArgumentError, match="label may only be followed by a format"):
        check_caption(template)
    assert caption_lines(template.replace("!s", ""), cell) == (
        cell.predicted_label,
        f"{cell.predicted_probability:.1%} {{x}} {cell.target:>4} {cell.label[:2]}",
    )


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{label.__class__}", r"caption has no field 'label\.__class__'"),
        ("{label.__class__.__mro__[1]}", "caption has no field"),
        ("{label[0]}", r"caption has no field 'label\[0\]'"),
        ("{0}", "caption has no field '0'"),
        ("{}", "caption has no field ''"),
        ("{lable}", r"no field 'lable'\. Did you mean 'label'"),
        ("{Probability}", "Did you mean 'probability'"),
        ("{heatmap}", "The fields are image, column"),
        ("{label!r}", "label may only be followed by a format"),
        ("{label:{width}}", "label may only be followed by a format"),
        ("{probability:999999999}", "numbers of at most two digits"),
        ("{probability:.999999999f}", "numbers of at most two digits"),
        ("{label:.0%}", "cannot be filled in: Unknown format code '%'"),
        ("{probability:d}", "cannot be filled in"),
        ("{label", "cannot be filled in: .*Put fields in braces"),
        ("label}", "cannot be filled in: .*write a brace itself twice"),
        (7, "caption is a template such as '{label}', not 7"),
        ("\n" * 12, "more than 12 lines"),
    ],
)
def test_an_invalid_template_is_refused_before_anything_is_drawn(
    template: Any, message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        check_caption(template)

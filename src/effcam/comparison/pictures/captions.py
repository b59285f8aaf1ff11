"""The caption under a cell: the default lines, or a user's template."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from string import Formatter
from types import MappingProxyType

from effcam.cam.explanation import Explanation
from effcam.drawing.text import NO_BREAK
from effcam.errors import ArgumentError, did_you_mean
from effcam.text import quote

FIELDS: Mapping[str, str | int | float] = MappingProxyType(
    {
        **dict.fromkeys(("image", "column", "model", "weights", "method", "target_layer"), ""),
        "grid": "",
        "target": 0,
        "label": "",
        "probability": 0.5,
        "kind": "",
        "value": 0.5,
        "unit": "",
        "multi_label": False,
        "asked": "",
        "predicted": 0,
        "predicted_label": "",
        "predicted_probability": 0.5,
        "state": "",
        "flags": "",
        "mark": "",
        "truth": "",
        "width": 1,
        "height": 1,
        **dict.fromkeys(("region_left", "region_top", "region_right", "region_bottom"), 0.5),
    }
)
"""The fields of a template, each with a value of its type.

They are those of `Explanation.record`; the mark of the prediction, empty if unknown; and the name
of the true class, empty if unknown.
"""
MOST_LINES = 12


def check_caption(template: str | None) -> None:
    """Check that a template can be filled in for any cell.

    Raises:
        ArgumentError: If it is not a text, names an unknown field, or has an impossible format.
    """
    if template is None:
        return
    if not isinstance(template, str):
        raise ArgumentError(f"caption is a template such as '{{label}}', not {quote(template)}")
    if template.count("\n") >= MOST_LINES:
        raise ArgumentError(f"caption has more than {MOST_LINES} lines: {quote(template)}")
    _fill(template, FIELDS)


def caption_lines(
    template: str | None, cell: Explanation, mark: str = "", truth: str = ""
) -> tuple[str, ...]:
    """Return the lines under a cell.

    Args:
        template: As ``"{label} {probability:.0%}"``; ``None`` for the default caption, and an
            empty one for none.
        cell: The cell.
        mark: The mark of its prediction, empty if unknown.
        truth: The name of the true class, empty if unknown.

    Raises:
        ArgumentError: If `check_caption` refuses the template.
    """
    if template is None:
        predicted, share = cell.caption()
        # The mark stays on the line of the first word.
        return f"{mark}{NO_BREAK}{predicted}" if mark else predicted, share
    values = {**cell.record(), "mark": mark, "truth": truth}
    return tuple(_fill(template, values).split("\n")) if template else ()


def shows_marks(template: str | None) -> bool:
    """Return whether captions by a template, that `check_caption` accepts, have marks."""
    return template is None or "mark" in {name for _, name, _, _ in Formatter().parse(template)}


def _fill(template: str, values: Mapping[str, object]) -> str:
    """Replace the fields of a template by values."""
    try:
        return "".join(_parts(template, values))
    except ArgumentError:
        raise
    except (ValueError, TypeError, OverflowError) as error:
        raise ArgumentError(
            f"caption {quote(template)} cannot be filled in: {error}. Put fields in braces, as "
            "{label} or {probability:.0%}; write a brace itself twice."
        ) from error


def _parts(template: str, values: Mapping[str, object]) -> Iterator[str]:
    for literal, name, form, conversion in Formatter().parse(template):
        yield literal
        if name is None:
            continue
        # Only whole names are looked up: {label.upper} and {label[0]} are not fields.
        if name not in FIELDS:
            raise ArgumentError(
                f"caption has no field {quote(name)}.{did_you_mean(name, FIELDS)} The fields are "
                f"{', '.join(FIELDS)}."
            )
        if conversion or "{" in (form or "") or re.search(r"\d{3}", form or ""):
            raise ArgumentError(
                f"caption {quote(template)}: {name} may only be followed by a format such as :.0%, "
                "with numbers of at most two digits"
            )
        yield format(values[name], form or "")

from __future__ import annotations

from effcam import Box
from effcam.models.tracing.placement import Placement

FRAME = Box(0, 0, 224, 224)


def test_even_cells_cover_exactly_the_frame() -> None:
    even = Placement.even((7, 9), (224, 200))
    assert even.is_even
    frame = Box(3.3, -7.1, 640.7, 480.9)
    assert even.on(frame) is frame


def test_cells_lie_a_pitch_apart_around_the_middle_of_the_input() -> None:
    # AlexNet: six cells, 32 px apart, cover 192 of 224 px.
    assert Placement((6, 6), (224, 224), (32, 32)).on(FRAME) == Box(16, 16, 208, 208)


def test_they_may_reach_beyond_the_input() -> None:
    wide = Placement((9, 9), (260, 260), (32, 32))
    assert wide.on(Box(0, 0, 260, 260)) == Box(-14, -14, 274, 274)


def test_an_offset_moves_them_down_and_across_each_by_its_own() -> None:
    placement = Placement((7, 7), (224, 224), (32, 32), (-4, 8))
    assert not placement.is_even
    assert placement.on(FRAME) == Box(8, -4, 232, 220)


def test_lengths_are_those_of_the_image() -> None:
    # The input of 224 px shows 448 px of the image, from (100, 50) on.
    placement = Placement((7, 7), (224, 224), (32, 32), (0, 8))
    assert placement.on(Box(100, 50, 548, 498)) == Box(116, 50, 564, 498)


def test_it_is_one_line_of_text() -> None:
    even = Placement((6, 6), (224, 224), (32, 32))
    assert str(even) == "6 x 6 cells, 32 px apart, offset unknown"
    oblong = Placement((6, 9), (224, 224), (32, 16), (-4, 0.04), (1, 0.5))
    assert str(oblong) == (
        "6 x 9 cells, 32 px down and 16 px across apart, "
        "offset -4.0 +- 1.0 px down, +0.0 +- 0.5 px across"
    )

"""The stability of maps over a video: closed forms, controls, and the summary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from effcam import metrics
from effcam.cam.explanation import Explanation
from effcam.errors import ArgumentError
from effcam.images.frames import FilmFrame
from effcam.images.geometry import Box
from effcam.images.refs import ImageRef
from effcam.images.truth import Truth
from effcam.metrics.summary.builder import summarize
from effcam.metrics.summary.rows import ImageRows
from effcam.metrics.temporal import find_pairs


def blob(x: float, y: float, side: int = 14, spread: float = 2.0) -> np.ndarray[Any, Any]:
    down, across = np.mgrid[:side, :side] + 0.5
    return np.exp(-((across - x) ** 2 + (down - y) ** 2) / (2 * spread**2)).astype(np.float32)


def frame(index: int, video: str = "a.mp4") -> ImageRef:
    return ImageRef(
        f"{video} @ {index}", FilmFrame(Path(video), index, index / 10, str(index), index, 0)
    )


def cell(image: ImageRef, heat: np.ndarray[Any, Any], **changes: Any) -> Explanation:
    whole = Box(0, 0, 200, 100)
    made = Explanation(
        image=image, column="m", model="m", weights="w", method="gradcam", target_layer="l",
        target=0, label="a", probability=0.5, predicted=0, predicted_label="a",
        predicted_probability=0.5, heatmap=heat, size=(200, 100), region=whole,
        canvas=whole, frame=whole,
        state="ok",
    )  # fmt: skip
    return replace(made, **changes)


def rows_of(cells: Sequence[Explanation]) -> ImageRows:
    return ImageRows(("m",), tuple((each,) for each in cells), (), (Truth(),) * len(cells))


def test_still_frames_have_the_highest_stability() -> None:
    still = np.stack([blob(4, 9)] * 5)
    assert metrics.temporal_stability(still) == pytest.approx(1)
    assert metrics.centre_shift(still) == 0


def test_a_reversed_order_of_heat_is_the_opposite() -> None:
    one = np.arange(12).reshape(3, 4)
    assert metrics.temporal_stability(np.stack([one, 11 - one, one])) == pytest.approx(-1)


def test_the_centre_moves_with_the_heat() -> None:
    maps = np.zeros((3, 6, 8))
    for at, (y, x) in enumerate([(1, 1), (1, 4), (5, 4)]):
        maps[at, y, x] = 7 + at  # scale does not matter
    assert metrics.centre_shift(maps) == pytest.approx((3 + 4) / 2 / 10)


def test_constant_maps_do_not_count() -> None:
    maps = np.stack([blob(4, 4), blob(4, 4), np.zeros((14, 14)), blob(9, 9)])
    assert metrics.temporal_stability(maps) == pytest.approx(1)
    assert metrics.centre_shift(maps) == 0
    assert np.isnan(metrics.temporal_stability(maps[1:]))
    assert np.isnan(metrics.centre_shift(maps[1:]))


@pytest.mark.parametrize("shape", [(1, 3, 3), (3, 3), (0, 3, 3), (2, 0, 3)])
@pytest.mark.parametrize("figure", [metrics.temporal_stability, metrics.centre_shift])
def test_arrays_that_are_not_a_sequence_are_refused(
    figure: Callable[[Any], Any], shape: tuple[int, ...]
) -> None:
    with pytest.raises(ArgumentError, match="at least two frames"):
        figure(np.zeros(shape))


def test_noise_movement_and_disorder_are_less_stable() -> None:
    rng = np.random.default_rng(0)
    still = np.stack([blob(7, 7)] * 20)
    noisy = still + 0.02 * rng.random(still.shape)
    noisier = still + 0.3 * rng.random(still.shape)
    moving = np.stack([blob(3 + 0.4 * step, 7) for step in range(20)])
    shuffled = moving[rng.permutation(20)]
    stability = [metrics.temporal_stability(maps) for maps in (still, noisy, noisier)]
    assert stability[0] > stability[1] > stability[2] > 0
    assert 1 > metrics.temporal_stability(moving) > metrics.temporal_stability(shuffled) + 0.1
    shifts = [metrics.centre_shift(maps) for maps in (still, noisy, moving, shuffled)]
    assert shifts == sorted(shifts)
    assert shifts[0] == 0
    # The blob moves by 0.4 cells, relative to the diagonal of 14 x 14 cells; its edges are cut.
    assert shifts[2] == pytest.approx(0.4 / (14 * 2**0.5), rel=0.1)


def test_pairs_are_within_videos_and_in_their_order() -> None:
    photo = ImageRef("photo.png", None)
    images = [frame(4), photo, frame(0), frame(2), frame(1, "b.mp4"), frame(0, "b.mp4")]
    assert sorted(find_pairs(images)) == [(2, 3), (3, 0), (5, 4)]
    assert find_pairs([photo, frame(0)]) == []


def test_the_summary_has_sequences_of_videos() -> None:
    cells = [cell(frame(at), blob(3 + at, 7)) for at in range(8)]
    found = summarize(rows_of(cells))
    one, other = (found.measure(key) for key in ("temporal_stability", "centre_shift"))
    maps = np.stack([each.heatmap for each in cells])
    assert found["m", "temporal_stability"] == pytest.approx(
        metrics.temporal_stability(maps), abs=0.03
    )
    # A cell is 200 / 14 px wide, in an image of 200 x 100 px.
    assert found["m", "centre_shift"] == pytest.approx(200 / 14 / np.hypot(200, 100), rel=0.25)
    assert (one.figure.group, one.figure.better, other.figure.better) == ("sequence", None, None)
    assert one.counts.tolist() == [7]
    # One video is one unit, however many frames it has: there is no interval.
    assert one.units.tolist() == [1]
    assert np.isnan([one.low, one.high]).all()
    assert any("7 pairs of frames" in note and "Stable is not correct" in note
               for note in found.notes)  # fmt: skip
    assert any("a video as one image" in note and "of 1 video" in note for note in found.notes)
    assert "stability" in str(found)


def test_photos_have_no_sequence() -> None:
    found = summarize(rows_of([cell(ImageRef(str(at), None), blob(7, 7)) for at in range(3)]))
    assert "sequence" not in {each.figure.group for each in found.measures}
    assert not any("video" in note for note in found.notes)


def test_maps_without_evidence_and_sizes_that_change_do_not_count() -> None:
    cells = [cell(frame(at), blob(7, 7)) for at in range(6)]
    cells[2] = replace(cells[2], state="flat")
    cells[5] = replace(cells[5], size=(100, 100), region=Box(0, 0, 100, 100),
                       canvas=Box(0, 0, 100, 100))  # fmt: skip
    measure = summarize(rows_of(cells)).measure("temporal_stability")
    assert measure.counts.tolist() == [2]  # 0 and 1, 3 and 4
    assert measure.values.tolist() == pytest.approx([1])


def test_only_the_seen_part_counts() -> None:
    seen = Box(50, 0, 150, 100)
    cells = [cell(frame(at), blob(3 + 8 * at, 7), region=seen, canvas=seen) for at in range(2)]
    found = summarize(rows_of(cells))
    whole = summarize(rows_of([cell(frame(at), blob(3 + 8 * at, 7)) for at in range(2)]))
    assert found["m", "centre_shift"] == pytest.approx(whole["m", "centre_shift"] / 2, rel=0.01)


def test_frames_of_few_videos_have_neither_intervals_nor_tests() -> None:
    cells = [cell(frame(at, f"{video}.mp4"), blob(3 + at, 7)) for video in "abc" for at in range(9)]
    found = summarize(rows_of(cells))
    for measure in found.measures:
        assert np.isnan([measure.low, measure.high]).all()
    assert any("fewer than 6 images or videos" in note for note in found.notes)


def test_frames_of_six_videos_have_the_intervals_of_six() -> None:
    cells = [
        cell(frame(at, f"{video}.mp4"), blob(1 + number, 7))
        for number, video in enumerate("abcdef")
        for at in range(8)
    ]
    measure = summarize(rows_of(cells)).measure("effective_area")
    assert (measure.counts.tolist(), measure.units.tolist()) == ([48], [6])
    frames = summarize(rows_of([replace(each, image=ImageRef(str(at), None))
                                for at, each in enumerate(cells)]))  # fmt: skip
    alone = frames.measure("effective_area")
    assert measure.values == pytest.approx(alone.values)
    # Six independent values instead of 48: wider by the root of 8, and by Student's factor.
    assert measure.high - measure.low > 2.5 * (alone.high - alone.low)

"""Videos from end to end: compared, boxed, saved at their pace, refused for dataset runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

import effcam
from effcam.cli import main
from effcam.drawing import overlay
from effcam.drawing.encode import write_animation
from effcam.errors import ArgumentError, ImageError

MODELS = ["demo_resnet", "demo_alexnet"]


@pytest.fixture(scope="module")
def pan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of a pan over a scene, at ten frames a second."""
    photo = effcam.demo.scenes(1, seed=3, size=192)[0].ref.open()
    frames = [photo.crop((at, at, at + 129, at + 128)) for at in range(0, 60, 6)]
    return write_animation(frames, tmp_path_factory.mktemp("video") / "pan.mp4", seconds=0.1)


@pytest.fixture(scope="module")
def comparison(pan: Path) -> effcam.Comparison:
    return effcam.compare(pan, MODELS, fps=5, progress=False)


def test_frames_are_compared_as_images_are(comparison: effcam.Comparison, pan: Path) -> None:
    assert [image.name for image in comparison.images] == [
        f"pan.mp4 @ 0:00.{tenths}00" for tenths in (0, 2, 4, 6, 8)
    ]
    stills = [image.open() for image in comparison.images]
    again = effcam.compare(stills, MODELS, progress=False)
    for one, other in zip(comparison, again, strict=True):
        assert np.array_equal(one.heatmap, other.heatmap)
        assert one.predicted == other.predicted
    links = [link for link in Path("/proc/self/fd").glob("*") if link.exists()]
    comparison.grid(width=64)
    assert not any(link.resolve() == pan for link in links)


def test_the_summary_has_the_sequence(comparison: effcam.Comparison) -> None:
    summary = comparison.summary()
    for column in MODELS:
        assert -1 <= summary[column, "temporal_stability"] <= 1
        assert 0 < summary[column, "centre_shift"] < 1
    assert summary.measure("centre_shift").counts.tolist() == [4, 4]


@pytest.mark.parametrize(("given", "each"), [({}, 0.2), ({"seconds": 0.5}, 0.5)])
def test_videos_are_saved_at_their_own_pace(
    comparison: effcam.Comparison, tmp_path: Path, given: dict[str, Any], each: float
) -> None:
    with av.open(str(comparison.save(tmp_path / "a.mp4", width=64, **given))) as file:
        stream = file.streams.video[0]
        assert stream.duration is not None
        assert stream.time_base is not None
        assert float(stream.duration * stream.time_base) == pytest.approx(5 * each, abs=1e-3)
    with Image.open(comparison.save(tmp_path / "a.gif", width=64, **given)) as image:
        assert image.info["duration"] == 1000 * each
    mixed = comparison.take([1, 0]).save(tmp_path / "b.gif", width=64, **given)
    with Image.open(mixed) as image:
        assert image.info["duration"] == (1000 * each if given else 1000)
    with pytest.raises(ArgumentError, match="more than 0"):
        comparison.save(tmp_path / "c.gif", seconds=0)


def test_captions_show_the_time(
    comparison: effcam.Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    from effcam.comparison.pictures import grid

    titles = []
    own = grid.photo_caption
    monkeypatch.setattr(
        grid,
        "photo_caption",
        lambda *given, **more: titles.append(own(*given, **more)) or titles[-1],
    )
    next(comparison.frames(width=64))
    assert titles == [("0:00.000", "pan.mp4")]


def test_boxes_are_drawn_where_the_heat_is(comparison: effcam.Comparison) -> None:
    plain, boxed = (comparison.grid(width=96, boxes=boxes) for boxes in (False, True))
    assert plain != boxed
    cell = comparison[0, 0]
    box = cell.box()
    assert box is not None
    changed = np.any(np.asarray(cell.overlay()) != np.asarray(cell.overlay(boxes=True)), axis=2)
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    found = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    assert found == pytest.approx(box.as_tuple(), abs=1)


@pytest.mark.parametrize("box", [(0, 0, 40, 30), (10, 5, 11, 6), (39, 29, 40, 30), (5, 5, 5, 5)])
def test_lines_of_a_box_are_seen_on_anything(box: tuple[float, float, float, float]) -> None:
    for colour in ("white", "black", "grey"):
        picture = Image.new("RGB", (40, 30), colour)
        framed = np.asarray(overlay.frame(picture, box))
        assert {0, 255} <= set(framed.ravel().tolist())
        assert framed.shape == (30, 40, 3)
    assert np.asarray(overlay.frame(Image.new("RGB", (1, 1)), (0, 0, 1, 1))).shape == (1, 1, 3)
    with pytest.raises(ArgumentError, match="a box is left"):
        overlay.frame(picture, (3, 0, 1, 1))


def test_the_command_line_knows_videos(
    pan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = [tmp_path / name for name in ("a.mp4", "a.csv")]
    given = ["compare", str(pan), "-m", "demo_alexnet", "--every", "10", "--draw-boxes"]
    assert main([*given, *(part for path in outputs for part in ("-o", str(path)))]) == 0
    assert all(path.is_file() for path in outputs)
    assert main([*given, "-o", str(outputs[1])]) == 2
    assert "--draw-boxes has no meaning for" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["pan.mp4", "frames"])
def test_runs_take_no_videos(pan: Path, tmp_path: Path, name: str) -> None:
    from effcam.images.discovery import iter_images

    images: Any = pan if name == "pan.mp4" else list(iter_images(pan))
    with pytest.raises(ArgumentError, match=r"a run reads still images"):
        effcam.compare_dataset(images, "demo_alexnet", tmp_path / "run", progress=False)


def test_bad_frames_are_skipped_and_listed(pan: Path, tmp_path: Path) -> None:
    good = Image.new("RGB", (64, 64), "red")
    good.save(tmp_path / "a.png")
    (tmp_path / "b.mp4").write_bytes(pan.read_bytes()[:300])
    given = [tmp_path / "a.png", tmp_path / "b.mp4"]
    with pytest.raises(ImageError, match=r"video 'b\.mp4'"):
        effcam.compare(given, "demo_alexnet", progress=False)
    found = effcam.compare(given, "demo_alexnet", on_error="skip", progress=False)
    assert [image.name for image in found.images] == ["a.png"]
    assert [skipped.image for skipped in found.skipped] == ["b.mp4"]

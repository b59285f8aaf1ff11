"""Pixels to files: what is read back, and what a failure leaves on the disk."""

from __future__ import annotations

import math
import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, VideoReformatter
from PIL import Image, ImageSequence

from effcam.comparison.export import check_output
from effcam.drawing.encode import check_video, write_animation, write_image
from effcam.drawing.formats import ANIMATION_SUFFIXES, IMAGE_SUFFIXES
from effcam.drawing.webp_still import keep_duration
from effcam.errors import ArgumentError, ImageError, OutputError
from effcam.files import atomic

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOOPS = (".gif", ".webp")


def picture(seed: int = 0, width: int = 120, height: int = 80) -> Image.Image:
    """Return a smooth colourful picture with an edge, as a heatmap on a photo is."""
    y, x = np.mgrid[:height, :width]
    light = 120 + 40 * np.sin(x / 9 + seed) + 20 * np.cos(y / 5)
    heat = np.exp(-((x - 60 - 8 * seed) ** 2 + (y - 40) ** 2) / 500)
    array = np.stack([light + 70 * heat, light - 30 * heat, light - 60 * heat], axis=-1)
    array[: height // 4, : width // 4] = 255 if seed % 2 else 0
    return Image.fromarray(array.astype(np.uint8))


def colourful(seed: int) -> Image.Image:
    """Return a picture, 240 x 160 px, with as many hues and shades as a photo under heat."""
    y, x = np.mgrid[:160, :240]
    waves = [np.sin(x / (9 + 3 * c) + seed) + np.cos(y / (13 - 2 * c) - seed * c) for c in range(3)]
    return Image.fromarray((127.5 + 60 * np.stack(waves, axis=-1)).astype(np.uint8))


def psnr(left: Image.Image, right: Image.Image) -> float:
    def values(image: Image.Image) -> NDArray[np.float64]:
        return np.asarray(image.convert("RGB"), dtype=np.float64)

    error = float(((values(left) - values(right)) ** 2).mean())
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def read_back(path: Path) -> tuple[list[Image.Image], list[int], int]:
    """Return the frames of an animation, their durations in ms, and its number of loops."""
    with Image.open(path) as file:
        frames, durations = [], []
        for frame in ImageSequence.Iterator(file):
            frames.append(frame.convert("RGB"))
            durations.append(frame.info["duration"])
        return frames, durations, file.info["loop"]


def watch(path: Path) -> tuple[list[tuple[float, Image.Image]], float, list[float]]:
    """Decode a video as a player does.

    Returns:
        The frames with the second at which each is shown, the seconds that the video lasts, and
        the seconds to which a player can jump.
    """
    converter = VideoReformatter()
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        assert stream.duration is not None
        assert stream.time_base is not None
        shown, keys = [], []
        for frame in file.decode(video=0):
            # The frame itself has the colour metadata.
            pixels = converter.reformat(frame, format="rgb24", dst_color_range=ColorRange.JPEG)
            shown.append((frame.time, Image.fromarray(pixels.to_ndarray())))
            keys += [frame.time] if frame.key_frame else []
        return shown, float(stream.duration * stream.time_base), keys


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# atomic


def test_atomic_replaces_the_file_only_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text("old")
    with atomic(path) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".json"
        assert temporary != path
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert names(tmp_path) == ["result.json"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_atomic_keeps_the_old_file_when_interrupted(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "result.json"
    path.write_text("old")

    def interrupted() -> None:
        with atomic(path) as temporary:
            temporary.write_text("ne")
            raise error

    with pytest.raises(error):
        interrupted()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["result.json"]


@pytest.mark.skipif(os.name != "posix", reason="permission bits are those of POSIX")
@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_atomic_gives_the_permissions_of_the_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        with atomic(tmp_path / "a.txt") as temporary:
            temporary.write_text("text")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o666 & ~mask


def test_atomic_names_the_missing_folder(tmp_path: Path) -> None:
    folder = tmp_path / "missing"
    with (
        pytest.raises(OutputError, match=r"there is no folder .*missing"),
        atomic(folder / "a.png"),
    ):
        pytest.fail("the block must not start")
    assert not folder.exists()


def test_atomic_refuses_a_folder(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="it is a folder"), atomic(tmp_path):
        pytest.fail("the block must not start")


def test_atomic_refuses_a_folder_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(OutputError, match=r"cannot write .*a\.png: Permission denied") as caught:
        write_image(picture(), tmp_path / "a.png")
    assert isinstance(caught.value.__cause__, PermissionError)
    monkeypatch.undo()
    assert names(tmp_path) == []


def test_atomic_reports_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device"), atomic(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_atomic_passes_effcams_own_errors_through(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"^as it was$"), atomic(tmp_path / "a.txt"):
        raise OutputError("as it was")
    assert names(tmp_path) == []


# write_image


@pytest.mark.parametrize("suffix", [*IMAGE_SUFFIXES, ".PNG"])
def test_write_image_round_trip(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"picture{suffix}"
    assert write_image(picture(), path) == path
    assert names(tmp_path) == [path.name]
    with Image.open(path) as back:
        assert back.format == {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}.get(suffix, "PNG")
        assert back.size == (120, 80)
        if back.format == "PNG":
            assert psnr(back, picture()) == float("inf")
        else:
            assert psnr(back, picture()) > 36


def test_write_image_keeps_small_red_text_crisp_in_jpeg(tmp_path: Path) -> None:
    lines = Image.new("RGB", (64, 64), "white")
    lines.putdata([(255, 0, 0) if x % 2 else (255, 255, 255) for _ in range(64) for x in range(64)])
    with Image.open(write_image(lines, tmp_path / "a.jpg")) as back:
        # With subsampled chroma, neighbouring columns would become equal.
        assert psnr(back, lines) > 25


def test_write_image_takes_any_mode(tmp_path: Path) -> None:
    grey = picture().convert("L")
    with Image.open(write_image(grey, tmp_path / "a.png")) as back:
        assert psnr(back, grey) == float("inf")


def test_write_image_replaces_a_file(tmp_path: Path) -> None:
    path = write_image(picture(1), tmp_path / "a.png")
    write_image(picture(2), path)
    with Image.open(path) as back:
        assert psnr(back, picture(2)) == float("inf")


@pytest.mark.parametrize("name", ["a.bmp", "a", "a.gif"])
def test_write_image_lists_the_formats(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match=r"pictures are written as \.png, \.jpg, \.jpeg, \.webp"):
        write_image(picture(), tmp_path / name)
    assert names(tmp_path) == []


def test_write_image_says_what_a_format_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"16400 x 1 px, and \.webp holds at most 16383"):
        write_image(Image.new("RGB", (16400, 1)), tmp_path / "a.webp")
    write_image(Image.new("RGB", (16400, 1)), tmp_path / "a.png")
    assert names(tmp_path) == ["a.png"]


# write_animation


@pytest.mark.parametrize("suffix", [*LOOPS, ".GIF"])
def test_write_animation_round_trip(tmp_path: Path, suffix: str) -> None:
    frames = [picture(seed) for seed in range(5)]
    path = tmp_path / f"frames{suffix}"
    assert write_animation(iter(frames), path) == path
    assert names(tmp_path) == [path.name]
    back, durations, loop = read_back(path)
    assert len(back) == 5
    assert durations == [1000] * 5
    assert loop == 0
    for frame, source in zip(back, frames, strict=True):
        assert frame.size == source.size
        assert psnr(frame, source) > 33


def test_gif_of_many_colours_is_as_true_as_pillows_own_and_no_larger(tmp_path: Path) -> None:
    frames = [colourful(seed) for seed in range(3)]
    frames[0].save(tmp_path / "pillow.gif", save_all=True, append_images=frames[1:])
    write_animation(frames, tmp_path / "ours.gif")
    ours = read_back(tmp_path / "ours.gif")[0]
    with Image.open(tmp_path / "pillow.gif") as file:
        theirs = [frame.convert("RGB") for frame in ImageSequence.Iterator(file)]
    for source, mine, other in zip(frames, ours, theirs, strict=True):
        assert psnr(mine, source) > psnr(other, source) - 1
    assert (tmp_path / "ours.gif").stat().st_size <= (tmp_path / "pillow.gif").stat().st_size * 1.05


def test_gif_of_few_colours_is_exact(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("white", "#0e0e10", "red")]
    back, _, _ = read_back(write_animation(frames, tmp_path / "a.gif"))
    assert all(psnr(left, right) > 48 for left, right in zip(back, frames, strict=True))


@pytest.mark.parametrize(
    ("suffix", "seconds", "milliseconds"),
    [
        *((suffix, seconds, round(1000 * max(seconds, 0.02)))
          for suffix in LOOPS for seconds in (0.001, 0.25, 2)),
        (".gif", 0.255, 260),
        (".webp", 0.255, 255),
    ],
)  # fmt: skip
def test_write_animation_rounds_durations(
    tmp_path: Path, suffix: str, seconds: float, milliseconds: int
) -> None:
    path = write_animation([picture(0), picture(1)], tmp_path / f"a{suffix}", seconds=seconds)
    assert read_back(path)[1] == [milliseconds] * 2


@pytest.mark.parametrize("suffix", LOOPS)
def test_equal_frames_last_as_long_together(tmp_path: Path, suffix: str) -> None:
    frames = [picture(0), picture(0), picture(1), picture(2), picture(2), picture(2)]
    back, durations, _ = read_back(write_animation(frames, tmp_path / f"a{suffix}", seconds=0.5))
    assert sum(durations) == 3000
    starts = np.cumsum([0, *durations[:-1]])
    for start, frame in zip(starts, back, strict=True):
        assert psnr(frame, frames[start // 500]) > 33


@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize("suffix", LOOPS)
def test_frames_that_are_all_equal_keep_their_time(tmp_path: Path, suffix: str, count: int) -> None:
    path = write_animation([picture()] * count, tmp_path / f"a{suffix}", seconds=0.5)
    (back,), durations, loop = read_back(path)
    assert durations == [500 * count]
    assert loop == 0
    assert psnr(back, picture()) > 33


def test_frames_that_webp_takes_for_equal_keep_their_time(tmp_path: Path) -> None:
    other = np.array(picture())
    other[40, 60] ^= 1
    frames = [picture(), Image.fromarray(other)] * 2
    path = write_animation(frames, tmp_path / "a.webp", seconds=0.25)
    assert sum(read_back(path)[1]) == 1000


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (301, 200)])
def test_a_still_webp_of_any_size_keeps_its_time_and_its_pixels(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    for mode, options in (("RGB", {"quality": 90}), ("RGBA", {"quality": 90}),
                          ("RGBA", {"lossless": True}), ("RGB", {"lossless": True})):  # fmt: skip
        path = tmp_path / "a.webp"
        source = Image.effect_noise(size, 90).convert(mode)
        if mode == "RGBA":
            source.putalpha(Image.linear_gradient("L").resize(size))
        source.save(path, **options)
        with Image.open(path) as file:
            before = np.asarray(file.convert("RGBA"))
        keep_duration(path, 40_000_001)  # three frames: one holds at most 16,777,215 ms
        with Image.open(path) as file:
            frames = [np.asarray(frame.convert("RGBA")) for frame in ImageSequence.Iterator(file)]
            assert file.info["timestamp"] + file.info["duration"] == 40_000_001
        assert len(frames) == 3
        assert all(np.array_equal(frame, before) for frame in frames)


@pytest.mark.parametrize("suffix", LOOPS)
def test_write_animation_of_one_frame(tmp_path: Path, suffix: str) -> None:
    with Image.open(write_animation([picture()], tmp_path / f"a{suffix}")) as back:
        assert getattr(back, "n_frames", 1) == 1
        assert psnr(back, picture()) > 33


@pytest.mark.parametrize("suffix", ANIMATION_SUFFIXES)
def test_write_animation_takes_frames_one_by_one(tmp_path: Path, suffix: str) -> None:
    path, seen = tmp_path / f"a{suffix}", []

    def frames() -> Iterator[Image.Image]:
        for seed in range(3):
            seen.append([name.startswith(".effcam-") for name in names(tmp_path)])
            yield picture(seed)

    write_animation(frames(), path)
    assert seen == [[], [True], [True]]


@pytest.mark.parametrize("error", [ImageError("broken"), KeyboardInterrupt(), OSError("torn")])
@pytest.mark.parametrize("suffix", ANIMATION_SUFFIXES)
def test_write_animation_interrupted_keeps_the_old_file(
    tmp_path: Path, suffix: str, error: BaseException
) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"old")

    def frames() -> Iterator[Image.Image]:
        yield picture(0)
        yield picture(1)
        raise error

    expected = OutputError if type(error) is OSError else type(error)
    with pytest.raises(expected):
        write_animation(frames(), path)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == [path.name]


def test_write_animation_needs_a_frame(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="there is no frame"):
        write_animation([], tmp_path / "a.gif")
    assert names(tmp_path) == []


def test_write_animation_needs_frames_of_one_size(tmp_path: Path) -> None:
    frames = [picture(), picture(1, 60, 50)]
    with pytest.raises(ArgumentError, match="first has 120 x 80 px and another 60 x 50 px"):
        write_animation(frames, tmp_path / "a.gif")
    assert names(tmp_path) == []


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), 656])
def test_write_animation_rejects_seconds_out_of_range(tmp_path: Path, seconds: float) -> None:
    with pytest.raises(ArgumentError, match=r"more than 0 and at most 655\.35 seconds"):
        write_animation([picture()], tmp_path / "a.gif", seconds=seconds)


def test_gif_refuses_equal_frames_that_last_too_long(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"equal frames in a row may last at most 655\.35"):
        write_animation([picture()] * 4, tmp_path / "a.gif", seconds=600)
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["a.mov", "a.png", "a"])
def test_write_animation_lists_the_formats(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match=r"written as \.gif, \.webp, \.mp4, not as"):
        write_animation([picture()], tmp_path / name)


@pytest.mark.parametrize(("suffix", "most"), [(".webp", 16383), (".mp4", 16384)])
def test_write_animation_says_what_a_format_cannot_hold(
    tmp_path: Path, suffix: str, most: int
) -> None:
    with pytest.raises(OutputError, match=rf"\{suffix} holds at most {most} px a side"):
        write_animation([Image.new("RGB", (16400, 1))], tmp_path / f"a{suffix}")


@pytest.mark.parametrize("name", ["gone/a.png", "gone/a.gif"])
def test_writers_name_the_missing_folder(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    writer: Callable[[], Path] = (
        (lambda: write_image(picture(), path))
        if path.suffix == ".png"
        else (lambda: write_animation([picture()], path))
    )
    with pytest.raises(OutputError, match="there is no folder"):
        writer()


# video


@pytest.mark.parametrize("suffix", [".mp4", ".MP4"])
@pytest.mark.parametrize("seconds", [0.001, 1001 / 30000, 0.02, 0.255, 1, 2.5, 30])
def test_a_video_shows_each_frame_for_its_seconds(
    tmp_path: Path, suffix: str, seconds: float
) -> None:
    frames = [picture(seed) for seed in range(3)]
    path = write_animation(iter(frames), tmp_path / f"a{suffix}", seconds=seconds)
    assert names(tmp_path) == [path.name]
    shown, lasts, keys = watch(path)
    assert lasts == pytest.approx(3 * seconds, abs=1e-3)
    # A player can seek each frame, and nothing between frames.
    assert keys == pytest.approx([0, seconds, 2 * seconds], abs=1e-3)
    for time, frame in shown:
        assert frame.size == (120, 80)
        assert psnr(frame, frames[math.floor(time / seconds + 1e-3)]) > 33


@pytest.mark.parametrize(("seconds", "rate"), [(0.02, 50), (0.5, 10), (2, 10), (100, 1)])
def test_a_video_has_a_rate_that_players_take(tmp_path: Path, seconds: float, rate: int) -> None:
    path = write_animation([picture(0), picture(1)], tmp_path / "a.mp4", seconds=seconds)
    shown, _, _ = watch(path)
    assert len(shown) == 2 * rate * seconds
    assert shown[1][0] == pytest.approx(1 / rate, abs=1e-3)


def test_repeated_frames_of_a_video_take_next_to_no_bytes(tmp_path: Path) -> None:
    frames = [colourful(0), colourful(1)]
    short = write_animation(frames, tmp_path / "short.mp4", seconds=0.1).stat().st_size
    long = write_animation(frames, tmp_path / "long.mp4", seconds=10).stat().st_size
    assert long < 3 * short


def test_a_video_is_what_browsers_play(tmp_path: Path) -> None:
    path = write_animation([picture()], tmp_path / "a.mp4")
    content = path.read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat")
    with av.open(str(path)) as file:
        assert len(file.streams) == 1
        stream = file.streams.video[0]
        context = stream.codec_context
        assert (context.name, context.pix_fmt, stream.start_time) == ("h264", "yuv420p", 0)
        # BT.709 in limited range, with sRGB's curve.
        assert (context.colorspace, context.color_primaries) == (1, 1)
        assert (context.color_range, context.color_trc) == (1, 13)


@pytest.mark.parametrize("colour", ["black", "white", "red", "lime", "blue", "#808080", "#30123b"])
def test_a_video_keeps_colours(tmp_path: Path, colour: str) -> None:
    source = Image.new("RGB", (64, 48), colour)
    shown, _, _ = watch(write_animation([source], tmp_path / "a.mp4"))
    difference = np.asarray(shown[0][1], np.int16) - np.asarray(source, np.int16)
    assert np.abs(difference).max() <= 3


@pytest.mark.parametrize("size", [(1, 1), (121, 80), (120, 81), (121, 81), (2, 300)])
def test_a_video_has_even_sides(tmp_path: Path, size: tuple[int, int]) -> None:
    source = picture(0, *size)
    shown, _, _ = watch(write_animation([source], tmp_path / "a.mp4"))
    frame = shown[0][1]
    width, height = (side + side % 2 for side in size)
    assert frame.size == (width, height)
    assert psnr(frame.crop((0, 0, *size)), source) > 30
    edges = np.pad(
        np.asarray(source), ((0, height - size[1]), (0, width - size[0]), (0, 0)), mode="edge"
    )
    assert psnr(frame, Image.fromarray(edges)) > 30


def test_a_video_of_equal_frames_is_as_long_as_they_are_together(tmp_path: Path) -> None:
    path = write_animation([picture()] * 4, tmp_path / "a.mp4", seconds=600)
    assert watch(path)[1] == pytest.approx(2400, abs=1e-3)


@pytest.mark.parametrize("write", [check_output, write_animation])
def test_without_pyav_there_is_no_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[..., Path]
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    path = tmp_path / "a.mp4"

    def frames() -> Iterator[Image.Image]:
        pytest.fail("no frame must be made")
        yield picture()

    given = (path,) if write is check_output else (frames(), path)
    with pytest.raises(OutputError, match=r"PyAV.*pip install 'effcam\[video\]'") as caught:
        write(*given)
    assert isinstance(caught.value.__cause__, ImportError)
    assert names(tmp_path) == []
    assert check_output(tmp_path / "a.gif") == tmp_path / "a.gif"


def test_a_pyav_without_the_encoder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(av, "codecs_available", {"h264"})
    with pytest.raises(OutputError, match=r"no encoder for H\.264 \(libx264\)"):
        check_video(tmp_path / "a.mp4")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (av.error.ExternalError(1, "encoder broke"), r"cannot encode the video: .*encoder broke"),
        (OSError(28, "No space left on device"), "No space left on device"),
    ],
)
def test_errors_of_pyav_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    def broken(*_: object, **__: object) -> object:
        raise error

    monkeypatch.setattr(av, "open", broken)
    with pytest.raises(OutputError, match=message):
        write_animation([picture()], tmp_path / "a.mp4")
    assert names(tmp_path) == []

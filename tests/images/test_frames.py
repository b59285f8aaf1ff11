"""Videos and animated pictures as frames: which there are, which are taken, what each shows."""

from __future__ import annotations

import os
import pickle
import random
import struct
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from effcam.drawing.encode import write_animation
from effcam.errors import ArgumentError, ImageError
from effcam.images import animation, video
from effcam.images import frames as frames_module
from effcam.images.discovery import iter_images
from effcam.images.frames import FilmFrame, close_videos, list_frames, read_frame, spacing
from effcam.images.refs import ImageRef

SIZE = (64, 48)


def shade(number: int, size: tuple[int, int] = SIZE) -> Image.Image:
    """A frame whose number can be read from its brightness."""
    return Image.new("RGB", size, (8 * number, 8 * number, 8 * number))


def number_of(picture: Image.Image) -> int:
    return round(float(np.asarray(picture).mean()) / 8)


def clip(path: Path, count: int = 12, seconds: float = 0.25) -> Path:
    """Write a video with distinct frames; each lasts the given seconds, as several equal ones."""
    return write_animation(map(shade, range(count)), path, seconds=seconds)


def encode(
    path: Path,
    times: Sequence[float],
    *,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    size: tuple[int, int] = SIZE,
    gop: int = 6,
    b_frames: int | None = 2,
    rate: int = 25,
    last: float | None = None,
) -> Path:
    """A video of frames at given times in s, the n-th of shade n; the last may have a duration."""
    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream(codec, rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = pixels
        stream.codec_context.gop_size = gop
        stream.codec_context.bit_rate = 4_000_000
        stream.codec_context.time_base = Fraction(
            1, rate if path.suffix == ".avi" or codec != "libx264" else 1000
        )
        if b_frames is not None:
            stream.codec_context.max_b_frames = b_frames
        frames = []
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_image(shade(number, size))
            frame.time_base = stream.codec_context.time_base
            frame.pts = round(time / float(frame.time_base))
            frames.append(frame)
        for frame in [*frames, None]:
            for packet in stream.encode(frame):
                if last is not None and packet.pts == frames[-1].pts:
                    packet.duration = round(last / float(packet.time_base))
                file.mux(packet)
    return path


def gif(path: Path, durations: Sequence[int], **options: Any) -> Path:
    first, *rest = [shade(number) for number in range(len(durations))]
    first.save(path, save_all=True, append_images=rest, duration=list(durations), **options)
    return path


def open_files(path: Path) -> int:
    """How many times this process has a file open."""
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("open files are counted in /proc")
    links = (Path(entry.path) for entry in os.scandir("/proc/self/fd"))
    return sum(link.is_symlink() and os.readlink(link) == str(path) for link in links)  # noqa: PTH115


@pytest.fixture(autouse=True)
def _closed() -> Any:
    yield
    close_videos()


# which frames there are


def test_a_video_means_its_frames(tmp_path: Path) -> None:
    path = encode(tmp_path / "clip.mp4", [number / 25 for number in range(30)])
    refs = list(iter_images(path))
    assert [ref.name for ref in refs[:3]] == [
        "clip.mp4 @ 0:00.000", "clip.mp4 @ 0:00.040", "clip.mp4 @ 0:00.080",
    ]  # fmt: skip
    frames = [ref.frame for ref in refs]
    assert all(frame is not None and frame.path == path for frame in frames)
    assert [frame.index for frame in frames if frame] == list(range(30))
    assert [frame.time for frame in frames if frame] == pytest.approx(np.arange(30) / 25)
    assert all(ref.path is None for ref in refs)
    assert [number_of(ref.open()) for ref in refs] == list(range(30))
    assert {ref.open().size for ref in refs} == {SIZE}


def test_names_sort_as_frames_follow(tmp_path: Path) -> None:
    from effcam.images.file_search import natural_path_key

    times = [0, 9.5, 10, 59.999, 60, 600, 3599.5, 3600, 36000]
    path = gif(tmp_path / "a.gif", [100] * 2)
    for most in (len(times), 6):
        names = [
            f"{path.name} @ {frames_module._timecode(at, times[most - 1] >= 3600)}" for at in times
        ]
        names = names[:most]
        assert len(set(names)) == most
        assert sorted(names, key=lambda name: natural_path_key(Path(name))) == names
    assert frames_module._timecode(83.2, False) == "1:23.200"
    assert frames_module._timecode(83.2, True) == "0:01:23.200"
    assert frames_module._timecode(59.9999, False) == "1:00.000"


@pytest.mark.parametrize(
    ("suffix", "codec", "pixels"),
    [
        (".mkv", "libx264", "yuv420p"),
        (".mov", "libx264", "yuv420p10le"),
        (".avi", "mpeg4", "yuv420p"),
        (".avi", "libx264", "yuv420p"),
        (".mpg", "mpeg2video", "yuv420p"),
        (".mts", "libx264", "yuv420p"),
        (".webm", "libvpx", "yuv420p"),
        (".mkv", "ffv1", "yuv444p"),
    ],
)
def test_frames_are_the_same_in_any_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, codec: str, pixels: str
) -> None:
    times = [number / 25 for number in range(30)]
    b_frames = None if codec in ("libvpx", "ffv1") else 2
    path = encode(tmp_path / f"a{suffix}", times, codec=codec, pixels=pixels, b_frames=b_frames)
    frames = list_frames(path)
    assert [frame.time for frame in frames] == pytest.approx(times, abs=1e-3)
    there = [np.asarray(read_frame(frame)) for frame in frames]
    # VP8 and MPEG-4 are coarse, but no frame is taken for its neighbour.
    assert [number_of(Image.fromarray(pixels)) for pixels in there] == list(range(30))
    monkeypatch.setattr(frames_module, "KEPT_BYTES", 1)
    close_videos()
    for at in random.Random(0).sample(range(30), 30):  # noqa: S311
        assert np.array_equal(read_frame(frames[at]), there[at])


def test_times_of_variable_rate_are_the_videos_own(tmp_path: Path) -> None:
    times = [0.5, 0.6, 0.9, 1.0, 3.0, 3.1]
    frames = list_frames(encode(tmp_path / "a.mkv", times))
    assert [frame.time for frame in frames] == pytest.approx([time - 0.5 for time in times])


def test_times_before_zero_begin_at_zero() -> None:
    opened: Any = SimpleNamespace(
        stream=SimpleNamespace(time_base=Fraction(1, 10)), lost=False, seeks=True
    )
    packets = [video._Packet(stamp, stamp in (-2, 1), 0.1) for stamp in (-2, 1, -1, 0, 2)]
    shown = [(stamp, False) for stamp in range(-2, 3)]
    found = video._timed(opened, shown, packets)
    assert [entry.time for entry in found] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert [entry.key for entry in found] == [-2, -2, -2, 1, 1]


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".apng"])
def test_an_animated_picture_means_its_frames(tmp_path: Path, suffix: str) -> None:
    options: dict[str, Any] = {"lossless": True} if suffix == ".webp" else {}
    path = gif(tmp_path / f"a{suffix}", [100, 250, 40, 500], **options)
    refs = list(iter_images(path))
    assert [ref.frame.time for ref in refs if ref.frame] == pytest.approx([0, 0.1, 0.35, 0.39])
    assert [number_of(ref.open()) for ref in refs] == [0, 1, 2, 3]
    assert [number_of(refs[at].open()) for at in (3, 0, 2, 1)] == [3, 0, 2, 1]


def test_a_frame_that_has_no_duration_lasts_as_viewers_show_it(tmp_path: Path) -> None:
    path = gif(tmp_path / "a.gif", [0, 10, 20, 100])
    frames = list_frames(path)
    assert [frame.time for frame in frames] == pytest.approx([0, 0.1, 0.2, 0.22])
    assert [frame.duration for frame in frames] == pytest.approx([0.1, 0.1, 0.02, 0.1])


@pytest.mark.parametrize("suffix", [".webp", ".apng", ".avif"])
def test_short_frames_last_as_long_as_their_format_states(tmp_path: Path, suffix: str) -> None:
    durations = [1, 16, 11, 19, 5, *([] if suffix == ".avif" else [0]), 40]  # AVIF holds no 0
    options: dict[str, Any] = {".webp": {"lossless": True}, ".avif": {"speed": 10}}.get(suffix, {})
    frames = list_frames(gif(tmp_path / f"a{suffix}", durations, **options))
    stated = [duration / 1000 or 0.1 for duration in durations]
    assert [frame.duration for frame in frames] == pytest.approx(stated)
    assert [frame.time for frame in frames] == pytest.approx(np.cumsum([0, *stated[:-1]]))


def test_sixty_frames_of_16_ms_last_almost_a_second(tmp_path: Path) -> None:
    first, *rest = [shade(number % 30, (8, 8)) for number in range(60)]
    first.save(tmp_path / "a.webp", save_all=True, append_images=rest, duration=16, lossless=True)
    frames = list_frames(tmp_path / "a.webp")
    assert len(frames) == 60
    assert frames[-1].time + frames[-1].duration == pytest.approx(0.96)
    assert len(list_frames(tmp_path / "a.webp", fps=10)) == 10


def test_rounded_durations_do_not_add_up_to_another_time() -> None:
    # As Pillow reads an AVIF of 60 frames per second, in ms.
    stated = [(round(1000 * number / 60) / 1000, 0.017) for number in range(60)]
    assert sum(animation._durations(stated)) == pytest.approx(1, abs=1e-3)


def test_the_still_image_of_an_animation_is_not_a_frame(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    shade(9).save(
        path, save_all=True, append_images=[shade(1), shade(2)], default_image=True, duration=100
    )
    assert [number_of(read_frame(frame)) for frame in list_frames(path)] == [1, 2]


def test_a_still_picture_is_one_image(tmp_path: Path) -> None:
    for suffix in (".gif", ".webp", ".png", ".jpg"):
        shade(3).save(path := tmp_path / f"a{suffix}")
        (ref,) = iter_images(path)
        assert (ref.name, ref.path, ref.frame) == (path.name, path, None)


# which frames are taken


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ({}, range(10)),
        ({"every": 1}, range(10)),
        ({"every": 4}, [0, 4, 8]),
        ({"every": np.int64(100)}, [0]),
        ({"fps": 10}, range(10)),
        ({"fps": 1e9}, range(10)),
        ({"fps": 5}, [0, 2, 4, 6, 8]),
        ({"fps": 4}, [0, 2, 5, 7]),
        ({"fps": 3}, [0, 3, 6]),
        ({"fps": Fraction(1, 1)}, [0]),
        ({"fps": 1e-9}, [0]),
    ],
)
def test_frames_are_taken_by_number_or_time(
    tmp_path: Path, given: dict[str, Any], taken: Sequence[int]
) -> None:
    path = encode(tmp_path / "a.mkv", [number / 10 for number in range(10)])
    refs = list(iter_images(path, **given))
    assert [ref.frame.index for ref in refs if ref.frame] == list(taken)
    assert [number_of(ref.open()) for ref in refs] == list(taken)


def test_times_are_taken_from_frames_that_are_unevenly_spaced(tmp_path: Path) -> None:
    path = gif(tmp_path / "a.gif", [100, 900, 100, 400, 1500])  # at 0, 0.1, 1, 1.1, 1.5 s, to 3 s
    assert [frame.index for frame in list_frames(path, fps=2)] == [0, 1, 2, 4]
    assert [frame.index for frame in list_frames(path, fps=10)] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("fps", [1, 2, 4, 5])
@pytest.mark.parametrize("suffix", [".gif", ".webp", ".apng", ".avif", ".mp4", ".mkv", ".webm"])
def test_a_last_frame_is_taken_for_as_long_as_it_is_shown(
    tmp_path: Path, suffix: str, fps: int
) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix in (".mp4", ".mkv", ".webm"):
        codec = "libvpx" if suffix == ".webm" else "libx264"
        encode(path, [0, 0.1], codec=codec, b_frames=None, rate=10, last=1.0)
    else:
        gif(path, [100, 1000])
    # The second frame is shown from 0.1 s to 1.1 s.
    assert [frame.index for frame in list_frames(path, fps=fps)] == [0, 1]
    assert [frame.duration for frame in list_frames(path)] == pytest.approx([0.1, 1.0])
    # 0.1 s, as long as the one before it, holds no multiple of 1 / 3 s.
    assert [frame.index for frame in list_frames(gif(tmp_path / "b.gif", [100, 100]), fps=3)] == [0]


def test_a_long_last_frame_of_a_video_is_no_missing_end(tmp_path: Path) -> None:
    frames = list_frames(encode(tmp_path / "a.mp4", [0, 0.1, 0.2], b_frames=0, last=10.0))
    assert [frame.problem for frame in frames] == [""] * 3
    assert frames[-1].duration == pytest.approx(10)


@pytest.mark.parametrize(
    ("stated", "last"),
    [
        (10.2, 10.0),  # stored with the frame that is decoded last, which is not the last one shown
        (0.3, 0.1),
        (0.0, 0.1),  # the file states nothing
    ],
)
def test_the_end_of_reordered_frames_is_that_of_the_video(stated: float, last: float) -> None:
    opened: Any = SimpleNamespace(duration=stated)
    entries = [video.Entry(at / 10, at, 0) for at in range(3)]
    rest = max(stated - 0.2, 0.1)
    packets = [video._Packet(at, not at, lasts) for at, lasts in ((0, 0.1), (2, 0.1), (1, rest))]
    found = video._ended(opened, entries, packets)
    assert [entry.problem for entry in found] == [""] * 3
    assert found[-1].duration == pytest.approx(last)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"every": 2, "fps": 2}, "every and fps both choose"),
        ({"every": 0}, "every must be a whole number from 1, not 0"),
        ({"every": True}, "every must be"),
        ({"every": 1.5}, "every must be"),
        ({"fps": 0}, "fps must be a number of frames per second above 0, not 0"),
        ({"fps": float("nan")}, "fps must be"),
        ({"fps": float("inf")}, "fps must be"),
        ({"fps": "2"}, "fps must be"),
    ],
)
def test_impossible_ways_to_take_frames_are_refused(
    tmp_path: Path, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        list(iter_images(clip(tmp_path / "a.mp4"), **given))


@pytest.mark.parametrize("given", [{"every": 2}, {"fps": 2}])
def test_frames_of_what_has_none_are_refused(tmp_path: Path, given: dict[str, Any]) -> None:
    shade(1).save(tmp_path / "a.png")
    (name,) = given
    with pytest.raises(ArgumentError, match=f"{name}=2 chooses frames of .* there are none"):
        list(iter_images([tmp_path / "a.png", shade(2)], **given))


def test_folders_are_taken_apart_where_frames_are_asked_for(tmp_path: Path) -> None:
    gif(tmp_path / "b.gif", [100] * 3)
    clip(tmp_path / "c.mp4", 4)
    shade(1).save(tmp_path / "a.png")
    assert [ref.name for ref in iter_images(tmp_path)] == ["a.png", "b.gif"]
    assert [ref.name for ref in iter_images(tmp_path, every=2)] == [
        "a.png", "b.gif @ 0:00.000", "b.gif @ 0:00.200",
        *(f"c.mp4 @ 0:00.{part}00" for part in (0, *range(2, 10, 2))),
    ][:3] + [ref.name for ref in iter_images(tmp_path / "c.mp4", every=2)]  # fmt: skip
    videos = [ref.frame is not None for ref in iter_images(str(tmp_path / "*"))]
    assert videos[0] is False
    assert all(videos[1:])


def test_videos_of_one_name_get_different_names(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        gif(tmp_path / folder / "x.gif", [100, 100])
    given = [tmp_path / "a" / "x.gif", tmp_path / "b" / "x.gif"]
    names = [ref.name for ref in iter_images(given)]
    assert names[:2] == ["x.gif @ 0:00.000", "x.gif @ 0:00.100"]
    assert names[2] == f"{given[1].as_posix()} @ 0:00.000"
    assert len(set(names)) == 4


# what frames show


@pytest.mark.parametrize(
    ("matrix", "corner"),
    [
        ((1, 0, 0, 1), (0, 0)),
        ((0, 1, -1, 0), (-1, 0)),  # a quarter clockwise: what was top left is top right
        ((-1, 0, 0, -1), (-1, -1)),
        ((0, -1, 1, 0), (0, -1)),
        ((-1, 0, 0, 1), (-1, 0)),  # mirrored
    ],
)
def test_videos_are_shown_upright(
    tmp_path: Path, matrix: tuple[int, int, int, int], corner: tuple[int, int]
) -> None:
    picture = Image.new("RGB", SIZE, "black")
    picture.paste("white", (0, 0, 16, 16))
    path = write_animation([picture], tmp_path / "a.mp4")
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 44
    a, b, c, d = (16 * (value << 12) for value in matrix)
    content[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    shown = read_frame(list_frames(path)[0])
    assert shown.size == (SIZE[::-1] if matrix[0] == 0 else SIZE)
    x, y = (8 if end == 0 else side - 8 for end, side in zip(corner, shown.size, strict=True))
    white = np.argwhere(np.asarray(shown)[..., 0] > 128)
    assert white.mean(0) == pytest.approx((y, x), abs=1)


def test_pixels_become_square(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream("libx264", rate=25)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        for packet in (*stream.encode(av.VideoFrame.from_image(shade(5))), *stream.encode(None)):
            file.mux(packet)
    shown = read_frame(list_frames(path)[0])
    assert shown.size == (85, 48)
    assert number_of(shown) == 5


def test_transparent_parts_lie_on_white(tmp_path: Path) -> None:
    path = tmp_path / "a.mov"
    pixels = np.zeros((48, 64, 4), np.uint8)
    pixels[:, 32:] = (255, 0, 0, 255)
    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream("prores_ks", rate=25)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuva444p10le"
        frame = av.VideoFrame.from_ndarray(pixels, format="rgba")
        for packet in (*stream.encode(frame), *stream.encode(None)):
            file.mux(packet)
    shown = np.asarray(read_frame(list_frames(path)[0])).astype(int)
    assert shown[:, :24].min() > 245
    assert np.abs(shown[:, 40:] - (255, 0, 0)).max() < 12


@pytest.mark.parametrize("colour", ["red", "lime", "blue", "#30123b"])
def test_colours_are_those_that_were_written(tmp_path: Path, colour: str) -> None:
    source = Image.new("RGB", SIZE, colour)
    shown = read_frame(list_frames(write_animation([source], tmp_path / "a.mp4"))[0])
    assert np.abs(np.asarray(shown, np.int16) - np.asarray(source, np.int16)).max() <= 4


# what is broken


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "the file is empty"), (b"no video at all " * 20, "not a video that can be read")],
)
def test_a_file_that_is_not_a_video_is_refused(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=rf"video 'clip\.mp4': .*{message}"):
        list(iter_images(path))
    (ref,) = iter_images(path, missing_ok=True)
    with pytest.raises(ImageError, match=rf"image 'clip\.mp4': .*{message}"):
        ref.open()


def test_a_playlist_opens_no_other_file(tmp_path: Path) -> None:
    encode(tmp_path / "a.mts", [0, 0.04])
    path = tmp_path / "a.mp4"
    path.write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\na.mts\n#EXT-X-ENDLIST\n", encoding="utf-8"
    )
    with pytest.raises(ImageError, match="not a video that can be read"):
        list_frames(path)


def test_a_file_of_sound_only_is_not_a_video(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 2048), np.float32), "fltp", "mono")
        frame.sample_rate = 44100
        for packet in (*stream.encode(frame), *stream.encode(None)):
            file.mux(packet)
    with pytest.raises(ImageError, match="the file contains no video"):
        list_frames(path)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_video_that_is_cut_short_says_so(tmp_path: Path, suffix: str) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / f"a{suffix}"
    options = {"movflags": "+faststart"} if suffix == ".mp4" else {}
    with av.open(str(path), "w", options=options) as file:
        stream: Any = file.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.gop_size = 5
        for _ in range(50):
            noise = rng.integers(0, 255, (48, 64, 3), np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(noise, format="rgb24")))
        file.mux(stream.encode(None))
    whole = list_frames(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    refs = list(iter_images(path))
    assert 10 < len(refs) < 40
    assert [ref.frame.time for ref in refs[:10] if ref.frame] == [each.time for each in whole[:10]]
    refs[0].open()
    with pytest.raises(ImageError, match=r"image 'a\.m.* the video ends after .* s, but 2\.000 s"):
        refs[-1].open()


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "libx264"), (".webm", "libvpx-vp9")])
def test_damage_costs_the_frames_up_to_the_next_key_frame(
    tmp_path: Path, suffix: str, codec: str
) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / f"a{suffix}"
    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.gop_size = 10
        for _ in range(40):
            noise = rng.integers(0, 255, (48, 64, 3), np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(noise, format="rgb24")))
        file.mux(stream.encode(None))
    with av.open(str(path)) as source:
        stream = source.streams.video[0]
        packets = [packet for packet in source.demux(stream) if packet.size]
        hurt = next(packet for packet in packets[12:] if not packet.is_keyframe)
        where, size = hurt.pos, hurt.size
    before = [np.asarray(read_frame(frame)) for frame in list_frames(path)]
    content = bytearray(path.read_bytes())
    content[where + 4 : where + size] = bytes(size - 4)
    path.write_bytes(content)
    frames = list_frames(path)
    assert len(frames) == 40
    broken = [frame.index for frame in frames if frame.problem]
    assert 1 <= len(broken) < 10
    assert {index // 10 for index in broken} == {1}
    for frame in frames:
        if frame.problem:
            with pytest.raises(ImageError, match="is damaged"):
                read_frame(frame)
        else:
            assert np.array_equal(read_frame(frame), before[frame.index])


def test_a_gif_that_is_cut_short_says_so(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    first, *rest = [Image.fromarray(rng.integers(0, 255, (48, 64, 3), np.uint8)) for _ in range(4)]
    path = tmp_path / "a.gif"
    first.save(path, save_all=True, append_images=rest, duration=100)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 5 // 8])
    refs = list(iter_images(path))
    assert len(refs) == 3
    refs[1].open()
    with pytest.raises(ImageError, match=r"image 'a\.gif @ 0:00\.200': .*"):
        refs[2].open()


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_frames_are_as_large_as_images_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    path = clip(tmp_path / f"a{suffix}")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 48 // 2 - 1)
    with pytest.raises(ImageError, match="too large"):
        list_frames(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 48 - 1)
    with pytest.warns(Image.DecompressionBombWarning):
        assert list_frames(path)


def test_without_pyav_there_are_no_videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, animated = clip(tmp_path / "a.mp4"), gif(tmp_path / "a.gif", [100] * 2)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ImageError, match=r"PyAV.*pip install 'effcam\[video\]'"):
        list(iter_images(path))
    assert len(list(iter_images(animated))) == 2


def test_a_missing_video_is_named(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4")
    (first, *_) = iter_images(path)
    path.unlink()
    with pytest.raises(ImageError, match=r"image 'a\.mp4 @ 0:00\.000': the file does not exist"):
        first.open()


def test_a_rewritten_video_is_read_again(tmp_path: Path) -> None:
    path = gif(tmp_path / "a.gif", [100] * 4)
    frames = list_frames(path)
    assert number_of(read_frame(frames[2])) == 2
    shade(7).save(path, save_all=True, append_images=[shade(8), shade(9)], duration=100)
    assert number_of(read_frame(frames[2])) == 9


# how videos are read


class Counting:
    """Counts the frames that are decoded, and how often decoding starts again."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.frames = self.starts = 0
        decode, go = video.Video.decode, video.Video._go

        def counted(own: video.Video, *given: Any) -> Any:
            for frame in decode(own, *given):
                self.frames += 1
                yield frame

        def gone(own: video.Video, stamp: int | None) -> None:
            self.starts += 1
            go(own, stamp)

        monkeypatch.setattr(video.Video, "decode", counted)
        monkeypatch.setattr(video.Video, "_go", gone)


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Counting:
    return Counting(monkeypatch)


def test_frames_in_order_are_decoded_once(tmp_path: Path, counting: Counting) -> None:
    frames = list_frames(encode(tmp_path / "a.mp4", [number / 25 for number in range(30)]))
    counting.frames = 0
    for frame in frames:
        read_frame(frame)
    assert (counting.frames, counting.starts) == (30, 1)


def test_a_jump_goes_to_the_key_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counting: Counting
) -> None:
    monkeypatch.setattr(frames_module, "KEPT_BYTES", 1)
    frames = list_frames(encode(tmp_path / "a.mp4", [number / 25 for number in range(30)], gop=6))
    read_frame(frames[0])
    counting.frames = 0
    assert number_of(read_frame(frames[26])) == 26
    assert counting.frames == 3  # 24, 25, 26
    assert number_of(read_frame(frames[8])) == 8
    assert counting.frames == 6
    assert counting.starts == 3


def test_threads_out_of_order_start_nothing_again(tmp_path: Path, counting: Counting) -> None:
    frames = list_frames(encode(tmp_path / "a.mp4", [number / 25 for number in range(30)]))
    shuffled = [at ^ 1 for at in range(30)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda at: number_of(read_frame(frames[at])), shuffled))
    assert found == shuffled
    assert counting.starts == 1


def test_videos_are_closed_while_others_read(tmp_path: Path) -> None:
    videos = [list_frames(clip(tmp_path / f"{name}.mp4", 6)) for name in range(6)]
    stop = threading.Event()

    def close() -> None:
        while not stop.wait(0.001):
            close_videos()

    closer = threading.Thread(target=close)
    closer.start()
    try:
        wanted = [(video, frame) for video in videos for frame in video] * 3
        random.Random(0).shuffle(wanted)  # noqa: S311
        with ThreadPoolExecutor(4) as pool:
            shown = list(pool.map(lambda pair: number_of(read_frame(pair[1])), wanted))
    finally:
        stop.set()
        closer.join()
    # Each of the six shows for 0.25 s, as three frames.
    assert shown == [frame.index // (len(video) // 6) for video, frame in wanted]


def test_few_videos_are_open_and_none_in_the_end(tmp_path: Path) -> None:
    paths = [clip(tmp_path / f"{name}.mp4", 3) for name in range(6)]
    for path in paths:
        read_frame(list_frames(path)[0])
    assert 1 <= sum(map(open_files, paths)) <= frames_module.MOST_OPEN
    close_videos()
    assert sum(map(open_files, paths)) == 0


@pytest.mark.parametrize("make", [clip, lambda path: gif(path.with_suffix(".gif"), [100] * 12)])
def test_a_frame_can_be_pickled(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    ref = list(iter_images(make(tmp_path / "a.mp4")))[4]
    again: ImageRef = pickle.loads(pickle.dumps(ref))  # noqa: S301 - our own
    assert again.name == ref.name
    assert again.frame == ref.frame
    assert np.array_equal(again.open(), ref.open())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked on POSIX")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_reads_videos(tmp_path: Path) -> None:
    frames = list_frames(encode(tmp_path / "a.mp4", [number / 25 for number in range(12)]))
    read_frame(frames[3])
    child = os.fork()
    if child == 0:
        os._exit(0 if number_of(read_frame(frames[5])) == 5 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert number_of(read_frame(frames[4])) == 4


# how far frames are apart


def at(index: int, time: float, path: str = "a.mp4", duration: float = 0.0) -> FilmFrame:
    return FilmFrame(Path(path), index, time, "", index, 0, duration=duration)


@pytest.mark.parametrize(
    ("frames", "seconds"),
    [
        ([at(0, 0), at(5, 0.2), at(10, 0.6)], 0.3),
        ([at(0, 0), at(5, 0.2), at(10, 0.6, duration=9)], 0.3),
        ([at(3, 3), at(4, 3.1, duration=1)], 0.55),
        ([at(0, 0)], None),
        ([], None),
        ([at(0, 0), None], None),
        ([None, None], None),
        ([at(0, 0), at(1, 1, "b.mp4")], None),
        ([at(1, 1), at(0, 0)], None),
        ([at(0, 0), at(1, 0)], None),
    ],
)
def test_frames_of_one_video_have_a_spacing(
    frames: list[FilmFrame | None], seconds: float | None
) -> None:
    assert spacing(frames) == (None if seconds is None else pytest.approx(seconds))

"""Time to write an animation, its size, and its fidelity.

    python benchmarks/animation.py [PHOTOS] [--frames 35] [--rounds 5] [--matplotlib-frames 8]
                                   [--json FILE]

A frame is six pictures side by side, 1344 x 224 px together: a photo, and the heat of the five demo
models over it. Without PHOTOS, a folder or a file, scenes are drawn. All frames are made before
anything is timed. matplotlib gets fewer frames, because each takes equally long: its time and size
are scaled to the number of the others. It shows one picture per frame that fills the figure, which
is less work than the usual six axes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import av
import imageio.v3 as iio
import matplotlib as mpl
import numpy as np
import torch
from material import given_or_drawn
from matplotlib import pyplot
from matplotlib.animation import FuncAnimation, PillowWriter
from measure import Result, add_json_option, goal, paired, ratio, report, tell
from PIL import Image, ImageSequence

from effcam import compare
from effcam.demo import MODELS
from effcam.drawing.encode import write_animation

SIDE = 224
GIF, WEBP, MP4 = "effcam, GIF", "effcam, WebP", "effcam, MP4"
DEFAULT, MATPLOTLIB = "imageio's default, GIF", "matplotlib, GIF"
SUFFIXES = {GIF: ".gif", WEBP: ".webp", MP4: ".mp4", DEFAULT: ".gif", MATPLOTLIB: ".gif"}
MOST_MS, LEAST_DB, MOST_SIZE = 15, -1, 1
DPI = 100


@dataclass(frozen=True)
class Found:
    """Result of one way: milliseconds and KiB of all frames, dB, and time over effcam's."""

    milliseconds: float
    kibibytes: float
    psnr: float
    over: float


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    options = _options(argv)
    mpl.use("Agg")
    tell("making frames")
    with given_or_drawn(options.photos, options.frames) as photos:
        frames = make_frames(photos)
    few = min(options.matplotlib_frames, len(frames))
    with TemporaryDirectory() as folder:
        found = measure(frames, few, options.rounds, Path(folder))
    report(
        Result(
            script="animation",
            title="Writing an animation",
            question=(
                f"Write {len(frames)} existing frames of {frames[0].width} x {frames[0].height} "
                "px to a file. The peak signal-to-noise ratio compares all frames together, read "
                "back, with the originals. For a GIF, imageio's default is Pillow's own palette."
                + (f" matplotlib: {few} frames, scaled to {len(frames)}." if few else "")
            ),
            columns=["way", "ms per frame", "KiB", "PSNR, dB", f"time over {GIF}"],
            rows=[
                [way, each.milliseconds / len(frames), round(each.kibibytes), each.psnr, each.over]
                for way, each in found.items()
            ],
            notes=judge(found, len(frames)),
            settings={
                "photos": "drawn" if options.photos is None else "given",
                "frames": len(frames),
                "rounds": options.rounds,
                "threads": torch.get_num_threads(),
            },
        ),
        options.json,
    )
    return 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("photos", nargs="?", type=Path, metavar="PHOTOS")
    parser.add_argument("--frames", type=int, default=35, help="number of frames; default 35")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--matplotlib-frames", type=int, default=8, metavar="N", help="default 8; 0 leaves it out"
    )
    add_json_option(parser)
    return parser.parse_args(argv)


def make_frames(photos: Sequence[Path]) -> list[Image.Image]:
    """Return one frame per photo: the photo, and the heat of each demo model over it."""
    comparison = compare(photos, MODELS, progress=False)
    return [
        _side_by_side([row[0].image.open(), *(cell.overlay() for cell in row)])
        for row in comparison.rows()
    ]


def _side_by_side(pictures: Sequence[Image.Image]) -> Image.Image:
    frame = Image.new("RGB", (SIDE * len(pictures), SIDE))
    for place, picture in enumerate(pictures):
        frame.paste(picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC), (SIDE * place, 0))
    return frame


def measure(frames: Sequence[Image.Image], few: int, rounds: int, folder: Path) -> dict[str, Found]:
    """Return the result of each way for all frames."""
    files = {way: folder / f"{at}{suffix}" for at, (way, suffix) in enumerate(SUFFIXES.items())}
    ways: dict[str, Callable[[], object]] = {
        way: partial(write_animation, frames, files[way]) for way in (GIF, WEBP, MP4)
    }
    arrays = [np.asarray(frame) for frame in frames]
    ways[DEFAULT] = lambda: iio.imwrite(files[DEFAULT], arrays, duration=1000, loop=0)
    if few:
        ways[MATPLOTLIB] = partial(by_matplotlib, arrays[:few], files[MATPLOTLIB])
    tell("writing")
    seconds = paired(ways, rounds)
    counts = dict.fromkeys(ways, len(frames)) | ({MATPLOTLIB: few} if few else {})
    scaled = {
        way: [each * len(frames) / counts[way] for each in took] for way, took in seconds.items()
    }
    return {
        way: Found(
            milliseconds=1000 * median(scaled[way]),
            kibibytes=files[way].stat().st_size / 1024 * len(frames) / counts[way],
            psnr=psnr(frames[: counts[way]], read_back(files[way])),
            over=ratio(scaled, way, GIF),
        )
        for way in ways
    }


def by_matplotlib(arrays: Sequence[np.ndarray], file: Path) -> None:
    """Write frames as matplotlib's animation does, each filling the figure."""
    height, width = arrays[0].shape[:2]
    figure = pyplot.figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    axis = figure.add_axes((0, 0, 1, 1))
    axis.axis("off")
    shown = axis.imshow(arrays[0], interpolation="nearest")

    def draw(frame: int) -> None:
        shown.set_data(arrays[frame])

    animation = FuncAnimation(figure, draw, frames=len(arrays), init_func=lambda: None)
    animation.save(str(file), writer=PillowWriter(fps=1))
    pyplot.close(figure)


def read_back(file: Path) -> Iterator[Image.Image]:
    """Yield the frames of an animation; for a video, the first of each series of equal ones."""
    if file.suffix == ".mp4":
        with av.open(str(file)) as video:
            yield from (frame.to_image() for frame in video.decode(video=0) if frame.key_frame)
        return
    with Image.open(file) as animation:
        for frame in ImageSequence.Iterator(animation):
            yield frame.convert("RGB")


def psnr(sources: Sequence[Image.Image], written: Iterator[Image.Image]) -> float:
    """Return the peak signal-to-noise ratio of all frames together, in dB."""
    squares = [
        np.mean((np.asarray(source, np.float64) - np.asarray(frame, np.float64)) ** 2)
        for source, frame in zip(sources, written, strict=True)
    ]
    error = float(np.mean(squares))
    return 10 * float(np.log10(255**2 / error)) if error else float("inf")


def judge(found: Mapping[str, Found], frames: int) -> list[str]:
    """Return notes on the goals."""
    ours, default = found[GIF], found[DEFAULT]
    return [
        goal(
            f"a frame of a GIF takes at most {MOST_MS} ms",
            {GIF: ours.milliseconds / frames},
            lambda each: each <= MOST_MS,
            ".1f",
        ),
        goal(
            f"the GIF's PSNR is at most {-LEAST_DB} dB below that of {DEFAULT}",
            {"difference in dB": ours.psnr - default.psnr},
            lambda difference: difference >= LEAST_DB,
            "+.1f",
        ),
        goal(
            f"the GIF is no larger than {DEFAULT}",
            {"its size over the other's": ours.kibibytes / default.kibibytes},
            lambda share: share <= MOST_SIZE,
            ".2f",
        ),
    ]


if __name__ == "__main__":
    sys.exit(main())

"""Time saved by decoding a JPEG at reduced size, and the error of the model's input.

    python benchmarks/decoding.py [PHOTOS] [--count 8] [--rounds 5] [--margins 1 2 3 4]
                                  [--size 224] [--interpolation bilinear] [--json FILE]

JPEG can be decoded at a half, a quarter or an eighth of its size, which takes less time. The
published transform is then applied to the reduced picture. The *margin* is the smallest allowed
ratio of the reduced picture's size to the size that it is resized to: 1 allows the smallest that is
not too small. Without PHOTOS, a folder or a file, large ones of 3000 x 2000 px and small ones of
500 x 375 px are drawn.

It also counts how often effcam opens each file when it compares five models.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from material import draw_large, draw_photos, given_or_drawn
from measure import Result, add_json_option, goal, median_ms, paired, ratio, report, tell
from PIL import Image

from effcam import Preprocess, compare
from effcam.demo import MODELS
from effcam.images.preprocess import INTERPOLATIONS

FULL = "full"
PERCENTILE = 99.9
COMPARING, SAVING = "while comparing", "with saving a GIF"


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    options = _options(argv)
    preprocess = Preprocess(size=options.size, interpolation=options.interpolation)
    rows: list[list[object]] = []
    with TemporaryDirectory() as folder:
        for name, photos in _sources(options, Path(folder)).items():
            tell(name)
            rows += measure(name, photos, preprocess, options.margins, options.rounds)
    tell("counting")
    report(
        Result(
            script="decoding",
            title="Decoding JPEG at a part of its size",
            question=(
                f"Milliseconds per photo, from the file to the {options.size} x {options.size} "
                "pixels of a model's input, and the difference of these from the exact ones, in "
                "units of 1/255, over all photos. The margin is the smallest allowed ratio of the "
                "reduced picture's size to the size that it is resized to. The ratio is the "
                "median over the rounds."
            ),
            columns=[
                *("photos", "margin", "decoded at", "ms", f"over {FULL}"),
                *("mean error", f"{PERCENTILE} % within", "largest"),
            ],
            rows=rows,
            notes=count_openings(options.photos),
            settings={
                "photos": "drawn" if options.photos is None else "given",
                "count": options.count,
                "rounds": options.rounds,
                "resize": min(preprocess.resize or preprocess.size),
                "interpolation": options.interpolation,
                "threads": torch.get_num_threads(),
            },
        ),
        options.json,
    )
    return 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("photos", nargs="?", type=Path, metavar="PHOTOS")
    parser.add_argument("--count", type=int, default=8, help="number of photos; default 8")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--margins", type=float, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--size", type=int, default=224, help="of the model's input, in px")
    parser.add_argument("--interpolation", default="bilinear", choices=INTERPOLATIONS)
    add_json_option(parser)
    return parser.parse_args(argv)


def _sources(options: argparse.Namespace, folder: Path) -> dict[str, list[Path]]:
    if options.photos is None:
        large, small = draw_large(folder, options.count), draw_photos(folder, options.count)
        return {_described(photos): photos for photos in (large, small)}
    with given_or_drawn(options.photos, options.count) as photos:
        kept = [photo for photo in photos if _is_jpeg(photo)]
    if not kept:
        sys.exit(f"{options.photos} holds no JPEG files")
    return {_described(kept): kept}


def _is_jpeg(photo: Path) -> bool:
    with Image.open(photo) as file:
        return file.format == "JPEG" and file.mode == "RGB"


def _described(photos: Sequence[Path]) -> str:
    sides = np.array([_size(photo) for photo in photos])
    return " x ".join(str(round(side)) for side in np.median(sides, axis=0)) + " px"


def _size(photo: Path) -> tuple[int, int]:
    with Image.open(photo) as file:
        return file.size


def measure(
    name: str, photos: Sequence[Path], preprocess: Preprocess, margins: Sequence[float], rounds: int
) -> list[list[object]]:
    """Return the rows of the table for some photos."""
    ways: dict[str, Callable[[], object]] = {FULL: partial(_see_all, photos, preprocess, None)}
    ways |= {f"{margin:g}": partial(_see_all, photos, preprocess, margin) for margin in margins}
    seconds = paired(ways, rounds)
    exact = _see_all(photos, preprocess, None)
    _check(photos[0], preprocess, exact[0])
    rows: list[list[object]] = []
    for way, margin in zip(ways, [None, *margins], strict=True):
        off = np.abs(_see_all(photos, preprocess, margin).astype(np.int16) - exact)
        each = median_ms(seconds, way) / len(photos)
        parts = _parts(photos, preprocess, margin)
        errors = [float(off.mean()), float(np.percentile(off, PERCENTILE)), int(off.max())]
        rows.append([name, way, parts, each, ratio(seconds, way, FULL), *errors])
    return rows


def _see_all(
    photos: Sequence[Path], preprocess: Preprocess, margin: float | None
) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.stack([see(photo, preprocess, margin) for photo in photos])


def see(
    photo: Path, preprocess: Preprocess, margin: float | None
) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return a model's input before normalisation, (height, width, 3) uint8.

    Args:
        photo: A JPEG file.
        preprocess: The transform: a resize that keeps the aspect ratio, and a central crop.
        margin: The smallest allowed ratio of the decoded picture's size to the size that it is
            resized to; ``None`` decodes it at full size.
    """
    with Image.open(photo) as file:
        target, crop = _layout(preprocess, *file.size)
        box = _reduce(file, target, margin)
        picture = file.convert("RGB")
    resized = picture.resize(target, INTERPOLATIONS[preprocess.interpolation], box=box)
    return np.asarray(resized.crop(crop))


def _reduce(
    file: Image.Image, target: tuple[int, int], margin: float | None
) -> tuple[float, float, float, float] | None:
    """Set the decoding of a JPEG to a reduced size; return the photo's place, if known."""
    if margin is None:
        return None
    least = tuple(int(np.ceil(margin * side)) for side in target)
    reduced = file.draft("RGB", (least[0], least[1]))
    if reduced is None:
        return None
    left, top, right, bottom = reduced[1]
    # If the sides cannot be divided, the last row and column cover only a part of the photo.
    return left, top, min(right, file.width), min(bottom, file.height)


def _layout(
    preprocess: Preprocess, width: int, height: int
) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
    """Return the (width, height) that a photo is resized to, and the crop, in px."""
    canvas = preprocess.frame(width, height)
    tall, wide = preprocess.size
    target = round(wide * width / canvas.width), round(tall * height / canvas.height)
    left = round(canvas.left * target[0] / width)
    top = round(canvas.top * target[1] / height)
    return target, (left, top, left + wide, top + tall)


def _check(photo: Path, preprocess: Preprocess, seen: np.ndarray[Any, Any]) -> None:
    """Check that at full size this equals the published transform."""
    with Image.open(photo) as file:
        tensor, _ = preprocess(file.convert("RGB"))
    mean, std = (torch.tensor(each)[:, None, None] for each in (preprocess.mean, preprocess.std))
    pixels = (tensor * std + mean).mul(255).round().permute(1, 2, 0).numpy()
    assert np.array_equal(pixels, seen)


def _parts(photos: Sequence[Path], preprocess: Preprocess, margin: float | None) -> str:
    """Return the fractions of their size at which the photos are decoded."""
    parts: Counter[int] = Counter()
    for photo in photos:
        with Image.open(photo) as file:
            full = file.width
            _reduce(file, _layout(preprocess, *file.size)[0], margin)
            parts[round(full / file.width)] += 1
    named = {part: f"1/{part}" if part > 1 else "1" for part in sorted(parts)}
    if len(parts) == 1:
        return "".join(named.values())
    return ", ".join(f"{named[part]} ({parts[part]})" for part in sorted(parts))


# how often files are opened


def count_openings(given: Path | None) -> list[str]:
    """Return notes on how often effcam opens each file in a comparison of five models."""
    with (
        given_or_drawn(given, 6) as photos,
        TemporaryDirectory() as folder,
        _counting(photos) as opened,
    ):
        comparison = compare(photos, MODELS, progress=False)
        most = {COMPARING: float(max(opened.values()))}
        comparison.save(Path(folder) / "compare.gif")
        most[SAVING] = float(max(opened.values()))
    return [
        goal(
            f"a comparison of {len(MODELS)} models opens each file once",
            {COMPARING: most[COMPARING]},
            lambda times: times == 1,
            ".0f",
        ),
        f"With the GIF drawn afterwards, each was opened {most[SAVING]:.0f} times in total.",
    ]


@contextmanager
def _counting(photos: Sequence[Path]) -> Iterator[Counter[Path]]:
    """Count how often Pillow opens each of the files."""
    known, opened, opens = set(photos), Counter[Path](), Image.open

    def counted(file: Any, *arguments: Any, **named: Any) -> Image.Image:
        name = file if isinstance(file, str | Path) else getattr(file, "name", None)
        if isinstance(name, str | Path) and Path(name) in known:
            opened[Path(name)] += 1
        return opens(file, *arguments, **named)

    Image.open = counted
    try:
        yield opened
    finally:
        Image.open = opens
    assert set(opened) == known


if __name__ == "__main__":
    sys.exit(main())

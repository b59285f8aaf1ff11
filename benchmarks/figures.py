"""Measure the size of figures for print, and the loss in their photos.

``python benchmarks/figures.py [FOLDER]`` compares the five demo models on 35 scenes, or on the
first 35 images of a folder, and prints the size of PDF and SVG files, the time to write them, and
the peak signal-to-noise ratio of their photos to those of the files without loss.
"""

from __future__ import annotations

import argparse
import base64
import io
import itertools
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

import effcam

IMAGES = 35
MOST_BYTES = 6_000_000


def main() -> None:
    """Print a line for each file; fail if one of the default files is too large."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", nargs="?", help="photos; default: drawn scenes")
    folder = parser.parse_args().folder
    images = (
        effcam.demo.scenes(IMAGES)
        if folder is None
        else list(itertools.islice(effcam.images.iter_images(folder), IMAGES))
    )
    comparison = effcam.compare(images, effcam.demo.MODELS)
    size = f"{len(comparison.images)} x {len(comparison.columns)} cells"
    with tempfile.TemporaryDirectory() as place:
        for suffix in (".pdf", ".svg"):
            written = {}
            for lossless in (False, True):
                path = Path(place, f"{lossless}{suffix}")
                start = time.perf_counter()
                comparison.save(path, lossless=lossless)
                seconds = time.perf_counter() - start
                written[lossless] = path
                name = "without loss" if lossless else "JPEG"
                megabytes = path.stat().st_size / 1e6
                print(f"{size}, {suffix}, {name}: {megabytes:.2f} MB, {seconds:.1f} s")
            if suffix == ".svg":
                ratios = list(_ratios(written[False], written[True]))
                mean, least = np.mean(ratios), min(ratios)
                print(f"PSNR of {len(ratios)} photos: mean {mean:.1f} dB, least {least:.1f} dB")
            if len(comparison.images) == IMAGES and written[False].stat().st_size > MOST_BYTES:
                raise SystemExit(f"{suffix} is larger than {MOST_BYTES / 1e6:.0f} MB")


def _ratios(lossy: Path, exact: Path) -> Iterator[float]:
    """Yield the peak signal-to-noise ratio of each photo in dB."""
    for one, other in zip(_pictures(lossy), _pictures(exact), strict=True):
        error = np.mean((one - other) ** 2)
        if error > 0:
            yield float(10 * np.log10(255**2 / error))


def _pictures(path: Path) -> Iterator[np.ndarray]:
    """Yield the pictures of an SVG file as float arrays."""
    text = path.read_text(encoding="utf-8")
    for data in re.findall(r"data:image/\w+;base64,\s*([A-Za-z0-9+/=\s]+)", text):
        with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
            yield np.asarray(picture.convert("RGB"), float)


if __name__ == "__main__":
    main()

"""JPEG files decoded at a part of their size, where little is lost."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from effcam import Preprocess
from effcam.demo import scenes
from effcam.images.decoding import REDUCED_MARGIN, read

PREPROCESS = Preprocess(size=64)


@cache
def large() -> Image.Image:
    (scene,) = scenes(1, 3, (1922, 1282))
    return scene.image


def drawn(size: tuple[int, int]) -> Image.Image:
    return large().crop((0, 0, *size))


def photo(file: Path, size: tuple[int, int], orientation: int = 1) -> Path:
    exif = Image.Exif()
    exif[0x0112] = orientation
    drawn(size).save(file, quality=92, exif=exif)
    return file


@pytest.mark.parametrize(
    ("size", "scale"),
    [((1920, 1280), 4), ((960, 640), 2), ((400, 400), 1), ((1921, 1280), 1), ((1922, 1282), 2)],
)
def test_a_jpeg_is_read_at_the_smallest_scale_that_leaves_enough(
    size: tuple[int, int], scale: int, tmp_path: Path
) -> None:
    found = read(photo(tmp_path / "a.jpg", size), PREPROCESS.resized)
    assert found.size == size
    assert found.picture.size == (size[0] // scale, size[1] // scale)
    assert min(found.picture.size) >= REDUCED_MARGIN * min(PREPROCESS.resized(*size))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_reduced_photo_is_the_photo_within_a_255th_whatever_its_orientation(
    orientation: int, tmp_path: Path
) -> None:
    file = photo(tmp_path / "a.jpg", (1280, 800), orientation)
    exact, reduced = read(file), read(file, PREPROCESS.resized)
    assert reduced.size == exact.size == exact.picture.size
    assert (exact.size == (800, 1280)) == (orientation >= 5)
    assert reduced.picture.width == exact.picture.width // 2
    seen = PREPROCESS.pixels(reduced.picture, reduced.size).astype(int)
    assert np.abs(seen - PREPROCESS.pixels(exact.picture, exact.size)).mean() <= 1


def test_only_jpeg_is_reduced(tmp_path: Path) -> None:
    for name in ("a.png", "a.bmp", "a.webp"):
        drawn((1920, 1280)).save(tmp_path / name)
        found = read(tmp_path / name, PREPROCESS.resized)
        assert found.picture.size == found.size == (1920, 1280)


def test_without_being_asked_every_pixel_is_decoded(tmp_path: Path) -> None:
    found = read(photo(tmp_path / "a.jpg", (1920, 1280)))
    with Image.open(tmp_path / "a.jpg") as image:
        assert np.array_equal(np.asarray(found.picture), np.asarray(image.convert("RGB")))


def test_real_photos_stay_within_a_255th(data: Path) -> None:
    # Small enough that photos of a few hundred px are reduced too.
    preprocess = Preprocess(size=16)
    errors = []
    for file in sorted(data.rglob("*.jpg")):
        exact, reduced = read(file), read(file, preprocess.resized)
        if reduced.picture.size != exact.picture.size:
            seen = preprocess.pixels(reduced.picture, reduced.size).astype(int)
            errors.append(float(np.abs(seen - preprocess.pixels(exact.picture, exact.size)).mean()))
    assert errors
    assert max(errors) <= 1

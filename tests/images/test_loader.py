"""Images made into models' inputs: each opened once, few ahead, nothing kept beyond its use."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from effcam import Preprocess
from effcam.errors import ImageError
from effcam.images import decoding, loader, refs
from effcam.images.discovery import iter_images
from effcam.images.loader import Batch, Loader
from effcam.images.refs import ImageRef

SMALL, LARGE = Preprocess(size=32), Preprocess(size=48, mode="squash", resize=48)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were opened."""
    names: list[str] = []
    original = decoding.read

    def counted(source: Any, needed: Any = None, channels: Any = None) -> Any:
        names.append(Path(source).name)
        return original(source, needed, channels)

    monkeypatch.setattr(refs, "read", counted)
    return names


def photos(folder: Path, count: int, size: tuple[int, int] = (60, 44)) -> list[ImageRef]:
    for at in range(count):
        pixels = np.random.default_rng(at).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{at:03}.png")
    return list(iter_images(folder))


def positions(batches: Iterator[Batch]) -> list[list[int]]:
    return [batch.positions for batch in batches]


def test_batches_hold_what_the_transform_makes_of_each_image_in_order(tmp_path: Path) -> None:
    refs = photos(tmp_path, 5)
    batches = list(Loader(refs).batches(SMALL, 2))
    assert [batch.positions for batch in batches] == [[0, 1], [2, 3], [4]]
    for batch in batches:
        images = batch.images()
        assert images.dtype == torch.float32
        assert batch.sizes == [(60, 44)] * len(batch.positions)
        for at, image, region in zip(batch.positions, images, batch.regions, strict=True):
            expected, expected_region = SMALL(refs[at].open())
            assert torch.equal(image, expected)
            assert region == expected_region


def test_batches_lie_as_fast_convolutions_want_them(tmp_path: Path) -> None:
    (batch,) = Loader(photos(tmp_path, 2)).batches(SMALL, 8)
    assert batch.images().is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("planned", [[SMALL, LARGE, SMALL, LARGE], [SMALL, SMALL, LARGE, LARGE]])
def test_each_image_is_opened_once_for_all_passes(
    planned: list[Preprocess], tmp_path: Path, opened: list[str]
) -> None:
    refs = photos(tmp_path, 5)
    shared = Loader(refs, planned)
    for preprocess in planned:
        for batch in shared.batches(preprocess, 2):
            for at, image in zip(batch.positions, batch.images(), strict=True):
                assert torch.equal(image, preprocess(refs[at].open())[0])
    assert len([name for name in opened if name == "003.png"]) == 1 + len(
        planned
    )  # the check's own
    assert shared._kept == {}


def test_transforms_that_differ_in_normalisation_alone_share_what_is_kept(
    tmp_path: Path, opened: list[str]
) -> None:
    refs = photos(tmp_path, 3)
    other = Preprocess(size=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    shared = Loader(refs, [SMALL, other])
    (first,), (second,) = shared.batches(SMALL, 8), shared.batches(other, 8)
    assert len(opened) == 3
    assert np.array_equal(first.pixels, second.pixels)
    assert torch.equal(second.images()[0], other(refs[0].open())[0])


def test_what_finds_no_room_is_opened_again(tmp_path: Path, opened: list[str]) -> None:
    refs = photos(tmp_path, 6)
    room = 2 * 48 * 48 * 3
    shared = Loader(refs, [SMALL, LARGE, LARGE], most_bytes=room)
    for preprocess in (SMALL, LARGE, LARGE):
        assert positions(shared.batches(preprocess, 4)) == [[0, 1, 2, 3], [4, 5]]
        assert sum(each.pixels.nbytes for each in shared._kept.values()) <= room
    assert 6 + 4 + 4 <= len(opened) <= 18
    assert shared._kept == {}
    assert shared._room == room


def test_an_unplanned_pass_is_served_too(tmp_path: Path) -> None:
    shared = Loader(photos(tmp_path, 3), [SMALL])
    for _ in range(2):
        assert positions(shared.batches(LARGE, 2)) == [[0, 1], [2]]
    assert positions(shared.batches(SMALL, 2)) == [[0, 1], [2]]
    assert shared._kept == {}


def test_few_images_are_opened_ahead(tmp_path: Path, opened: list[str]) -> None:
    batches = Loader(photos(tmp_path, 40)).batches(SMALL, 2)
    next(batches)
    time.sleep(0.3)
    assert len(opened) <= 2 * (1 + loader.BATCHES_AHEAD)
    batches.close()


def test_images_are_opened_beside_the_computation(tmp_path: Path, opened: list[str]) -> None:
    batches = Loader(photos(tmp_path, 8)).batches(SMALL, 2)
    assert next(batches).positions == [0, 1]
    deadline = time.monotonic() + 20
    while len(opened) < 6 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(opened) == 6
    batches.close()


def test_no_thread_outlives_its_pass(tmp_path: Path) -> None:
    batches = Loader(photos(tmp_path, 20)).batches(SMALL, 2)
    next(batches)
    assert [each for each in threading.enumerate() if "effcam-loader" in each.name]
    batches.close()
    assert not [each for each in threading.enumerate() if "effcam-loader" in each.name]


def test_bad_images_are_skipped_once_or_raise(tmp_path: Path, opened: list[str]) -> None:
    refs = photos(tmp_path, 5)
    (tmp_path / "001.png").write_bytes(b"")
    (tmp_path / "004.png").write_bytes(b"no image")
    skipped: dict[ImageRef, str] = {}
    shared = Loader(refs, [SMALL, SMALL])
    assert positions(shared.batches(SMALL, 2, skipped=skipped)) == [[0], [2, 3]]
    assert positions(shared.batches(SMALL, 2, skipped=skipped)) == [[0, 2], [3]]
    assert opened.count("001.png") == 1
    assert {ref.name: reason for ref, reason in skipped.items()} == {
        "001.png": "image '001.png': the file is empty",
        "004.png": "image '004.png': the file is not an image that can be read",
    }
    with pytest.raises(ImageError, match=r"001\.png.*empty"):
        list(Loader(refs).batches(SMALL, 2))


def test_reduced_inputs_suit_the_largest_transform_that_is_planned(tmp_path: Path) -> None:
    image = Image.effect_mandelbrot((2400, 1600), (-2, -1, 1, 1), 90).convert("RGB")
    image.save(tmp_path / "large.jpg", quality=90)
    refs = list(iter_images(tmp_path))
    for planned in ([SMALL], [SMALL, Preprocess(size=600)]):
        (exact,) = Loader(refs, planned).batches(SMALL, 1)
        (reduced,) = Loader(refs, planned, reduced=True).batches(SMALL, 1)
        assert reduced.sizes == exact.sizes == [(2400, 1600)]
        assert reduced.regions == exact.regions
        # Only the small one can be had of fewer pixels.
        assert np.array_equal(reduced.pixels, exact.pixels) == (len(planned) > 1)
        assert np.abs(reduced.pixels.astype(int) - exact.pixels).mean() <= 1

"""Whatever holds images, to upright RGB: every kind, every mode, and every way to be broken."""

from __future__ import annotations

import io
import os
import random
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageCms
from torchvision import tv_tensors

from effcam.errors import ArgumentError, ImageError
from effcam.images.discovery import from_folders, iter_images
from effcam.images.refs import ImageRef, cached_opener

if TYPE_CHECKING:
    from numpy.typing import NDArray

WHITE = (255, 255, 255)
RED = (255, 0, 0)

properties = settings(
    deadline=None,
    derandomize=True,
    # Each example overwrites the file of the one before.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def noise(height: int = 8, width: int = 10, seed: int = 0) -> NDArray[np.uint8]:
    shape = (height, width, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def smooth(height: int = 48, width: int = 64) -> Image.Image:
    """Return a photo-like picture that JPEG keeps to within a few steps."""
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(
        np.stack([4 * x, 5 * y, 255 - 2 * x - 2 * y], axis=2).clip(0, 255).astype(np.uint8)
    )


def opened(source: object) -> Image.Image:
    """Return the single image that a source holds, opened."""
    (ref,) = iter_images(source)  # type: ignore[arg-type]
    return ref.open()


def pixels(source: object) -> NDArray[np.uint8]:
    image = opened(source)
    assert image.mode == "RGB"
    return np.asarray(image)


def names(images: object) -> list[str]:
    return [ref.name for ref in iter_images(images)]  # type: ignore[arg-type]


def save(path: Path, image: Image.Image | None = None, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    (image or Image.fromarray(noise())).save(path, **options)
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of images in folders, with what must not be taken for one."""
    root = tmp_path / "photos"
    for name in ("img10.png", "img2.png", "B/2.png", "B/10.PNG", "a/deep/er/x.png", "1.png"):
        save(root / name)
    save(root / ".thumbnails" / "1.png")
    save(root / ".hidden.png")
    save(root / "B" / "._2.png")
    (root / "notes.txt").write_text("no image")
    (root / "folder.png").mkdir()
    return root


# what holds images


def test_a_file_as_string_path_and_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "photo.png")
    monkeypatch.setenv("HOME", str(tmp_path))
    for source in (path, str(path), "~/photo.png"):
        (ref,) = iter_images(source)
        assert (ref.name, str(ref), ref.path) == ("photo.png", "photo.png", path)
        assert np.array_equal(ref.open(), noise())


def test_a_file_is_read_whatever_its_ending(tmp_path: Path) -> None:
    path = save(tmp_path / "photo.weights", format="PNG")
    assert np.array_equal(opened(path), noise())


def test_a_folder_is_searched_through_in_natural_order(photos: Path) -> None:
    assert names(photos) == [
        "1.png",
        "a/deep/er/x.png",
        "B/2.png",
        "B/10.PNG",
        "img2.png",
        "img10.png",
    ]


def test_a_folder_in_a_hidden_folder_is_not_hidden(tmp_path: Path) -> None:
    save(tmp_path / ".cache" / "photos" / "1.png")
    assert names(tmp_path / ".cache" / "photos") == ["1.png"]


def test_a_glob_is_expanded_in_natural_order(photos: Path) -> None:
    assert names(str(photos / "img*")) == ["img2.png", "img10.png"]
    assert names(str(photos / "**" / "[12].png")) == ["1.png", "2.png"]


def test_a_file_whose_name_looks_like_a_glob_is_that_file(tmp_path: Path) -> None:
    save(tmp_path / "a1.png")
    save(tmp_path / "a[1].png")
    assert names(str(tmp_path / "a[1].png")) == ["a[1].png"]


def test_files_are_opened_when_asked_for_and_not_before(tmp_path: Path) -> None:
    (ref,) = iter_images(save(tmp_path / "photo.png"))
    Image.new("RGB", (3, 2), RED).save(tmp_path / "photo.png")
    assert ref.open().size == (3, 2)


def test_what_is_open_late_can_go_missing(tmp_path: Path) -> None:
    (ref,) = iter_images(save(tmp_path / "photo.png"))
    (tmp_path / "photo.png").unlink()
    with pytest.raises(ImageError, match=r"image 'photo\.png': the file does not exist"):
        ref.open()


def test_everything_mixed_in_one_generator(photos: Path) -> None:
    array = noise(seed=1)

    def mixed() -> Iterator[object]:
        yield photos / "1.png"
        yield [str(photos / "img*"), (array, torch.from_numpy(array))]
        yield Image.fromarray(array)
        yield ImageRef("given", array)
        yield np.stack([array, array])

    refs = list(iter_images(mixed()))  # type: ignore[arg-type]
    assert [ref.name for ref in refs] == [
        "1.png",
        "img2.png",
        "img10.png",
        "image",
        "image (2)",
        "image (3)",
        "given",
        "image (4)",
        "image (5)",
    ]
    assert all(np.array_equal(ref.open(), array) for ref in refs[3:])
    assert all(ref.path is None for ref in refs[3:])


def test_an_iterable_is_read_no_further_than_asked_for() -> None:
    def endless() -> Iterator[NDArray[np.uint8]]:
        while True:
            yield noise()

    refs = iter_images(endless())
    assert [next(refs).name for _ in range(2)] == ["image", "image (2)"]


def test_an_array_of_paths_is_a_list_of_paths(photos: Path) -> None:
    paths = [str(photos / "1.png"), str(photos / "img2.png")]
    assert names(np.array(paths)) == ["1.png", "img2.png"]
    assert names(np.array([Path(path) for path in paths], dtype=object)) == ["1.png", "img2.png"]


def test_nothing_is_no_image_and_no_error() -> None:
    assert names([]) == []


# names


def test_the_same_name_in_two_folders_gets_different_names(tmp_path: Path) -> None:
    left, right = save(tmp_path / "a" / "1.png"), save(tmp_path / "b" / "1.png")
    assert names([left, right, left]) == ["1.png", right.as_posix(), left.as_posix()]


def test_the_same_file_three_times_has_three_names(tmp_path: Path) -> None:
    path = save(tmp_path / "1.png")
    assert names([path] * 3) == ["1.png", path.as_posix(), f"{path.as_posix()} (2)"]


def test_a_name_that_looks_numbered_is_not_given_twice() -> None:
    array = noise()
    given = [ImageRef("image (2)", array), array, array, ImageRef("image (3)", array)]
    assert names(given) == ["image (2)", "image", "image (3)", "image (3) (2)"]


@properties
@given(st.lists(st.sampled_from(["a", "a (2)", "a (3)", "a (2) (2)", "b"]), max_size=12))
def test_names_are_always_unique_and_pixels_stay_with_them(given_names: list[str]) -> None:
    sources = [object() for _ in given_names]
    refs = list(iter_images(map(ImageRef, given_names, sources)))
    assert len({ref.name for ref in refs}) == len(given_names)
    assert [ref.source for ref in refs] == sources
    assert all(ref.name.startswith(name) for ref, name in zip(refs, given_names, strict=True))


# from_folders: the 2019 notebook's "these categories, the first n of each"


@pytest.fixture
def categories(tmp_path: Path) -> Path:
    root = tmp_path / "caltech"
    for name in ("009.bear", "10.ox", "251.airplanes"):
        for index in (10, 1, 2):
            save(root / name / f"{index}.png")
    save(root / ".cache" / "1.png")
    (root / "readme.txt").write_text("no folder")
    return root


def test_the_first_of_these_categories_in_this_order(categories: Path) -> None:
    refs = from_folders(categories, categories=["251.airplanes", "009.bear"], per_category=2)
    assert [ref.name for ref in refs] == [
        "251.airplanes/1.png",
        "251.airplanes/2.png",
        "009.bear/1.png",
        "009.bear/2.png",
    ]
    assert np.array_equal(refs[0].open(), noise())


def test_all_categories_and_images_in_natural_order(categories: Path) -> None:
    assert [ref.name for ref in from_folders(str(categories))] == [
        f"{folder}/{index}.png"
        for folder in ("009.bear", "10.ox", "251.airplanes")
        for index in (1, 2, 10)
    ]


def test_more_than_a_category_has_is_all_it_has(categories: Path) -> None:
    assert len(from_folders(categories, categories=["10.ox"], per_category=99)) == 3


def test_one_category_need_not_be_in_a_list(categories: Path) -> None:
    assert len(from_folders(categories, categories="10.ox")) == 3


def test_references_can_be_compared_as_they_are(categories: Path) -> None:
    assert names(from_folders(categories, per_category=1)) == [
        "009.bear/1.png",
        "10.ox/1.png",
        "251.airplanes/1.png",
    ]


def test_an_unknown_category_is_named_with_the_known_ones(categories: Path) -> None:
    with pytest.raises(ImageError) as caught:
        from_folders(categories, categories=["10.ox", "251.airplane"])
    assert re.search(
        r"caltech' has no category '251\.airplane'\. Did you mean '251\.airplanes'\? "
        r"It has 009\.bear, 10\.ox, 251\.airplanes\.$",
        str(caught.value),
    )


@pytest.mark.parametrize("number", [0, -1, 2.5, "3"])
def test_the_number_of_images_must_make_sense(categories: Path, number: Any) -> None:
    message = f"per_category must be a whole number from 1, not {number!r}"
    with pytest.raises(ArgumentError, match=message):
        from_folders(categories, per_category=number)


def test_folders_without_classes_or_images_are_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"folder '.*nowhere' does not exist"):
        from_folders(tmp_path / "nowhere")
    with pytest.raises(ImageError, match=r"folder '.*' has no class folders"):
        from_folders(tmp_path)
    (tmp_path / "bear").mkdir()
    with pytest.raises(ImageError, match=r"folder '.*bear' has no images"):
        from_folders(tmp_path)


# arrays and tensors


def test_an_array_in_every_layout_and_range() -> None:
    array = noise()
    floats = array / 255
    for source in (
        array,
        array.transpose(2, 0, 1),
        floats,
        floats.astype(np.float32),
        floats.astype(np.float16),
        floats.astype(np.float32).transpose(2, 0, 1),
        array[::-1].copy()[::-1],
        np.asfortranarray(array),
        torch.from_numpy(array),
        torch.from_numpy(array).permute(2, 0, 1),
        torch.from_numpy(floats).permute(2, 0, 1),
        torch.from_numpy(floats).half(),
        torch.nn.Parameter(torch.from_numpy(floats)),
        tv_tensors.Image(torch.from_numpy(array).permute(2, 0, 1)),
    ):
        assert np.array_equal(pixels(source), array)


def test_bfloat16_is_read_to_its_own_precision() -> None:
    source = torch.from_numpy(noise() / 255).bfloat16()
    assert np.abs(pixels(source).astype(int) - noise()).max() <= 1


def test_grey_and_bool_arrays() -> None:
    grey = noise()[:, :, 0]
    expected = np.repeat(grey[:, :, None], 3, axis=2)
    for source in (grey, grey[:, :, None], grey[None], torch.from_numpy(grey / 255)[None]):
        assert np.array_equal(pixels(source), expected)
    assert np.array_equal(pixels(grey > 99), np.where(expected > 99, 255, 0))


def test_an_array_with_alpha_is_blended_with_white() -> None:
    array = np.zeros((2, 5, 4), dtype=np.uint8)
    array[..., 0], array[:, 1:, 3] = 255, 255
    for source in (array, array.transpose(2, 0, 1), array / 255):
        assert tuple(pixels(source)[0, 0]) == WHITE
        assert tuple(pixels(source)[0, 1]) == RED


def test_a_batch_is_its_images_in_order() -> None:
    batch = np.stack([noise(seed=seed) for seed in range(3)])
    for source in (batch, torch.from_numpy(batch), torch.from_numpy(batch).permute(0, 3, 1, 2)):
        refs = list(iter_images(source))
        assert [ref.name for ref in refs] == ["image", "image (2)", "image (3)"]
        for ref, array in zip(refs, batch, strict=True):
            assert np.array_equal(ref.open(), array)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (np.zeros((0, 5, 3), np.uint8), "no pixels, its shape is 0 x 5 x 3"),
        (np.zeros((5, 0), np.uint8), "no pixels, its shape is 5 x 0"),
        (torch.zeros(3, 0, 0), "no pixels, its shape is 3 x 0 x 0"),
        (np.zeros((), np.uint8), r"shape is \(\): expected height x width"),
        (np.zeros(5, np.uint8), "shape is 5: expected height x width, or with channels"),
        (np.zeros((1, 1, 5, 5, 3), np.uint8), "shape is 1 x 1 x 5 x 5 x 3: expected height"),
        (np.zeros((5, 6, 5), np.uint8), "5 x 6 x 5, so its channels may come first or last: pass"),
        (np.zeros((3, 9, 3), np.uint8), "3 x 9 x 3, so its channels may come first or last: pass"),
        (np.zeros((4, 9, 1), np.uint8), "may come first or last: pass a PIL image"),
        (np.zeros((5, 6, 3), np.int64), "is of int64: expected uint8, or floats in"),
        (np.zeros((5, 6, 3), np.uint16), "is of uint16: expected uint8, or floats in"),
        (np.zeros((5, 6, 3), complex), "is of complex128: expected uint8"),
        (torch.zeros(5, 6, 3, dtype=torch.int32), "is of int32: expected uint8"),
        (np.full((5, 6, 3), np.nan), "the array has NaN or infinite values"),
        (torch.full((5, 6, 3), torch.inf), "the array has NaN or infinite values"),
        (np.full((5, 6, 3), 2.5), r"from 2\.5 to 2\.5: expected \[0, 1\]; undo .* divide by 255"),
        (torch.linspace(-1, 1, 90).reshape(5, 6, 3), r"has floats from -1 to 1: expected"),
        (torch.zeros(5, 6, 3, device="meta"), "the tensor's values cannot be read: .*meta"),
        (torch.zeros(5, 6).to_sparse(), "the tensor's values cannot be read: .*[Ss]parse"),
    ],
)
def test_a_bad_array_is_named_with_its_reason(source: object, reason: str) -> None:
    _, ref = iter_images([noise(), source])  # type: ignore[list-item]
    assert ref.name == "image (2)"
    with pytest.raises(ImageError, match=rf"^image 'image \(2\)': .*{reason}"):
        ref.open()


@pytest.mark.parametrize(
    "source", [3, None, object(), b"photo.png", bytearray(b"x"), io.BytesIO(b"x"), [[3]]]
)
def test_an_object_that_is_not_an_image_is_refused_with_its_type(source: Any) -> None:
    kind = "int" if source == [[3]] else type(source).__name__
    with pytest.raises(ArgumentError, match=f"images must be paths, folders, globs.*not {kind}$"):
        list(iter_images(source))


# modes


def coloured(mode: str) -> Image.Image:
    return Image.fromarray(noise()).convert(mode)


def test_modes_without_transparency() -> None:
    grey = coloured("L")
    assert np.array_equal(pixels(grey), np.stack([np.asarray(grey)] * 3, axis=2))
    black_and_white = grey.point(lambda value: 255 * (value > 99), "1")
    assert np.array_equal(pixels(black_and_white)[..., 0], 255 * (np.asarray(grey) > 99))
    assert np.array_equal(pixels(coloured("RGB")), noise())
    assert np.array_equal(pixels(coloured("RGBX")), noise())
    palette = Image.fromarray(noise()).quantize(7)
    assert np.array_equal(pixels(palette), np.asarray(palette.convert("RGB")))
    for mode, loss in (("YCbCr", 3), ("HSV", 12), ("CMYK", 0)):
        difference = np.abs(pixels(coloured(mode)).astype(int) - noise())
        assert difference.max() <= loss, mode


def test_lab_survives_a_round_trip() -> None:
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    to_lab = ImageCms.buildTransform(srgb, lab, "RGB", "LAB")
    image = ImageCms.applyTransform(smooth(), to_lab)
    assert image is not None
    assert image.mode == "LAB"
    assert np.abs(pixels(image).astype(int) - np.asarray(smooth())).mean() < 3


def test_a_cmyk_jpeg_keeps_its_colours(tmp_path: Path) -> None:
    path = save(tmp_path / "print.jpg", smooth().convert("CMYK"), quality=95)
    with Image.open(path) as image:
        assert image.mode == "CMYK"
    assert np.abs(pixels(path).astype(int) - np.asarray(smooth())).mean() < 6


def test_a_colour_and_a_grey_jpeg_keep_theirs(tmp_path: Path) -> None:
    path = save(tmp_path / "photo.jpg", smooth(), quality=95)
    assert np.abs(pixels(path).astype(int) - np.asarray(smooth())).mean() < 6
    path = save(tmp_path / "grey.jpg", smooth().convert("L"), quality=95)
    assert np.abs(pixels(path)[..., 1].astype(int) - np.asarray(smooth().convert("L"))).mean() < 3


@pytest.mark.parametrize("mode", ["RGBA", "RGBa", "LA", "La", "PA"])
def test_transparent_parts_lie_on_white(mode: str) -> None:
    image = Image.new("RGBA", (3, 1), (0, 0, 0, 255))
    image.putpixel((0, 0), (0, 0, 0, 0))
    image.putpixel((1, 0), (0, 0, 0, 128))
    if mode == "PA":
        source = image.convert("P").convert("PA")
        source.putalpha(image.getchannel("A"))
    else:
        source = image.convert("LA").convert(mode) if mode == "La" else image.convert(mode)
    assert source.mode == mode
    assert [tuple(pixel) for pixel in pixels(source)[0]] == [WHITE, (127,) * 3, (0,) * 3]


def palette_png(path: Path, transparency: int | bytes) -> Path:
    image = Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    for x in range(3):
        image.putpixel((x, 0), x)
    return save(path, image, transparency=transparency)


def test_a_palette_with_transparency_is_blended_with_white(tmp_path: Path) -> None:
    one = palette_png(tmp_path / "index.png", 1)
    assert pixels(one)[0].tolist() == [[255, 0, 0], [255, 255, 255], [0, 0, 255]]
    each = palette_png(tmp_path / "bytes.png", bytes([255, 0, 128]))
    assert pixels(each)[0].tolist() == [[255, 0, 0], [255, 255, 255], [127, 127, 255]]


def test_a_palette_with_alpha_is_blended_with_white() -> None:
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0)).quantize(2)
    assert (image.mode, image.info) == ("P", {})
    assert np.all(pixels(image) == 255)


@pytest.mark.parametrize(
    ("mode", "key", "other"), [("RGB", (1, 2, 3), RED), ("L", 7, 200), ("1", 0, 255)]
)
def test_a_transparent_colour_key_is_blended_with_white(
    tmp_path: Path, mode: str, key: Any, other: Any
) -> None:
    image = Image.new(mode, (2, 1), key)
    image.putpixel((1, 0), other)
    shown = pixels(save(tmp_path / "key.png", image, transparency=key))
    assert tuple(shown[0, 0]) == WHITE
    assert tuple(shown[0, 1]) == (other if mode == "RGB" else (other,) * 3)


@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B"])
def test_16_bits_are_scaled_and_not_clipped(mode: str) -> None:
    values = np.array([[0, 257, 32896, 65535]], dtype=">u2" if mode == "I;16B" else "<u2")
    image = Image.frombytes(mode, (4, 1), values.tobytes())
    assert pixels(image)[0, :, 0].tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_files_are_scaled_and_not_clipped(tmp_path: Path, suffix: str) -> None:
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    path = save(tmp_path / f"deep{suffix}", Image.fromarray(ramp))
    assert np.array_equal(pixels(path)[..., 2].ravel(), np.arange(256))


@pytest.mark.filterwarnings("ignore::effcam.errors.ImageWarning")  # see test_sixteen_bits.py
@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([0, 32768, 65535], [0, 128, 255]),
        ([0, 1, 257], [0, 0, 16]),  # of 12 bits, as all below 4096
        ([-100, 0, 100], [0, 128, 255]),
        ([0, 100000, 200000], [0, 128, 255]),
        ([7, 7, 7], [0, 0, 0]),
    ],
)
def test_32_bit_integers_have_16_bits_range_or_their_own(
    values: list[int], shown: list[int]
) -> None:
    image = Image.fromarray(np.array([values], dtype=np.int32))
    assert image.mode == "I"
    assert pixels(image)[0, :, 0].tolist() == shown


@pytest.mark.filterwarnings("ignore::effcam.errors.ImageWarning")  # see test_sixteen_bits.py
@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([0, 0.5, 1], [0, 128, 255]),
        ([0, 51, 255], [0, 51, 255]),
        ([0, 2, 100], [0, 2, 100]),
        ([0, 257, 65535], [0, 1, 255]),
        ([-1, 0, 1], [0, 128, 255]),
        ([0, 1e6, 2e6], [0, 128, 255]),
        ([-3, -3, -3], [0, 0, 0]),
        ([0, 0, 0], [0, 0, 0]),
    ],
)
def test_floating_point_pixels_are_scaled_and_not_clipped(
    tmp_path: Path, values: list[float], shown: list[int]
) -> None:
    image = Image.fromarray(np.array([values], dtype=np.float32))
    path = save(tmp_path / "float.tif", image)
    for source in (image, path):
        assert pixels(source)[0, :, 1].tolist() == shown


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_floating_point_pixels_must_be_numbers(tmp_path: Path, value: float) -> None:
    path = save(tmp_path / "nan.tif", Image.fromarray(np.array([[0, value]], dtype=np.float32)))
    with pytest.raises(ImageError, match=r"'nan\.tif': .*pixels that are not finite numbers"):
        opened(path)


# orientation, animation, and other people's property


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_photos_are_turned_upright(tmp_path: Path, orientation: int, suffix: str) -> None:
    upright = smooth(32, 48)
    # How each orientation lies on the disk: the inverse of what turns it upright.
    stored = {
        1: upright,
        2: upright.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: upright.transpose(Image.Transpose.ROTATE_180),
        4: upright.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: upright.transpose(Image.Transpose.TRANSPOSE),
        6: upright.transpose(Image.Transpose.ROTATE_90),
        7: upright.transpose(Image.Transpose.TRANSVERSE),
        8: upright.transpose(Image.Transpose.ROTATE_270),
    }[orientation]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    quality = {".jpg": {"quality": 95}, ".webp": {"lossless": True}}.get(suffix, {})
    path = save(tmp_path / f"photo{suffix}", stored, exif=exif, **quality)
    shown = pixels(path)
    assert shown.shape == (32, 48, 3)
    assert np.abs(shown.astype(int) - np.asarray(upright)).mean() < 6
    with Image.open(path) as image:
        assert np.array_equal(pixels(image), shown)


@pytest.mark.filterwarnings("ignore:.*it has several pages:effcam.errors.ImageWarning")
@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".tif"])
def test_what_is_animated_in_a_folder_gives_its_first_frame(tmp_path: Path, suffix: str) -> None:
    frames = [Image.new("RGB", (6, 5), colour) for colour in (RED, (0, 255, 0), (0, 0, 255))]
    options: dict[str, Any] = {"lossless": True} if suffix == ".webp" else {}
    path = save(
        tmp_path / f"moving{suffix}", frames[0], save_all=True, append_images=frames[1:], **options
    )
    with Image.open(path) as image:
        assert getattr(image, "n_frames", 1) == 3
    assert np.all(pixels(tmp_path) == RED)


def test_the_users_pil_image_is_left_unchanged() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    for image in (smooth(), smooth().convert("RGBA"), smooth().quantize(9)):
        image.info["exif"] = exif.tobytes()
        before, info = image.copy(), dict(image.info)
        shown = opened(image)
        shown.paste(RED, (0, 0, *shown.size))
        assert (image.size, image.mode, image.info) == (before.size, before.mode, info)
        assert image.tobytes() == before.tobytes()


def test_the_users_arrays_are_left_unchanged() -> None:
    array, tensor = noise(), torch.from_numpy(noise() / 255).requires_grad_()
    before = tensor.detach().clone()
    for source in (array, array.transpose(2, 0, 1), tensor):
        shown = opened(source)
        shown.paste(RED, (0, 0, *shown.size))
    assert np.array_equal(array, noise())
    assert torch.equal(tensor, before)
    assert tensor.requires_grad
    assert tensor.grad is None


def test_an_open_pil_file_can_still_be_used(tmp_path: Path) -> None:
    with Image.open(save(tmp_path / "photo.png")) as image:
        opened(image)
        assert np.array_equal(image, noise())


# broken files


def encoded(kind: str, image: Image.Image | None = None, **options: Any) -> bytes:
    buffer = io.BytesIO()
    (image or smooth()).save(buffer, kind, **options)
    return buffer.getvalue()


def bad(path: Path, reason: str) -> None:
    """Hold that opening the file is an ImageError that gives its name and the reason."""
    with pytest.raises(ImageError, match=f"^image {re.escape(repr(path.name))}: {reason}"):
        opened(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for source in (str(tmp_path / "no.png"), tmp_path / "no.png", [tmp_path / "no.png"]):
        with pytest.raises(ImageError, match=r"image '.*no\.png' does not exist"):
            list(iter_images(source))


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.jpg"
    path.touch()
    bad(path, "the file is empty")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_a_truncated_file(tmp_path: Path, kind: str) -> None:
    data = encoded(kind)
    path = tmp_path / "cut.jpg"
    path.write_bytes(data[: len(data) // 2])
    bad(path, "the (image cannot be decoded|file cannot be read|file is not an image)")


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_truncated_photo_says_so(tmp_path: Path, kind: str) -> None:
    data = encoded(kind, Image.fromarray(noise(90, 120)))
    path = tmp_path / "cut.jpg"
    path.write_bytes(data[: len(data) * 2 // 3])
    bad(path, "the image cannot be decoded: .*truncated")


@pytest.mark.parametrize("content", [b"hello", b"\0" * 999, b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"])
def test_what_is_not_an_image(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    bad(path, "the file is not an image that can be read")


def test_a_decompression_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "bomb.png", Image.new("L", (100, 100)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4000)
    bad(path, r"the image is too large: .*10000 pixels")


def test_a_bomb_in_the_text_of_a_png(tmp_path: Path) -> None:
    from PIL import PngImagePlugin

    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "0" * (2 * PngImagePlugin.MAX_TEXT_CHUNK), zip=True)
    path = save(tmp_path / "text.png", pnginfo=text)
    bad(path, "the file cannot be read as an image: .*[Tt]oo [Ll]arge")


def test_an_image_without_pixels() -> None:
    with pytest.raises(ImageError, match=r"image 'image': the image has no pixels.* 0 x 5"):
        opened(Image.new("RGB", (0, 5)))


def test_a_closed_pil_image(tmp_path: Path) -> None:
    with Image.open(save(tmp_path / "photo.png")) as image:
        pass
    with pytest.raises(ImageError, match="image 'image': the image cannot be decoded"):
        opened(image)


@pytest.mark.parametrize(
    "address", ["https://example.org/cat.jpg", "HTTP://example.org/cat.jpg", "s3://bucket/cat.jpg"]
)
def test_an_address_is_not_fetched(address: str) -> None:
    with pytest.raises(ImageError, match=f"'{address}' is an address.*download it first"):
        list(iter_images([address]))


def test_a_folder_or_glob_without_images(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(ImageError, match=r"folder '.*' has no images \(suffixes: .*\.jpg"):
        list(iter_images(tmp_path))
    with pytest.raises(ImageError, match=r"no image file matches '.*\*\.txt'"):
        list(iter_images(str(tmp_path / "*.txt")))


@pytest.mark.parametrize("name", ["x" * 5000, "~nobody-has-this-name/x.png"])
def test_a_path_that_no_file_can_have(name: str) -> None:
    with pytest.raises(ImageError, match=f"image '{name}' (cannot be reached: |does not exist)"):
        list(iter_images(name))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path: Path) -> None:
    path = save(tmp_path / "secret.png")
    path.chmod(0)
    bad(path, "the file cannot be read: .*[Pp]ermission")


def test_a_file_without_permission_to_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "secret.png")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Image, "open", refuse)
    bad(path, "the file cannot be read: .*Permission denied")


def test_the_low_level_error_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "cut.jpg"
    path.write_bytes(encoded("JPEG")[:900])
    with pytest.raises(ImageError) as caught:
        opened(path)
    assert isinstance(caught.value.__cause__, OSError)


def attempt(path: Path) -> str:
    """Return the mode in which a file was opened, or the name that the ImageError began with."""
    with warnings.catch_warnings(action="ignore"):  # Pillow's, on damaged metadata
        try:
            return opened(path).mode
        except ImageError as error:
            return str(error).partition(":")[0]


FILES: dict[str, Callable[[], bytes]] = {
    "JPEG": lambda: encoded("JPEG"),
    "PNG": lambda: encoded("PNG"),
    "GIF": lambda: encoded("GIF"),
    "WEBP": lambda: encoded("WEBP"),
    "TIFF": lambda: encoded("TIFF", compression="tiff_lzw"),
    "BMP": lambda: encoded("BMP"),
}


@pytest.mark.parametrize("kind", FILES)
def test_damaged_files_give_an_image_or_an_image_error(tmp_path: Path, kind: str) -> None:
    whole = FILES[kind]()
    chance = random.Random(kind)  # noqa: S311 - no secret
    path = tmp_path / "damaged.img"
    outcomes = set()
    for _ in range(200):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 6)):
            # Headers are where a flipped byte matters most.
            last = min(len(data), 600) if chance.random() < 0.7 else len(data)
            data[chance.randrange(last)] = chance.randrange(256)
        if chance.random() < 0.3:
            del data[chance.randrange(len(data)) :]
        path.write_bytes(data)
        outcomes.add(attempt(path))
    assert outcomes == {"RGB", "image 'damaged.img'"}


@properties
@given(start=st.sampled_from(sorted(FILES)), rest=st.binary(max_size=200), kept=st.integers(0, 60))
def test_any_bytes_after_any_header_give_an_image_or_an_image_error(
    tmp_path: Path, start: str, rest: bytes, kept: int
) -> None:
    path = tmp_path / "any.img"
    path.write_bytes(FILES[start]()[:kept] + rest)
    assert attempt(path) in ("RGB", "image 'any.img'")


# the cache


@pytest.fixture
def opens(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the images in the order in which they are really opened."""
    log: list[str] = []
    really = ImageRef.photo

    def logged(self: ImageRef, *given: Any) -> Any:
        log.append(self.name)
        return really(self, *given)

    monkeypatch.setattr(ImageRef, "photo", logged)
    return log


def refs(count: int, side: int = 10) -> list[ImageRef]:
    return [
        ImageRef(str(index), noise(side, side + 1, seed=index)[:, :side]) for index in range(count)
    ]


def test_an_image_is_opened_once(opens: list[str]) -> None:
    opener, (ref,) = cached_opener(), refs(1)
    assert opener(ref) is opener(ref)
    assert opens == ["0"]
    assert np.array_equal(opener(ref), ref.source)


def test_the_images_kept_are_bounded_and_the_least_recent_goes_first(opens: list[str]) -> None:
    # Pillow takes 4 bytes a pixel: 400 for each image here, so two fit into 900.
    opener, (a, b, c) = cached_opener(900), refs(3)
    for ref in (a, b, a, c, a, b, a):
        opener(ref)
    assert opens == ["0", "1", "2", "1"]


def test_an_image_larger_than_the_bound_is_opened_each_time(opens: list[str]) -> None:
    opener, (large, small) = cached_opener(450), [*refs(1, side=11), *refs(1)]
    for ref in (small, large, large, small, small):
        opener(ref)
    assert opens == ["0", "0", "0", "0"]


def test_references_of_one_name_are_not_mixed_up() -> None:
    opener = cached_opener()
    left, right = ImageRef("same", noise(seed=1)), ImageRef("same", noise(seed=2))
    assert np.array_equal(opener(left), noise(seed=1))
    assert np.array_equal(opener(right), noise(seed=2))


def test_a_broken_image_is_not_kept(tmp_path: Path) -> None:
    opener = cached_opener()
    (ref,) = iter_images(save(tmp_path / "photo.png"))
    path = tmp_path / "photo.png"
    whole = path.read_bytes()
    path.write_bytes(whole[:60])
    with pytest.raises(ImageError, match=r"photo\.png"):
        opener(ref)
    path.write_bytes(whole)
    assert np.array_equal(opener(ref), noise())

"""The tensor is the library's own, bit for bit, and the region is where its pixels came from."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from timm.data import create_transform, resolve_data_config
from timm.models import get_pretrained_cfg
from torchvision import transforms
from torchvision.models import get_model_weights

from effcam.errors import ArgumentError
from effcam.images.geometry import Box
from effcam.images.preprocess import INTERPOLATIONS, Preprocess
from effcam.models import listing
from effcam.models.lookup import find_architecture

properties = settings(deadline=None, derandomize=True)

LARGEST = 400
"""Inputs above this many px are left out for time: no code treats them differently."""

SHAPES = [(227, 227), (301, 200), (200, 301), (81, 240), (9, 5)]
"""Heights and widths in px: square, tall, wide, long, and smaller than any input."""


def noise(height: int, width: int, seed: int = 0) -> Image.Image:
    shape = (height, width, 3)
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


@pytest.fixture(scope="module")
def photos() -> list[Image.Image]:
    return [noise(*shape) for shape in SHAPES]


# the tensor


def timm_transforms() -> Iterator[tuple[str, Any, str]]:
    """Yield every evaluation transform of timm once: a name that has it, itself, its text."""
    for name in listing.list_models(source="timm", pretrained=True):
        config = resolve_data_config(pretrained_cfg=get_pretrained_cfg(name).to_dict())
        yield name, lambda config=config: create_transform(**config), str(config)


def torchvision_transforms() -> Iterator[tuple[str, Any, str]]:
    """Yield every evaluation transform of torchvision: a name that has it, itself, its text."""
    for name in torchvision.models.list_models(module=torchvision.models):
        for entry in get_model_weights(name):
            yield f"torchvision:{name}.{entry.name}", entry.transforms, repr(entry.transforms())


def distinct(transforms: Iterator[tuple[str, Any, str]]) -> list[tuple[str, Any]]:
    found = {text: (name, make) for name, make, text in transforms}
    sizes = {text: find_architecture(name).preprocess().size for text, (name, _) in found.items()}
    return [each for text, each in found.items() if max(sizes[text]) <= LARGEST]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("library", "least", "modes"),
    [
        (timm_transforms, 60, {"crop", "squash"}),  # and "border" in newer releases
        (torchvision_transforms, 20, {"crop"}),
    ],
)
def test_the_tensor_is_that_of_the_librarys_own_transform(
    library: Any, least: int, modes: set[str], photos: list[Image.Image]
) -> None:
    transforms = distinct(library())
    assert len(transforms) >= least
    walked = set()
    for name, make in transforms:
        transform = make()
        preprocess = find_architecture(name).preprocess()
        walked.add(preprocess.mode)
        for photo in photos:
            tensor, _ = preprocess(photo)
            assert torch.equal(tensor, transform(photo)), (name, photo.size)
            assert tensor.is_contiguous()
    assert walked - {"border"} == modes


def test_the_image_is_left_unchanged() -> None:
    image = noise(9, 9)
    tensor, _ = Preprocess(size=9, resize=9)(image)  # type: ignore[arg-type]
    tensor.zero_()
    assert np.array_equal(image, noise(9, 9))


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_only_rgb_is_taken(mode: str) -> None:
    with pytest.raises(ArgumentError, match=f"mode is {mode}, expected RGB: .*convert"):
        Preprocess()(noise(9, 9).convert(mode))


# the region


def plain(size: tuple[int, int], resize: tuple[int, int], mode: str) -> Preprocess:
    return Preprocess(size=size, resize=resize, mode=mode, mean=0, std=1)  # type: ignore[arg-type]


def ramp(height: int, width: int) -> Image.Image:
    """Return an image that encodes its pixels' positions: red grows with x, green with y, 255 blue.

    The steps are those that 8 bits hold, so a coordinate is known to half a step.
    """
    y, x = np.mgrid[:height, :width]
    channels = [255 * (x + 0.5) / width, 255 * (y + 0.5) / height, np.full_like(x, 255)]
    return Image.fromarray(np.stack(channels, axis=2).round().astype(np.uint8))


sides = st.integers(1, 120)
inputs = st.tuples(st.integers(4, 60), st.integers(4, 60))


@properties
@given(
    height=st.integers(12, 160),
    width=st.integers(12, 160),
    size=inputs,
    resize=inputs,
    mode=st.sampled_from(["crop", "squash", "border"]),
)
def test_the_inputs_pixels_come_from_where_the_canvas_says(
    height: int, width: int, size: tuple[int, int], resize: tuple[int, int], mode: str
) -> None:
    preprocess = plain(size, resize, mode)
    tensor, region = preprocess(ramp(height, width))
    canvas = preprocess.frame(width, height)
    assert tensor.shape == (3, *size)
    assert region == preprocess.region(width, height)
    # The centre of each of the input's pixels, in px of the image.
    x = canvas.left + (np.arange(size[1]) + 0.5) * canvas.width / size[1]
    y = canvas.top + (np.arange(size[0]) + 0.5) * canvas.height / size[0]
    step_x, step_y = canvas.width / size[1], canvas.height / size[0]
    # Away from the image's edges, where antialiasing has less to average.
    in_x = (x > 2 * step_x + 1) & (x < width - 2 * step_x - 1)
    in_y = (y > 2 * step_y + 1) & (y < height - 2 * step_y - 1)
    seen = tensor.numpy()[:, in_y][:, :, in_x]
    assert np.all(seen[2] == 1)
    rounding = 1.6 / 255  # of the ramp, and after each of the two directions of resizing
    assert np.all(np.abs(seen[0] * width - x[in_x]) <= rounding * width + 0.02 * step_x)
    assert np.all(np.abs(seen[1] * height - y[in_y, None]) <= rounding * height + 0.02 * step_y)


@properties
@given(height=sides, width=sides, size=inputs, resize=inputs)
def test_padding_is_what_the_region_leaves_of_the_input(
    height: int, width: int, size: tuple[int, int], resize: tuple[int, int]
) -> None:
    preprocess = plain(size, resize, "border")
    tensor, region = preprocess(Image.new("RGB", (width, height), (255, 255, 255)))
    canvas = preprocess.frame(width, height)
    wide = region.width / canvas.width * size[1]
    tall = region.height / canvas.height * size[0]
    # The mean colour is black here, so what is white is the photo.
    assert int(tensor[2].sum()) == round(wide) * round(tall)
    left = round((region.left - canvas.left) / canvas.width * size[1])
    top = round((region.top - canvas.top) / canvas.height * size[0])
    assert torch.all(tensor[:, top : top + round(tall), left : left + round(wide)] == 1)


@properties
@given(
    height=sides,
    width=sides,
    size=inputs,
    resize=inputs,
    mode=st.sampled_from(["crop", "squash", "border"]),
)
def test_the_region_is_the_canvas_inside_the_image(
    height: int, width: int, size: tuple[int, int], resize: tuple[int, int], mode: str
) -> None:
    preprocess = plain(size, resize, mode)
    canvas, region = preprocess.frame(width, height), preprocess.region(width, height)
    assert 0 <= region.left < region.right <= width
    assert 0 <= region.top < region.bottom <= height
    if canvas == canvas.clip(width, height):
        assert region == canvas
    else:
        padded, _ = preprocess(Image.new("RGB", (width, height), (255, 255, 255)))
        assert padded.min() == 0


@properties
@given(height=sides, width=sides, size=inputs)
def test_a_crop_no_larger_than_the_resized_photo_never_pads(
    height: int, width: int, size: tuple[int, int]
) -> None:
    preprocess = plain(size, (size[0] + 3, size[1] + 2), "crop")
    assert preprocess.frame(width, height) == preprocess.region(width, height)


@pytest.mark.parametrize(
    ("preprocess", "width", "height", "region"),
    [
        # Resized to 256 x 512: the middle 224 x 224 is seen.
        (Preprocess(size=(224, 224), resize=(256, 256)), 512, 256, (144, 16, 368, 240)),
        (Preprocess(size=(224, 224), resize=(256, 256)), 128, 512, (8, 200, 120, 312)),
        (Preprocess(size=(100, 100), resize=(100, 100), mode="squash"), 300, 50, (0, 0, 300, 50)),
        # The middle half of a photo squashed to twice the input.
        (Preprocess(size=(50, 50), resize=(100, 100), mode="squash"), 300, 60, (75, 15, 225, 45)),
        (Preprocess(size=(100, 100), resize=(100, 100), mode="border"), 200, 100, (0, 0, 200, 100)),
    ],
)
def test_the_region_in_known_cases(
    preprocess: Preprocess, width: int, height: int, region: tuple[float, ...]
) -> None:
    assert preprocess.region(width, height).as_tuple() == pytest.approx(region)
    assert preprocess(noise(height, width))[1].as_tuple() == pytest.approx(region)


def test_border_reaches_beyond_the_photo_and_fills_with_the_mean_colour() -> None:
    preprocess = Preprocess(
        size=(100, 100), resize=(100, 100), mode="border", mean=(0.2, 0.4, 0.6), std=(1, 1, 1)
    )
    assert preprocess.frame(200, 100).as_tuple() == (0, -50, 200, 150)
    tensor, _ = preprocess(Image.new("RGB", (200, 100), (255, 255, 255)))
    assert tensor[:, 25:75].min() > 0.39
    assert tensor[:, :25].abs().max() <= 0.5 / 255
    assert tensor[:, 75:].abs().max() <= 0.5 / 255


@properties
@given(height=sides, width=sides, mode=st.sampled_from(["crop", "squash", "border"]))
def test_whole_sees_everything(height: int, width: int, mode: Any) -> None:
    cropping = Preprocess(size=(20, 30), resize=(25, 35), mode=mode, mean=(0.1, 0.2, 0.3))
    whole = cropping.whole()
    assert whole.frame(width, height) == Box(0, 0, width, height)
    assert whole.region(width, height) == Box(0, 0, width, height)
    assert (whole.size, whole.mean, whole.std) == (cropping.size, cropping.mean, cropping.std)


def test_whole_squashes_the_photo_to_the_input_as_the_notebook_did() -> None:
    photo = noise(70, 130)
    tensor, _ = Preprocess(interpolation="bilinear").whole()(photo)
    squashed = photo.resize((224, 224), Image.Resampling.BILINEAR)
    mean, std = torch.tensor(Preprocess().mean), torch.tensor(Preprocess().std)
    expected = (torch.from_numpy(np.array(squashed)) / 255 - mean) / std
    assert torch.allclose(tensor.permute(1, 2, 0), expected)


def test_another_size_keeps_the_share_that_is_cropped() -> None:
    assert Preprocess().with_size(288) == Preprocess(size=(288, 288), resize=(329, 329))
    assert Preprocess(size=(224, 224), resize=(224, 224)).with_size((96, 128)) == Preprocess(
        size=(96, 128), resize=(96, 128)
    )
    changed = Preprocess(size=(100, 200), resize=(110, 240), mode="squash").with_size(50)
    assert (changed.size, changed.resize, changed.mode) == ((50, 50), (55, 60), "squash")
    assert changed.region(480, 220).as_tuple() == pytest.approx((40, 8, 440, 208))


# what a record may hold


def test_one_number_stands_for_both_sides_and_all_channels() -> None:
    short = Preprocess(size=np.int64(96), resize=100, mean=0.5, std=np.float32(0.25))  # type: ignore[arg-type]
    assert short == Preprocess(
        size=(96, 96), resize=(100, 100), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)
    )
    assert Preprocess(size=[96, 64], mean=[0, 0, 1]) == Preprocess(size=(96, 64), mean=(0, 0, 1))  # type: ignore[arg-type]
    assert hash(short) == hash(Preprocess(size=96, resize=100, mean=0.5, std=0.25))  # type: ignore[arg-type]


def test_without_a_resize_the_photo_is_cropped_by_an_eighth() -> None:
    assert Preprocess().resize == (256, 256)
    assert Preprocess(size=(100, 300)).resize == (114, 342)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": 0}, r"size must be a number of pixels or a \(height, width\) pair.*not 0"),
        ({"size": (224, 0)}, r"size must be .*not \(224, 0\)"),
        ({"size": 224.0}, r"size must be .*not 224\.0"),
        ({"size": "22"}, "size must be .*not '22'"),
        ({"size": (3, 224, 224)}, r"size must be .*not \(3, 224, 224\)"),
        ({"resize": -1}, "resize must be .*not -1"),
        ({"mean": (0.5, 0.5)}, r"equally many channels, not \(0.5, 0.5\) and \(0.229, "),
        (
            {"mean": ()},
            r"mean must be a number, or a tuple .* as many as the model takes, not \(\)",
        ),
        ({"std": ()}, r"std must be .*, not \(\)"),
        ({"mean": (0.5,)}, r"equally many channels, not \(0\.5,\) and \(0\.229, 0\.224, 0\.225\)"),
        ({"std": (0.5,)}, r"equally many channels, not \(0\.485, 0\.456, 0\.406\) and \(0\.5,\)"),
        ({"mean": (0.5,), "std": (0,)}, r"std must be positive in every channel, not \(0\.0,\)"),
        ({"mean": (None,), "std": (1,)}, r"mean must be .*, not \(None,\)"),
        ({"mean": "0.5"}, "mean must be .*not '0.5'"),
        ({"mean": float("nan")}, "mean must be .*nan"),
        ({"std": (1, 1, None)}, "std must be .*None"),
        ({"std": 0}, "std must be positive in every channel"),
        ({"std": (1, -1, 1)}, "std must be positive in every channel"),
        ({"mode": "center"}, "mode must be 'crop', 'squash' or 'border', not 'center'"),
        ({"interpolation": "cubic"}, "interpolation must be one of nearest, .*, not 'cubic'"),
    ],
)
def test_values_that_make_no_sense_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        Preprocess(**values)


@pytest.mark.parametrize("name", INTERPOLATIONS)
def test_every_interpolation_is_pillows_own(name: str) -> None:
    photo = noise(30, 40)
    preprocess = Preprocess(size=(12, 16), interpolation=name, mean=0, std=1).whole()  # type: ignore[arg-type]
    expected = np.asarray(photo.resize((16, 12), Image.Resampling[name.upper()]))
    tensor, _ = preprocess(photo)
    assert np.array_equal((tensor * 255).round().byte().permute(1, 2, 0), expected)


# greyscale


def grey(**values: Any) -> Preprocess:
    return Preprocess(**{"mean": (0.1307,), "std": (0.3081,), **values})


@pytest.mark.parametrize("shape", SHAPES)
def test_one_mean_makes_a_greyscale_input_as_torchvision_does(shape: tuple[int, int]) -> None:
    photo = noise(*shape)
    tensor, region = grey(size=(28, 28), resize=(32, 32))(photo)
    transform = transforms.Compose(
        [
            transforms.Grayscale(),
            transforms.Resize(32),
            transforms.CenterCrop(28),
            transforms.ToTensor(),
            transforms.Normalize((0.1307,), (0.3081,)),
        ]
    )
    assert torch.equal(tensor, transform(photo))
    assert tensor.shape == (1, 28, 28)
    assert tensor.is_contiguous()
    assert region == Preprocess(size=(28, 28), resize=(32, 32)).region(*photo.size)


def test_colours_weigh_as_bright_as_they_look() -> None:
    for colour, luma in [((255, 0, 0), 0.299), ((0, 255, 0), 0.587), ((0, 0, 255), 0.114)]:
        tensor, _ = grey(size=(4, 4), mean=(0,), std=(1,))(Image.new("RGB", (9, 9), colour))
        assert tensor == pytest.approx(luma, abs=1 / 255)


@pytest.mark.parametrize("mode", ["crop", "squash", "border"])
def test_a_photo_without_colours_is_the_same_in_one_channel_and_in_three(mode: Any) -> None:
    photo = noise(30, 50).convert("L").convert("RGB")
    values = {"size": (24, 16), "resize": (20, 28), "mode": mode}
    one, _ = grey(**values, mean=(0.5,), std=(0.25,))(photo)
    three, _ = Preprocess(**values, mean=0.5, std=0.25)(photo)
    assert torch.equal(one.expand(3, -1, -1), three)


def test_a_greyscale_border_is_filled_with_the_mean() -> None:
    preprocess = grey(size=(100, 100), resize=(100, 100), mode="border", mean=(0.4,), std=(1,))
    tensor, _ = preprocess(Image.new("RGB", (200, 100), (255, 255, 255)))
    assert tensor[:, 25:75].min() == pytest.approx(0.6)
    assert tensor[:, :25].abs().max() <= 0.5 / 255
    assert tensor[:, 75:].abs().max() <= 0.5 / 255


def test_a_record_for_colours_becomes_one_for_greyscale_by_the_mean_over_channels() -> None:
    colour = Preprocess(size=(96, 64), resize=(99, 66), mode="squash", interpolation="bicubic")
    one = colour.grey()
    assert (colour.channels, one.channels) == (3, 1)
    assert one.mean == pytest.approx([(0.485 + 0.456 + 0.406) / 3])
    assert one.std == pytest.approx([(0.229 + 0.224 + 0.225) / 3])
    assert dataclasses.replace(one, mean=colour.mean, std=colour.std) == colour
    assert one.grey() == one


def test_a_record_for_greyscale_stays_one() -> None:
    assert grey().whole().channels == 1
    assert grey().with_size(64).channels == 1
    assert grey(mean=[0.5], std=[0.5]) == grey(mean=(0.5,), std=(0.5,))


@pytest.mark.parametrize("size", [(1, 900), (900, 1), (3, 400), (640, 7)])
@pytest.mark.parametrize("resize", [None, 48])
def test_of_a_strip_no_more_is_resized_than_the_input_shows(
    size: tuple[int, int], resize: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    # A resize below the input's size pads.
    preprocess = Preprocess(size=64, resize=resize)
    expected = preprocess.pixels(Image.fromarray(pixels)).astype(int)
    monkeypatch.setattr("effcam.images.preprocess.MOST_PIXELS", 1000)
    found = preprocess.pixels(Image.fromarray(pixels)).astype(int)
    assert np.abs(found - expected).max() <= 1


def test_the_thinnest_strip_takes_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    real = Image.Image.resize

    def resize(self: Image.Image, size: Any, *args: Any) -> Image.Image:
        made.append(size)
        return real(self, size, *args)

    monkeypatch.setattr(Image.Image, "resize", resize)
    strip = Image.fromarray(np.full((60_000, 1, 3), 7, np.uint8))
    assert (Preprocess().pixels(strip) == 7).all()
    # As a whole it would have 15 million rows, 12 GB.
    assert made == [(224, 224)]


# rounding


def test_a_crop_begins_where_its_library_lets_it() -> None:
    nearest, down = (
        Preprocess(size=8, resize=11, rounding=rounding) for rounding in ("nearest", "down")
    )
    assert nearest.region(11, 11) == Box(2, 2, 10, 10), "half a px is rounded to the even number"
    assert down.region(11, 11) == Box(1, 1, 9, 9)
    image = noise(11, 11)
    assert torch.equal(
        down(image)[0], nearest.normalise(torch.from_numpy(np.array(image)[None, 1:9, 1:9]))[0]
    )
    assert nearest.recipe != down.recipe
    with pytest.raises(ArgumentError, match="rounding must be 'nearest' or 'down', not 'up'"):
        Preprocess(rounding="up")  # type: ignore[arg-type]


def test_the_text_of_a_transform_without_rounding_is_that_of_older_releases() -> None:
    assert repr(Preprocess(size=8)) == (
        "Preprocess(size=(8, 8), resize=(9, 9), mode='crop', interpolation='bilinear', "
        "mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))"
    )
    assert repr(Preprocess(rounding="down")).endswith(", rounding='down')")

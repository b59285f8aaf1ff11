"""Images of other than one or three channels, and models that take them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from effcam import Model, Preprocess, compare, load_model
from effcam.errors import ImageError, ImageWarning, ModelError
from effcam.images.refs import ImageRef
from tests.images.test_sixteen_bits import ramp, tiff

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIZE = 24


def net(channels: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, 6, 3, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(6, 2),
    )  # fmt: skip


def transform(channels: int, **changes: Any) -> Preprocess:
    return Preprocess(size=SIZE, mean=(0.2,) * channels, std=(0.5,) * channels, **changes)


def model(channels: int) -> Model:
    return load_model(net(channels), preprocess=transform(channels))


def scene(channels: int, height: int = 40, width: int = 50) -> NDArray[np.float32]:
    y, x = np.mgrid[:height, :width]
    planes = [np.sin(x / (5 + at)) * np.cos(y / (9 - at / 3)) for at in range(channels)]
    return ((np.stack(planes, axis=-1) + 1) / 2).astype(np.float32)


def pages(path: Path, values: NDArray[Any], mode: str) -> Path:
    scale = {"L": 255, "I;16": 65535, "F": 1}[mode]
    kinds = {"L": np.uint8, "I;16": np.uint16, "F": np.float32}
    planes = np.rint(values * scale) if scale > 1 else values
    first, *rest = [Image.fromarray(each.astype(kinds[mode])) for each in np.moveaxis(planes, 2, 0)]
    first.save(path, save_all=True, append_images=rest)
    return path


@pytest.mark.parametrize("mode", ["crop", "squash", "border"])
def test_every_channel_is_resized_cropped_and_normalised_as_torch_does(mode: Any) -> None:
    values = scene(13)
    preprocess = transform(13, mode=mode, resize=30)
    found, region = preprocess(values)  # type: ignore[arg-type]
    (wide, tall) = preprocess.resized(50, 40)
    stack = torch.from_numpy(values.transpose(2, 0, 1))[None]
    resized = functional.interpolate(
        stack, size=(tall, wide), mode="bilinear", antialias=True, align_corners=False
    )
    top, left = (round((have - SIZE) / 2) for have in (tall, wide))
    cropped = resized[0, :, top : top + SIZE, left : left + SIZE]
    assert found.shape == (13, SIZE, SIZE)
    assert torch.allclose(found, (cropped - 0.2) / 0.5, atol=2e-5)
    assert region == preprocess.region(50, 40)


def test_a_channel_is_what_it_would_be_as_a_grey_image() -> None:
    values = np.rint(scene(5) * 255).astype(np.uint8)
    found, _ = transform(5)(values)  # type: ignore[arg-type]
    for at in range(5):
        grey, _ = transform(1)(Image.fromarray(values[:, :, at]).convert("RGB"))
        assert torch.equal(found[at], grey[0])


def test_the_border_around_many_channels_is_their_mean() -> None:
    preprocess = Preprocess(
        size=8, resize=4, mode="border", mean=tuple(k / 10 for k in range(5)), std=(1,) * 5
    )
    found, _ = preprocess(scene(5, 4, 4))  # type: ignore[arg-type]
    assert found[:, 0, 0].abs().max() < 1 / 255


@pytest.mark.parametrize("channels", [2, 4, 13])
def test_all_layouts_and_types_of_an_image_give_one_result(tmp_path: Path, channels: int) -> None:
    values = np.rint(scene(channels) * 255) / np.float32(255)
    bands = [
        values,
        values.transpose(2, 0, 1),
        torch.from_numpy(values.transpose(2, 0, 1).copy()),
        np.rint(values * 255).astype(np.uint8),
        *(pages(tmp_path / f"{mode[0]}.tif", values, mode) for mode in ("L", "I;16", "F")),
    ]
    with pytest.warns(ImageWarning, match=f"it has {channels} channels; pictures show"):
        compared = compare(bands, {"net": model(channels)}, progress=False)
    first = compared.cells[0]
    for cell in compared.cells:
        # Pillow rounds resized values of 8 bits to 8 bits.
        assert np.allclose(cell.heatmap, first.heatmap, atol=0.05 * first.heatmap.max())
        assert cell.size == (50, 40)
        assert cell.overlay().size == (50, 40)
    path = compared.save(tmp_path / "grid.png")
    with Image.open(path) as picture:
        assert picture.width > 100


def test_the_picture_of_many_channels_is_their_mean_in_grey() -> None:
    values = np.zeros((9, 9, 5), np.uint8)
    values[2, 3], values[4, 5, 0] = 100, 240
    with pytest.warns(ImageWarning, match="it has 5 channels; pictures show the mean of these"):
        picture = np.asarray(ImageRef("a", values).open())
    assert picture[2, 3].tolist() == [255] * 3
    assert picture[4, 5].tolist() == [122] * 3
    assert not picture[0].any()


def test_a_file_of_colours_and_opacity_has_four_channels(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 4), dtype=np.uint8)
    Image.fromarray(values).save(tmp_path / "a.png")
    photo = ImageRef("a", tmp_path / "a.png").photo(channels=4)
    assert np.array_equal(photo.bands, values)
    grey = Image.fromarray(values[:, :, :2])
    assert grey.mode == "LA"
    grey.save(tmp_path / "b.png")
    assert np.array_equal(
        ImageRef("b", tmp_path / "b.png").photo(channels=2).bands, values[..., :2]
    )


@pytest.mark.parametrize("planes", [False, True])
def test_a_tiff_of_many_channels_per_pixel_is_read_by_tifffile(
    tmp_path: Path, planes: bool
) -> None:
    pytest.importorskip("tifffile")
    values = np.rint(scene(13) * 65535).astype(np.uint16)
    path = tiff(tmp_path / "a.tif", values, planes=planes)
    photo = ImageRef("a", path).photo(channels=13)
    assert photo.bands is not None
    assert np.allclose(photo.bands * 257, values, atol=0.01)
    with pytest.raises(ImageError, match="it has 13 channels, but the model takes RGB images"):
        ImageRef("a", path).photo(channels=3)


def test_without_tifffile_the_way_out_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tifffile", None)
    path = tiff(tmp_path / "a.tif", ramp(20, 6))
    with pytest.raises(ImageError, match=r"TIFF of 6 channels.*: pip install tifffile, or pass"):
        ImageRef("a", path).photo(channels=6)


@pytest.mark.parametrize(
    ("source", "takes", "message"),
    [
        (scene(3), 13, "it has 3 channels.*, but the .* of 13 channels: pass an array of height x"),
        (scene(1)[:, :, 0], 2, "it has 1 channel, .* images of 2 channels"),
        (Image.new("RGB", (30, 30)), 4, "it has 3 channels, but the model takes images of 4"),
        (scene(13), 3, "40 x 50 x 13: expected 1, 3 or 4 channels.*: choose some of the channels"),
        (scene(2), 1, "40 x 50 x 2: expected 1, 3 or 4 channels"),
        (scene(13, 13, 13), 13, "13 x 13 x 13, so its channels may come first or last"),
        (scene(5) * 2, 5, "floats from .* expected \\[0, 1\\]"),
        (scene(5).astype(np.int64), 5, "of int64: expected uint8, or floats"),
    ],
)  # fmt: skip
def test_an_image_whose_channels_do_not_fit_is_refused(
    source: Any, takes: int, message: str
) -> None:
    with pytest.raises(ImageError, match=message):
        compare([source], {"net": model(takes)}, progress=False)


def test_pages_that_are_not_channels_are_refused(tmp_path: Path) -> None:
    path = pages(tmp_path / "a.tif", scene(5), "L")
    with pytest.raises(ImageError, match=r"it has 5 channels in 5 pages, but .* of 4 channels"):
        ImageRef("a", path).photo(channels=4)
    Image.new("L", (9, 9)).save(path, save_all=True, append_images=[Image.new("L", (8, 9))])
    with pytest.raises(ImageError, match="its pages differ in size"):
        ImageRef("a", path).photo(channels=2)


def test_only_the_first_of_many_pages_is_read_for_photos_and_this_is_said(tmp_path: Path) -> None:
    path = pages(tmp_path / "a.tif", scene(5), "L")
    with pytest.warns(ImageWarning, match="several pages, of which only the first is read"):
        ImageRef("a", path).open()
    Image.new("L", (99, 99)).save(path, save_all=True, append_images=[Image.new("L", (9, 9))])
    ImageRef("a", path).open()  # a small copy is no other page


@pytest.mark.parametrize(("takes", "has"), [(13, 3), (4, 3), (2, 3), (3, 13), (4, 13)])
def test_a_transform_of_other_channels_is_refused_with_the_way_out(takes: int, has: int) -> None:
    message = rf"takes {takes} channels, but its transform has {has}: .* with {takes} numbers each"
    with pytest.raises(ModelError, match=message):
        load_model(net(takes), preprocess=transform(has))


def test_models_of_different_channels_share_a_comparison() -> None:
    # Loaded once for each number of channels.
    values = np.rint(scene(4) * 255).astype(np.uint8)
    models = {"four": model(4), "rgb": model(3), "grey": model(1)}
    with pytest.warns(ImageWarning, match="it has 4 channels"):
        together = compare([values], models, progress=False)
    for label, each in models.items():
        if label == "four":
            continue
        alone = compare([values], {label: each}, progress=False)
        assert np.array_equal(alone.cells[0].heatmap, together[0, label].heatmap)

"""Whatever an image is, a comparison of it holds what it promises."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from effcam import Comparison, Explanation, Model, Preprocess, compare, load_model
from effcam.images.discovery import iter_images
from tests.nets import ColourNet

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Noise is of unknown range; tests/images/test_sixteen_bits.py holds what is said of that.
pytestmark = pytest.mark.filterwarnings("ignore::effcam.errors.ImageWarning")

SIZE, GRID = 32, 4
METHODS = ("gradcam", "gradcam++", "layercam", "eigencam", "ablationcam")
MODES = (
    *("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB"),
    *("HSV", "I", "I;16", "I;16L", "I;16B", "I;16N", "F", "P with transparency"),
)
FILES = {
    **dict.fromkeys(("1", "L", "LA", "P", "P with transparency", "RGB", "RGBA", "I;16"), "PNG"),
    **dict.fromkeys(("CMYK", "YCbCr"), "JPEG"),
    **dict.fromkeys(("RGBX", "LAB", "I", "I;16B", "F"), "TIFF"),
}
"""The format in which a file of each mode is written, for those that some format has."""
EXTREMES = ((1, 1), (1, 5000), (5000, 1), (2, 1), (1, 2), (3, 3), (4, 1), (3, 700), (1999, 7))
ORIENTATIONS = (*range(1, 9), 0, 9, 65535)

sizes = st.one_of(
    st.sampled_from(EXTREMES),
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
)
seeds = st.integers(0, 2**16)
views = st.sampled_from(["model", "whole"])
targets = st.sampled_from([None, 0, 2, "green"])


def properties(examples: int) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        # Each example overwrites the file of the one before; the model is only read.
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(
        ColourNet(),
        preprocess=Preprocess(size=SIZE, mean=(0, 0, 0), std=(1, 1, 1)),
        labels=["red", "green", "blue"],
    )


def picture(mode: str, size: tuple[int, int], seed: int) -> Image.Image:
    """Return an image of noise in a mode, whose every value is one that the mode can have."""
    random = np.random.default_rng(seed)
    width, height = size
    if mode in ("I", "F"):
        values = random.normal(0, 10.0 ** random.integers(0, 8), (height, width))
        return Image.fromarray(values.astype(np.int32 if mode == "I" else np.float32))
    plain = mode.removesuffix(" with transparency")
    channels = {"I": 2, "1": 1, "L": 1, "P": 1}.get(plain[:1] if ";" in plain else plain)
    channels = channels or len(Image.new(plain, (1, 1)).getbands())
    image = Image.frombytes(plain, size, random.bytes(width * height * channels))
    if plain in ("P", "PA"):
        image.putpalette(random.bytes(768))
    if plain != mode:
        image.info["transparency"] = random.bytes(256)
    return image


def lying(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return exif


def upright(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    return size[::-1] if orientation in (5, 6, 7, 8) else size


def run(images: Any, model: Model, **options: Any) -> Comparison:
    return compare(images, {"net": model}, progress=False, **options)


def check(cell: Explanation, size: tuple[int, int]) -> None:
    """Hold that a cell is what `Explanation` says, of an image of a width and a height."""
    width, height = cell.size
    assert (width, height) == size
    assert cell.heatmap.shape == (GRID, GRID)
    assert cell.heatmap.dtype == np.float32
    assert np.isfinite(cell.heatmap).all()
    assert cell.heatmap.min() >= 0
    region = cell.region
    assert 0 <= region.left < region.right <= width
    assert 0 <= region.top < region.bottom <= height
    heat = cell.upsampled()
    assert heat.shape == (height, width)
    assert heat.dtype == np.float32
    assert heat.min() >= 0
    assert heat.max() <= 1
    y, x = np.mgrid[:height, :width] + 0.5
    outside = (x < region.left) | (x > region.right) | (y < region.top) | (y > region.bottom)
    assert not heat[outside].any()
    if cell.state != "ok":
        assert not heat.any()
    assert 0 <= cell.probability <= cell.predicted_probability <= 1
    overlay = cell.overlay()
    assert overlay.size == size
    assert overlay.mode == "RGB"


def check_all(comparison: Comparison, size: tuple[int, int], methods: Sequence[str]) -> None:
    assert [cell.method for cell in comparison] == list(methods)
    for cell in comparison:
        check(cell, size)


@pytest.mark.parametrize("view", ["model", "whole"])
@pytest.mark.parametrize("mode", MODES)
def test_every_mode(mode: str, view: str, model: Model) -> None:
    for seed, size in enumerate([(40, 30), (1, 1), (7, 90)]):
        compared = run(picture(mode, size, seed), model, method=METHODS, view=view)
        check_all(compared, size, METHODS)


@properties(80)
@given(
    mode=st.sampled_from(MODES),
    size=sizes,
    seed=seeds,
    orientation=st.sampled_from(ORIENTATIONS),
    view=views,
    target=targets,
    method=st.sampled_from([*METHODS, "scorecam"]),
)
@example(
    mode="RGB", size=(5000, 1), seed=0, orientation=6, view="model", target=None, method="gradcam"
)
@example(
    mode="P with transparency",
    size=(1, 5000),
    seed=0,
    orientation=1,
    view="whole",
    target=1,
    method="eigencam",
)
def test_any_pil_image(
    *,
    mode: str,
    size: tuple[int, int],
    seed: int,
    orientation: int,
    view: str,
    target: Any,
    method: str,
    model: Model,
) -> None:
    image = picture(mode, size, seed)
    image.info["exif"] = lying(orientation).tobytes()
    compared = run(image, model, method=method, view=view, target=target)
    check_all(compared, upright(size, orientation), [method])


@properties(80)
@given(
    mode=st.sampled_from(sorted(FILES)),
    size=sizes,
    seed=seeds,
    orientation=st.sampled_from(ORIENTATIONS),
    view=views,
    decoding=st.sampled_from(["exact", "reduced"]),
)
@example(mode="CMYK", size=(1600, 1200), seed=0, orientation=8, view="model", decoding="reduced")
def test_any_file(
    *,
    mode: str,
    size: tuple[int, int],
    seed: int,
    orientation: int,
    view: str,
    decoding: str,
    model: Model,
    tmp_path: Path,
) -> None:
    path = tmp_path / "photo.img"
    picture(mode, size, seed).save(path, FILES[mode], exif=lying(orientation))
    with warnings.catch_warnings(action="ignore"):  # Pillow's, on a TIFF's orientation of 0
        compared = run(path, model, view=view, decoding=decoding)
        check_all(compared, upright(size, orientation), ["gradcam"])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA", "CMYK", "I;16", "I;16B", "F"])
def test_a_tiff_file_lies_as_any_other(mode: str, orientation: int, tmp_path: Path) -> None:
    # Pillow garbles some of these where it maps them into memory.
    image = picture(mode, (40, 30), orientation)
    image.save(tmp_path / "plain.tif")
    image.save(tmp_path / "turned.tif", exif=lying(orientation))
    straight, turned = (ref.open() for ref in iter_images(tmp_path))
    straight.info["exif"] = lying(orientation).tobytes()
    (expected,) = iter_images(straight)
    assert np.array_equal(turned, expected.open())


def array(size: tuple[int, int], channels: int, kind: str, layout: str, seed: int) -> NDArray[Any]:
    """Return noise of a type in [0, 1] or [0, 255], in a layout."""
    width, height = size
    values = np.random.default_rng(seed).random((height, width, channels))
    if kind == "uint8":
        values = values * 255
    elif kind == "bool":
        values = values > 0.5
    made = values.astype(kind)
    if layout == "none":
        return made[:, :, 0]
    return made.transpose(2, 0, 1) if layout == "first" else made


@properties(60)
@given(
    size=sizes,
    channels=st.sampled_from([1, 3, 4]),
    kind=st.sampled_from(["uint8", "bool", "float16", "float32", "float64"]),
    layout=st.sampled_from(["first", "last", "none"]),
    as_tensor=st.booleans(),
    seed=seeds,
    view=views,
)
def test_any_array_or_tensor(
    *,
    size: tuple[int, int],
    channels: int,
    kind: str,
    layout: str,
    as_tensor: bool,
    seed: int,
    view: str,
    model: Model,
) -> None:
    # Else its channels may come first or last, which is refused.
    sides = size[::-1] if layout == "last" else size
    if layout != "none" and sides[0] in (1, 3, 4):
        size = (size[0] + 4, size[1] + 4)
    source: Any = array(size, channels, kind, layout, seed)
    if as_tensor:
        source = torch.from_numpy(np.ascontiguousarray(source))
    check_all(run(source, model, view=view, method=METHODS), size, METHODS)


# many of them


def several(seed: int, count: int) -> list[Image.Image]:
    random = np.random.default_rng(seed)
    shapes = random.integers(1, 120, (count, 2)).tolist()
    return [
        picture(str(random.choice(MODES)), (width, height), seed + at)
        for at, (width, height) in enumerate(shapes)
    ]


def assert_same(cell: Explanation, other: Explanation) -> None:
    np.testing.assert_allclose(cell.heatmap, other.heatmap, rtol=1e-5, atol=1e-5)
    assert cell.region == other.region
    assert cell.state == other.state
    assert cell.target == other.target
    assert cell.probability == pytest.approx(other.probability, abs=1e-5)


@properties(15)
@given(seed=seeds, count=st.integers(1, 7), batch_size=st.integers(1, 9), view=views)
def test_the_batch_size_changes_nothing(
    seed: int, count: int, batch_size: int, view: str, model: Model
) -> None:
    images = several(seed, count)
    together = run(images, model, view=view, method=METHODS, batch_size=batch_size)
    for at, image in enumerate(images):
        alone = run(image, model, view=view, method=METHODS)
        for method in METHODS:
            assert_same(together[at, f"net {method}"], alone[0, f"net {method}"])


@properties(15)
@given(seed=seeds, order=st.permutations(range(6)), view=views, target=targets)
def test_the_order_changes_nothing(
    seed: int, order: list[int], view: str, target: Any, model: Model
) -> None:
    refs = list(iter_images(several(seed, 6)))
    options = {"view": view, "target": target, "batch_size": 4, "method": METHODS}
    straight = run(refs, model, **options)
    shuffled = run([refs[at] for at in order], model, **options)
    for cell in straight:
        assert_same(cell, shuffled[cell.image.name, cell.column])


@properties(30)
@given(
    side=st.integers(8, 130),
    seed=seeds,
    view=views,
    target=targets,
    method=st.sampled_from(["gradcam", "hirescam", "layercam", "gradcam++", "xgradcam"]),
)
def test_a_flipped_square_gives_a_flipped_map(
    *, side: int, seed: int, view: str, target: Any, method: str, model: Model
) -> None:
    image = picture("RGB", (side, side), seed)
    options = {"view": view, "target": target, "method": method}
    (cell,) = run(image, model, **options)
    (flipped,) = run(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), model, **options)
    # Pixels are rounded to 8 bits when they are resized, which of two ways may depend on the side.
    scale = max(float(cell.heatmap.max()), 1e-6)
    np.testing.assert_allclose(
        flipped.heatmap / scale, cell.heatmap[:, ::-1] / scale, rtol=0, atol=1e-2
    )
    assert cell.target == flipped.target

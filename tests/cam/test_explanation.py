"""One cell: its map over the original photo, its drawing, caption and table row."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.image import scale_cam_image
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

import effcam
from effcam import Box, Explanation
from effcam.drawing import overlay
from effcam.errors import ArgumentError, ImageError
from effcam.images.refs import ImageRef
from tests import cells

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from effcam.cam.explanation import State


def photo(width: int, height: int, seed: int = 0) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def heat(rows: int, columns: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random((rows, columns), dtype=np.float32)


def explain(
    heatmap: NDArray[np.float32], size: tuple[int, int], canvas: Box | None = None, **changes: Any
) -> Explanation:
    """Return a cell of an image of noise, whose map covers ``canvas`` or the whole image."""
    known = {
        "image": ImageRef("noise.png", photo(*size)),
        "model": "timm:resnet18",
        "weights": "a1_in1k",
        **dict.fromkeys(("target", "predicted"), 281),
        **dict.fromkeys(("label", "predicted_label"), "tabby"),
    }
    return cells.explain(heatmap, size, canvas, **known | changes)


def grad_cam_pipeline(heatmap: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Process one layer's map like grad-cam: scale, resize, aggregate, scale again."""
    per_layer = scale_cam_image(np.maximum(heatmap, 0)[np.newaxis], size)
    scaled: NDArray[np.float32] = scale_cam_image(per_layer)[0]
    return scaled


def is_grey(picture: Image.Image) -> NDArray[np.bool_]:
    # The plate of a badge is a near-black of (18, 18, 20).
    return np.ptp(np.asarray(picture).astype(int), axis=2) <= 2


# upsampled


@pytest.mark.parametrize("grid", [(7, 7), (8, 8), (1, 5), (3, 4), (14, 14)])
@pytest.mark.parametrize("size", [(224, 224), (227, 227), (96, 64), (31, 77)])
def test_upsampled_equals_the_processing_of_grad_cam(
    grid: tuple[int, int], size: tuple[int, int]
) -> None:
    heatmap = 40 * heat(*grid)
    expected = grad_cam_pipeline(heatmap, size)
    upsampled = explain(heatmap, size).upsampled()
    assert upsampled.shape == (size[1], size[0])
    assert upsampled.dtype == np.float32
    np.testing.assert_allclose(upsampled, expected, atol=1e-5)


def untrained() -> effcam.Model:
    torch.manual_seed(0)
    preprocess = effcam.Preprocess(size=64, resize=64, mean=0.5, std=0.5)  # type: ignore[arg-type]
    return effcam.load_model(timm.create_model("test_resnet").eval(), preprocess=preprocess)


@pytest.mark.parametrize(
    "load",
    # AlexNet's cells do not divide its input evenly, but other tools draw them so.
    [untrained, partial(effcam.load_model, "demo_alexnet", device="cpu")],
    ids=["resnet", "alexnet"],
)
def test_upsampled_is_grad_cams_own_result_for_a_photo_that_is_the_input(
    load: Callable[[], effcam.Model],
) -> None:
    model = load()
    picture = photo(*model.preprocess.size)
    (cell,) = effcam.compare(picture, model, view="whole", placement="even", progress=False)
    tensor, _ = model.preprocess.whole()(picture)
    model.module.requires_grad_(True)  # effcam freezes what it builds
    cam = GradCAM(model.module, [model.module.get_submodule(model.target_layer)])
    expected = cam(tensor[np.newaxis], [ClassifierOutputTarget(cell.target)])[0]
    cam.activations_and_grads.release()
    assert cell.state == "ok"
    np.testing.assert_allclose(cell.upsampled(), expected, atol=1e-5)


def test_upsampled_in_closed_form() -> None:
    # Two cells over four pixels, whose centres lie at -1/4, 1/4, 3/4 and 5/4 between the cells'.
    cell = explain(np.array([[0], [8]], np.float32), (1, 4))
    np.testing.assert_allclose(cell.upsampled(), [[0], [0.25], [0.75], [1]], atol=1e-6)


def test_upsampled_is_scaled_to_its_own_range() -> None:
    for scale in (1e-12, 1, 1e12):
        upsampled = explain(np.float32(scale) * (3 + heat(7, 7)), (50, 30)).upsampled()
        assert upsampled.min() == 0
        assert upsampled.max() == 1


def test_upsampled_is_0_outside_the_region_and_as_usual_inside() -> None:
    region = Box(20, 10, 60, 40)
    upsampled = explain(heat(7, 7), (90, 50), region).upsampled()
    inside = upsampled[10:40, 20:60]
    np.testing.assert_allclose(inside, grad_cam_pipeline(heat(7, 7), (40, 30)), atol=1e-5)
    outside = np.ones_like(upsampled, dtype=bool)
    outside[10:40, 20:60] = False
    assert (upsampled[outside] == 0).all()
    assert inside.max() == 1


def inside(canvas: Box, size: tuple[int, int], heatmap: Any) -> Explanation:
    """Return a cell whose model saw the whole image, but whose cells lie in a part of it."""
    whole = Box(0, 0, *size)
    return explain(np.asarray(heatmap, np.float32), size, canvas, region=whole, frame=whole)


def test_past_its_cells_heat_falls_to_0_over_one_cell() -> None:
    # Two cells of 8 px, from 4 to 20 of 24 px.
    shown = inside(Box(4, 0, 20, 1), (24, 1), [[8, 4]]).evidence(24, 1)[0]
    np.testing.assert_allclose(shown[:9], [4.5, 5.5, 6.5, 7.5, 8, 8, 8, 8, 7.75])
    np.testing.assert_allclose(shown[-8:], [4, 4, 4, 4, 3.75, 3.25, 2.75, 2.25])


def test_cells_that_reach_beyond_the_input_are_cut_off() -> None:
    # Three cells of 8 px over 20 px: the outer ones reach 2 px beyond.
    shown = inside(Box(-2, 0, 22, 1), (20, 1), [[0, 4, 8]]).evidence(20, 1)[0]
    np.testing.assert_allclose(shown, np.clip((np.arange(20) + 0.5 + 2) / 8 - 0.5, 0, 2) * 4)


def test_a_box_at_the_last_cells_ends_where_their_heat_falls_to_the_threshold() -> None:
    cell = inside(Box(8, 8, 40, 40), (48, 48), single(0, 0))
    for threshold in (0.25, 0.75):
        box = cell.box(threshold=threshold)
        assert box is not None
        hot = np.argwhere(cell.upsampled() >= threshold)
        assert box.left == pytest.approx(8 - 8 * (1 - threshold))
        assert (box.left, box.right) == pytest.approx((hot.min(), hot.max() + 1), abs=1)


def test_heat_that_falls_off_is_not_on_padding() -> None:
    cell = inside(Box(8, 8, 40, 40), (48, 48), single(0, 0))
    assert "padding" not in cell.flags


def test_upsampled_counts_a_pixel_by_its_centre() -> None:
    cell = explain(np.array([[1, 2]], np.float32), (10, 1), Box(2.6, 0, 7.4, 1))
    assert (np.flatnonzero(cell.upsampled()[0] > 0) >= 3).all()
    assert cell.upsampled()[0, 6] == 1
    assert (cell.upsampled()[0, [0, 1, 2, 7, 8, 9]] == 0).all()


def test_upsampled_leaves_out_what_was_padded() -> None:
    # The strongest evidence is on the padding, right of the photo, and does not count.
    heatmap = np.array([[1, 2, 3, 100]], np.float32)
    cell = explain(heatmap, (60, 20), Box(-20, 0, 80, 20))
    upsampled = cell.upsampled()
    whole = grad_cam_pipeline(heatmap, (100, 20))[:, 20:80]
    expected = (whole - whole.min()) / np.ptp(whole)
    np.testing.assert_allclose(upsampled, expected, atol=1e-4)
    assert upsampled.max() == 1


def test_upsampled_keeps_what_is_seen_evenly_at_0() -> None:
    # The only evidence is on the padding.
    cell = explain(np.array([[9, 1, 1, 1, 1, 1]], np.float32), (20, 10), Box(-30, 0, 30, 10))
    assert (cell.upsampled() == 0).all()


@pytest.mark.parametrize("state", ["flat", "nan"])
def test_upsampled_is_0_without_evidence(state: State) -> None:
    upsampled = explain(heat(7, 7), (30, 20), state=state).upsampled()
    assert upsampled.shape == (20, 30)
    assert (upsampled == 0).all()


# evidence


def test_evidence_is_the_map_over_the_image_in_its_own_numbers() -> None:
    cell = explain(np.array([[0], [8]], np.float32), (1, 4))
    np.testing.assert_allclose(cell.evidence(1, 4), [[0], [2], [6], [8]], atol=1e-6)
    even = explain(np.full((3, 3), 7, np.float32), (30, 20))
    found = even.evidence(15, 10)
    assert (found.shape, found.dtype) == ((10, 15), np.float32)
    np.testing.assert_allclose(found, 7, rtol=1e-6)


@pytest.mark.parametrize(("width", "height"), [(90, 50), (45, 25), (180, 100)])
def test_evidence_at_any_size_is_what_upsampled_shows_but_for_its_range(
    width: int, height: int
) -> None:
    canvas = Box(20, 10, 60, 40)
    cell = explain(3 + heat(7, 7), (90, 50), canvas)
    found = cell.evidence(width, height)
    across, down = width / 90, height / 50
    same = explain(3 + heat(7, 7), (width, height), canvas.scale(across, down))
    inside = same.upsampled() > 0
    scaled = (found - found[found > 0].min()) / np.ptp(found[found > 0])
    np.testing.assert_allclose(scaled[inside], same.upsampled()[inside], atol=1e-5)
    assert (found[: int(10 * down)] == 0).all()
    assert (found[:, int(60 * across) :] == 0).all()


def test_evidence_is_distinguished_from_padding() -> None:
    # Half of the heat is on the padding, left of the photo, and stays outside of it.
    cell = explain(np.array([[4, 4, 1, 1]], np.float32), (20, 10), Box(-20, 0, 20, 10))
    found = cell.evidence(20, 10)
    assert found.shape == (10, 20)
    assert found[:, 5:].max() == 1
    assert found.max() < 4


# overlay


def test_overlay_has_the_photos_size_and_colours() -> None:
    cell = explain(heat(7, 7), (90, 50))
    picture = cell.overlay()
    assert picture.size == (90, 50)
    expected = overlay.overlay(photo(90, 50), cell.upsampled(), alpha=0.5, colormap="turbo")
    assert picture.tobytes() == expected.tobytes()


def test_overlay_passes_its_style_on() -> None:
    cell = explain(heat(7, 7), (40, 40))
    assert cell.overlay(alpha=0).tobytes() == photo(40, 40).tobytes()
    strong = cell.overlay(alpha=1, colormap="gray")
    hottest = np.unravel_index(cell.upsampled().argmax(), (40, 40))
    assert np.asarray(strong)[hottest].tolist() == [255, 255, 255]


def test_overlay_shades_what_the_model_did_not_see() -> None:
    cell = explain(heat(7, 7), (90, 50), Box(20, 0, 70, 50))
    grey = is_grey(cell.overlay(alpha=0))
    assert grey[:, :20].all()
    assert grey[:, 70:].all()
    assert np.asarray(cell.overlay(alpha=0))[:, 20:70].tobytes() == (
        np.asarray(photo(90, 50))[:, 20:70].tobytes()
    )


@pytest.mark.parametrize("state", ["flat", "nan"])
@pytest.mark.parametrize("heatmap", [heat(7, 7), np.full((7, 7), np.nan, np.float32)])
def test_overlay_without_evidence_is_grey_and_says_so(
    state: State, heatmap: NDArray[np.float32]
) -> None:
    cell = explain(heatmap, (90, 50), state=state)
    picture = cell.overlay(alpha=1)
    assert not is_grey(photo(90, 50)).all()
    assert is_grey(picture).all()
    assert picture.tobytes() == cell.overlay(alpha=0.1, colormap="gray").tobytes()


def test_flat_and_nan_are_marked_differently() -> None:
    notes = {
        explain(heat(7, 7), (224, 224), state=state).overlay().tobytes()
        for state in ("ok", "flat", "nan")
    }
    assert len(notes) == 3


@pytest.mark.parametrize("state", ["ok", "flat", "nan"])
def test_overlay_refuses_an_impossible_style(state: State) -> None:
    cell = explain(heat(7, 7), (30, 20), state=state)
    with pytest.raises(ArgumentError, match="alpha is an opacity from 0 to 1, not 2"):
        cell.overlay(alpha=2)
    with pytest.raises(ArgumentError, match=r"no colour map is called 'turbi'.*'turbo'"):
        cell.overlay(colormap="turbi")


def test_overlay_names_a_file_that_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    photo(30, 20).save(path)
    cell = explain(heat(7, 7), (30, 20), image=ImageRef("photo.png", path))
    assert cell.overlay().size == (30, 20)
    path.unlink()
    with pytest.raises(ImageError, match=r"image 'photo\.png': the file does not exist"):
        cell.overlay()


def test_over_draws_the_same_on_a_smaller_copy() -> None:
    cell = explain(heat(7, 7), (200, 100), Box(50, 0, 150, 100))
    small = photo(200, 100).resize((100, 50))
    picture = cell.over(small, alpha=0.5, colormap="turbo", boxes=False)
    assert picture.size == (100, 50)
    half = explain(heat(7, 7), (100, 50), Box(25, 0, 75, 50), image=ImageRef("small", small))
    assert picture.tobytes() == half.overlay().tobytes()
    assert small.tobytes() == photo(200, 100).resize((100, 50)).tobytes()


# caption and record


@pytest.mark.parametrize(
    ("probability", "text"),
    [(1.0, "100 %"), (0.876, "88 %"), (0.0996, "10 %"), (0.0994, "9.9 %"), (0.0004, "0.0 %")],
)
def test_caption_gives_the_prediction_and_its_share(probability: float, text: str) -> None:
    cell = explain(heat(2, 2), (8, 8), predicted_probability=probability)
    assert cell.caption() == ("tabby", text)


def test_caption_names_the_class_explained_where_it_is_another() -> None:
    cell = explain(heat(2, 2), (8, 8), target=282, label="tiger cat", probability=0.031)
    assert cell.caption() == ("tabby", "50 % · heat: tiger cat 3.1 %")


def test_caption_names_no_class_for_a_method_that_explains_none() -> None:
    cell = explain(
        heat(2, 2), (8, 8), target=282, label="tiger cat", probability=0.031, method="eigencam"
    )
    assert cell.caption() == ("tabby", "50 %")


def test_caption_says_that_heat_is_on_padding() -> None:
    heatmap = np.array([[1], [0], [0], [0]], np.float32)
    cell = explain(heatmap, (20, 10), Box(0, -5, 20, 15))
    assert cell.caption() == ("tabby", "50 % · heat on padding")
    other = replace(cell, target=282, label="tiger cat", probability=0.031)
    assert other.caption()[1] == "50 % · heat: tiger cat 3.1 % · heat on padding"
    # Findings about many maps are shown above their column.
    peak = np.zeros((7, 7), np.float32)
    peak[0, 3] = 1
    assert explain(peak, (20, 10)).flags == ("border",)
    assert explain(peak, (20, 10)).caption() == ("tabby", "50 %")


def test_flags_say_what_is_odd_about_a_map() -> None:
    peak = np.zeros((8, 8), np.float32)
    peak[0, 3] = 1
    padded = Box(0, -5, 20, 15)
    assert explain(heat(2, 2), (20, 10)).flags == ()
    assert explain(peak, (20, 10)).flags == ("border",)
    assert explain(peak, (20, 10), padded).flags == ("padding", "border")
    assert explain(peak, (20, 10), padded, state="flat").flags == ("flat",)
    assert explain(peak, (20, 10), state="nan").flags == ("nan",)


def test_the_record_has_the_flags_in_one_cell() -> None:
    peak = np.zeros((8, 8), np.float32)
    peak[0, 3] = 1
    assert explain(peak, (20, 10), Box(0, -5, 20, 15)).record()["flags"] == "padding border"


def test_record_is_flat_and_in_plain_types() -> None:
    record = explain(heat(3, 4), (90, 50), Box(-5, 10.5, 95, 40), target=282).record()
    assert record == {
        "image": "noise.png",
        "column": "column",
        "model": "timm:resnet18",
        "weights": "a1_in1k",
        "method": "gradcam",
        "target_layer": "layer4",
        "grid": "3x4",
        "target": 282,
        "label": "tabby",
        "probability": 0.5,
        "kind": "class",
        "value": 1.5,
        "unit": "",
        "multi_label": False,
        "asked": "",
        "predicted": 281,
        "predicted_label": "tabby",
        "predicted_probability": 0.5,
        "state": "ok",
        "flags": "",
        "width": 90,
        "height": 50,
        "region_left": 0,
        "region_top": 10.5,
        "region_right": 90,
        "region_bottom": 40,
    }
    assert {type(value) for value in record.values()} == {bool, str, int, float}


def test_an_explanation_does_not_change() -> None:
    cell = explain(heat(2, 2), (8, 8))
    with pytest.raises(FrozenInstanceError):
        cell.state = "flat"  # type: ignore[misc]
    assert "heatmap" not in repr(cell)


# In notebooks


def test_a_notebook_shows_the_photo_the_heat_and_what_they_are() -> None:
    cell = explain(heat(7, 7), (80, 60))
    page = cell._repr_html_()
    assert page.count("<img ") == page.count("data:image/jpeg;base64,") == 2
    for text in (*cell.caption(), cell.method, cell.target_layer, "7 x 7", cell.image.name):
        assert html.escape(text) in page
    assert "random weights" not in page
    assert not cell.untrained
    untrained = replace(cell, weights="random")
    assert untrained.untrained
    assert "random weights" in untrained._repr_html_()


def test_a_notebook_shows_names_as_text() -> None:
    name = '<img src=x onerror="alert(1)">'
    cell = replace(explain(heat(7, 7), (80, 60)), column=name, predicted_label=name)
    page = cell._repr_html_()
    assert name not in page
    assert page.count("<img ") == 2
    assert html.escape(name) in page


# the box around the heat


def single(row: int, column: int, side: int = 4) -> NDArray[np.float32]:
    found = np.zeros((side, side), np.float32)
    found[row, column] = 3
    return found


def test_a_box_reaches_to_where_the_heat_falls_to_its_threshold() -> None:
    # Cells of 10 px; the cell's centre is (25, 15), from which heat falls to 0 over 10 px.
    cell = explain(single(1, 2), (40, 40))
    box = cell.box()
    assert box is not None
    assert box.as_tuple() == pytest.approx((17, 7, 33, 23))
    tight = cell.box(threshold=0.75)
    assert tight is not None
    assert tight.as_tuple() == pytest.approx((22.5, 12.5, 27.5, 17.5))


@pytest.mark.parametrize("side", [7, 14])
def test_a_box_holds_the_hottest_cell_and_what_is_connected(side: int) -> None:
    heatmap = np.zeros((side, side), np.float32)
    heatmap[1:3, 1:3] = 0.6
    heatmap[4, 5] = 1  # small, but the hottest
    box = explain(heatmap, (10 * side, 10 * side)).box(threshold=0.5)
    assert box is not None
    assert box.as_tuple() == pytest.approx((50, 40, 60, 50))
    heatmap[3, 3:6] = 0.9
    heatmap[2, 3] = 0.9
    joined = explain(heatmap, (10 * side, 10 * side)).box(threshold=0.5)
    assert joined is not None
    assert joined.left < 15
    assert joined.right == pytest.approx(60, abs=2)


def test_a_box_is_of_what_the_overlay_shows_as_hot() -> None:
    cell = explain(np.pad(heat(3, 3) + 0.5, 2), (140, 140))
    box = cell.box(threshold=0.4)
    assert box is not None
    hot = np.argwhere(cell.upsampled() >= 0.4)
    assert box.top == pytest.approx(hot[:, 0].min(), abs=1)
    assert box.right == pytest.approx(hot[:, 1].max() + 1, abs=1)


def test_a_box_lies_in_the_seen_region() -> None:
    seen = explain(single(0, 0), (100, 60), Box(30, 10, 70, 50)).box()
    assert seen is not None
    assert seen.as_tuple() == pytest.approx((30, 10, 43, 23))
    # The padding is outside of the image: the canvas begins 20 px left of it.
    beside = explain(single(1, 0), (40, 40), Box(-20, 0, 60, 40))
    assert beside.box(threshold=0.75) is None
    across = explain(single(1, 1), (40, 40), Box(-20, 0, 60, 40)).box()
    assert across is not None
    assert across.left == 0
    assert across.right == pytest.approx(26)


@pytest.mark.parametrize("state", ["flat", "nan"])
def test_without_evidence_there_is_no_box(state: State) -> None:
    cell = explain(np.full((4, 4), np.nan, np.float32), (40, 40), state=state)
    assert cell.box() is None
    assert cell.overlay(boxes=True) == cell.overlay()


@pytest.mark.parametrize("threshold", [0, 1, -0.1, float("nan")])
def test_an_impossible_threshold_is_refused(threshold: float) -> None:
    with pytest.raises(ArgumentError, match="threshold must lie between 0 and 1"):
        explain(single(1, 1), (40, 40)).box(threshold=threshold)


# masks


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("threshold", [0.2, 0.6])
def test_a_mask_has_the_pixels_of_its_box(seed: int, threshold: float) -> None:
    cell = explain(
        heat(6, 7, seed) ** 3, (211, 143), Box(-8, 9, 203, 143), region=Box(0, 9, 200, 140)
    )
    box, mask = cell.box(threshold=threshold), cell.mask(threshold=threshold)
    assert box is not None
    assert mask.shape == (143, 211)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    found = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    assert found == pytest.approx(box.as_tuple(), abs=1)


def test_a_mask_leaves_out_other_hot_parts() -> None:
    values = np.zeros((5, 5), np.float32)
    values[0, 0], values[4, 4] = 1, 0.9
    mask = explain(values, (50, 50)).mask()
    assert mask[:20, :20].sum() == mask.sum() > 0


@pytest.mark.parametrize("state", ["flat", "nan"])
def test_without_evidence_there_is_no_mask(state: State) -> None:
    assert not explain(heat(3, 3), (20, 10), state=state).mask().any()
    with pytest.raises(ArgumentError, match="threshold must lie between 0 and 1"):
        explain(heat(3, 3), (20, 10)).mask(threshold=1)


def test_heat_at_any_size_is_upsampled_on_a_copy() -> None:
    cell = explain(heat(3, 4), (40, 30), region=Box(0, 0, 20, 30))
    assert (cell.heat(40, 30) == cell.upsampled()).all()
    small = cell.heat(20, 15)
    assert small.shape == (15, 20)
    assert (small[:, 10:] == 0).all()
    assert small.max() == 1

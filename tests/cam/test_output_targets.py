"""Targets of a network's output: values, similarities, texts, functions, regions and boxes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import (
    FasterRCNNBoxScoreTarget,
    SemanticSegmentationTarget,
)
from torch import Tensor, nn

import effcam
from effcam import Comparison, Explanation, Model, Preprocess, compare, compare_dataset, load_model
from effcam.cam.methods.table import tells_opposites
from effcam.errors import ArgumentError, ModelError, OutputError, TargetError
from effcam.models.text_encoder import TextEncoder
from effcam.targets import BoxScore, Contrast, Region, Similar, Text, Value
from effcam.targets.outputs import Function
from effcam.targets.plain import plain
from effcam.targets.stored import check_stored, from_json, to_json
from tests.nets import ON_ANY_NETWORK as METHODS
from tests.nets import ColourWords, ConvNet

SIZE = 32
PREPROCESS = Preprocess(size=SIZE, resize=SIZE, mean=0, std=1)
WIDTH = 12
Photos = NDArray[np.floating[Any]]


@pytest.fixture(scope="module")
def photos() -> Photos:
    return np.random.default_rng(0).random((3, SIZE, SIZE, 3)).round(2)


@pytest.fixture(scope="module")
def tower() -> Model:
    """Return a network without a head, and with a text tower that knows three words."""
    torch.manual_seed(0)
    module = ConvNet().eval()
    module.fc = nn.Identity()
    module.num_classes = 0  # as timm's networks state it
    model = load_model(module, preprocess=PREPROCESS, name="tower")
    return replace(model, text=TextEncoder(encode))


ENCODED: list[Sequence[str]] = []


def encode(texts: Sequence[str]) -> Tensor:
    ENCODED.append(texts)
    rows = [direction(each) for each in texts]
    return nn.functional.normalize(torch.stack(rows))


def direction(text: str) -> Tensor:
    return torch.randn(WIDTH, generator=torch.Generator().manual_seed(len(text)))


@pytest.fixture(scope="module")
def regression() -> Model:
    torch.manual_seed(0)
    return load_model(ConvNet(1).eval(), preprocess=PREPROCESS, name="regression")


def ask(photos: Photos, model: Model, target: Any, **options: Any) -> Comparison:
    return compare(list(photos), model, target=target, progress=False, **options)


def features(model: Model, photos: Photos) -> Tensor:
    """Return the (images, channels, rows, columns) output of the target layer."""
    found: list[Tensor] = []
    layer = model.module.get_submodule(model.target_layer)
    handle = layer.register_forward_hook(lambda *args: found.append(args[2].detach()))
    with torch.no_grad():
        model.module(inputs(photos))
    handle.remove()
    return found[0]


def inputs(photos: Photos) -> Tensor:
    pixels = torch.from_numpy((photos * 255).round().astype(np.uint8))
    return pixels.permute(0, 3, 1, 2).float() / 255


def heat(cells: Comparison) -> NDArray[np.float32]:
    return np.stack([cell.heatmap for cell in cells])


# Similarities and texts


def test_a_small_value_below_0_is_shown_as_0(tower: Model, photos: Photos) -> None:
    cell = replace(ask(photos[:1], tower, Similar(photos[1]))[0, 0], value=-0.001)
    assert cell.value_text == "cosine 0.00"
    assert replace(cell, kind="value", value=-0.0).value_text == "+0"


def cosine_maps(maps: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    """Return Grad-CAM of the cosine by hand, and the cosine: the embedding is the mean cell."""
    embedding = maps.mean((2, 3))
    length = embedding.norm(dim=1, keepdim=True)
    unit, towards = embedding / length, nn.functional.normalize(directions, dim=1)
    cosine = (unit * towards).sum(1, keepdim=True)
    weights = (towards - cosine * unit) / length / maps[0, 0].numel()
    return (weights[..., None, None] * maps).sum(1).clamp(min=0), cosine[:, 0]


def test_the_map_of_a_similarity_is_that_of_the_cosine_by_hand(
    tower: Model, photos: Photos
) -> None:
    maps = features(tower, photos)
    found = ask(photos[1:], tower, Similar(photos[0]))
    expected, cosines = cosine_maps(maps[1:], maps[:1].mean((2, 3)))
    np.testing.assert_allclose(heat(found), expected, rtol=1e-3, atol=1e-9)
    np.testing.assert_allclose([cell.value for cell in found], cosines, atol=1e-6)
    assert {cell.state for cell in found} == {"ok"}


def test_of_several_images_the_mean_direction_counts(tower: Model, photos: Photos) -> None:
    maps = features(tower, photos)
    unit = nn.functional.normalize(maps[:2].mean((2, 3)), dim=1)
    found = ask(photos[2:], tower, Similar(photos[0], photos[1]))
    expected, _ = cosine_maps(maps[2:], unit.mean(0, keepdim=True))
    np.testing.assert_allclose(heat(found), expected, rtol=1e-3, atol=1e-9)


def test_a_region_counts_alone(tower: Model, photos: Photos, tmp_path: Path) -> None:
    scene = np.concatenate([photos[0], photos[1]], axis=1)
    right = (SIZE, 0, 2 * SIZE, SIZE)
    Image.fromarray((scene * 255).round().astype(np.uint8)).save(tmp_path / "scene.png")
    whole = ask(photos[2:], tower, Similar(photos[1]))
    part = ask(photos[2:], tower, Similar(tmp_path / "scene.png", region=right))
    np.testing.assert_allclose(heat(part), heat(whole), rtol=1e-4, atol=1e-9)
    own = ask(scene[None], tower, Similar(region=effcam.Box(*right)))
    other = ask(scene[None], tower, Similar(photos[1]))
    np.testing.assert_allclose(heat(own), heat(other), rtol=1e-4, atol=1e-9)
    with pytest.raises(TargetError, match="is narrower than a pixel"):
        ask(photos, tower, Similar(region=(0.1, 0.1, 0.4, 9)))


def test_images_may_come_in_lists(tower: Model, photos: Photos) -> None:
    apart = ask(photos, tower, Similar(photos[0], photos[1]))
    models = {"one": tower, "other": tower}  # both embed what can be read only once
    for given in ([photos[0], photos[1]], iter(photos[:2])):
        found = compare(list(photos), models, target=Similar(given), progress=False)
        for label in models:
            np.testing.assert_array_equal(found[2, label].heatmap, apart[2, 0].heatmap)
    assert Similar(["a.png", ("b.png",)]).stored == Similar("a.png", "b.png").stored


class Scaled(nn.Module):
    """The mean features, times a factor."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features, self.factor = ConvNet().features, factor

    def forward(self, images: Tensor) -> Tensor:
        return self.features(images).mean((2, 3)) * self.factor


def scaled(factor: float) -> Model:
    return load_model(Scaled(factor).eval(), preprocess=PREPROCESS, scores="embedding")


def test_the_length_of_an_embedding_does_not_matter(photos: Photos) -> None:
    wanted = ask(photos, scaled(1), Similar(photos[0]))
    for factor in (1e-15, 1e-4, 1e15):
        found = ask(photos, scaled(factor), Similar(photos[0]))
        np.testing.assert_allclose(heat(found), heat(wanted), rtol=1e-3, atol=1e-7)
        assert [each.value for each in found] == pytest.approx([each.value for each in wanted])


def test_an_embedding_of_0_has_no_cosine(photos: Photos) -> None:
    with pytest.raises(TargetError, match="has no direction"):
        ask(photos, scaled(0), Similar(photos[0]))
    found = ask(photos, scaled(0), Similar(region=(0, 0, 8, 8)))
    assert [(each.state, str(each.value)) for each in found] == [("nan", "nan")] * 3
    assert "embedding is 0" in str(found.summary())


def test_an_image_and_itself_have_no_heat(tower: Model, photos: Photos) -> None:
    (same, other) = ask(photos[:2], tower, Similar(photos[0]))
    assert (same.state, round(same.value, 5)) == ("flat", 1)
    assert other.state == "ok"


def test_texts_are_encoded_together_and_once(tower: Model, photos: Photos) -> None:
    ENCODED.clear()
    target = {"one": Text("a dog"), "two": Text("two dogs"), "again": Text("a dog")}
    found = ask(photos, tower, target)
    assert ENCODED == [["a dog", "two dogs"]]
    maps = features(tower, photos)
    for name, text in (("one", "a dog"), ("two", "two dogs"), ("again", "a dog")):
        expected, cosines = cosine_maps(maps, direction(text).expand(3, -1))
        cells = [found[at, f"tower {name}"] for at in range(3)]
        np.testing.assert_allclose(np.stack([each.heatmap for each in cells]), expected, rtol=1e-3)
        np.testing.assert_allclose([each.value for each in cells], cosines, atol=1e-6)


@pytest.mark.parametrize("method", list(filter(tells_opposites, METHODS)))
def test_every_method_explains_a_similarity(tower: Model, photos: Photos, method: str) -> None:
    together = ask(photos, tower, Text("a dog"), method=method)
    alone = ask(photos[1:2], tower, Text("a dog"), method=method)
    np.testing.assert_allclose(together[1, 0].heatmap, alone[0, 0].heatmap, rtol=1e-3, atol=1e-6)
    assert together[1, 0].state == "ok"


def test_what_is_not_an_embedding_cannot_be_compared(
    tower: Model, regression: Model, photos: Photos
) -> None:
    with pytest.raises(TargetError, match=r"regression returns class scores.*num_classes.: 0"):
        ask(photos, regression, Similar(photos[0]))
    with pytest.raises(TargetError, match="tower has no text tower"):
        ask(photos, replace(tower, text=None), Text("a dog"))
    with pytest.raises(TargetError, match=r"region .* does not lie in image 'image' of 32 x 32"):
        ask(photos[:1], tower, Similar(region=(0, 0, 40, 20)))
    with pytest.raises(TargetError, match=r"regression has no text tower.*\(a dog\): give a model"):
        ask(photos, regression, Text("a dog"))
    with pytest.raises(TargetError, match=r"tower has no classifier, so no class scores.*Text\("):
        ask(photos, tower, None)
    with pytest.raises(ArgumentError, match="no classes that labels could name"):
        load_model(replace(tower, text=None), labels=["a"])
    with pytest.raises(ArgumentError, match="softmax over one text is always 1"):
        load_model(tower, labels=["a"])


def test_an_image_that_is_skipped_is_left_out_of_what_is_compared(
    tower: Model, photos: Photos, tmp_path: Path
) -> None:
    for at, photo in enumerate(photos):
        Image.fromarray((photo * 255).round().astype(np.uint8)).save(tmp_path / f"{at}.png")
    (tmp_path / "1.png").write_bytes(b"no image")
    part = Similar(region=(0, 0, 16, 16))
    found = compare(tmp_path, tower, target=part, on_error="skip", progress=False)
    assert [each.name for each in found.images] == ["0.png", "2.png"]
    alone = compare(tmp_path / "2.png", tower, target=part, progress=False)
    np.testing.assert_allclose(found[1, 0].heatmap, alone[0, 0].heatmap, rtol=1e-4, atol=1e-9)


def test_an_embedding_may_be_stated(photos: Photos) -> None:
    torch.manual_seed(0)
    module = ConvNet().eval()
    module.fc = nn.Identity()
    found = load_model(module, preprocess=PREPROCESS, name="net")
    assert (found.scores.outputs, found.num_classes) == ("classes", WIDTH)
    stated = load_model(found, scores="embedding")
    assert (stated.scores.outputs, stated.labels) == ("embedding", ())
    assert ask(photos[1:], stated, Similar(photos[0]))[0, 0].state == "ok"
    with pytest.raises(ArgumentError, match="does not go with this network: it returns a single"):
        load_model(ConvNet(1).eval(), preprocess=PREPROCESS, scores="embedding")


# Values


def test_what_raises_a_value_and_what_lowers_it(regression: Model, photos: Photos) -> None:
    target = {"up": Value(0, unit="m"), "down": Value(0, unit="m", lowers=True, name="height")}
    found = ask(photos, regression, target)
    maps = features(regression, photos)
    weights = regression.module.fc.weight[0].detach() / maps[0, 0].numel()
    raised = (weights[:, None, None] * maps).sum(1)
    with torch.no_grad():
        values = regression.module(inputs(photos))[:, 0]
    for at in range(3):
        up, down = (found[at, f"regression {name}"] for name in target)
        np.testing.assert_allclose(up.heatmap, raised[at].clamp(min=0), rtol=1e-3, atol=1e-8)
        np.testing.assert_allclose(down.heatmap, (-raised[at]).clamp(min=0), rtol=1e-3, atol=1e-8)
        assert up.value == down.value == pytest.approx(float(values[at]), abs=1e-6)
        assert up.caption()[:2] == ("output 0", f"{up.value:+.3g} m")
        assert down.caption()[0] == "height, lowered"


def test_a_value_has_no_prediction_and_no_probability(regression: Model, photos: Photos) -> None:
    cell = ask(photos, regression, Value(0, unit="years"))[0, 0]
    record = cell.record()
    assert (cell.target, cell.predicted, cell.kind) == (None, None, "value")
    assert np.isnan([cell.probability, cell.predicted_probability]).all()
    assert (record["unit"], record["label"]) == ("years", "output 0")
    assert "predicts" not in repr(cell)


def test_values_of_several_outputs_and_of_embeddings(tower: Model, photos: Photos) -> None:
    found = ask(photos, tower, {"3": Value(3), "f": lambda output: output[:, 3]})
    for at in range(3):
        np.testing.assert_allclose(found[at, 0].heatmap, found[at, 1].heatmap, atol=1e-7)
    named = load_model(ConvNet(2).eval(), preprocess=PREPROCESS, labels=["age", "height"])
    assert ask(photos, named, Value(1))[0, 0].label == "height"
    with pytest.raises(TargetError, match="output 12 is out of range: tower returns 12 values"):
        ask(photos, tower, Value(12))


def test_a_network_of_one_value_has_no_second(regression: Model, photos: Photos) -> None:
    with pytest.raises(TargetError, match=r"output 1 is out of range: regression returns 1 value$"):
        ask(photos, regression, Value(1))


# Functions


def test_a_function_that_picks_a_class_gives_its_map(photos: Photos) -> None:
    torch.manual_seed(0)
    model = load_model(ConvNet(4).eval(), preprocess=PREPROCESS, name="net")

    def second(output: Tensor) -> Tensor:
        return output[:, 1]

    for method in ("gradcam", "scorecam"):
        found = ask(photos, model, {"class": 1, "function": second}, method=method)
        for at in range(3):
            cell = found[at, "net function"]
            np.testing.assert_allclose(cell.heatmap, found[at, "net class"].heatmap, atol=1e-5)
            assert (cell.kind, cell.label, cell.target) == ("function", "second", None)
            assert cell.predicted is not None
            assert cell.explained == f"heat: second = {cell.value:+.3g}"


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda output: output, r"returned a tensor of shape \(3, 12\); for 3 images"),
        (lambda output: output.mean(), r"returned a tensor of shape \(\)"),
        (lambda output: output.argmax(1), r"returned a tensor of shape \(3,\) of int64"),
        (lambda output: output["logits"][:, 0], r"failed on the model's output, a tensor of shape"),
        (len, r"returned a int"),
        (lambda output: output.mul_(2)[:, 0], r"changed the model's output in place"),
        (lambda output: output.softmax(0)[:, 0], r"depends on the other images of its batch"),
        (lambda output: output[:, 0] + output[0, 0], r"depends on the other images of its batch"),
        (lambda output: output[:, 0].flip(0), r"depends on the other images of its batch"),
        (lambda output: output[:, 0].detach(), r"the function detaches it"),
    ],
)
def test_a_function_that_gives_no_value_for_each_image_is_refused(
    tower: Model, photos: Photos, function: Any, message: str
) -> None:
    with pytest.raises(TargetError, match=message):
        ask(photos, tower, {"mine": function, "other": Value(0)})


def test_each_image_may_have_a_function_of_its_own(tower: Model, photos: Photos) -> None:
    functions = [Function(lambda output, at=at: output[:, at], f"f{at}") for at in range(3)]
    found = ask(photos, tower, functions)
    for at in range(3):
        single = ask(photos[at : at + 1], tower, Value(at))
        np.testing.assert_allclose(found[at, 0].heatmap, single[0, 0].heatmap, atol=1e-7)
        assert found[at, 0].label == f"f{at}"


def test_a_function_gets_what_the_network_itself_returns(photos: Photos) -> None:
    torch.manual_seed(0)
    network = ConvNet().eval()
    model = load_model(nn.Sequential(network, nn.Softmax(1)).eval(), preprocess=PREPROCESS)
    for method in ("gradcam", "scorecam"):
        found = ask(photos, model, {"p": lambda output: output[:, 1], "class": 1}, method=method)
        for at in range(3):
            assert found[at, 0].value == pytest.approx(found[at, 1].probability, abs=1e-6)
            assert found[at, 0].state == "ok"


@dataclass
class Column:
    """A function without a hash, since it is compared by value."""

    at: int

    def __call__(self, output: Tensor) -> Tensor:
        return output[:, self.at]


def test_a_function_needs_no_hash(tower: Model, photos: Photos) -> None:
    found = ask(photos, tower, [Column(1), Column(2), Column(1)])
    values = ask(photos, tower, [Value(1), Value(2), Value(1)])
    np.testing.assert_array_equal(heat(found), heat(values))


def test_a_function_without_a_gradient_has_maps_that_need_none(
    tower: Model, photos: Photos
) -> None:
    found = ask(photos, tower, lambda output: output[:, 1].detach(), method="scorecam")
    np.testing.assert_array_equal(
        heat(found), heat(ask(photos, tower, Value(1), method="scorecam"))
    )


# Segmentations and detections


class Segmentation(nn.Module):
    """Returns (images, 4, 32, 32) scores as ``out``, as torchvision's networks do."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=4, padding=1), nn.ReLU(), nn.Conv2d(8, 6, 3, padding=1)
        )
        self.head = nn.Conv2d(6, 4, 3, padding=1)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        scores = self.head(self.backbone(images).relu())
        return {"out": nn.functional.interpolate(scores, size=SIZE), "aux": scores}


class Out(nn.Module):
    """Returns the ``out`` of another module, as grad-cam needs it."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.module(images)["out"]
        return found


def test_a_mask_is_one_for_all_images() -> None:
    output, mask = torch.rand(2, 4, SIZE, SIZE), np.zeros((SIZE, SIZE), bool)
    mask[3:8] = True
    mask.flags.writeable = False  # as that of an opened file
    wanted = output[:, 1, 3:8].sum((1, 2))
    torch.testing.assert_close(Region(1, mask)(output), wanted)
    with pytest.raises(TargetError, match=r"the mask of Region has the shape \(2, 32, 32\)"):
        Region(1, np.stack([mask, mask]))(output)


@pytest.fixture(scope="module")
def segmentation() -> Model:
    torch.manual_seed(1)
    return load_model(
        Segmentation().eval(), preprocess=PREPROCESS, target_layer="backbone", name="segmentation"
    )


@pytest.mark.parametrize("masked", [True, False])
def test_a_region_has_grad_cams_map(segmentation: Model, photos: Photos, masked: bool) -> None:
    mask = np.zeros((SIZE, SIZE), np.float32)
    mask[4:20, 8:30] = 1
    found = ask(photos, segmentation, Region(2, mask if masked else None), placement="even")
    module = Out(segmentation.module)
    with GradCAM(module, [segmentation.module.backbone]) as peer:
        for at, pixels in enumerate(inputs(photos)):
            if not masked:
                mask = (module(pixels[None]).argmax(1)[0] == 2).float().numpy()
            target = SemanticSegmentationTarget(2, mask)
            (expected,) = peer(pixels[None], targets=[target])
            np.testing.assert_allclose(found[at, 0].upsampled(), expected, atol=2e-5)


def test_an_output_of_another_form_needs_a_layer_and_a_function(
    segmentation: Model, photos: Photos
) -> None:
    with pytest.raises(ModelError, match=r"expected a classifier.*target_layer=.*Region"):
        load_model(segmentation.module, preprocess=PREPROCESS)
    for target in (None, 1, Contrast(1, 2)):
        with pytest.raises(TargetError, match=r"segmentation has no classifier.*Region for a segm"):
            ask(photos, segmentation, target)
    with pytest.raises(TargetError, match="segmentation returns no embedding"):
        ask(photos, segmentation, Similar(photos[0]))
    with pytest.raises(TargetError, match="returns no row of values"):
        ask(photos, segmentation, Value(0))
    with pytest.raises(TargetError, match="category 4 is out of range: there are 4"):
        ask(photos, segmentation, Region(4))
    with pytest.raises(TargetError, match=r"mask of Region has the shape \(9, 9\).* 32 x 32"):
        ask(photos, segmentation, Region(1, np.ones((9, 9))))
    assert "no classes" in repr(segmentation)
    assert [layer.name for layer in segmentation.layers()]


class Detector(nn.Module):
    """Returns two boxes for each image, with scores that depend on it, as torchvision's do."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Conv2d(3, 6, 5, stride=4, padding=2)
        self.score = nn.Linear(6, 2)
        self.edge = nn.Linear(6, 2)

    def forward(self, images: Tensor) -> list[dict[str, Tensor]]:
        pooled = self.backbone(images).relu().mean((2, 3))
        scores, edges = self.score(pooled).sigmoid(), self.edge(pooled)
        first = torch.tensor([[2.0, 2.0, 20.0, 20.0], [10.0, 4.0, 28.0, 30.0]])
        return [
            {
                "boxes": first + torch.stack([edge, edge], 1).repeat(1, 2),
                "labels": torch.tensor([1, 2]),
                "scores": score,
            }
            for score, edge in zip(scores, edges, strict=True)
        ]


def test_a_box_has_grad_cams_map(photos: Photos) -> None:
    torch.manual_seed(0)
    module = Detector().eval()
    model = load_model(module, preprocess=PREPROCESS, target_layer="backbone", name="detector")
    box = (2.0, 3.0, 19.0, 21.0)
    found = ask(photos, model, {"1": BoxScore(box, 1), "2": BoxScore(box, 2)}, placement="even")
    with GradCAM(module, [module.backbone]) as peer:
        for at, pixels in enumerate(inputs(photos)):
            target = FasterRCNNBoxScoreTarget([1], np.array([box]), iou_threshold=0.5)
            (expected,) = peer(pixels[None], targets=[target])
            np.testing.assert_allclose(found[at, 0].upsampled(), expected, atol=2e-5)
            assert (found[at, 1].state, found[at, 1].value) == ("flat", 0)
    for function, message in (
        (lambda found: torch.stack([each["scores"][0].detach() for each in found]), "detaches it"),
        (
            lambda found: torch.stack(
                [each["scores"][0] + found[0]["scores"][0] for each in found]
            ),
            "depends on the other images",
        ),
    ):
        with pytest.raises(TargetError, match=message):
            ask(photos, model, function)
    with pytest.raises(TargetError, match="BoxScore needs, for each image, a mapping with boxes"):
        ask(photos, load_model(ConvNet().eval(), preprocess=PREPROCESS), BoxScore(box, 1))


# Values of targets, settings and files


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Value(-1), "output must be a whole number from 0"),
        (lambda: Value(0, unit=3), "unit must be a text"),  # type: ignore[arg-type]
        (lambda: Value(0, lowers=1), "lowers must be True or False"),  # type: ignore[arg-type]
        (lambda: Text("  "), "a text with at least one word"),
        (Similar, "needs an image to compare with, or a region="),
        (lambda: Similar("a.jpg", region=(5, 0, 5, 9)), "a region needs an area"),
        (lambda: Similar("a.jpg", region=(1, 2, 3)), "a region is left, top, right and bottom"),
        (lambda: Region(-1), "category must be a whole number from 0"),
        (lambda: BoxScore((0, 0, 1, 1), 1, threshold=1), r"threshold must lie in \[0, 1\)"),
        (lambda: BoxScore((0, 0, 1, 1), 1, threshold="0"), r"threshold must lie in \[0, 1\)"),  # type: ignore[arg-type]
        (lambda: Similar([]), "there are no images to compare with"),
        (lambda: plain([Value(0), "dog"]), "must be of one kind, not class and value"),
    ],
)
def test_impossible_targets_are_refused(make: Any, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        make()


@pytest.mark.parametrize(
    "target",
    [Value(2, unit="K", lowers=True, name="heat"), Text("a dog"), {"a": Text("a"), "b": Value()}],
)
def test_a_target_is_code_and_json(target: Any) -> None:
    assert eval(repr(target), {"effcam": effcam}) == target  # noqa: S307
    assert from_json(json.loads(json.dumps(to_json(target)))) == target
    check_stored(target)


def test_what_cannot_be_kept_is_no_target_of_a_dataset(photos: Photos) -> None:
    with pytest.raises(TargetError, match="function 'mine' cannot be kept on disk"):
        check_stored(plain({"a": Function(lambda output: output, "mine")}))
    with pytest.raises(TargetError, match="keeps the files that Similar compares with"):
        check_stored(plain(Similar(photos[0])))
    kept = Similar("a.jpg", "b.jpg", region=(1, 2, 3, 4), name="birds")
    assert repr(from_json(json.loads(json.dumps(to_json(kept))))) == repr(kept)


def test_an_unsigned_method_refuses_what_has_a_sign(tower: Model, photos: Photos) -> None:
    with pytest.raises(TargetError, match="eigengradcam cannot explain a similarity"):
        ask(photos, tower, Similar(photos[0]), method="eigengradcam")


@pytest.fixture
def compared(tower: Model, photos: Photos) -> Comparison:
    query = Similar(photos[0], name="the first")
    return ask(photos[1:], tower, {"like": query, "text": Text("a dog"), "v": Value(3)})


def test_all_outputs_say_what_was_asked(compared: Comparison, tmp_path: Path) -> None:
    for name in ("grid.png", "report.html", "cells.csv", "cells.json", "maps.npz"):
        assert compared.save(tmp_path / name).stat().st_size > 0
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "like the first" in page
    assert "predicts " not in page.partition('<div class="row')[2].partition("<script")[0]
    assert "NaN" not in (tmp_path / "cells.json").read_text("utf-8")
    summary = compared.summary()
    assert "confidence, %" not in str(summary)
    assert "without classes, so with neither accuracy nor confidence" in str(summary)
    assert "effective area" in str(summary)


def test_a_run_keeps_and_resumes_what_was_asked(
    tower: Model, photos: Photos, tmp_path: Path
) -> None:
    folder = save_all(photos, tmp_path)
    target = {"like": Similar(folder / "0.png", name="query"), "v": Value(2, unit="K")}
    run = compare_dataset(folder, tower, tmp_path / "run", target=target, progress=False)
    again = compare_dataset(folder, tower, tmp_path / "run", target=target, progress=False)
    assert again.table(["label"]) == run.table(["label"])
    cells = [*run.comparison([0, 1, 2])]
    live = [*compare(folder, tower, target=target, progress=False)]
    for one, other in zip(cells, live, strict=True):
        same_answer(one, other)


def test_a_run_may_have_a_target_for_each_image(
    tower: Model, photos: Photos, tmp_path: Path
) -> None:
    folder = save_all(photos, tmp_path)
    targets = [Similar(folder / f"{at}.png") for at in (1, 2, 0)]
    run = compare_dataset(folder, tower, tmp_path / "run", target=targets, progress=False)
    for one, other in zip(run.comparison(), ask(photos, tower, targets), strict=True):
        same_answer(one, other)


def test_a_run_notices_another_query_and_other_texts(photos: Photos, tmp_path: Path) -> None:
    folder, query = save_all(photos, tmp_path), tmp_path / "query"
    query.mkdir()
    (query / "a.png").write_bytes((folder / "0.png").read_bytes())

    def run(place: str, target: Any, red: str) -> None:
        model = load_model(
            ColourWords().eval(), preprocess=PREPROCESS, labels={"a": red, "b": "blue"}
        )
        compare_dataset(folder, model, tmp_path / place, target=target, progress=False)

    run("similar", Similar(query), "red")
    run("similar", Similar(query), "red")
    (query / "b.png").write_bytes((folder / "1.png").read_bytes())
    with pytest.raises(OutputError, match="query', which images are compared with, has"):
        run("similar", Similar(query), "red")
    run("text", "a", "red")
    with pytest.raises(OutputError, match="texts was"):
        run("text", "a", "green")


def save_all(photos: Photos, place: Path) -> Path:
    folder = place / "photos"
    folder.mkdir()
    for at, photo in enumerate(photos):
        Image.fromarray((photo * 255).round().astype(np.uint8)).save(folder / f"{at}.png")
    return folder


def same_answer(one: Explanation, other: Explanation) -> None:
    for name in ("kind", "label", "unit", "asked", "target", "predicted", "predicted_label"):
        assert getattr(one, name) == getattr(other, name), name
    assert one.value == pytest.approx(other.value, abs=1e-6)
    assert np.isnan([one.probability, one.predicted_probability]).all()
    np.testing.assert_allclose(one.heatmap, other.heatmap, rtol=2e-3, atol=1e-6)


def test_what_has_no_classes_is_neither_right_nor_wrong(tower: Model) -> None:
    scenes = effcam.demo.scenes(3, size=64)
    alone = compare(scenes, tower, target=Similar(scenes[0]), progress=False).summary()
    assert "every figure but accuracy" not in str(alone)
    assert "accuracy, %" not in str(alone)
    assert np.isfinite(alone[0, "effective_area"])
    torch.manual_seed(0)
    other = load_model(ConvNet(10).eval(), preprocess=PREPROCESS, labels=effcam.demo.LABELS)
    both = compare(scenes, [tower, other], target=Value(name="value"), progress=False).summary()
    assert "uses 0 of" not in str(both)
    assert np.isfinite(both[1, "effective_area"])

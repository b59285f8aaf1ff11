"""Targets of several classes, and several targets at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import FinerWeightedTarget
from torch import Tensor, nn

import effcam
from effcam import Model, Preprocess, compare, load_model
from effcam.cam.explain import compute_cams, explaining
from effcam.cam.questions import ask
from effcam.cam.scores import ClassQuestions
from effcam.comparison.pictures.placement import plan_page
from effcam.errors import TargetError
from effcam.models.tracing.logits import Logits
from effcam.targets import Above, Contrast, Sum, TopK, parse
from effcam.targets.plain import plain
from effcam.targets.stored import from_json, to_json
from tests.nets import ON_ANY_NETWORK as METHODS
from tests.nets import ConvNet

SIZE = 32
LABELS = ["ant", "bee", "cow", "dog", "elk"]


@pytest.fixture(scope="module")
def model() -> Model:
    torch.manual_seed(0)
    preprocess = Preprocess(size=SIZE, resize=SIZE, mean=0, std=1)
    return load_model(ConvNet().eval(), preprocess=preprocess, labels=LABELS, name="net")


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(3, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def photos() -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).random((4, SIZE, SIZE, 3))


def scores_of(model: Model, images: Tensor) -> Tensor:
    with torch.no_grad():
        found: Tensor = model.module(images)
    return found


# Values of targets


@pytest.mark.parametrize(
    ("target", "text"),
    [
        (Contrast("ant", "bee"), "ant - bee"),
        (Contrast("ant", 3, strength=0.25), "ant - 0.25 * 3"),
        (Contrast("ant", ["bee", "cow"], strength=2), "ant - 2 * mean(bee, cow)"),
        (Contrast(0, (1, 2), weights="softmax"), "0 - softmax(1, 2)"),
        (Sum("ant", "top1", 3), "ant + top1 + 3"),
    ],
)
def test_a_target_is_text_code_and_json(target: Contrast | Sum, text: str) -> None:
    assert str(target) == text
    assert eval(repr(target), {"effcam": effcam}) == target  # noqa: S307
    assert from_json(json.loads(json.dumps(to_json(target)))) == target


@pytest.mark.parametrize(
    "target",
    [None, 3, "ant", (1, "ant", Contrast("ant", 1)), {"a": None, "b": Sum(1, 2), "c": (1, 2)}],
)
def test_every_target_is_json(target: Any) -> None:
    assert plain(target) == target
    assert from_json(json.loads(json.dumps(to_json(target)))) == target


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("tiger cat", "tiger cat"),
        ("281", "281"),
        ("a-b", "a-b"),
        ("tabby - tiger cat", Contrast("tabby", "tiger cat")),
        ("tabby - 0.6 * tiger cat", Contrast("tabby", "tiger cat", strength=0.6)),
        ("top1 - top2", Contrast("top1", "top2")),
        ("a + b + c", Sum("a", "b", "c")),
    ],
)
def test_texts_of_the_command_line(text: str, target: object) -> None:
    assert parse(text) == target


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a - b + c", "both"),
        ("a - b - c", "more than one -"),
        ("a - a", "has class 'a' twice"),
        ("a - 0 * b", "strength must be a number above 0"),
    ],
)
def test_impossible_texts_are_refused(text: str, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        parse(text)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Contrast("a", []), "needs a class to tell"),
        (lambda: Contrast("a", "b", strength=-1), "strength must be a number above 0, not -1"),
        (lambda: Contrast("a", "b", strength=True), "strength must be"),
        (lambda: Contrast("a", "b", strength=float("nan")), "strength must be"),
        (lambda: Contrast("a", "b", weights="max"), "'mean' or 'softmax', not 'max'"),  # type: ignore[arg-type]
        (lambda: Contrast("a", 1.5), "a target is a class index"),  # type: ignore[arg-type]
        (lambda: Sum("a"), "at least two classes, not 1"),
        (lambda: Sum("a", "b", "a"), "has class 'a' twice"),
        (lambda: TopK(0), "a whole number from 1, not 0"),
        (lambda: plain({}), "needs at least one"),
        (lambda: plain({"": 1}), "needs a name"),
        (lambda: plain({"a": "consensus", "b": 1}), "a target by itself"),
        (lambda: plain({1: "a", "1": "b"}), "must differ as text too, not 1, '1'"),
        (lambda: plain(object()), "a target is a class index"),
    ],
)
def test_impossible_targets_are_refused(make: Any, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        make()


@pytest.mark.parametrize("number", [1 / 3, 0.1234567, 0.5])
def test_code_has_every_digit(number: float) -> None:
    assert repr(Above(number)) == f"effcam.targets.Above({number!r})"
    contrast = repr(Contrast("a", "b", strength=number))
    assert contrast == f"effcam.targets.Contrast('a', 'b', strength={number!r})"


def test_arrays_and_top_k_are_plain() -> None:
    assert plain(np.array([1, 2])) == (1, 2)
    assert plain(torch.tensor(3)) == 3
    assert plain(TopK(np.int64(2))) == {"top1": "top1", "top2": "top2"}
    assert Contrast(np.int64(1), torch.tensor(2)) == Contrast(1, 2)  # type: ignore[arg-type]
    assert Contrast(1, 2, strength=np.float32(0.5)) == Contrast(1, 2, strength=0.5)  # type: ignore[arg-type]
    assert Above(np.float32(0.25)) == Above(0.25)  # type: ignore[arg-type]


# Scores


def asked(model: Model, target: Any, count: int) -> ClassQuestions:
    return ask(model, [target] * count, count)


@pytest.mark.parametrize(
    ("target", "formula"),
    [
        (Contrast("ant", "bee"), lambda y: y[:, 0] - y[:, 1]),
        (Contrast("elk", "bee", strength=0.6), lambda y: y[:, 4] - 0.6 * y[:, 1]),
        (Contrast(0, [1, 2], strength=0.6), lambda y: y[:, 0] - 0.3 * (y[:, 1] + y[:, 2])),
        (
            Contrast(0, [1, 2], weights="softmax"),
            lambda y: y[:, 0] - (y[:, 1:3].softmax(1) * y[:, 1:3]).sum(1),
        ),
        (Sum(0, 2, 3), lambda y: y[:, 0] + y[:, 2] + y[:, 3]),
        ("top2", lambda y: y.sort(1).values[:, -2]),
        (Contrast("top1", "top3"), lambda y: y.sort(1).values[:, -1] - y.sort(1).values[:, -3]),
    ],
)
def test_the_score_explained(model: Model, images: Tensor, target: Any, formula: Any) -> None:
    with explaining(model) as explain:
        (cams,) = explain.each(images, ["gradcam"], [asked(model, target, 3)])
    expected = formula(scores_of(model, images))
    np.testing.assert_allclose(cams.values, expected.numpy(), atol=1e-5)


def test_a_contrast_before_a_linear_head_is_the_difference_of_maps(
    model: Model, images: Tensor
) -> None:
    def lifted(activations: Tensor, gradients: Tensor) -> Tensor:
        # Far above 0, so that no negative value is removed.
        return (gradients.mean((2, 3), keepdim=True) * activations).sum(1) + 100

    targets: list[Any] = ["ant", "bee", Contrast("ant", "bee", strength=0.5)]
    with explaining(model) as explain:
        found = explain.each(images, [lifted], [asked(model, each, 3) for each in targets])
    first, second, contrast = (each.maps["lifted"].astype(float) - 100 for each in found)
    assert np.ptp(second) > 1e-3
    np.testing.assert_allclose(contrast, first - 0.5 * second, atol=1e-4)


@pytest.mark.parametrize("others", [[1], [1, 3]])
def test_softmax_weights_equal_those_of_grad_cam(
    model: Model, images: Tensor, others: list[int]
) -> None:
    target = Contrast(0, others, strength=0.7, weights="softmax")
    with explaining(model) as explain:
        (cams,) = explain.each(images, ["gradcam"], [asked(model, target, 3)])
    layer = model.module.get_submodule(model.target_layer)
    with GradCAM(model.module, [layer]) as peer:
        wanted = [FinerWeightedTarget(0, others, 0.7) for _ in range(3)]
        theirs = peer(images, wanted)
    for ours, their in zip(cams.maps["gradcam"], theirs, strict=True):
        scaled = (ours - ours.min()) / np.ptp(ours)
        small = torch.nn.functional.interpolate(
            torch.tensor(scaled)[None, None], size=their.shape, mode="bilinear"
        )[0, 0].numpy()
        np.testing.assert_allclose(
            (small - small.min()) / np.ptp(small), (their - their.min()) / np.ptp(their), atol=1e-4
        )


@pytest.mark.parametrize("others", [[1], [1, 3]])
def test_the_mean_equals_finer_cam_of_torch_cam(
    model: Model, images: Tensor, others: list[int]
) -> None:
    from torchcam.methods import FinerCAM

    target = Contrast(0, others, strength=0.6)
    with explaining(model) as explain:
        (cams,) = explain.each(images, ["gradcam"], [asked(model, target, 3)])
    with FinerCAM(model.module, model.target_layer, (3, SIZE, SIZE)) as peer:
        scores = model.module(images)
        (theirs,) = peer(0, scores, comparison_idx=others)
    for ours, their in zip(cams.maps["gradcam"], theirs.numpy(), strict=True):
        np.testing.assert_allclose(
            (ours - ours.min()) / np.ptp(ours), (their - their.min()) / np.ptp(their), atol=1e-4
        )


@pytest.mark.parametrize("method", METHODS)
def test_every_method_explains_a_contrast(model: Model, images: Tensor, method: str) -> None:
    one, other = asked(model, Contrast(0, 1), 3), asked(model, Contrast(1, 0), 3)
    with explaining(model) as explain:
        first, second = explain.each(images, [method], [one, other])
    assert np.isfinite(first.maps[method]).all()
    same = np.allclose(first.maps[method], second.maps[method])
    assert same == (method in ("eigencam", "eigengradcam", "smoothgrad"))


def test_ablation_of_a_contrast_below_0_shows_what_raises_it(model: Model, images: Tensor) -> None:
    targets = [Contrast(0, 1), Contrast(1, 0)]
    with explaining(model) as explain:
        found = explain.each(images, ["ablationcam"], [asked(model, each, 3) for each in targets])
    values = np.stack([each.values for each in found])
    assert (values < 0).any(0).all()
    with torch.no_grad():
        features = model.module.features(images)
    difference = (model.module.fc.weight[0] - model.module.fc.weight[1]).detach()
    # Without a channel, a linear head loses the channel's mean times its weight.
    raised = ((features.mean((2, 3)) * difference)[..., None, None] * features).sum(1)
    for cams, raw in zip(found, (raised, -raised), strict=True):
        expected = raw / torch.tensor(cams.values).abs()[:, None, None]
        np.testing.assert_allclose(cams.maps["ablationcam"], expected.clamp(min=0), atol=1e-3)


def test_equal_scores_are_ranked_by_index() -> None:
    scores = torch.tensor([[1.0, 3.0, 3.0, 0.0], [2.0, 2.0, 2.0, 2.0]])
    asked = [ClassQuestions.of_classes([-rank] * 2) for rank in (1, 2, 3, 4)]
    found = [each.on(Logits(scores)).classes[:, 0] for each in asked]
    assert torch.stack(found, 1).tolist() == [[1, 2, 0, 3], [0, 1, 2, 3]]


def test_targets_share_a_forward_pass(model: Model, images: Tensor) -> None:
    passes = []
    handle = model.module.fc.register_forward_hook(lambda *_: passes.append(1))
    targets: list[Any] = ["ant", "bee", "top1", Sum(0, 1), Contrast(0, 1)]
    try:
        with explaining(model) as explain:
            together = explain.each(images, ["gradcam"], [asked(model, t, 3) for t in targets])
    finally:
        handle.remove()
    assert len(passes) == 1
    alone = compute_cams(model, images, ["gradcam"], [0, 0, 0])
    np.testing.assert_array_equal(together[0].maps["gradcam"], alone.maps["gradcam"])


# Comparisons


def test_a_contrast_of_a_method_without_a_sign_is_refused(model: Model, photos: Any) -> None:
    targets: list[Any] = [Contrast(0, 1), {"a": 0, "b": Contrast(0, 1)}, [0, Contrast(0, 1), 1, 2]]
    for target in targets:
        with pytest.raises(TargetError, match="eigengradcam cannot explain a contrast"):
            compare(photos, model, method="eigengradcam", target=target, progress=False)
    assert compare(photos, model, method="eigengradcam", target=Sum(0, 1), progress=False)


def test_targets_are_columns_like_those_of_their_own(model: Model, photos: Any) -> None:
    targets = {"an ant": "ant", "which": Contrast("ant", "bee"), "second": "top2"}
    methods = ["gradcam", "layercam"]
    found = compare(photos, model, target=targets, method=methods, progress=False)
    assert found.columns == tuple(f"net {name} {each}" for name in targets for each in methods)
    for name, target in targets.items():
        alone = compare(photos, model, target=target, method=methods, progress=False)
        for at in range(len(photos)):
            for method in methods:
                one, other = found[at, f"net {name} {method}"], alone[at, f"net {method}"]
                np.testing.assert_array_equal(one.heatmap, other.heatmap)
                assert (one.label, one.kind, one.value) == (other.label, other.kind, other.value)
                assert (one.asked, other.asked) == (name, "")
    assert len(found.facts) == len(found.columns)


def test_pictures_name_model_target_and_method(model: Model, photos: Any) -> None:
    targets = {"ant?": "ant", "bee?": "bee"}
    found = compare(photos, model, target=targets, method=["gradcam", "layercam"], progress=False)
    plan = plan_page(found, rows="images", photo=None)
    assert [each.title for each in plan.columns] == ["net ant?", "net ant?", "net bee?", "net bee?"]
    by_method = plan_page(found, rows="methods", photo=None)
    assert by_method.methods == {"gradcam": (0, 2), "layercam": (1, 3)}
    assert [each.title for each in by_method.models] == ["net ant?", "net bee?"]
    for rows in ("images", "models", "methods"):
        assert found.grid(rows=rows).size > (100, 100)  # type: ignore[arg-type]


def test_top_k_makes_k_columns(model: Model, photos: Any) -> None:
    found = compare(photos, {"n": model}, target=TopK(3), progress=False)
    assert found.columns == ("n top1", "n top2", "n top3")
    for row in found.rows():
        probabilities = [cell.probability for cell in row]
        assert probabilities == sorted(probabilities, reverse=True)
        assert row[0].target == row[0].predicted


def test_each_image_may_have_its_own_target(model: Model, photos: Any) -> None:
    targets: list[Any] = ["ant", Contrast("bee", ["ant", "cow"]), Sum("cow", "dog"), 4]
    found = compare(photos, model, target=targets, progress=False)
    assert [cell.label for cell in found] == ["ant", "bee - mean(ant, cow)", "cow + dog", "elk"]
    assert [cell.kind for cell in found] == ["class", "contrast", "sum", "class"]
    assert [cell.target for cell in found] == [0, 1, 2, 4]


def test_classes_of_one_label_are_told_apart_by_index(photos: Any) -> None:
    torch.manual_seed(0)
    preprocess = Preprocess(size=32, resize=32, mean=0, std=1)
    model = load_model(ConvNet(3).eval(), preprocess=preprocess, labels=["crane", "ant", "crane"])
    cell = compare(photos, model, target=Contrast(0, 2), progress=False)[0, 0]
    assert (cell.label, cell.state) == ("crane - crane", "ok")
    with pytest.raises(TargetError, match="has class 'ant' twice"):
        compare(photos, model, target=Sum("ant", 1), progress=False)


def test_a_class_called_like_a_rank_is_that_class(photos: Any) -> None:
    torch.manual_seed(0)
    preprocess = Preprocess(size=SIZE, resize=SIZE, mean=0, std=1)
    labels = ["top1", "top2", "x", "y", "z"]
    named = load_model(ConvNet().eval(), preprocess=preprocess, labels=labels)
    assert {cell.target for cell in compare(photos, named, target="top2", progress=False)} == {1}


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("top6", "top6 is out of range: net has 5 classes"),
        (Contrast("ant", "wasp"), "no class called 'wasp'"),
        (Contrast("ant", 0), "net: ant - 0 has class 'ant' twice"),
        (Sum("bee", "cow", 1), "has class 'bee' twice"),
        ({"a": "ant", "b": [1, 2]}, "there are 2 targets for 4 images"),
        ("topmost", "no class called 'topmost'"),
    ],
)
def test_impossible_targets_of_a_model_are_refused(
    model: Model, photos: Any, target: Any, message: str
) -> None:
    with pytest.raises(TargetError, match=message):
        compare(photos, model, target=target, progress=False)


def test_captions_and_records_say_what_was_asked(model: Model, photos: Any) -> None:
    found = compare(photos, model, target=Contrast("ant", "bee", 0.5), progress=False)
    for cell, row in zip(found, found.table(), strict=True):
        assert cell.caption()[1].endswith(f"· heat: ant - 0.5 * bee = {cell.value:+.3g}")
        assert (row["kind"], row["label"]) == ("contrast", "ant - 0.5 * bee")
        assert row["value"] == cell.value
    assert "ant - 0.5 * bee" in repr(found[0, 0])


def test_a_caption_of_a_method_without_classes_names_no_target(model: Model, photos: Any) -> None:
    found = compare(photos, model, method="eigencam", target=Sum(0, 1), progress=False)
    assert all("heat" not in cell.caption()[1] for cell in found)


def test_images_are_comparable_where_each_target_is_one(model: Model, photos: Any) -> None:
    models = {"a": model, "b": model}
    targets: list[Any] = [Contrast("ant", "bee"), {"x": "ant", "y": Sum("bee", "cow")}, TopK(2)]
    for target in targets:
        assert compare(photos, models, target=target, progress=False).summary().images == 4


def test_every_file_of_a_comparison_holds_its_targets(
    model: Model, photos: Any, tmp_path: Path
) -> None:
    found = compare(photos, model, target={"a": Contrast(0, 1), "b": "bee"}, progress=False)
    for name in ("a.png", "a.gif", "a.html", "a.csv", "a.npz", "a.json"):
        assert found.save(tmp_path / name).exists()
    content = json.loads((tmp_path / "a.json").read_text())
    assert from_json(content["settings"]["target"]) == {"a": Contrast(0, 1), "b": "bee"}
    assert [cell["asked"] for cell in content["cells"]] == ["a", "b"] * 4
    page = (tmp_path / "a.html").read_text()
    assert "heat: ant - bee" in page
    assert "effcam.targets.Contrast(0, 1)" in page.replace("&#39;", "'")


# Figures that run models again


def test_faithfulness_refuses_what_has_no_probability(model: Model, photos: Any) -> None:
    found = compare(photos, model, target=Contrast("ant", "bee"), progress=False)
    with pytest.raises(TargetError, match=r"probability of one class.* contrast, ant - bee"):
        effcam.metrics.faithfulness(found, model, progress=False)


def test_faithfulness_of_several_targets_is_that_of_each(model: Model, photos: Any) -> None:
    figures = ("deletion", "insertion")

    def measure(target: Any) -> Any:
        made = compare(photos, model, target=target, progress=False)
        return effcam.metrics.faithfulness(made, model, figures=figures, progress=False)

    together = measure({"a": "ant", "b": "bee"})
    for column, target in enumerate(("ant", "bee")):
        alone = measure(target)
        for key in figures:
            np.testing.assert_allclose(
                together.samples[key][:, column], alone.samples[key][:, 0], atol=1e-6
            )


# Runs on disk


@pytest.fixture
def folder(tmp_path: Path, photos: Any) -> Path:
    out = tmp_path / "photos"
    out.mkdir()
    for at, photo in enumerate(photos):
        Image.fromarray(np.uint8(photo * 255)).save(out / f"{at}.png")
    return out


@pytest.mark.parametrize(
    "target",
    [
        Contrast("ant", ["bee", "cow"], 0.5, "softmax"),
        {"which": Contrast("ant", "bee"), "second": "top2"},
        ["ant", Sum("bee", 2), Contrast("top1", "top2"), 3],
    ],
)
@pytest.mark.parametrize("method", ["gradcam", ["gradcam", "layercam"]])
def test_a_run_on_disk_has_the_cells_of_compare(
    model: Model, folder: Path, tmp_path: Path, target: Any, method: Any
) -> None:
    pytest.importorskip("pyarrow")
    settings: dict[str, Any] = {"target": target, "method": method, "progress": False}
    run = effcam.compare_dataset(folder, model, tmp_path / "run", shard_size=3, **settings)
    expected = compare(folder, model, **settings)
    assert run.columns == expected.columns
    assert len(run) == len(expected.cells)
    for one, other in zip(effcam.open_run(tmp_path / "run").comparison(), expected, strict=True):
        assert (one.column, one.label, one.kind) == (other.column, other.label, other.kind)
        assert (one.asked, one.target) == (other.asked, other.target)
        assert one.value == pytest.approx(other.value, rel=1e-5)
        np.testing.assert_allclose(one.heatmap, other.heatmap, rtol=1e-3, atol=1e-6)
    again = effcam.compare_dataset(folder, model, tmp_path / "run", shard_size=3, **settings)
    assert again.complete


def test_a_run_with_another_target_is_refused(model: Model, folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    out = tmp_path / "run"
    effcam.compare_dataset(folder, model, out, target=Contrast("ant", "bee"), progress=False)
    with pytest.raises(effcam.EffcamError, match="target was"):
        effcam.compare_dataset(folder, model, out, target=Contrast("bee", "ant"), progress=False)


def test_targets_of_a_run_are_checked_before_it(model: Model, folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    with pytest.raises(TargetError, match="one target for each image, or several"):
        effcam.compare_dataset(
            folder, model, tmp_path / "run", target={"a": [1, 2, 3, 0]}, progress=False
        )
    with pytest.raises(TargetError, match="no class called 'wasp'"):
        effcam.compare_dataset(
            folder, model, tmp_path / "run", target=Contrast("ant", "wasp"), progress=False
        )


class Doubled(nn.Module):
    """A net whose scores are a view of its features, so that half precision matters."""

    def __init__(self) -> None:
        super().__init__()
        self.net = ConvNet()

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.net(images) * 2
        return found


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_contrasts_in_half_precision(images: Tensor, precision: Any) -> None:
    torch.manual_seed(0)
    preprocess = Preprocess(size=SIZE, resize=SIZE, mean=0, std=1)
    net = load_model(Doubled().eval(), preprocess=preprocess)
    found = {}
    for each in ("fp32", precision):
        with explaining(net, precision=each) as explain:
            (cams,) = explain.each(images, ["gradcam"], [asked(net, Contrast(0, 1), 3)])
        found[each] = cams.maps["gradcam"] / cams.maps["gradcam"].max()
    np.testing.assert_allclose(found[precision], found["fp32"], atol=0.1)

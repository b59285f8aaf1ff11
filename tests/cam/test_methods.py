"""Methods of the user: their arguments, their results, and the errors."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from effcam import ModelSpec, Preprocess, compare, compare_dataset, load_model
from effcam.cam.explain import compute_cams, explaining
from effcam.cam.methods.code import (
    IMAGE_METHODS,
    PERTURBATION_METHODS,
    find_image_method,
    find_perturbation,
)
from effcam.cam.methods.formulas import ACTIVATION_METHODS, GRADIENT_METHODS
from effcam.cam.methods.table import methods
from effcam.demo import scenes
from effcam.errors import ArgumentError
from effcam.metrics import faithfulness, sanity_check
from tests.nets import ON_ANY_NETWORK as METHODS

if TYPE_CHECKING:
    from pathlib import Path

    from effcam import Model
    from effcam.cam.methods.table import Method

SIZE = 32


class Net(nn.Module):
    """Two bodies of different resolution, whose class scores are added."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(nn.Conv2d(3, 8, 3, stride=4), nn.BatchNorm2d(8), nn.ReLU(True))
        self.coarse = nn.Conv2d(8, 12, 3, stride=2, padding=1)
        self.fc, self.fc2 = nn.Linear(8, 5), nn.Linear(12, 5)

    def forward(self, images: Tensor) -> Tensor:
        fine = self.fine(images)
        coarse = self.coarse(fine)
        scores: Tensor = self.fc(fine.mean((2, 3))) + self.fc2(coarse.mean((2, 3)))
        return scores


def net(target_layer: Any = "coarse", **options: Any) -> Model:
    torch.manual_seed(0)
    options |= {"preprocess": Preprocess(size=SIZE), "target_layer": target_layer}
    return load_model(Net(), device="cpu", **options)


def several() -> Model:
    return net(target_layer=["fine", "coarse"])


def timm_model(name: str, size: int, **options: object) -> Model:
    torch.manual_seed(0)
    preprocess = Preprocess(size=size)
    name = f"timm:{name}"
    return load_model(name, pretrained=False, device="cpu", preprocess=preprocess, options=options)


def vit() -> Model:
    return timm_model("test_vit", 64, img_size=64, num_classes=5)


def swin() -> Model:
    name, widths = "swin_tiny_patch4_window7_224", (1, 2)
    sizes = {"img_size": 64, "window_size": 4, "embed_dim": 12, "num_classes": 5}
    return timm_model(name, 64, depths=(1, 1), num_heads=widths, **sizes)


MODELS = {
    "NCHW": net,
    "tokens": vit,
    "NHWC": swin,
    "several layers": several,
}


def images(model: Model, count: int = 3) -> Tensor:
    size = model.preprocess.size
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(3))


def my_gradcam(activations: Tensor, gradients: Tensor) -> Tensor:
    weights = gradients.mean((2, 3), keepdim=True)
    return (weights * activations).sum(1)


def my_eigencam(activations: Tensor, _gradients: Tensor) -> Tensor:
    cells = activations.flatten(2).transpose(1, 2)
    cells = cells - cells.mean(1, keepdim=True)
    first = torch.linalg.svd(cells, full_matrices=False)[2][:, 0, :, None]
    return (cells @ first).reshape(len(cells), *activations.shape[2:])


# arguments


@pytest.mark.parametrize("made", MODELS)
def test_a_gradcam_by_hand_is_gradcam(made: str) -> None:
    model = MODELS[made]()
    assert made in (model.layer.layout, "several layers")
    cams = compute_cams(model, images(model), ["gradcam", my_gradcam], [0, 2, 4])
    assert cams.maps["gradcam"].max() > 0
    assert np.array_equal(cams.maps["my_gradcam"], cams.maps["gradcam"])
    assert cams.states["my_gradcam"] == cams.states["gradcam"]


def test_an_eigencam_by_hand_is_eigencam_up_to_its_sign() -> None:
    model = net()

    def negated(activations: Tensor, gradients: Tensor) -> Tensor:
        return -my_eigencam(activations, gradients)

    cams = compute_cams(model, images(model), ["eigencam", my_eigencam, negated])
    for row, expected in enumerate(cams.maps["eigencam"]):
        off = [np.abs(cams.maps[name][row] - expected).max() for name in ("my_eigencam", "negated")]
        assert min(off) < 1e-5


def test_activations_and_gradients_are_those_of_the_layer() -> None:
    model, seen = net(), []

    def spy(activations: Tensor, gradients: Tensor) -> Tensor:
        seen.append((activations, gradients, torch.is_grad_enabled()))
        return activations.sum(1)

    batch, targets = images(model), [1, 0, 4]
    compute_cams(model, batch, [spy], targets)
    ((activations, gradients, recording),) = seen
    module = model.module.eval()
    layer = module.get_submodule(model.target_layer)
    kept: list[Tensor] = []
    handle = layer.register_forward_hook(lambda _module, _args, output: kept.append(output))
    with torch.enable_grad():
        module.requires_grad_(True)
        score = module(batch).gather(1, torch.tensor(targets)[:, None]).sum()
    handle.remove()
    (expected,) = torch.autograd.grad(score, kept[0])
    torch.testing.assert_close(activations, kept[0].detach())
    torch.testing.assert_close(gradients, expected)
    assert not recording
    assert not activations.requires_grad


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_they_get_float32_whatever_the_network_computes_in(precision: str) -> None:
    types = []

    def spy(activations: Tensor, gradients: Tensor) -> Tensor:
        types.append((activations.dtype, gradients.dtype))
        return my_gradcam(activations, gradients)

    model = net()
    with explaining(model, precision=precision) as explain:  # type: ignore[arg-type]
        cams = explain(images(model), ["gradcam", spy], [0, 1, 2])
    assert types == [(torch.float32, torch.float32)]
    assert np.array_equal(cams.maps["spy"], cams.maps["gradcam"])


def test_they_share_one_pass_forward_and_back(monkeypatch: pytest.MonkeyPatch) -> None:
    model = net()
    forward: list[int] = []
    backward: list[int] = []
    model.module.register_forward_hook(lambda _module, args, _: forward.append(len(args[0])))
    differentiate = torch.autograd.grad

    def counted(*args: object, **options: object) -> object:
        backward.append(1)
        return differentiate(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(torch.autograd, "grad", counted)
    compute_cams(model, images(model), ["gradcam", my_gradcam, "layercam", my_eigencam])
    assert (forward, backward) == ([3], [1])


def spoil(activations: Tensor, gradients: Tensor) -> Tensor:
    gradients.numpy()[:] = 7
    return activations.zero_().sum(1)


@pytest.mark.parametrize("made", MODELS)
def test_what_they_change_in_place_changes_no_other_method(made: str) -> None:
    model = MODELS[made]()
    others: list[Method] = [my_gradcam, *METHODS]
    batch = images(model, 1)
    expected = compute_cams(model, batch, others, [3]).maps
    found = compute_cams(model, batch, [spoil, *others], [3]).maps
    for name, maps in expected.items():
        assert np.array_equal(found[name], maps), name


# results


def test_negative_evidence_is_left_out_and_nan_is_flagged() -> None:
    def slope(activations: Tensor, _gradients: Tensor) -> Tensor:
        maps = torch.linspace(-1, 1, activations[0, 0].numel()).reshape(activations.shape[2:])
        maps = maps.repeat(len(activations), 1, 1)
        maps[1, 0, 0] = float("nan")
        maps[2] = -1
        return maps

    model = net()
    cams = compute_cams(model, images(model), [slope])
    assert cams.states["slope"] == ["ok", "nan", "flat"]
    assert cams.maps["slope"].min() == 0
    assert cams.maps["slope"].max(axis=(1, 2)).tolist() == [1, 0, 0]


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_any_floats_will_do(kind: torch.dtype) -> None:
    def coarse(activations: Tensor, gradients: Tensor) -> Tensor:
        return my_gradcam(activations, gradients).to(kind)

    model = several()
    cams = compute_cams(model, images(model), [coarse, "gradcam"])
    assert cams.maps["coarse"].dtype == np.float32
    np.testing.assert_allclose(cams.maps["coarse"], cams.maps["gradcam"], rtol=0.02, atol=1e-4)


def test_one_may_differentiate_by_itself() -> None:
    def own_graph(activations: Tensor, _gradients: Tensor) -> Tensor:
        with torch.enable_grad():
            return activations.requires_grad_().sum(1)

    model = net()
    cams = compute_cams(model, images(model), [own_graph])
    assert cams.states["own_graph"] == ["ok"] * 3


BAD = {
    "nothing": lambda _activations, _gradients: None,
    "an array": lambda activations, _: activations.sum(1).numpy(),
    "a tuple": lambda activations, _: (activations.sum(1),),
    "no sum over channels": lambda activations, _: activations,
    "one map": lambda activations, _: activations.sum((0, 1)),
    "channels kept": lambda activations, _: activations.sum(1, keepdim=True),
    "integers": lambda activations, _: activations.sum(1).long(),
    "truth values": lambda activations, _: activations.sum(1) > 0,
    "another device": lambda activations, _: activations.sum(1).to("meta"),
}


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("nothing", "returned a NoneType; for activations of shape .3, 12, 4, 4. it must return"),
        ("an array", "returned a ndarray; .* a tensor of floats of shape .3, 4, 4. on cpu"),
        ("a tuple", "returned a tuple of 1; "),
        ("no sum over channels", r"returned a tensor of shape \(3, 12, 4, 4\) on cpu; "),
        ("one map", r"returned a tensor of shape \(4, 4\) on cpu; "),
        ("channels kept", r"returned a tensor of shape \(3, 1, 4, 4\) on cpu; "),
        ("integers", r"returned a tensor of shape \(3, 4, 4\) of int64 on cpu; "),
        ("truth values", r"returned a tensor of shape \(3, 4, 4\) of bool on cpu; "),
        ("another device", r"returned a tensor of shape \(3, 4, 4\) on meta; .* on cpu"),
    ],
)
def test_results_that_are_not_maps_are_refused(returned: str, message: str) -> None:
    def mine(activations: Tensor, gradients: Tensor) -> Tensor:
        found: Tensor = BAD[returned](activations, gradients)
        return found

    model = net(target_layer="coarse")
    with pytest.raises(ArgumentError, match=f"method 'mine' {message}"):
        compute_cams(model, images(model), [mine])


def test_an_error_names_the_model_the_method_and_what_it_was() -> None:
    def mine(activations: Tensor, _gradients: Tensor) -> Tensor:
        return activations.reshape(5, 5)

    seen = Preprocess(size=SIZE)
    before = ModelSpec("before", constructor=Net, preprocess=seen, target_layer="coarse")
    message = r"before: method 'mine' failed on activations of shape \(2, 12, 4, 4\): RuntimeError"
    with pytest.raises(ArgumentError, match=message) as caught:
        compare(scenes(2), before, method=["gradcam", mine], progress=False)
    assert caught.value.__cause__ is not None
    assert isinstance(caught.value.__cause__.__cause__, RuntimeError)


def test_a_wrong_signature_is_an_error_too() -> None:
    def mine(activations: Tensor) -> Tensor:
        return activations.sum(1)

    model = net()
    with pytest.raises(ArgumentError, match=r"method 'mine' failed .*TypeError: .*takes 1 posit"):
        compute_cams(model, images(model), [mine])  # type: ignore[list-item]  # that is the point


def test_where_it_needs_too_much_memory_fewer_images_run_at_once() -> None:
    batches = []

    def greedy(activations: Tensor, gradients: Tensor) -> Tensor:
        batches.append(len(activations))
        if len(activations) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return my_gradcam(activations, gradients)

    with pytest.warns(UserWarning, match="not enough memory for 4 images at once"):
        found = compare(scenes(4), net(), method=["gradcam", greedy], progress=False)
    assert batches == [4, 2, 2]
    assert all(np.array_equal(own.heatmap, known.heatmap) for known, own in found.rows())


# names


def test_a_method_is_called_as_its_function() -> None:
    found = compare(scenes(2), {"a": net(), "b": net()}, method=my_gradcam, progress=False)
    assert found.columns == ("a", "b")
    assert {cell.method for cell in found} == {"my_gradcam"}
    assert found.settings["method"] == ["my_gradcam"]


def test_beside_other_methods_it_has_its_own_column(tmp_path: Path) -> None:
    methods: list[Method] = ["gradcam", my_gradcam, my_eigencam]
    found = compare(scenes(2), {"a": net()}, method=methods, progress=False)
    assert found.columns == ("a gradcam", "a my_gradcam", "a my_eigencam")
    assert [row["method"] for row in found.table()][:3] == ["gradcam", "my_gradcam", "my_eigencam"]
    assert found.grid().size[0] > 0
    saved = json.loads(found.save(tmp_path / "a.json").read_text())
    assert saved["settings"]["method"] == ["gradcam", "my_gradcam", "my_eigencam"]


class Weighted:
    """A callable object, which has no name by default."""

    def __call__(self, activations: Tensor, gradients: Tensor) -> Tensor:
        return my_gradcam(activations, gradients)

    def as_method(self, activations: Tensor, gradients: Tensor) -> Tensor:
        return self(activations, gradients)


def named(name: str) -> Weighted:
    made = Weighted()
    made.__name__ = name  # type: ignore[attr-defined]  # as functions have one
    return made


def test_whatever_has_a_name_will_do() -> None:
    methods: list[Method] = [named("mine"), Weighted().as_method]
    found = compare(scenes(1), {"a": net()}, method=methods, progress=False)
    assert found.columns == ("a mine", "a as_method")


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (lambda activations, _: activations.sum(1), "a lambda has no name.*define .* with def"),
        (partial(my_gradcam), "a partial has no name, which columns"),
        (Weighted(), "a Weighted has no name"),
        (named(""), "a Weighted has no name"),
        (named("gradcam"), "a function called 'gradcam' has the name of a method"),
        ([my_gradcam, "gradcam", my_gradcam], "two methods are called 'my_gradcam'"),
        ([my_gradcam, named("my_gradcam")], "two methods are called 'my_gradcam'"),
        ([my_gradcam, 5], "no method is called 5. The methods are gradcam, "),
        ({"mine": my_gradcam}, "method must be a name, a function, or several of these, not {'mi"),
    ],
)
def test_indistinguishable_methods_are_refused_before_anything_runs(
    method: object, message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        compare(scenes(1), "nonesuch", method=method, progress=False)  # type: ignore[arg-type]


# elsewhere


def test_a_dataset_takes_names_alone(tmp_path: Path) -> None:
    methods = ["gradcam", my_gradcam]
    with pytest.raises(
        ArgumentError, match=r"only effcam's own methods, by name.* compare accepts"
    ):
        compare_dataset("photos", "resnet18", tmp_path / "run", method=methods)  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()


def test_the_sanity_check_takes_one() -> None:
    some, model = scenes(3), net(name="mine")
    own = sanity_check(some, model, method=my_gradcam, shares=[1.0])
    known = sanity_check(some, model, method="gradcam", shares=[1.0])
    assert own.method == "my_gradcam"
    assert str(own).startswith("mine, my_gradcam\n")
    assert np.array_equal(own.similarity, known.similarity)


def test_faithfulness_takes_those_of_the_comparison() -> None:
    some, methods = scenes(4, size=96), ["gradcam", my_gradcam]
    figures = ["average_drop", "randomisation", "grid_pointing_game"]
    found = compare(some, "demo_alexnet", method=methods, progress=False)
    measured = faithfulness(found, "demo_alexnet", method=methods, figures=figures, progress=False)
    assert set(measured.samples) == set(figures)
    for key in figures:
        known, own = measured.samples[key].T
        assert np.isfinite(known).any()
        assert np.array_equal(known, own, equal_nan=True)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (None, "'my_gradcam' is not a method of effcam: pass the functions of the comparison"),
        ("gradcam", "method must be that of the comparison, my_gradcam; this would be gradcam"),
        ([my_gradcam, "gradcam"], "of the comparison, my_gradcam; this would be my_gradcam, grad"),
    ],
)
def test_faithfulness_refuses_other_methods(method: object, message: str) -> None:
    model = net()
    found = compare(scenes(1), model, method=my_gradcam, progress=False)
    with pytest.raises(ArgumentError, match=message):
        faithfulness(found, model, method=method, progress=False)  # type: ignore[arg-type]


def test_the_names_are_those_of_the_registries() -> None:
    """Names are in a module without torch, functions in others."""
    found = {*GRADIENT_METHODS, *ACTIVATION_METHODS, *PERTURBATION_METHODS, *IMAGE_METHODS}
    assert found == {each.name for each in methods() if not each.grad_cam}
    assert all(map(find_perturbation, PERTURBATION_METHODS))
    assert all(map(find_image_method, IMAGE_METHODS))

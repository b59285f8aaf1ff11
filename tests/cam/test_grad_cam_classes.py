"""grad-cam's classes as methods: what they leave behind, any target, any network, new classes."""

from __future__ import annotations

import random
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import pytorch_grad_cam
import torch
from torch import Tensor, nn

from effcam import Preprocess, compare, load_model
from effcam.cam.explain import compute_cams, explaining
from effcam.cam.head_cam import HeadCAM
from effcam.cam.methods import grad_cam_classes as running
from effcam.cam.methods import grad_cam_names as naming
from effcam.cam.methods.grad_cam_facts import COMPUTED
from effcam.cam.methods.options import make_options
from effcam.cam.methods.table import METHODS, facts_of_method, methods
from effcam.cam.questions import ask
from effcam.errors import ArgumentError, LayerError, ModelError, TargetError
from effcam.targets import Contrast, Similar, Sum, Text, Value
from tests.nets import ON_ANY_NETWORK, ColourWords, ConvNet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from effcam import Model

SIZE = 32
PREPROCESS = Preprocess(size=SIZE, resize=SIZE, mean=0, std=1)
OTHERS = tuple(each.name for each in methods() if each.name not in METHODS)


def listed(*names: str) -> tuple[str, ...]:
    """Return those methods that the installed grad-cam has: releases before 1.5.7 lack some."""
    return tuple(each for each in names if each in OTHERS)


SIGNED = listed("shapleycam", "fem", "randomcam", "sess")
"""Methods that explain any target."""


def net(**options: Any) -> ConvNet:
    torch.manual_seed(0)
    return ConvNet(**options)


def model_of(module: nn.Module, **options: Any) -> Model:
    return load_model(module, preprocess=PREPROCESS, device="cpu", **options)


def images(count: int = 3) -> Tensor:
    return torch.rand(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def layers_for(method: str) -> list[str]:
    return ["features.0", "features.3"] if method == "refinecam" else ["features.3"]


# Nothing is left behind


def everything(module: nn.Module) -> list[object]:
    """Return what must not change: modes, gradients, hooks, numbers, generators."""
    found: list[object] = []
    for name, each in module.named_modules():
        own = vars(each)
        found.append((name, type(each), each.training, sorted(own)))
        found.append([list(value) for key, value in own.items() if key.endswith("_hooks")])
    for parameter in module.parameters():
        gradient = parameter.grad
        shown = None if gradient is None else (id(gradient), gradient.tolist())
        found.append((id(parameter), parameter.requires_grad, parameter._version, shown))
    found += [(each.tolist(), each._version) for each in module.buffers()]
    numpy = np.random.get_state()  # noqa: NPY002  # the generator that grad-cam draws from
    found += [torch.get_rng_state().tolist(), random.getstate(), str(numpy), numpy[2]]
    return [*found, torch.is_grad_enabled()]


def in_use() -> ConvNet:
    """Return a network in the middle of training, some of it frozen, with gradients and a hook."""
    module = net().train()
    module(images()).sum().backward()
    module.features[0].bias.requires_grad_(False)
    module.fc.weight.grad = None
    module.features.register_forward_hook(lambda *_: None)
    return module


@pytest.mark.parametrize("method", OTHERS)
def test_a_method_leaves_no_trace(method: str) -> None:
    module = in_use()
    model = model_of(module, target_layer=layers_for(method))
    before = everything(module)
    found = compute_cams(model, images(), [method], [0, 1, 2]).maps[method]
    assert found.max() > 0 or method == "fem"
    assert everything(module) == before


@pytest.mark.parametrize("method", listed("fem", "segeigencam", "sess", "randomcam"))
def test_a_class_that_raises_leaves_no_trace(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = in_use()
    model = model_of(module, target_layer=layers_for(method))
    before = everything(module)

    def fail(*_: object, **__: object) -> None:
        module.fc.register_forward_hook(lambda *_: None)
        module.features[1] = nn.Identity()
        module.fc.bias.grad = torch.ones(5)
        np.random.random(3)  # noqa: NPY002
        random.seed(5)
        raise IndexError("as by chance")

    known = facts_of_method(method)
    assert known is not None
    kind = getattr(pytorch_grad_cam, known.grad_cam)
    monkeypatch.setattr(kind, "forward" if method == "sess" else "get_cam_image", fail)
    with pytest.raises(ModelError, match=f"{known.grad_cam} of grad-cam failed: .*as by chance"):
        compute_cams(model, images(), [method], [0, 1, 2])
    assert everything(module) == before


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    model = model_of(net(), target_layer=layers_for("refinecam"))
    compute_cams(model, images(1), OTHERS, [0])
    assert capfd.readouterr() == ("", "")


def test_later_methods_of_a_pass_are_not_disturbed() -> None:
    model = model_of(net(), target_layer=layers_for("refinecam"))
    both = compute_cams(model, images(), [*OTHERS, *ON_ANY_NETWORK], [0, 1, 2]).maps
    alone = compute_cams(model, images(), ON_ANY_NETWORK, [0, 1, 2]).maps
    for name in ON_ANY_NETWORK:
        np.testing.assert_allclose(both[name], alone[name], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("method", OTHERS)
def test_maps_are_the_same_alone_and_in_a_batch(method: str) -> None:
    model = model_of(net(), target_layer=layers_for(method))
    with explaining(model) as explain:
        together = explain(images(), [method], [0, 1, 2]).maps[method]
        for row in range(3):
            alone = explain(images()[row : row + 1], [method], [row]).maps[method]
            np.testing.assert_allclose(together[row], alone[0], rtol=1e-4, atol=1e-6)


# Networks


class Tuple(ConvNet):
    """Returns its scores in a tuple, as networks with auxiliary outputs do."""

    def forward(self, images: Tensor) -> Any:
        return {"logits": super().forward(images), "features": images.mean((2, 3))}


class InPlace(ConvNet):
    """Works in place on the target layer's output, as torchvision's DenseNet."""

    def forward(self, images: Tensor) -> Tensor:
        found = nn.functional.relu(self.features(images), inplace=True)
        scores: Tensor = self.fc(found.mean((2, 3)))
        return scores


class OutOfPlace(ConvNet):
    def forward(self, images: Tensor) -> Tensor:
        found = nn.functional.relu(self.features(images))
        scores: Tensor = self.fc(found.mean((2, 3)))
        return scores


@pytest.mark.parametrize("method", OTHERS)
def test_an_output_that_is_no_tensor_is_read(method: str) -> None:
    torch.manual_seed(0)
    layers = layers_for(method)
    found = compute_cams(model_of(Tuple(), target_layer=layers), images(), [method], [0, 1, 2])
    plain = compute_cams(model_of(net(), target_layer=layers), images(), [method], [0, 1, 2])
    assert np.array_equal(found.maps[method], plain.maps[method])


@pytest.mark.parametrize("method", OTHERS)
def test_operations_in_place_do_not_change_what_is_read(method: str) -> None:
    torch.manual_seed(0)
    inside, layers = InPlace(), layers_for(method)
    outside = OutOfPlace()
    outside.load_state_dict(inside.state_dict())
    found, expected = (
        compute_cams(model_of(each, target_layer=layers), images(), [method], [0, 1, 2])
        for each in (inside, outside)
    )
    np.testing.assert_allclose(found.maps[method], expected.maps[method], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("method", [each for each in OTHERS if each != "randomcam"])
def test_half_precision_changes_the_last_digits(method: str) -> None:
    model = model_of(net(), target_layer=layers_for(method))
    plain = compute_cams(model, images(), [method], [0, 1, 2]).maps[method]
    for precision in ("bf16", "fp16"):
        with explaining(model, precision=precision) as explain:
            found = explain(images(), [method], [0, 1, 2]).maps[method]
        # One cell more or less may be above fem's threshold.
        limit = {"sess": 0.2, "fem": 0.5}.get(method, 0.1)
        np.testing.assert_allclose(found, plain, atol=limit * float(plain.max()) + 1e-9)


def test_a_quantised_network_is_read_where_no_gradient_is_needed() -> None:
    with pytest.warns(match="quantization|quantized"):
        module = torch.ao.quantization.quantize_dynamic(net(), {nn.Linear})
    model = model_of(module, target_layer=["features.3"])
    plain = model_of(net(), target_layer=["features.3"])
    for method in listed("fem", "kpcacam"):
        found, expected = (compute_cams(each, images(), [method]) for each in (model, plain))
        assert np.array_equal(found.maps[method], expected.maps[method])
    gradients = ("segeigencam", "randomcam", "sess", "shapleycam", "finercam", "fullgrad")
    for method in listed(*gradients):
        with pytest.raises(LayerError, match="no gradient gets from the class scores"):
            compute_cams(model, images(), [method])


@pytest.mark.parametrize("method", OTHERS)
def test_an_image_whose_values_are_not_finite_has_no_map(method: str) -> None:
    batch = images(2)
    batch[1, 0, 3, 3] = torch.nan
    model = model_of(net(), target_layer=layers_for(method))
    cams = compute_cams(model, batch, [method], [0, 1])
    assert cams.states[method][1] == "nan"
    assert not cams.maps[method][1].any()
    assert cams.states[method][0] != "nan"


# Targets


@cache
def words() -> Model:
    return load_model(ColourWords(), preprocess=PREPROCESS, device="cpu")


def photos() -> list[NDArray[np.uint8]]:
    pixels = (images().permute(0, 2, 3, 1).numpy() * 255).astype(np.uint8)
    return list(pixels)


def top(output: Tensor) -> Tensor:
    return output.softmax(1)[:, 1]


@pytest.mark.parametrize("method", SIGNED)
@pytest.mark.parametrize(
    "target", [Contrast(1, 2), Sum(1, 3), Value(2), top], ids=["contrast", "sum", "value", "own"]
)
def test_any_target_is_explained(method: str, target: Any) -> None:
    model = model_of(net(), target_layer=layers_for(method))
    found = compare(photos(), model, target=target, method=method, progress=False)
    other = compare(photos(), model, target=0, method=method, progress=False)
    for cell, plain in zip(found, other, strict=True):
        if method in ("fem", "randomcam"):
            assert np.array_equal(cell.heatmap, plain.heatmap)  # they depend on no target
        else:
            assert not np.allclose(cell.heatmap, plain.heatmap)


@pytest.mark.parametrize("method", SIGNED)
@pytest.mark.parametrize("target", [Text("red"), Similar(np.full((8, 8, 3), 90, np.uint8))])
def test_texts_and_images_are_explained(method: str, target: Any) -> None:
    found = compare(photos(), words(), target=target, method=method, progress=False)
    assert {cell.state for cell in found} <= {"ok", "flat"}


def test_a_contrast_by_shapleycam_is_the_difference_of_its_maps() -> None:
    model = model_of(net())
    with explaining(model) as explain:
        asked = [ask(model, [Contrast(1, 2)] * 3, 3)]
        found = explain.each(images(), ["shapleycam"], asked)[0].maps["shapleycam"]
        one, other = (explain(images(), [lifted], [k] * 3).maps["lifted"] for k in (1, 2))
    np.testing.assert_allclose(found, (one - other).clip(min=0), rtol=1e-3, atol=1e-7)


def lifted(activations: Tensor, gradients: Tensor) -> Tensor:
    """Grad-CAM, which it is here, lifted above 0 so that no value is lost."""
    return (gradients.mean((2, 3), keepdim=True) * activations).sum(1) + 0.1


@pytest.mark.parametrize("target", [Contrast(1, 2), Sum(1, 3), Value(2), top])
def test_finercam_takes_single_classes_only(target: Any) -> None:
    with pytest.raises(TargetError, match="finercam explains one class against those closest"):
        compare(photos(), model_of(net()), target=target, method="finercam", progress=False)


@pytest.mark.parametrize("method", listed("segeigencam", "kpcacam", "fullgrad"))
def test_maps_that_are_the_same_for_the_opposite_are_refused(method: str) -> None:
    with pytest.raises(TargetError, match=f"{method} cannot explain a contrast"):
        compare(photos(), model_of(net()), target=Contrast(1, 2), method=method, progress=False)


# Options


@pytest.mark.parametrize("method", OTHERS)
def test_aug_smooth_is_the_mean_over_six_copies(method: str) -> None:
    model, options = model_of(net(), target_layer=layers_for(method)), make_options(aug_smooth=True)
    smooth = compute_cams(model, images(), [method], [0, 1, 2], options).maps[method]
    mirrored = compute_cams(model, images().flip(3), [method], [0, 1, 2], options).maps[method]
    if method != "randomcam":  # it draws anew for each copy
        np.testing.assert_allclose(mirrored[..., ::-1], smooth, atol=1e-3)
    assert smooth.max() <= 1 + 1e-6


@pytest.mark.parametrize(
    "method", ["eigencam", "eigengradcam", *listed("fem", "kpcacam", "segeigencam")]
)
def test_eigen_smooth_is_refused_where_a_class_ignores_it(method: str) -> None:
    model = model_of(net())
    with pytest.raises(ArgumentError, match=f"eigen_smooth is for sums .*{method} is none"):
        compare(photos(), model, method=method, eigen_smooth=True, progress=False)


def test_fuse_is_refused_where_a_method_has_no_map_for_each_layer() -> None:
    model = model_of(net())
    for method in ["occlusion", "legrad", *listed("refinecam", "sess", "fullgrad")]:
        with pytest.raises(ArgumentError, match=f"fuse is for methods .*not for {method}"):
            compare(photos(), model, method=method, fuse="product", progress=False)


def test_several_layers_are_fused_as_for_effcams_own() -> None:
    layers = ["features.0", "features.3"]
    both = compute_cams(model_of(net(), target_layer=layers), images(), ["shapleycam", "kpcacam"])
    assert both.maps["kpcacam"].shape == both.maps["shapleycam"].shape == (3, 16, 16)
    found = compute_cams(model_of(net(), target_layer=layers), images(), ["gradcam"])
    np.testing.assert_allclose(both.maps["shapleycam"], found.maps["gradcam"], rtol=1e-4, atol=1e-7)


@pytest.mark.skipif(not listed("sess"), reason="this grad-cam has no SESS")
def test_sess_runs_fewer_windows_at_once_if_memory_runs_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = model_of(net(), target_layer="features.3")
    expected = compute_cams(model, images(1), ["sess"], [0]).maps["sess"]
    tried = []
    run = HeadCAM.run

    def limited(cam: HeadCAM, batch: Tensor, *args: Any) -> Any:
        tried.append(len(batch))
        if len(batch) > 9:
            raise torch.OutOfMemoryError
        return run(cam, batch, *args)

    monkeypatch.setattr(HeadCAM, "run", limited)
    found = compute_cams(model, images(1), ["sess"], [0]).maps["sess"]
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)
    assert [each for each in dict.fromkeys(tried) if each >= 8] == [32, 16, 8]


# What is known of them


def test_facts_of_grad_cams_classes() -> None:
    found = {each.name: each for each in methods()}
    assert len(found) == len(methods())
    assert {found[name].source for name in ("fullgrad", "sess") if name in found} == {"pixels"}
    assert not found["kpcacam"].adds
    assert found["kpcacam"].grad_cam == "KPCA_CAM"
    assert not any(each.grad_cam for each in COMPUTED)


def test_cells_of_the_input_lie_on_the_input_and_are_captioned_so() -> None:
    model = model_of(net())
    cell = compare(photos(), model, method="fullgrad", progress=False)[0, 0]
    assert cell.heatmap.shape == (SIZE, SIZE)
    assert cell.target_layer == "input and 3 of 4 biases"
    assert cell.canvas == cell.frame
    for method in listed("sess"):
        cell = compare(photos(), model, method=method, progress=False)[0, 0]
        assert cell.canvas == cell.frame
        assert cell.target_layer == f"{model.target_layer} at pixels"


# Classes of later releases

NEW = '''
import numpy as np
import torch
from pytorch_grad_cam import GradCAM, ShapleyCAM
from pytorch_grad_cam import base_cam
from pytorch_grad_cam.base_cam import BaseCAM


class NewCAM(BaseCAM):
    """Of weights, as most are."""

    def get_cam_weights(self, images, layer, targets, activations, grads):
        return np.maximum(grads, 0).mean(axis=(2, 3))


class HeirCAM(GradCAM):
    """Of another class."""


class Random_CAM(base_cam.BaseCAM):
    """Draws, runs the network with a hook on the layer, and asks the targets."""

    def __init__(self, model, target_layers, reshape_transform=None):
        super().__init__(model, target_layers, reshape_transform, uses_gradients=False)

    def get_cam_image(self, images, layer, targets, activations, grads, eigen_smooth=False):
        seen = []
        handle = layer.register_forward_hook(lambda *args: seen.append(args[2]))
        with torch.no_grad():
            rows = self.model(images.repeat(4, 1, 1, 1))
        values = torch.stack([targets[0](row) for row in rows])
        assert seen[0].shape[1:] == activations.shape[1:]
        np.testing.assert_allclose(seen[0][:1].numpy(), activations, atol=1e-6)
        assert torch.allclose(values, values[:1])
        return np.abs(values[0].item()) * np.random.rand(1, *activations.shape[2:])


class CurvedCAM(ShapleyCAM):
    """Needs the graph of the whole network."""


class EdgeCAM(BaseCAM):
    """Of the input."""

    def __init__(self, model, target_layers, reshape_transform=None):
        super().__init__(model, target_layers, reshape_transform, compute_input_gradient=True)

    def forward(self, input_tensor, targets, eigen_smooth=False):
        images = input_tensor.clone().requires_grad_(True)
        targets[0](self.model(images)[0]).backward()
        return np.abs((images.grad * images).detach().numpy()).sum(1)


class Meta:
    """Runs another class, whose result it returns."""

    def __init__(self, model, target_layers, reshape_transform=None, base_method=GradCAM):
        self.base_cam = base_method(model, target_layers, reshape_transform)

    def __call__(self, input_tensor, targets, eigen_smooth=False):
        return self.base_cam(input_tensor, targets, eigen_smooth=eigen_smooth)


class WrongCAM(BaseCAM):
    """Returns no map."""

    def get_cam_image(self, images, layer, targets, activations, grads, eigen_smooth):
        return activations


class LeakyCAM(GradCAM):
    """Leaves a hook on the network, and another part in it."""

    def get_cam_image(self, *args):
        network = self.model.module
        network.fc.register_forward_hook(lambda *_: None)
        network.dropout = torch.nn.Identity()
        network.fc.weight.requires_grad_(True)
        network.features[1].running_mean.add_(1)
        return super().get_cam_image(*args)


class Helper:
    """Makes no maps."""
'''
ADDED = "NewCAM, HeirCAM, Random_CAM, CurvedCAM, EdgeCAM, Meta, WrongCAM, LeakyCAM, Helper"


@pytest.fixture
def later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a package of new classes be the installed grad-cam."""
    pytest.importorskip("pytorch_grad_cam.shapley_cam", reason="of grad-cam since 1.5.5")
    package = tmp_path / "later_grad_cam"
    package.mkdir()
    (package / "new_cam.py").write_text(NEW)
    listed = []
    for name, kind in (("grad_cam", "GradCAM"), ("shapley_cam", "ShapleyCAM")):
        known = f"from pytorch_grad_cam.base_cam import BaseCAM\nclass {kind}(BaseCAM): ...\n"
        (package / f"{name}.py").write_text(known)
        listed.append(f"from later_grad_cam.{name} import {kind}")
    listed.append(f"from later_grad_cam.new_cam import {ADDED}")
    (package / "__init__.py").write_text("\n".join(listed))
    monkeypatch.syspath_prepend(tmp_path)
    for module in (naming, running):
        monkeypatch.setattr(module, "PACKAGE", "later_grad_cam")
    caches = (naming.grad_cam_classes, methods, facts_of_method)
    for each in caches:
        each.cache_clear()
    yield
    for each in caches:
        each.cache_clear()
    for name in [name for name in sys.modules if name.startswith("later_grad_cam")]:
        del sys.modules[name]


@pytest.mark.usefixtures("later")
def test_classes_of_a_later_release_are_methods() -> None:
    found = {each.name: each for each in methods()}
    assert {"newcam", "heircam", "randomcam", "curvedcam", "edgecam", "meta"} <= set(found)
    assert "helper" not in found
    assert [found[name].source for name in ("newcam", "edgecam", "meta")] == [
        "layer",
        "pixels",
        "pixels",
    ]
    assert not found["wrongcam"].adds
    assert found["newcam"].idea == "as NewCAM of grad-cam"


@pytest.mark.usefixtures("later")
def test_classes_of_a_later_release_run() -> None:
    model = model_of(net(), target_layer="features.0")
    names = ["newcam", "heircam", "randomcam", "curvedcam", "gradcam", "shapleycam"]
    maps = compute_cams(model, images(), names, [0, 1, 2]).maps
    np.testing.assert_allclose(maps["heircam"], maps["gradcam"], rtol=1e-4, atol=1e-9)
    np.testing.assert_allclose(maps["curvedcam"], maps["shapleycam"], rtol=1e-4, atol=1e-7)
    assert maps["newcam"].max() > 0
    again = compute_cams(model, images()[1:], ["randomcam"], [1, 2]).maps["randomcam"]
    np.testing.assert_allclose(maps["randomcam"][1:], again, rtol=1e-4)


@pytest.mark.usefixtures("later")
def test_classes_of_a_later_release_map_pixels() -> None:
    model = model_of(net(), target_layer="features.3")
    maps = compute_cams(model, images(), ["edgecam", "meta"], [0, 1, 2]).maps
    assert maps["edgecam"].shape == maps["meta"].shape == (3, SIZE, SIZE)
    pictures = images().requires_grad_()
    scores = model.module.eval()(pictures)
    scores[range(3), range(3)].sum().backward()
    assert pictures.grad is not None
    expected = (pictures.grad * pictures).abs().sum(1).detach()
    np.testing.assert_allclose(maps["edgecam"], expected, rtol=1e-4, atol=1e-7)


@pytest.mark.usefixtures("later")
def test_what_a_class_leaves_on_a_network_is_gone_before_the_next_batch() -> None:
    module = net()
    with explaining(model_of(module, target_layer="features.3")) as explain:
        first = explain(images(), ["leakycam"], [0, 1, 2]).maps["leakycam"]
        assert not module.fc._forward_hooks
        assert isinstance(module.dropout, nn.Dropout)
        assert not module.fc.weight.requires_grad
        assert torch.equal(module.features[1].running_mean, torch.zeros(8))
        again = explain(images(), ["leakycam"], [0, 1, 2]).maps["leakycam"]
    assert np.array_equal(first, again)


@pytest.mark.usefixtures("later")
def test_a_class_that_returns_no_map_is_refused() -> None:
    with pytest.raises(
        ModelError, match=r"WrongCAM of grad-cam returned .* has the shape \(1, 8, 8\)"
    ):
        compute_cams(model_of(net(), target_layer="features.3"), images(), ["wrongcam"])


def test_without_grad_cams_listing_effcams_own_remain(monkeypatch: pytest.MonkeyPatch) -> None:
    caches = (naming.grad_cam_classes, methods)
    monkeypatch.setattr(naming, "PACKAGE", "no_such_package")
    for each in caches:
        each.cache_clear()
    found = tuple(each.name for each in methods())
    for each in caches:
        each.cache_clear()
    assert found == (*METHODS, *(each.name for each in COMPUTED))

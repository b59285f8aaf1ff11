"""Parity with grad-cam's further classes, and where effcam differs from them on purpose."""

from __future__ import annotations

import copy
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import pytorch_grad_cam
import torch
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

from effcam import Preprocess, load_model
from effcam.cam.explain import compute_cams
from effcam.cam.methods.full_grad import _scaled
from effcam.cam.methods.grad_cam_classes import seed_of
from effcam.cam.methods.grad_cam_names import grad_cam_classes
from effcam.cam.methods.options import make_options
from effcam.cam.methods.table import METHODS, methods
from effcam.errors import LayerError, ModelError
from tests.cam.test_parity_with_grad_cam import (
    CLASSES,
    ZeroAblation,
    calibrate,
    pictures,
    untrained,
    upsampled,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from effcam import Model

SIZE, TARGETS = 64, [1, 3]
SWIN = {"img_size": SIZE, "window_size": 4, "embed_dim": 12, "depths": (1, 1), "num_heads": (1, 2)}
SEVERAL = {"cnn": ["layer3", "layer4"], "vit": ["blocks.3", "blocks.5.norm1"]}
ATOL = {"cnn": 1e-5, "vit": 1e-4, "swin": 1e-4}


def peer(name: str) -> Any:
    """Return a class of grad-cam; releases before 1.5.7 lack some."""
    if not hasattr(pytorch_grad_cam, name):
        pytest.skip(f"this grad-cam has no {name}")
    return getattr(pytorch_grad_cam, name)


def load(kind: str, target_layer: Any = None) -> Model:
    torch.manual_seed(0)
    if kind == "cnn":
        return made(ReluNet(), target_layer)
    sizes: dict[str, Any] = {"img_size": SIZE, "num_classes": 5}
    name = "timm:test_vit"
    if kind == "swin":
        name, sizes = "timm:swin_tiny_patch4_window7_224", {**SWIN, "num_classes": 5}
    return load_model(
        name,
        pretrained=False,
        device="cpu",
        target_layer=target_layer,
        preprocess=Preprocess(size=SIZE),
        options=sizes,
    )


def made(module: nn.Module, target_layer: Any = "act4") -> Model:
    """Return a model of a module whose features are neither tiny nor huge."""
    calibrate(module, SIZE)
    preprocess = Preprocess(size=SIZE)
    return load_model(module, device="cpu", target_layer=target_layer, preprocess=preprocess)


class ReluNet(nn.Module):
    """A residual network with a map of 8 x 8 cells, batch normalisation and ReLUs in place."""

    def __init__(self, act: Callable[[], nn.Module] = lambda: nn.ReLU(True)) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 5, 4, 2), nn.BatchNorm2d(8), act())
        self.layer3 = nn.Sequential(nn.Conv2d(8, 12, 3, 2, 1, bias=False), nn.BatchNorm2d(12))
        self.act3 = act()
        self.layer4 = nn.Sequential(nn.Conv2d(12, 12, 3, 1, 1), nn.BatchNorm2d(12))
        self.act4 = act()
        self.hidden, self.fc = nn.Linear(12, 16), nn.Linear(16, 5)
        self.act = act()

    def forward(self, images: Tensor) -> Tensor:
        features = self.act3(self.layer3(self.stem(images)))
        features = self.act4(self.layer4(features) + features)
        scores: Tensor = self.fc(self.act(self.hidden(features.mean((2, 3)))))
        return scores


def cnn(target_layer: Any = "act4") -> Model:
    return load("cnn", target_layer)


MODELS = {
    "cnn": cache(cnn),
    "vit": cache(lambda: load("vit")),
    "swin": cache(lambda: load("swin")),
}


def by_hand(model: Model, output: Tensor) -> Tensor:
    """Return a layer's output as NCHW, as users of grad-cam write it."""
    if model.layer.layout == "NHWC":
        return output.permute(0, 3, 1, 2).clone()
    if model.layer.layout == "tokens":
        cells = output[:, model.layer.prefix :]
        height, width = model.layer.grid
        return cells.reshape(len(output), height, width, -1).permute(0, 3, 1, 2).clone()
    return output.clone()  # what comes after may work in place


def theirs(
    kind: Any,
    model: Model,
    images: Tensor,
    targets: list[int] | None,
    *,
    options: dict[str, Any] | None = None,
    layers: list[str] | None = None,
    asked: dict[str, Any] | None = None,
    plain: bool = False,
) -> NDArray[np.float32]:
    """Return the maps of a class of grad-cam, used by hand."""
    module = copy.deepcopy(model.module).requires_grad_(True)
    found = [module.get_submodule(name) for name in layers or [model.target_layer]]
    if kind is peer("FullGrad"):  # it finds its layers itself, and fails with a transform
        cam = kind(module, [], **options or {})
    else:
        transform = None if plain else partial(by_hand, model)
        cam = kind(module, found, reshape_transform=transform, **options or {})
    wanted = None if targets is None else [ClassifierOutputTarget(each) for each in targets]
    try:
        maps: NDArray[np.float32] = cam(images, wanted, **asked or {})
        return maps
    finally:
        if hasattr(cam, "activations_and_grads"):  # its end would fail to detach views
            cam.activations_and_grads.activations = cam.activations_and_grads.gradients = []


def ours(method: str, model: Model, targets: list[int] | None = TARGETS, **options: Any) -> Any:
    images = pictures(2, SIZE)
    return compute_cams(model, images, [method], targets, make_options(**options)).maps[method]


def same(found: Any, expected: NDArray[np.float32], atol: float) -> None:
    assert expected.max() > 0.9, "every map is empty: these weights test nothing"
    for heat, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(upsampled(heat, SIZE), other, atol=atol)


def test_every_class_of_the_package_is_a_method() -> None:
    assert set(grad_cam_classes()) <= {each.name for each in methods()}
    known = {*METHODS, *DIRECT, "finercam", "shapleycam", "refinecam", "fullgrad", "randomcam"}
    assert set(grad_cam_classes()) <= {*known, "sess"}, "a class has no test of parity"


@pytest.mark.parametrize("method", [each for each in METHODS if each in grad_cam_classes()])
def test_effcams_own_methods_are_grad_cams_on_a_swin(method: str) -> None:
    model = MODELS["swin"]()
    options = {"ablation_layer": ZeroAblation(channels=-1)} if method == "ablationcam" else {}
    expected = theirs(CLASSES[method], model, pictures(2, SIZE), TARGETS, options=options)
    same(ours(method, model), expected, 1e-4)


def test_grad_cams_ablation_fails_on_a_swin_or_depends_on_its_batches() -> None:
    model, images = MODELS["swin"](), pictures(2, SIZE)

    def of(layer: Any, batch: int) -> NDArray[np.float32]:
        options = {"ablation_layer": layer, "batch_size": batch}
        return theirs(peer("AblationCAM"), model, images, TARGETS, options=options)

    with pytest.raises(IndexError):  # its own layer takes the rows of channels-last maps for them
        of(pytorch_grad_cam.AblationLayer(), 32)
    one, many = (of(pytorch_grad_cam.AblationLayerVit(), batch) for batch in (1, 32))
    assert np.abs(one - many).max() > 0.1
    assert np.abs(upsampled(ours("ablationcam", model)[0], SIZE) - many[0]).max() > 0.1


DIRECT = {"fem": "FEM", "kpcacam": "KPCA_CAM", "segeigencam": "SegEigenCAM"}


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("method", DIRECT)
def test_classes_of_layers_are_grad_cams(method: str, kind: str) -> None:
    model = MODELS[kind]()
    expected = theirs(peer(DIRECT[method]), model, pictures(2, SIZE), TARGETS)
    same(ours(method, model), expected, ATOL[kind])


@pytest.mark.parametrize("kind", MODELS)
def test_randomcam_is_grad_cams_for_the_seed_of_each_image(kind: str) -> None:
    model = MODELS[kind]()
    expected = []
    kept = np.random.get_state()  # noqa: NPY002  # grad-cam draws from it
    for row, target in enumerate(TARGETS):
        image = pictures(2, SIZE)[row : row + 1]
        np.random.seed(seed_of(image[0]))  # noqa: NPY002
        expected.append(theirs(peer("RandomCAM"), model, image, [target])[0])
    np.random.set_state(kept)  # noqa: NPY002
    same(ours("randomcam", model), np.array(expected), ATOL[kind])


def test_randomcam_draws_the_same_alone_and_in_a_batch_and_anew_for_each_image() -> None:
    model, images = cnn(), pictures(3, SIZE)
    images[2] = images[0]
    together = compute_cams(model, images, ["randomcam"]).maps["randomcam"]
    alone = compute_cams(model, images[1:2], ["randomcam"]).maps["randomcam"]
    np.testing.assert_allclose(together[1], alone[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(together[0], together[2], rtol=1e-4, atol=1e-5)
    assert not np.allclose(together[0] > 0, together[1] > 0)


@pytest.mark.parametrize("kind", MODELS)
def test_finercam_is_grad_cams_for_the_top_class(kind: str) -> None:
    model = MODELS[kind]()
    expected = theirs(peer("FinerCAM"), model, pictures(2, SIZE), None)
    same(ours("finercam", model, None), expected, ATOL[kind])


def test_finercam_of_a_class_is_that_against_the_closest_where_grad_cams_is_plain() -> None:
    model, images = cnn(), pictures(2, SIZE)
    plain = theirs(peer("GradCAM"), model, images, TARGETS)
    given = theirs(peer("FinerCAM"), model, images, TARGETS)
    assert np.array_equal(given, plain)  # the class's fault: no other class is in it
    found = ours("finercam", model)
    assert not np.allclose(upsampled(found[0], SIZE), plain[0], atol=0.05)
    module = copy.deepcopy(model.module).requires_grad_(True)
    cam = peer("FinerCAM")(module, [module.act4], lambda output: output.clone())
    for row, target in enumerate(TARGETS):  # an argument of its forward pass does what it is for
        by_index = cam.forward(images[row : row + 1], None, target_idx=target)
        same(found[row : row + 1], by_index, 1e-5)


def test_finercam_of_a_class_that_is_all_but_certain_keeps_its_weights() -> None:
    """grad-cam adds 1e-9 to the others' probabilities, which is more than all that is left."""
    model, images = load("cnn", "act4"), pictures(2, SIZE)
    bias = model.module.get_parameter("fc.bias").data
    bias[3] += 5  # it is the top class
    expected = ours("finercam", model, [3, 3])
    bias[3] += 40  # nothing changes among the others, nor in any gradient
    np.testing.assert_allclose(ours("finercam", model, [3, 3]), expected, rtol=1e-3, atol=1e-6)
    given = theirs(peer("FinerCAM"), model, images, None)
    assert not np.allclose(upsampled(expected[0], SIZE), given[0], atol=0.01)


@pytest.mark.parametrize("layer", ["stem", "layer3", "act4"])
def test_shapleycam_is_grad_cams_where_the_head_is_curved(layer: str) -> None:
    torch.manual_seed(0)
    model = made(ReluNet(nn.SiLU), layer)
    module = copy.deepcopy(model.module).requires_grad_(True)
    cam = peer("ShapleyCAM")(module, [module.get_submodule(layer)])
    asked = [ClassifierOutputTarget(each) for each in TARGETS]
    same(ours("shapleycam", model), cam(pictures(2, SIZE), asked), 1e-5)
    plain = ours("gradcam", model)
    assert np.abs(ours("shapleycam", model) - plain).max() > 0.01 * plain.max()


def test_shapleycam_is_gradcam_for_pieces_that_are_linear() -> None:
    model = cnn()
    np.testing.assert_allclose(ours("shapleycam", model), ours("gradcam", model), rtol=1e-5)


@pytest.mark.parametrize("kind", ["vit", "swin"])
def test_shapleycam_works_on_tokens_where_grad_cams_fails(kind: str) -> None:
    model = MODELS[kind]()

    class Mended(peer("ShapleyCAM")):  # type: ignore[misc]
        """With activations of the shape of its weights, which is all that it lacks."""

        def get_cam_image(self, *args: Any) -> Any:
            weights, activations = self.get_cam_weights(*args[:-1]), args[3]
            cells = by_hand(model, activations).detach().numpy()
            return (weights[:, :, None, None] * cells).sum(1)

    images = pictures(2, SIZE)
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        with pytest.raises((ValueError, IndexError)):
            theirs(peer("ShapleyCAM"), model, images, TARGETS)
        expected = theirs(Mended, model, images, TARGETS)
    same(ours("shapleycam", model), expected, 1e-4)


@pytest.mark.parametrize("kind", SEVERAL)
def test_refinecam_is_grad_cams_at_the_layers_resolution(kind: str) -> None:
    model = cnn(SEVERAL[kind]) if kind == "cnn" else load(kind, SEVERAL[kind])

    class Native(peer("GradCAMPlusPlus")):  # type: ignore[misc]
        def get_target_width_height(self, _images: Tensor) -> tuple[int, int]:
            return model.layer.grid[::-1]

    images, options = pictures(2, SIZE), {"base_method": Native}
    expected = theirs(
        peer("RefineCAM"),
        model,
        images,
        TARGETS,
        options=options,
        layers=SEVERAL[kind],
    )
    assert expected.max() > 0.9
    found = ours("refinecam", model)
    for heat, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(heat / heat.max(), other, atol=ATOL[kind])


def test_refinecam_of_one_layer_is_refused_since_it_would_be_gradcam_plus_plus() -> None:
    model, images = cnn(), pictures(2, SIZE)
    single = theirs(peer("RefineCAM"), model, images, TARGETS)
    plain = theirs(peer("GradCAMPlusPlus"), model, images, TARGETS)
    np.testing.assert_allclose(single, plain, atol=1e-5)
    with pytest.raises(LayerError, match=r"of 'act4' alone it would be gradcam\+\+: give layers"):
        ours("refinecam", model)


def test_fullgrad_is_grad_cams() -> None:
    model = cnn()
    expected = theirs(peer("FullGrad"), model, pictures(2, SIZE), TARGETS)
    same(ours("fullgrad", model, resolution=SIZE), expected, 1e-5)


def test_fullgrad_is_reduced_to_a_resolution_by_area() -> None:
    model = cnn()
    whole = ours("fullgrad", model, resolution=SIZE)
    small = ours("fullgrad", model, resolution=SIZE // 4)
    np.testing.assert_allclose(small, whole.reshape(2, 16, 4, 16, 4).mean((2, 4)), rtol=1e-5)


class Swapped(ReluNet):
    """The same with another order of its parts than they run in, and one that never runs."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Conv2d(3, 8, 3)
        third = self.layer3
        del self.layer3
        self.layer3 = third


def test_fullgrad_pairs_each_bias_with_its_gradients_where_grad_cams_fails() -> None:
    torch.manual_seed(0)
    swapped, plain = Swapped(), ReluNet()
    plain.load_state_dict(swapped.state_dict(), strict=False)
    model = made(swapped)
    with pytest.raises(AssertionError):  # as many biases as gradients
        theirs(peer("FullGrad"), model, pictures(2, SIZE), TARGETS)
    found = ours("fullgrad", model)
    np.testing.assert_allclose(found, ours("fullgrad", made(plain)), rtol=1e-4, atol=1e-6)


def test_fullgrad_reads_a_normalisation_before_its_own_activation() -> None:
    """timm's normalisations return what their activation does; grad-cam's class skips them."""
    from timm.layers import BatchNormAct2d

    class Joined(ReluNet):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(3, 8, 5, 4, 2), BatchNormAct2d(8))

    torch.manual_seed(0)
    joined, apart = Joined(), ReluNet()
    apart.load_state_dict(joined.state_dict())
    found = ours("fullgrad", made(joined))
    np.testing.assert_allclose(found, ours("fullgrad", made(apart)), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["vit", "swin"])
def test_fullgrad_is_refused_on_transformers_of_which_grad_cams_reads_one_bias(kind: str) -> None:
    model, images = MODELS[kind](), pictures(2, SIZE)
    module = copy.deepcopy(model.module)
    first = module.patch_embed.proj
    seen: list[Tensor] = []
    first.register_forward_hook(lambda _module, _args, output: seen.append(output))
    inputs = images.clone().requires_grad_()
    total = module(inputs)[[0, 1], TARGETS].sum()
    gradient, at_first = torch.autograd.grad(total, [inputs, seen[0]])
    parts = [inputs * gradient, first.bias[:, None, None] * at_first]
    enlarged = [nn.functional.interpolate(_scaled(e.abs()), SIZE, mode="bilinear") for e in parts]
    expected = torch.cat(enlarged, 1).sum(1).detach()
    expected = _scaled(expected[:, None])[:, 0]
    found = theirs(peer("FullGrad"), model, images, TARGETS)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    with pytest.raises(ModelError, match=r"of \d+ layers with biases 1 are such"):
        ours("fullgrad", model)


@pytest.mark.parametrize("kind", MODELS)
def test_sess_is_grad_cams(kind: str) -> None:
    model = MODELS[kind]()
    images, options = pictures(1, SIZE), make_options(resolution=SIZE)
    expected = theirs(peer("SESS"), model, images, TARGETS[:1])
    found = compute_cams(model, images, ["sess"], TARGETS[:1], options).maps["sess"]
    same(found, expected, ATOL[kind])


@pytest.mark.parametrize(
    ("method", "name"), [("randomcam", "RandomCAM"), ("sess", "SESS"), ("fullgrad", "FullGrad")]
)
def test_eigen_smooth_reaches_classes_that_take_it(method: str, name: str) -> None:
    peer(name)
    model = cnn()
    plain, smooth = ours(method, model), ours(method, model, eigen_smooth=True)
    assert smooth.max() > 0
    assert not np.allclose(smooth / smooth.max(), plain / plain.max(), atol=0.01)


def test_eigen_smooth_is_grad_cams_with_the_sign_of_the_sum() -> None:
    """Of the two signs, grad-cam takes the one that its decomposition happens to have."""
    model = cnn()
    expected = theirs(
        peer("FinerCAM"), model, pictures(2, SIZE), None, asked={"eigen_smooth": True}
    )
    found = ours("finercam", model, None, eigen_smooth=True)
    plain = ours("finercam", model, None)
    agrees = [
        agreement(upsampled(total, SIZE), each) > 0
        for total, each in zip(plain, expected, strict=True)
    ]
    assert all(agreement(total, each) > 0 for total, each in zip(plain, found, strict=True))
    assert any(agrees), "grad-cam took the other sign everywhere: these weights test nothing"
    same(found[agrees], expected[agrees], 1e-5)


def agreement(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


NETWORKS = [
    ("torchvision:densenet121", 128),
    ("torchvision:efficientnet_b0", 128),
    ("torchvision:inception_v3", 192),
    ("timm:mobilenetv3_small_050", 128),
    ("timm:regnetx_002", 128),
    ("timm:convnext_atto", 128),
    ("timm:ghostnet_050", 128),
]


@pytest.mark.sweep
@pytest.mark.parametrize(("name", "size"), NETWORKS, ids=[name for name, _ in NETWORKS])
@pytest.mark.parametrize("method", [*DIRECT, "finercam", "shapleycam"])
def test_classes_are_grad_cams_for_other_families(method: str, name: str, size: int) -> None:
    model, images = untrained(name, size), pictures(2, size)
    kind = {**DIRECT, "finercam": "FinerCAM", "shapleycam": "ShapleyCAM"}[method]
    targets = None if method == "finercam" else TARGETS
    if method == "shapleycam" and "densenet" in name:
        # The class reads what a ReLU in place has written over; of linear pieces it is GradCAM.
        kind = "GradCAM"
    plain = kind == "ShapleyCAM"  # it fails with a transform
    expected = theirs(peer(kind), model, images, targets, plain=plain)
    found = compute_cams(model, images, [method], targets).maps[method]
    for heat, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(upsampled(heat, size), other, atol=2e-5)
    assert expected.max() > 0.9

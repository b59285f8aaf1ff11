"""The engine: closed forms, independence of the batch, and an unchanged model."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from effcam import Preprocess, load_model
from effcam.cam.explain import compute_cams
from effcam.cam.head_cam import HeadCAM
from effcam.cam.methods.ablation import PERTURBED_AT_ONCE, ablationcam
from effcam.cam.methods.checks import check_methods
from effcam.cam.methods.formulas import ACTIVATION_METHODS, GRADIENT_METHODS
from effcam.cam.methods.options import MethodOptions
from effcam.cam.methods.table import OWN, reads_layer
from effcam.cam.predict import predicting
from effcam.cam.scores import ClassQuestions
from effcam.errors import ArgumentError, LayerError, ModelError
from effcam.models.tracing.isolation import untouched
from effcam.models.tracing.logits import Logits
from tests.nets import ON_ANY_NETWORK as METHODS
from tests.nets import ConvNet

if TYPE_CHECKING:
    from collections.abc import Callable

    from effcam import Model

SIZE = 32
PREPROCESS = Preprocess(size=SIZE)


def model_of(module: nn.Module) -> Model:
    return load_model(module, preprocess=PREPROCESS)


def images(count: int = 3) -> Tensor:
    return torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(3))


def assert_close(first: object, second: object) -> None:
    np.testing.assert_allclose(first, second, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("method", ["gradcam", "hirescam"])
def test_gradcam_of_pooling_and_a_linear_head_is_cam(method: str) -> None:
    module, batch, targets = ConvNet(), images(), [4, 0, 2]
    cams = compute_cams(model_of(module), batch, [method], targets)
    with torch.no_grad():
        features = module.eval().features(batch)
        weights = module.fc.weight[targets]
    cam = torch.einsum("bc,bchw->bhw", weights, features).relu() / (8 * 8)
    assert cams.maps[method].shape == (3, 8, 8)
    assert cams.maps[method].dtype == np.float32
    assert_close(cams.maps[method], cam.numpy())
    assert cams.targets.tolist() == targets


def test_probabilities_and_top_1_are_the_plain_forward_passes() -> None:
    module, batch = ConvNet(), images()
    cams = compute_cams(model_of(module), batch, ["gradcam"])
    with torch.no_grad():
        expected = module.eval()(batch).softmax(1).numpy()
    assert_close(cams.probabilities, expected)
    with predicting(model_of(module)) as predict:
        assert_close(predict(batch).numpy(), expected)
    assert cams.targets.tolist() == expected.argmax(1).tolist()


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_is_its_images_one_by_one_in_any_order(method: str) -> None:
    model, batch, targets = model_of(ConvNet()), images(4), [0, 1, 2, 3]
    together = compute_cams(model, batch, [method], targets).maps[method]
    for row in range(4):
        alone = compute_cams(model, batch[row : row + 1], [method], targets[row : row + 1])
        assert_close(alone.maps[method][0], together[row])
    order = [2, 0, 3, 1]
    shuffled = compute_cams(model, batch[order], [method], [targets[row] for row in order])
    assert_close(shuffled.maps[method], together[order])


class Mirrored(nn.Module):
    """A mirror-symmetric net: its kernels are symmetric and its cells do not overlap."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 6, 4, stride=4)
        self.fc = nn.Linear(6, 5)
        with torch.no_grad():
            self.features.weight += self.features.weight.flip(3)

    def forward(self, batch: Tensor) -> Tensor:
        scores: Tensor = self.fc(self.features(batch).mean((2, 3)))
        return scores


# Principal components have no sign, and random masks are no mirror images.
FLIPPED = [each for each in METHODS if "eigen" not in each and each != "rise"]


@pytest.mark.parametrize("method", FLIPPED)
def test_a_flipped_image_gives_a_flipped_map(method: str) -> None:
    model, batch, targets = model_of(Mirrored()), images(), [1, 2, 3]
    straight = compute_cams(model, batch, [method], targets).maps[method]
    flipped = compute_cams(model, batch.flip(3), [method], targets).maps[method]
    assert_close(flipped[:, :, ::-1], straight)


@pytest.mark.parametrize("method", ["eigencam", "eigengradcam"])
def test_principal_components_project_onto_the_direction_of_largest_variance(method: str) -> None:
    features, gradients = images(2), images(2).roll(1, 0)
    arithmetic = (GRADIENT_METHODS | ACTIVATION_METHODS)[method]
    cells = (features if method == "eigencam" else features * gradients).flatten(2)
    largest = torch.linalg.eigvalsh(torch.stack([each.cov() for each in cells]))[:, -1]
    projected = arithmetic(features, gradients).flatten(1)
    assert_close(projected.var(1), largest)


def test_several_methods_share_one_pass_and_equal_it() -> None:
    module = ConvNet()
    model, batch = model_of(module), images()
    calls: list[int] = []
    module.fc.register_forward_hook(lambda *_: calls.append(1))
    needed = [each for each in OWN if each.name in METHODS]
    shared = [each.name for each in needed if "passes" not in each.needs]
    together = compute_cams(model, batch, shared)
    assert len(calls) == 1
    for method in shared:
        alone = compute_cams(model, batch, [method])
        assert_close(alone.maps[method], together.maps[method])


def test_methods_of_many_channels_run_in_chunks() -> None:
    class Wide(ConvNet):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Sequential(nn.Conv2d(3, PERTURBED_AT_ONCE + 9, 4, stride=4))
            self.fc = nn.Linear(PERTURBED_AT_ONCE + 9, 5)

    module, batch = Wide(), images(1)
    heat = compute_cams(model_of(module), batch, ["ablationcam"], [2]).maps["ablationcam"]
    with torch.no_grad():
        features = module.features(batch)
        means = features.mean((2, 3))
        score = module.fc(means)[0, 2]
        weights = means * module.fc.weight[2] / score
    assert_close(heat, torch.einsum("bc,bchw->bhw", weights, features).relu().numpy())


class InPlaceAfter(ConvNet):
    def forward(self, batch: Tensor) -> Tensor:
        features = self.features(batch)
        features *= 2
        features = functional.relu(features, inplace=True)
        scores: Tensor = self.fc(features.mean((2, 3)))
        return scores


class NotInPlace(ConvNet):
    def forward(self, batch: Tensor) -> Tensor:
        scores: Tensor = self.fc((self.features(batch).relu() * 2).mean((2, 3)))
        return scores


@pytest.mark.parametrize("method", METHODS)
def test_work_in_place_after_the_layer_does_no_harm(method: str) -> None:
    first, second = InPlaceAfter(), NotInPlace()
    second.load_state_dict(first.state_dict())
    expected = compute_cams(model_of(second), images(), [method], [0, 1, 2])
    found = compute_cams(model_of(first), images(), [method], [0, 1, 2])
    assert_close(found.maps[method], expected.maps[method])


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_a_callers_no_grad_makes_no_difference(context: Callable[[], object]) -> None:
    model = model_of(ConvNet())
    expected = compute_cams(model, images(), METHODS).maps
    with context():  # type: ignore[attr-defined]  # both are context managers
        batch = images()
        found = compute_cams(model, batch, METHODS).maps
        with predicting(model) as predict:
            assert_close(predict(batch).numpy().sum(1), 1)
    for method in METHODS:
        assert_close(found[method], expected[method])


def test_frozen_and_half_precision_models_work() -> None:
    module = ConvNet()
    expected = compute_cams(model_of(module), images(), ["gradcam"], [0, 1, 2]).maps["gradcam"]
    frozen = copy.deepcopy(module).requires_grad_(False)
    found = compute_cams(model_of(frozen), images(), ["gradcam"], [0, 1, 2]).maps["gradcam"]
    assert_close(found, expected)
    half = model_of(copy.deepcopy(module).to(torch.bfloat16))
    coarse = compute_cams(half, images(), ["gradcam", "eigencam"], [0, 1, 2])
    assert coarse.maps["gradcam"].dtype == np.float32
    np.testing.assert_allclose(coarse.maps["gradcam"], expected, atol=0.02)


class Touchy(ConvNet):
    """A net with all the state that the engine could leave changed."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.fc.bias.requires_grad_(False)
        self.fails = False

    def forward(self, batch: Tensor) -> Tensor:
        self.count += 1
        if self.fails:
            raise ValueError("on purpose")
        scores: Tensor = super().forward(batch) + torch.rand(())
        return scores


@pytest.mark.parametrize("fails", [False, True])
def test_the_module_is_left_unchanged(fails: bool) -> None:
    module = Touchy().train()
    module.features[1].eval()
    module(images()).sum().backward()
    hook = module.features.register_forward_hook(lambda *_: None)
    model = model_of(module)
    module.fails = fails
    before = copy.deepcopy(module.state_dict())
    gradients = {name: each.grad for name, each in module.named_parameters()}
    copies = {name: None if g is None else g.clone() for name, g in gradients.items()}
    modes = [each.training for each in module.modules()]
    random = torch.get_rng_state()
    if fails:
        with pytest.raises(ModelError, match="ValueError: on purpose"):
            compute_cams(model, images(), METHODS)
    else:
        compute_cams(model, images(), METHODS)
    assert [each.training for each in module.modules()] == modes
    assert {name: each.requires_grad for name, each in module.named_parameters()} == {
        name: name != "fc.bias" for name, _ in module.named_parameters()
    }
    for name, parameter in module.named_parameters():
        assert parameter.grad is gradients[name]
        assert parameter.grad is None or torch.equal(parameter.grad, copies[name])
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert list(module.features._forward_hooks) == [hook.id]
    assert not module.fc._forward_hooks
    assert torch.equal(torch.get_rng_state(), random)


def test_a_graph_of_the_caller_survives() -> None:
    module = ConvNet().train()
    loss = module(images()).sum()
    compute_cams(model_of(module), images(), ["gradcam"])
    loss.backward()
    assert module.fc.weight.grad is not None


def test_untouched_freezes_temporarily() -> None:
    module = ConvNet()
    with untouched(module):
        assert not any(each.requires_grad for each in module.parameters())
    assert all(each.requires_grad for each in module.parameters())


class Constant(nn.Module):
    """A net with a given map and given scores."""

    def __init__(self, values: Tensor, weight: float = 1.0) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 1, 8, stride=8)
        self.fc = nn.Linear(1, 2)
        self.values = nn.Parameter(values)
        nn.init.constant_(self.fc.weight, weight)

    def forward(self, batch: Tensor) -> Tensor:
        features = self.features(batch * 0 + self.values)
        scores: Tensor = self.fc(features.mean((2, 3)))
        return scores


@pytest.mark.parametrize(
    ("value", "weight", "state"),
    [(1.0, -1.0, "flat"), (1.0, 1.0, "flat"), (0.0, 1.0, "flat"), (float("nan"), 1.0, "nan")],
)
def test_maps_without_evidence_get_their_state(value: float, weight: float, state: str) -> None:
    module = Constant(torch.full((), value), weight)
    nn.init.constant_(module.features.weight, 1.0)
    nn.init.zeros_(module.features.bias)
    cams = compute_cams(model_of(module), images(2), METHODS, [0, 1])
    for method in METHODS:
        assert cams.states[method] == [state, state], method
        assert np.isfinite(cams.maps[method]).all()
        assert (cams.maps[method] >= 0).all()


def test_one_bad_image_does_not_harm_its_batch() -> None:
    model, batch = model_of(ConvNet()), images()
    expected = compute_cams(model, batch[1:], ["gradcam"], [1, 2])
    batch[0] = torch.nan
    cams = compute_cams(model, batch, ["gradcam"], [0, 1, 2])
    assert cams.states["gradcam"] == ["nan", *expected.states["gradcam"]]
    assert_close(cams.maps["gradcam"][1:], expected.maps["gradcam"])
    assert (cams.maps["gradcam"][0] == 0).all()


class Bypassed(ConvNet):
    """A net whose scores depend on the image, not on the features that it also computes."""

    def __init__(self, *, keeps: bool) -> None:
        super().__init__()
        self.keeps = keeps
        self.fc = nn.Linear(3, 5)

    def forward(self, batch: Tensor) -> Tensor:
        features = self.features(batch)
        scores: Tensor = self.fc(batch.mean((2, 3)))
        return scores + 0 * features.detach().sum() if self.keeps else scores


@pytest.mark.parametrize("keeps", [True, False])
def test_a_layer_on_which_the_scores_do_not_depend_is_refused(keeps: bool) -> None:
    model = model_of(Bypassed(keeps=keeps))
    with pytest.raises(LayerError, match="do not depend on layer 'features'"):
        compute_cams(model, images(), ["gradcam"])


class Moody(ConvNet):
    mood = "fine"

    def forward(self, batch: Tensor) -> Tensor:
        if self.mood == "skips":
            return self.fc(batch.mean((2, 3)).repeat(1, 4))  # type: ignore[no-any-return]
        scores = super().forward(batch)
        return {"fine": scores, "maps": scores[:, :, None].repeat(1, 1, 2), "fails": scores}[
            self.mood
        ]


def test_a_model_that_changes_its_mind_is_refused() -> None:
    module = Moody()
    model = model_of(module)
    module.mood = "skips"
    with pytest.raises(LayerError, match="layer 'features' did not run"):
        compute_cams(model, images(), ["gradcam"])
    module.mood = "maps"
    with pytest.raises(ModelError, match=r"for 3 images this model returns .* \(3, 5, 2\)"):
        compute_cams(model, images(), ["gradcam"])
    module.mood = "fine"
    with pytest.raises(ModelError, match=r"failed on a batch of shape \(3, 7, 32, 32\)"):
        compute_cams(model, torch.zeros(3, 7, SIZE, SIZE), ["gradcam"])


def test_methods_are_checked_by_name() -> None:
    assert check_methods("gradcam") == ("gradcam",)
    assert check_methods(["gradcam", "xgradcam"]) == ("gradcam", "xgradcam")
    with pytest.raises(
        ArgumentError, match=r"no method is called 'grad-cam'. Did you mean 'gradcam"
    ):
        check_methods("grad-cam")
    with pytest.raises(ArgumentError, match=r"method must be one or several, not \[\]"):
        check_methods([])
    with pytest.raises(ArgumentError, match="two methods are called 'gradcam'"):
        check_methods(["gradcam", "gradcam"])


@pytest.mark.gpu
def test_the_gpu_agrees() -> None:
    module = ConvNet()
    expected = compute_cams(model_of(module), images(), METHODS, [0, 1, 2]).maps
    found = compute_cams(model_of(copy.deepcopy(module).cuda()), images(), METHODS, [0, 1, 2]).maps
    for method in METHODS:
        np.testing.assert_allclose(found[method], expected[method], atol=1e-3)


def test_methods_are_names() -> None:
    with pytest.raises(ArgumentError, match="a name, a function, or several of these, not None"):
        check_methods(None)  # type: ignore[arg-type]  # that is the point


class Reused(nn.Module):
    """One activation and one pooling module for all places, or a separate one for each."""

    def __init__(self, *, shared: bool) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 9, 3, padding=1)
        self.act, self.pool = nn.ReLU(), nn.MaxPool2d(2)
        self.act2, self.pool2, self.act3 = (
            (self.act, self.pool, self.act) if shared else (nn.ReLU(), nn.MaxPool2d(2), nn.ReLU())
        )
        self.reduce, self.fc = nn.Conv2d(9, 7, 1), nn.Linear(7, 5)

    def forward(self, batch: Tensor) -> Tensor:
        features = self.pool(self.act(self.first(batch)))
        features = self.pool2(self.act2(self.second(features)))
        pooled = self.act3(self.reduce(features.mean((2, 3), keepdim=True)))
        scores: Tensor = self.fc(pooled.flatten(1))
        return scores


@pytest.mark.parametrize("method", METHODS)
def test_a_layer_used_in_several_places_is_explained_at_one(method: str) -> None:
    apart, shared = Reused(shared=False), Reused(shared=True)
    shared.load_state_dict(apart.state_dict())
    expected = compute_cams(model_of(apart), images(), [method], [0, 1, 2])
    found = compute_cams(model_of(shared), images(), [method], [0, 1, 2])
    assert found.maps[method].shape == ((3, 8, 8) if reads_layer(method) else (3, SIZE, SIZE))
    assert_close(found.maps[method], expected.maps[method])


class Counting(ConvNet):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("runs", torch.zeros(()))
        self.cache: Tensor | None = None

    def forward(self, batch: Tensor) -> Tensor:
        self.runs = self.runs + 1
        self.cache = batch
        return super().forward(batch)


def test_replaced_buffers_and_caches_are_put_back() -> None:
    module = Counting()
    runs = module.runs
    compute_cams(model_of(module), images(), ["gradcam"])
    assert module.runs is runs
    assert runs.item() == 0
    assert module.cache is None


class Relaid(nn.Module):
    """A net with maps in another layout, converted back to NCHW for the head."""

    def __init__(self, layout: str) -> None:
        super().__init__()
        plain = ConvNet()
        self.features, self.fc = plain.features, plain.fc
        self.relay = nn.Identity() if layout == "NCHW" else Relay(layout)

    def forward(self, images: Tensor) -> Tensor:
        laid = self.relay(self.features(images))
        if self.relay.__class__ is nn.Identity:
            pooled = laid.mean((2, 3))
        else:
            pooled = laid[:, 2:].mean(1) if laid.ndim == 3 else laid.mean((1, 2))
        scores: Tensor = self.fc(pooled)
        return scores


class Relay(nn.Module):
    def __init__(self, layout: str) -> None:
        super().__init__()
        self.layout = layout
        self.num_prefix_tokens = 2

    def forward(self, maps: Tensor) -> Tensor:
        last = maps.permute(0, 2, 3, 1).contiguous()
        if self.layout == "NHWC":
            return last
        cells = last.flatten(1, 2)
        return torch.cat([7 * cells[:, :2], cells], dim=1)


@pytest.mark.parametrize("layout", ["NHWC", "tokens"])
@pytest.mark.parametrize("method", METHODS)
def test_the_layout_makes_no_difference(layout: str, method: str) -> None:
    plain, relaid = Relaid("NCHW").eval(), Relaid(layout).eval()
    relaid.load_state_dict(plain.state_dict())
    first, second = model_of(plain), model_of(relaid)
    assert (first.layer.layout, second.layer.layout) == ("NCHW", layout)
    expected = compute_cams(first, images(), [method], [0, 1, 2])
    found = compute_cams(second, images(), [method], [0, 1, 2])
    assert_close(found.maps[method], expected.maps[method])
    assert_close(found.probabilities, expected.probabilities)


def test_oblong_tokens_are_put_back_row_by_row() -> None:
    plain, relaid = Relaid("NCHW").eval(), Relaid("tokens").eval()
    relaid.load_state_dict(plain.state_dict())
    oblong = Preprocess(size=(32, 48))
    batch = torch.randn(2, 3, 32, 48)
    expected = compute_cams(load_model(plain, preprocess=oblong), batch, ["gradcam"], [0, 1])
    found = compute_cams(load_model(relaid, preprocess=oblong), batch, ["gradcam"], [0, 1])
    assert found.maps["gradcam"].shape == (2, 8, 12)
    assert_close(found.maps["gradcam"], expected.maps["gradcam"])


class Branches(nn.Module):
    """Two bodies of different resolution, whose class scores are added."""

    def __init__(self) -> None:
        super().__init__()
        self.fine, self.coarse = ConvNet(), ConvNet()
        self.coarse.features.append(nn.AvgPool2d(2))

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.fine(images) + self.coarse(images)
        return scores


@pytest.mark.parametrize("method", ["gradcam", "hirescam", "eigencam", "ablationcam"])
def test_maps_of_several_layers_are_added_as_densities(method: str) -> None:
    module = Branches().eval()
    names = ["fine.features", "coarse.features"]
    both = load_model(module, preprocess=PREPROCESS, target_layer=names)
    assert both.target_layer == "fine.features + coarse.features"
    assert both.layer.name == "fine.features"
    alone = []
    for name in names:
        cam = HeadCAM(load_model(module, preprocess=PREPROCESS, target_layer=name))
        try:
            with torch.enable_grad(), untouched(module):
                module.eval()
                values = cam.scores(images()).values
                gradients = cam.gradients(values, explained(values))
                (features,) = cam.maps(cam.leaves)
            alone.append(RAW[method](cam, features, gradients[0]))
        finally:
            cam.release()
    fine, coarse = alone
    spread = functional.interpolate(coarse[:, None], size=(8, 8), mode="bilinear")[:, 0]
    expected = (fine + spread * (16 / 64)).clamp(min=0)
    found = compute_cams(both, images(), [method], [0, 1, 2])
    assert_close(found.maps[method], expected.detach().numpy())


ASKED = ClassQuestions.of_classes([0, 1, 2])


def explained(values: Tensor) -> Tensor:
    """Return the score of each image's class, given the (3, classes) scores."""
    found = Logits(values)
    return ASKED.on(found)(found)


def subject_of(cam: HeadCAM, inputs: Tensor) -> Any:
    score = ASKED.on(Logits(torch.empty(3, 5)))
    return SimpleNamespace(cam=cam, images=inputs, score=score, options=MethodOptions())


RAW: dict[str, Callable[[HeadCAM, Tensor, Tensor], Tensor]] = {
    "gradcam": lambda _, features, gradients: GRADIENT_METHODS["gradcam"](features, gradients),
    "hirescam": lambda _, features, gradients: GRADIENT_METHODS["hirescam"](features, gradients),
    "eigencam": lambda _, features, gradients: ACTIVATION_METHODS["eigencam"](features, gradients),
    "ablationcam": lambda cam, features, _: ablationcam(
        subject_of(cam, images()), 0, features.detach()
    ).sum(1),
}


def test_one_of_several_layers_may_come_before_another() -> None:
    module = ConvNet().eval()
    names = ["features.0", "features.2", "features"]
    several = load_model(module, preprocess=PREPROCESS, target_layer=names)
    found = gradients_at(several)
    for name, gradient in zip(names, found, strict=True):
        alone = load_model(module, preprocess=PREPROCESS, target_layer=name)
        assert_close(gradient, gradients_at(alone)[0])


def gradients_at(model: Model) -> list[Tensor]:
    """Return the gradients of some class scores at each of a model's target layers."""
    cam = HeadCAM(model)
    try:
        with torch.enable_grad(), untouched(model.module):
            values = cam.scores(images()).values
            return cam.gradients(values, explained(values))
    finally:
        cam.release()


class FirstToken(nn.Module):
    """A net whose class token is not in the graph: the head selects it by an index at run time."""

    def __init__(self) -> None:
        super().__init__()
        self.features = Relaid("tokens").features
        self.relay = Relay("tokens")
        self.fc = nn.Linear(12, 5)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.relay(self.features(images))
        chosen = torch.tensor([1], device=tokens.device)
        scores: Tensor = self.fc(tokens.index_select(1, chosen)[:, 0])
        return scores


def test_a_layer_of_which_prefix_tokens_alone_count_is_refused() -> None:
    model = load_model(FirstToken(), preprocess=PREPROCESS, target_layer="relay")
    with pytest.raises(LayerError, match=r"only the prefix tokens of layer 'relay'.*8 x 8 cells"):
        compute_cams(model, images(), ["gradcam"])


class OneCell(ConvNet):
    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.fc(self.features(images)[:, :, 3, 4])
        return scores


def test_a_layer_of_which_one_cell_alone_counts_is_refused() -> None:
    with pytest.raises(LayerError, match=r"only one cell of layer 'features'.*layers\(\) lists"):
        compute_cams(model_of(OneCell()), images(), ["gradcam"])


class Rare(ConvNet):
    """A net whose class scores depend on single cells, as after SqueezeNet's last ReLU."""

    def forward(self, images: Tensor) -> Tensor:
        cells = self.fc(self.features(images).permute(0, 2, 3, 1)).flatten(1, 2)
        highest: Tensor = functional.relu(cells - cells.amax(1, keepdim=True) + 1e-6).sum(1)
        return highest


def test_a_class_that_depends_on_one_cell_is_no_fault_of_the_layer() -> None:
    cams = compute_cams(model_of(Rare()), images(1), ["hirescam"], [0])
    assert (cams.maps["hirescam"] > 0).sum() <= 1


class Dead(ConvNet):
    def forward(self, images: Tensor) -> Tensor:
        return functional.relu(super().forward(images) - 1e6)


def test_a_score_without_gradient_is_flat_and_no_fault_of_the_layer() -> None:
    cams = compute_cams(model_of(Dead()), images(), ["gradcam"])
    assert cams.states["gradcam"] == ["flat"] * 3

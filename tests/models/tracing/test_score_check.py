"""Logits, probabilities, their logarithms, features and embeddings are told apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

import effcam
from effcam.cam.explain import compute_cams
from effcam.cam.predict import predicting
from effcam.errors import ModelError
from effcam.images.preprocess import Preprocess
from effcam.models.loading import load_model
from effcam.models.model import Model
from effcam.models.tracing.probe import probe_inputs
from effcam.models.tracing.score_check import find_scores
from effcam.models.tracing.score_source import ScoreSource
from tests.nets import ConvNet

SMALL = Preprocess(size=32, resize=32)
IMAGES = probe_inputs(SMALL, 3)
CLASSES = 5
THRESHOLDS = torch.tensor([0.2, 0.5, torch.nan, 0.4, 0.6])

End = Callable[[Tensor], Any]


class Ending(nn.Module):
    """A network whose logits go through a last function."""

    def __init__(self, last: End, classes: int = CLASSES, gain: float = 20.0) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.net = ConvNet(classes)
        with torch.no_grad():
            self.net.fc.weight.mul_(gain)
        self.last = last

    def forward(self, images: Tensor) -> Any:
        return self.last(self.net(images))


def load(module: nn.Module, **options: Any) -> Model:
    return load_model(module.eval(), preprocess=SMALL, **options)


def thresholded(logits: Tensor) -> Tensor:
    """Scale probabilities so that each class's threshold becomes 0.5, as torchxrayvision does."""
    p, t = logits.sigmoid(), THRESHOLDS
    scaled = torch.where(p < t, p / (2 * t), 1 - (1 - p) / (2 * (1 - t)))
    return torch.where(t.isnan(), torch.full_like(p, 0.5), scaled)


def exponential_shares(logits: Tensor) -> Tensor:
    return logits.exp() / logits.exp().sum(1, keepdim=True)


SOFTMAX: dict[str, End] = {
    "function": lambda z: z.softmax(1),
    "module": nn.Softmax(dim=1),
    "modules": nn.Sequential(nn.Dropout(), nn.Softmax(dim=-1)),
    "clamp": lambda z: z.softmax(1).clamp(1e-7, 1),
    "by hand": exponential_shares,
    "squeeze": lambda z: z[:, :, None, None].softmax(1).squeeze(),
    "half": lambda z: z.half().softmax(1),
    "logarithm": lambda z: functional.log_softmax(z, 1),
    "logarithm module": nn.LogSoftmax(dim=1),
    "logarithm by hand": lambda z: (z.softmax(1) + 1e-9).log(),
    "mapping": lambda z: {"scores": z.softmax(1)},
}
SIGMOID: dict[str, End] = {
    "function": torch.sigmoid,
    "module": nn.Sigmoid(),
    "in place": lambda z: z.sigmoid_(),
    "logarithm": nn.LogSigmoid(),
    "by hand": lambda z: 1 / (1 + (-z).exp()),
}
UNREACHABLE: dict[str, tuple[End, str]] = {
    "mean of two": (lambda z: (z.softmax(1) + (2 * z).softmax(1)) / 2, "sum to 1 .*Softmax, Add"),
    "presence": (
        lambda z: torch.stack([1 - z[:, 1].sigmoid(), z[:, 1].sigmoid()], 1),
        "those of each image sum to 1 .*Sigmoid, Rsub, Stack",
    ),
    "scaled": (lambda z: z.sigmoid() * 0.999, r"lie in \[0, 1\] .*Sigmoid, Mul"),
    "thresholds": (thresholded, r"lie in \[0, 1\] .*Where"),
    "temperature": (lambda z: (z / 2).softmax(1), "sum to 1 .*Div, Softmax"),
    "without background": (lambda z: z.softmax(1)[:, 1:], r"lie in \[0, 1\] .*Softmax, Slice"),
    "percent": (lambda z: 100 * z.softmax(1), r"percentages .* lie in \[0, 100\]"),
    "one-hot": (lambda z: functional.one_hot(z.argmax(1), z.shape[1]).float(), "sum to 1"),
    "mean of two, logarithm": (
        lambda z: ((z.softmax(1) + (2 * z).softmax(1)) / 2).log(),
        "exponentials of each image's values sum to 1",
    ),
    "mean of two, logarithm of 0": (
        lambda z: ((1e3 * z).softmax(1) / 2 + (2e3 * z).softmax(1) / 2).log(),
        "exponentials of each image's values sum to 1",
    ),
    "absence": (
        lambda z: -functional.softplus(2 * z),
        "logarithms .* no value is above 0",
    ),
    "tangent": (torch.tanh, r"bounded values .* lie in \[-1, 1\] .*Tanh"),
    "shares": (
        lambda z: functional.relu(z) / functional.relu(z).sum(1, keepdim=True).clamp(min=1e-6),
        r"(sum to 1|lie in \[0, 1\])",
    ),
}
LOGITS: dict[str, End] = {
    "plain": lambda z: z,
    "scaled": lambda z: 100 * z,
    "small": lambda z: 1e-3 * z,
    "small and positive": lambda z: 1e-3 * z + 0.5,
    "relu": functional.relu,
    "small relu": lambda z: functional.relu(1e-2 * z),
    "zero": lambda z: 0 * z,
    "capped": lambda z: 30 * (z / 30).tanh(),
    "distances": lambda z: -((z - 1) ** 2),
    "double": lambda z: z.double(),
    "centred": lambda z: z - z.mean(1, keepdim=True),
}


@pytest.mark.parametrize("end", SOFTMAX)
def test_the_logits_before_a_softmax_are_explained(end: str) -> None:
    module = Ending(SOFTMAX[end])
    model = load(module)
    assert model.scores.place is not None
    assert model.scores.link == "softmax"
    bare = load(module.net)
    found, expected = (compute_cams(each, IMAGES, ["gradcam"]) for each in (model, bare))
    np.testing.assert_allclose(found.maps["gradcam"], expected.maps["gradcam"], rtol=1e-4)
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-5)


@pytest.mark.parametrize("end", SIGMOID)
def test_the_logits_before_a_sigmoid_are_explained_and_its_probabilities_shown(end: str) -> None:
    module = Ending(SIGMOID[end])
    model = load(module)
    with torch.no_grad():
        own = module.net(IMAGES).sigmoid().numpy()
    found = compute_cams(model, IMAGES, ["gradcam"])
    np.testing.assert_allclose(found.probabilities, own, atol=1e-6)
    expected = compute_cams(load(module.net), IMAGES, ["gradcam"])
    np.testing.assert_allclose(found.maps["gradcam"], expected.maps["gradcam"], rtol=1e-4)
    with predicting(model) as predict:
        np.testing.assert_allclose(predict(IMAGES).numpy(), own, atol=1e-6)


def test_the_input_of_a_softmax_may_be_computed_between_layers() -> None:
    class Calibrated(ConvNet):
        def __init__(self) -> None:
            super().__init__(CLASSES)
            self.softmax = nn.Softmax(dim=1)

        def forward(self, images: Tensor) -> Tensor:
            probabilities: Tensor = self.softmax(super().forward(images) / 0.1)
            return probabilities

    module = Calibrated()
    found = compute_cams(load(module), IMAGES, ["gradcam"])
    with torch.no_grad():
        np.testing.assert_allclose(found.probabilities, module(IMAGES).numpy(), atol=1e-6)


def test_a_sure_network_with_a_logarithm_at_its_end_has_a_map() -> None:
    sure = Ending(nn.LogSoftmax(dim=1), gain=3000)
    with torch.no_grad():
        assert float(sure.eval()(IMAGES).amax(1).abs().max()) == 0  # its gradient is 0 too
    found = compute_cams(load(sure), IMAGES, ["gradcam"])
    assert found.states["gradcam"] == ["ok"] * 3
    assert found.maps["gradcam"].max() > 1


@pytest.mark.parametrize("end", UNREACHABLE)
def test_probabilities_without_reachable_logits_are_refused(end: str) -> None:
    last, seen = UNREACHABLE[end]
    with pytest.raises(ModelError, match=rf"^Ending: the network returns .*{seen}"):
        load(Ending(last))


@pytest.mark.parametrize("end", LOGITS)
def test_logits_are_read_at_the_output(end: str) -> None:
    assert load(Ending(LOGITS[end], gain=1.0)).scores == ScoreSource(CLASSES)


@pytest.mark.parametrize("classes", [1, 2, 3])
@pytest.mark.parametrize("bias", [-0.5, 0.0, 0.5])
def test_few_logits_in_the_range_of_probabilities_are_logits(classes: int, bias: float) -> None:
    module = Ending(lambda z: z, classes, gain=0.1)
    nn.init.constant_(module.net.fc.bias, bias)
    assert load(module).scores.place is None


@pytest.mark.parametrize("classes", [1, 2, 40])
def test_the_zero_scores_of_a_new_head_are_logits(classes: int) -> None:
    module = Ending(lambda z: z, classes)
    nn.init.zeros_(module.net.fc.weight)
    nn.init.zeros_(module.net.fc.bias)
    assert load(module).scores.place is None


def test_a_convolution_that_scores_each_cell_gives_logits() -> None:
    module = nn.Sequential(
        nn.Conv2d(3, 8, 4, 4), nn.ReLU(), nn.Conv2d(8, CLASSES, 1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )  # fmt: skip
    assert load(module).scores.place is None


def test_cosines_with_a_scale_are_logits_and_without_one_are_not() -> None:
    class Cosines(ConvNet):
        scale = 16.0

        def forward(self, images: Tensor) -> Tensor:
            features = functional.normalize(self.features(images).mean((2, 3)))
            return self.scale * functional.linear(features, functional.normalize(self.fc.weight))

    assert load(Cosines()).scores.place is None
    cosines = Cosines()
    cosines.scale = 1.0
    with pytest.raises(ModelError, match=r"bounded values .* the scale that the network was"):
        load(cosines)


@pytest.mark.parametrize("end", [nn.Sigmoid(), lambda z: z.sigmoid()[:, 0]])
def test_a_single_probability_is_the_presence_of_one_class(end: End) -> None:
    module = Ending(end, 1)
    found = compute_cams(load(module), IMAGES, ["gradcam"])
    with torch.no_grad():
        presence = module.net(IMAGES)[:, 0].sigmoid().numpy()
    np.testing.assert_allclose(
        found.probabilities, np.stack([1 - presence, presence], 1), atol=1e-6
    )


def test_presence_and_absence_from_one_logit_are_explained() -> None:
    module = Ending(lambda z: torch.cat([1 - z.sigmoid(), z.sigmoid()], 1), 1)
    found = compute_cams(load(module), IMAGES, ["gradcam"], [1, 1, 1])
    with torch.no_grad():
        own = module(IMAGES).numpy()
    np.testing.assert_allclose(found.probabilities, own, atol=1e-6)
    assert found.maps["gradcam"].max() > 0


def test_a_network_in_half_precision_is_judged_too() -> None:
    module = Ending(nn.Softmax(dim=1)).bfloat16()
    assert load(module).scores.place is not None
    assert load(Ending(lambda z: z).bfloat16()).scores.place is None


def test_the_network_is_left_as_it_was() -> None:
    module = Ending(nn.Softmax(dim=1)).train()
    before = {name: each.clone() for name, each in module.state_dict().items()}
    state = torch.get_rng_state()
    find_scores(module, IMAGES)
    assert module.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(each, before[name]) for name, each in module.state_dict().items())
    assert all(each.requires_grad and each.grad is None for each in module.parameters())
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in module.modules())


def test_a_known_output_saves_the_first_run() -> None:
    module = Ending(lambda z: z).eval()
    with torch.no_grad():
        output = module(IMAGES)
    runs: list[int] = []
    module.register_forward_pre_hook(lambda *_: runs.append(1))
    assert find_scores(module, IMAGES, output=output).place is None
    assert runs == []
    assert find_scores(module, IMAGES).place is None
    assert runs == [1]


def test_a_model_that_is_loaded_again_keeps_its_scores() -> None:
    model = load(Ending(nn.Sigmoid()))
    again = load_model(model, labels=list("abcde"))
    assert again.scores == model.scores
    assert [layer.name for layer in again.layers()] == [layer.name for layer in model.layers()]


def test_a_classifier_of_torchvision_that_was_changed_by_hand_is_judged() -> None:
    from torchvision.models import resnet18

    module = resnet18(num_classes=4)
    module.fc = nn.Sequential(module.fc, nn.Sigmoid())
    assert load(module).scores.link == "sigmoid"
    module.fc = nn.Identity()
    assert embeds(load(module)) == (512, "its head 'fc' is an nn.Identity")
    assert load(module, labels=[f"feature {index}" for index in range(512)]).num_classes == 512


class Timm(nn.Module):
    """A network of timm's without its own head, and perhaps another head on top of it."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        import timm

        self.backbone = timm.create_model("test_resnet", num_classes=0)
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.head(self.backbone(images))
        return scores


def embeds(model: Model) -> tuple[int | None, str]:
    """Return the length of a model's embedding, and why it returns no class scores."""
    assert (model.scores.outputs, model.num_classes) == ("embedding", 0)
    return model.scores.classes, model.scores.cause


def test_a_network_of_timm_without_a_classifier_returns_an_embedding() -> None:
    for part, module in ("", Timm(nn.Identity()).backbone), ("backbone", Timm(nn.Dropout())):
        where = f"its part '{part}'" if part else "it"
        width, cause = embeds(load(module))
        assert width == 96
        assert cause.startswith(f"{where} was built without one")
        assert load(module, labels=list(map(str, range(96)))).num_classes == 96
    assert load(Timm(nn.Linear(96, 3))).num_classes == 3


def test_values_of_length_one_are_an_embedding() -> None:
    width, cause = embeds(load(Ending(functional.normalize)))
    assert (width, cause) == (CLASSES, "each image's values are a vector of length 1")


def test_an_image_tower_of_clip_returns_an_embedding(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ConvNet(6)
    module.output_dim = 6
    assert load(module).num_classes == 6
    monkeypatch.setattr(ConvNet, "__module__", "open_clip.modified_resnet")
    assert embeds(load(module)) == (
        6,
        "it was built without one, as with num_classes=0 or for embeddings",
    )
    assert load(nn.Sequential(module, nn.Linear(6, 3))).num_classes == 3


def test_the_last_hidden_layer_of_a_multilayer_head_is_no_classifier() -> None:
    module = ConvNet(6)
    module.fc = nn.Sequential(nn.Linear(12, 9), nn.ReLU(), nn.Identity())
    module.fc[2] = nn.Identity()
    assert embeds(load(module)) == (9, "its head 'fc.2' is an nn.Identity")
    module.fc = nn.Sequential(nn.Linear(12, 9), nn.Identity())
    assert load(module).num_classes == 9


@pytest.mark.parametrize(
    "outputs", [lambda z: (z, z[:, :2].repeat(1, 8)), lambda z: {"a": z, "b": z[:, :3]}]
)
def test_labels_decide_which_of_two_outputs_holds_the_scores(outputs: End) -> None:
    module = Ending(outputs)
    with pytest.raises(ModelError, match="Ending: the model returns 2 tensors that may be"):
        load(module)
    model = load(module, labels=list("abcde"))
    bare = load(module.net)
    found, expected = (compute_cams(each, IMAGES, ["gradcam"]) for each in (model, bare))
    np.testing.assert_array_equal(found.maps["gradcam"], expected.maps["gradcam"])
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)
    assert [f"net.{layer.name}" for layer in bare.layers()] == [
        layer.name for layer in model.layers() if layer.name != "net"
    ]


def test_a_comparison_shows_the_networks_own_probability() -> None:
    module = Ending(nn.Sigmoid())
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    photo = Image.fromarray(pixels)
    cell = effcam.compare([photo], {"own": load(module)}, progress=False)[0, "own"]
    with torch.no_grad():
        own = module(SMALL(photo)[0][None])[0]
    assert cell.predicted == int(own.argmax())
    assert cell.predicted_probability == pytest.approx(float(own.max()), abs=1e-6)

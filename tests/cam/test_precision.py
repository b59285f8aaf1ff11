"""Networks in half precision, and what does not change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from effcam import Preprocess, compare, load_model, metrics
from effcam.cam import lighten as lighten_module
from effcam.cam.explain import explaining
from effcam.cam.precision import Precision, cast_weights, check_precision, computing
from effcam.cam.predict import predicting
from effcam.demo import MODELS, scenes
from effcam.errors import ArgumentError, ModelError
from tests.nets import ON_ANY_NETWORK as METHODS
from tests.nets import ColourNet, ConvNet
from tests.tiers import core

HALVES: tuple[Precision, ...] = ("bf16", "fp16")
APART = {"bf16": 0.2, "fp16": 0.03}


class Seen(nn.Module):
    """A net that records the dtype of its computation."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 8, 3, stride=2)
        self.head = nn.Linear(8, 5)
        self.seen: list[torch.dtype] = []

    def forward(self, images: Tensor) -> Tensor:
        features = self.features(images)
        if images.device.type != "meta":
            self.seen.append(features.dtype)
        return self.head(features.mean((2, 3)))


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)],
)
def test_the_network_computes_in_it_and_all_results_are_float32(
    precision: Precision, dtype: torch.dtype
) -> None:
    net = Seen()
    model = load_model(net, preprocess=Preprocess(size=32))
    net.seen.clear()
    images = torch.rand(2, 3, 32, 32)
    with explaining(model, precision=precision) as explain:
        cams = explain(images, METHODS)
    with predicting(model, precision=precision) as predict:
        probabilities = predict(images)
    assert set(net.seen) == {dtype}
    assert cams.probabilities.dtype == np.float32
    assert probabilities.dtype == torch.float32
    np.testing.assert_allclose(cams.probabilities.sum(1), 1, atol=1e-5)
    assert {heat.dtype for heat in cams.maps.values()} == {np.dtype(np.float32)}
    assert all(parameter.dtype == torch.float32 for parameter in net.parameters())
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.sweep
@pytest.mark.parametrize("precision", HALVES)
@pytest.mark.parametrize("name", core(MODELS.values(), {"demo_resnet", "demo_efficientnet_b0"}))
def test_maps_of_trained_models_differ_little(name: str, precision: Precision) -> None:
    model = load_model(name, device="cpu")
    images = torch.stack([model.preprocess(each.image)[0] for each in scenes(6, 3)])
    found = {}
    for each in ("fp32", precision):
        with explaining(model, precision=each) as explain:
            found[each] = explain(images, ["gradcam"], [0] * 6).maps["gradcam"]
    most = found["fp32"].max((1, 2))
    assert (most > 0).any()
    apart = np.abs(found["fp32"] - found[precision]).max((1, 2))[most > 0] / most[most > 0]
    assert np.median(apart) <= APART[precision]


def test_small_gradients_survive_float16() -> None:
    """1e-8 is 0 in float16: without a scale, a map would be empty."""
    net = Seen()
    with torch.no_grad():
        net.head.weight.fill_(1e-8).mul_(torch.tensor([1.0, 2, 3, 4, 5])[:, None])
        net.features.weight.abs_()
        net.features.bias.abs_()
    model = load_model(net, preprocess=Preprocess(size=32))
    with explaining(model, precision="fp16") as explain:
        cams = explain(torch.rand(1, 3, 32, 32), ["gradcam", "layercam"], [4])
    assert cams.maps["gradcam"].max() > 0


class Loud(nn.Module):
    """A network whose scores overflow in float16; their gradients do not."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 8, 8), nn.Linear(4, 3)
        nn.init.constant_(self.fc.weight, 10)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.fc(5e3 * self.conv(images).sigmoid().mean((2, 3)))
        return scores


def test_scores_that_overflow_have_no_map() -> None:
    model = load_model(Loud(), preprocess=Preprocess(size=32))
    images = torch.rand(2, 3, 32, 32)
    states = {}
    for precision in ("fp32", "fp16"):
        with explaining(model, precision=precision) as explain:
            found = explain(images, ["gradcam"])
        states[precision] = found.states["gradcam"]
        assert (found.maps["gradcam"].any() == np.isfinite(found.values).all()).all()
    assert states == {"fp32": ["ok", "ok"], "fp16": ["nan", "nan"]}


def test_compare_takes_it_notes_it_and_its_summary_goes_with_it() -> None:
    net = Seen()
    pictures = [each.image for each in scenes(2, 3)]
    model = load_model(net, preprocess=Preprocess(size=32))
    net.seen.clear()
    comparison = compare(pictures, model, precision="bf16", progress=False)
    assert comparison.settings["precision"] == "bf16"
    assert net.seen[-1] == torch.bfloat16  # earlier passes may be those of its trace
    net.seen.clear()
    compare(pictures, model, precision="bf16", target="consensus", progress=False)
    assert net.seen[-1] == torch.bfloat16  # earlier passes may be those of its trace


@pytest.mark.parametrize("precision", ["fp64", "float16", None, 16, "FP32", ["bf16"], np.ones(2)])
def test_others_are_refused_with_what_there_is(precision: object) -> None:
    with pytest.raises(ArgumentError, match="precision must be one of fp32, bf16, fp16, auto, not"):
        check_precision(precision)


def test_full_precision_is_kept_from_an_autocast_of_the_caller() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        with computing(torch.device("cpu"), "fp32"):
            assert not torch.is_autocast_enabled("cpu")
        assert torch.is_autocast_enabled("cpu")


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def default_device(device: str) -> Iterator[None]:
    torch.set_default_device(device)
    try:
        yield
    finally:
        torch.set_default_device(None)


AMBIENT: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "float64": lambda: default_dtype(torch.float64),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "with meta": lambda: torch.device("meta"),
    "set meta": lambda: default_device("meta"),
    "inference": torch.inference_mode,
    "no_grad": torch.no_grad,
}


def numbers(ambient: AbstractContextManager[object], net: nn.Module) -> list[np.ndarray]:
    """Return the results of all functions that run models, called in a state of torch."""
    shown = scenes(2, 3, size=64)
    plain = Preprocess(size=32, resize=32)
    with ambient:
        model = load_model(net, preprocess=plain)
        compared = compare(shown, {"mine": model, "named": "demo_resnet"}, size=64, progress=False)
        agreed = compare(shown, model, target="consensus", progress=False)
        measured = metrics.faithfulness(
            compared,
            {"mine": model, "named": "demo_resnet"},
            figures=("insertion", "randomisation"),
        )
        checked = metrics.sanity_check(shown, model, shares=[1.0])
    cells = [*compared.cells, *agreed.cells]
    return [
        *(cell.heatmap for cell in cells),
        np.array([cell.predicted_probability for cell in cells]),
        *measured.samples.values(),
        checked.similarity,
    ]


@pytest.fixture(scope="module")
def undisturbed() -> tuple[nn.Module, list[np.ndarray]]:
    torch.manual_seed(0)
    net = ConvNet()
    return net, numbers(nullcontext(), net)


@pytest.mark.parametrize("state", core(AMBIENT, {"autocast", "bfloat16", "set meta", "inference"}))
def test_settings_of_torch_that_the_caller_chose_change_no_number(
    undisturbed: tuple[nn.Module, list[np.ndarray]], state: str
) -> None:
    net, expected = undisturbed
    before = torch.get_default_dtype(), torch.get_default_device()
    for found, known in zip(numbers(AMBIENT[state](), net), expected, strict=True):
        np.testing.assert_array_equal(found, known)
    assert (torch.get_default_dtype(), torch.get_default_device()) == before


def test_a_network_of_the_callers_default_type_runs_with_it() -> None:
    class MakesTensors(ColourNet):
        def forward(self, images: Tensor) -> Tensor:
            mixed = torch.eye(3) @ self.features(images).mean((2, 3)).T
            scores: Tensor = self.head(mixed.T)
            return scores

    pictures = [each.image for each in scenes(1, 3)]
    with default_dtype(torch.float64):
        model = load_model(MakesTensors().double(), preprocess=Preprocess(size=32))
        found = compare(pictures, model, progress=False)
    expected = compare(pictures, load_model(ColourNet(), preprocess=Preprocess(size=32)))
    np.testing.assert_allclose(found.cells[0].heatmap, expected.cells[0].heatmap, rtol=1e-5)


def test_a_module_on_the_meta_device_is_refused() -> None:
    with torch.device("meta"):
        net = ConvNet()
    with pytest.raises(
        ModelError, match=r"ConvNet has weights on the meta device, which holds sha"
    ):
        compare(scenes(1, 3), net, progress=False)
    sketch = load_model("resnet18", pretrained=False, device="meta")
    with pytest.raises(ModelError, match=r"resnet18 has weights on the meta device"):
        compare(scenes(1, 3), sketch, progress=False)


@pytest.mark.parametrize(
    ("precision", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_weights_are_cast_once_to_the_type_in_which_autocast_multiplies(
    precision: Precision, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    net = ConvNet().eval().requires_grad_(False)
    model = load_model(net, preprocess=Preprocess(size=32))
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with explaining(model, precision=precision) as explain:
        before = explain(images, ["gradcam", "scorecam"], [0, 1])
    cast_weights(net, precision)
    assert net.fc.weight.dtype == net.features[0].weight.dtype == dtype
    assert net.features[1].weight.dtype == torch.float32, "autocast normalises in float32"
    with explaining(model, precision=precision) as explain:
        after = explain(images, ["gradcam", "scorecam"], [0, 1])
    for method, heat in before.maps.items():
        assert heat.max() > 0
        np.testing.assert_allclose(after.maps[method], heat, rtol=0, atol=1e-6 * heat.max())


def test_only_own_copies_get_such_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    cast: list[nn.Module] = []
    monkeypatch.setattr(lighten_module, "cast_weights", lambda module, _: cast.append(module))
    own = load_model("demo_resnet", device="cpu")
    photos = scenes(1, size=112)
    compare(photos, ["demo_resnet", own], precision="bf16")
    assert len(cast) == 1
    assert cast[0] is not own.module
    assert own.dtype == torch.float32

"""How much more complex maps get when all weights are shuffled."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from torch.nn import functional

from effcam import Model, Preprocess
from effcam.cam.explain import compute_cams
from effcam.demo import scenes
from effcam.errors import ArgumentError, ImageError
from effcam.images.discovery import iter_images
from effcam.metrics import ComplexityRise, efficient_mprt
from effcam.metrics.complexity_rise import map_complexity
from effcam.metrics.randomisation import shuffle_from_top
from effcam.models.loading import load_model
from tests.nets import ConvNet

SIZE = 32
# Quantus 0.6 has invalid escapes such as "\e" in docstrings; Python warns when it compiles them.
imports_quantus = pytest.mark.filterwarnings("ignore:.*invalid escape sequence")


@pytest.fixture
def model() -> Model:
    torch.manual_seed(2)
    return load_model(ConvNet().eval(), preprocess=Preprocess(size=SIZE, resize=SIZE))


def enlarged(maps: Any) -> Any:
    tensor = torch.as_tensor(maps)[:, None]
    return functional.interpolate(tensor, (SIZE, SIZE), mode="bilinear")[:, 0].double().numpy()


def test_complexity_in_closed_form() -> None:
    maps = np.zeros((3, 4, 4), np.float32)
    maps[0].flat = np.arange(16)  # as many bins as values, one in each
    maps[1, :2] = 7  # half and half
    maps[2, 0, 0] = 0.5  # one of 16
    found = map_complexity(maps, (4, 4), bins=16)
    few = -(np.log(1 / 16) / 16 + 15 / 16 * np.log(15 / 16))
    np.testing.assert_allclose(found, [np.log(16), np.log(2), few])


def test_complexity_ignores_the_scale_of_a_map() -> None:
    maps = np.random.default_rng(0).random((3, 7, 7)).astype(np.float32)
    once = map_complexity(maps, (SIZE, SIZE))
    # A value on the edge of a bin may fall into the next one by rounding.
    np.testing.assert_allclose(map_complexity(maps * 37, (SIZE, SIZE)), once, rtol=0.01)
    assert (once < np.log(100)).all()


def test_constant_maps_have_no_complexity_even_after_rounding() -> None:
    maps = np.full((2, 3, 3), 0.1, np.float32)
    maps[1, 0, 0] = np.nextafter(np.float32(0.1), np.float32(1))
    assert np.isnan(map_complexity(maps, (SIZE, SIZE))).all()


@imports_quantus
def test_complexity_is_quantus_discrete_entropy() -> None:
    from quantus.functions.complexity_func import discrete_entropy

    maps = np.maximum(np.random.default_rng(0).normal(size=(4, 7, 7)), 0).astype(np.float32)
    for bins in (10, 100):
        expected = [discrete_entropy(each, each, n_bins=bins) for each in enlarged(maps)]
        np.testing.assert_allclose(map_complexity(maps, (SIZE, SIZE), bins), expected)


@imports_quantus
def test_the_rise_is_quantus_efficient_mprt_for_the_same_weights(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    import quantus
    from quantus.helpers.model.pytorch_model import PyTorchModel

    some = scenes(5, size=SIZE, seed=4)
    inputs = torch.stack([model.preprocess(each.open())[0] for each in iter_images(some)])
    targets = compute_cams(model, inputs, ("gradcam",)).targets
    found = efficient_mprt(some, model, batch_size=2, seed=3)

    with shuffle_from_top(model, 1.0, seed=3).in_place():
        random = copy.deepcopy(model.module)

    def layers(*_: Any, **__: Any) -> Iterator[tuple[str, Any]]:
        """Yield one state: the module with all of its weights shuffled as effcam does it."""
        yield "all", random

    def explain(model: Any, inputs: Any, targets: Any, **_: Any) -> Any:
        explained = own if model is not random else of_random
        return enlarged(maps_of(explained, torch.as_tensor(inputs), targets))[:, None]

    def maps_of(explained: Model, inputs: Any, targets: Any) -> Any:
        return compute_cams(explained, inputs, ("gradcam",), list(targets)).maps["gradcam"]

    own, of_random = model, load_model(random, preprocess=model.preprocess)
    monkeypatch.setattr(PyTorchModel, "get_random_layer_generator", layers)
    monkeypatch.setattr(PyTorchModel, "random_layer_generator_length", 1)
    metric = quantus.EfficientMPRT(disable_warnings=True, normalise=False, abs=False)
    expected = metric(
        model.module,
        inputs.numpy(),
        targets,
        a_batch=enlarged(maps_of(own, inputs, targets))[:, None],
        explain_func=explain,
        channel_first=True,
        device="cpu",
    )
    np.testing.assert_allclose(found.rise, expected)


def test_the_rise_is_that_of_a_loop(model: Model) -> None:
    some = scenes(5, size=SIZE, seed=4)
    inputs = torch.stack([model.preprocess(each.open())[0] for each in iter_images(some)])
    found = efficient_mprt(some, model, bins=20, batch_size=2, seed=3)
    own = compute_cams(model, inputs, ("gradcam",))
    shuffled = shuffle_from_top(model, 1.0, seed=3)
    with shuffled.in_place():
        after = compute_cams(model, inputs, ("gradcam",), own.targets.tolist())
    one, other = (
        np.array(
            [
                scipy.stats.entropy(np.histogram(each, 20)[0])
                for each in enlarged(cams.maps["gradcam"])
            ]
        )
        for cams in (own, after)
    )
    np.testing.assert_allclose(found.before, one)
    np.testing.assert_allclose(found.after, other)
    np.testing.assert_allclose(found.rise, other / one - 1)
    assert found.layers == len(shuffled.layers) == 4
    assert np.ptp(found.rise) > 0.01


def test_the_result_is_printed_with_its_interval() -> None:
    before = np.linspace(1, 2, 8)
    lines = str(ComplexityRise("mine", "gradcam", 4, before, before * 1.5)).splitlines()
    assert lines[0] == "mine, gradcam"
    assert lines[2].split()[:2] == ["complexity", "1.50"]
    assert lines[3].startswith("all shuffled (4)")
    assert lines[4].split() == ["rise", "0.50", *["none:", "all", "values", "are", "equal"]]
    lines = str(ComplexityRise("mine", "gradcam", 4, before, before**2)).splitlines()
    assert float(lines[4].split()[2].strip("[,")) < (before - 1).mean()
    few = str(ComplexityRise("mine", "gradcam", 4, before[:3], before[:3]))
    assert "none: fewer than 6 images" in few


def test_a_map_that_is_lost_leaves_no_rise() -> None:
    found = ComplexityRise("mine", "gradcam", 4, np.array([np.nan, 2, 2]), np.array([1, np.nan, 3]))
    np.testing.assert_allclose(found.rise, [np.nan, np.nan, 0.5])


def test_impossible_arguments_are_refused(model: Model) -> None:
    with pytest.raises(ArgumentError, match="bins must be a whole number from 2, not 1"):
        efficient_mprt(scenes(1, size=SIZE), model, bins=1)
    with pytest.raises(ImageError, match="no images"):
        efficient_mprt([], model)

"""Score-CAM's kin and Smooth Grad-CAM++: parity with torch-cam, samples, and fewer channels."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchcam.methods import ISCAM, SSCAM, ScoreCAM, SmoothGradCAMpp

from effcam import Preprocess, compare, load_model
from effcam.cam.explain import compute_cams
from effcam.cam.methods import score_masks, smooth_gradients
from effcam.cam.methods.channels import strongest, weigh
from effcam.cam.methods.fusion import scaled
from effcam.cam.methods.options import MethodOptions
from effcam.demo import scenes
from effcam.errors import ArgumentError
from tests.nets import ConvNet

if TYPE_CHECKING:
    from effcam import Model

SIZE = 32
TARGETS = [4, 0, 2]
BY_CHANNEL = ("scorecam", "sscam", "iscam", "ablationcam")


class Net(ConvNet):
    """A net of 12 channels that are not negative; three of them see nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.features.append(nn.ReLU())
        with torch.no_grad():
            self.features[3].bias[[0, 5, 7]] = -10.0
            self.fc.weight *= 30

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.fc(self.features(images).mean((2, 3)).square())
        return scores


@pytest.fixture
def model() -> Model:
    torch.manual_seed(0)
    return load_model(Net().eval(), preprocess=Preprocess(size=SIZE), target_layer="features")


def images(count: int = 3) -> Tensor:
    return torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(3))


def heat(model: Model, method: str, batch: Tensor, **options: Any) -> Tensor:
    found = compute_cams(model, batch, [method], TARGETS[: len(batch)], MethodOptions(**options))
    return torch.from_numpy(found.maps[method])


def theirs(peer: Any, model: Model, batch: Tensor) -> Tensor:
    """Return torch-cam's maps, scaled to [0, 1]."""
    with peer:
        scores = model.module(batch)
        (found,) = peer(TARGETS[: len(batch)], scores)
    return torch.as_tensor(found).detach()


def assert_close(first: Tensor, second: Tensor, atol: float = 1e-5) -> None:
    torch.testing.assert_close(first, second, atol=atol, rtol=1e-5)


# parity with torch-cam


class Drawn:
    """Gives torch-cam effcam's noise, sample by sample."""

    def __init__(self, batch: Tensor) -> None:
        self._batch, self._sample = batch, 0

    def sample(self, size: torch.Size) -> Tensor:
        noise = score_masks.mask_noise(self._batch, self._sample)
        self._sample += 1
        return noise.expand(size)


def test_sscam_is_torchcams_with_the_same_noise(model: Model) -> None:
    batch = images()
    peer = SSCAM(model.module, "features", 32, 4, input_shape=(3, SIZE, SIZE))
    peer._distrib = Drawn(batch)
    assert_close(scaled(heat(model, "sscam", batch, samples=4)), theirs(peer, model, batch))


def test_iscam_is_torchcams_but_for_the_strengths(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = images()
    peer = ISCAM(model.module, "features", 32, 5, input_shape=(3, SIZE, SIZE))
    expected = theirs(peer, model, batch)
    own = scaled(heat(model, "iscam", batch, samples=5))
    # torch-cam adds up the strengths: its strongest mask is three times the image.
    strengths = list(accumulate(score_masks.mask_strengths(5)))
    assert strengths[-1] == pytest.approx(3)
    monkeypatch.setattr(score_masks, "mask_strengths", lambda _: strengths)
    assert_close(scaled(heat(model, "iscam", batch, samples=5)), expected)
    assert not torch.allclose(own, expected, atol=1e-3)


def test_one_step_of_iscam_is_torchcams_scorecam(model: Model) -> None:
    batch = images()
    peer = ScoreCAM(model.module, "features", 32, input_shape=(3, SIZE, SIZE))
    assert_close(scaled(heat(model, "iscam", batch, samples=1)), theirs(peer, model, batch))


def test_smoothgradcam_plus_plus_without_noise_is_torchcams_and_gradcam_plus_plus(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    pooled = ConvNet().eval()
    pooled.features.append(nn.ReLU())
    model = load_model(pooled, preprocess=Preprocess(size=SIZE), target_layer="features")
    batch = images()
    monkeypatch.setattr(smooth_gradients, "noise_of", lambda _: lambda rows, _at: batch[rows])
    found = heat(model, "smoothgradcam++", batch, samples=3)
    assert_close(found, heat(model, "gradcam++", batch))
    monkeypatch.setattr(smooth_gradients, "EPSILON", 1e-8)
    found = heat(model, "smoothgradcam++", batch, samples=3)
    # Its sum of gradients times activations is the product only of gradients that are the same
    # at every cell, and its map is of the last noisy copy.
    peer = SmoothGradCAMpp(pooled, "features", num_samples=3, std=1e-9, input_shape=(3, SIZE, SIZE))
    assert_close(scaled(found), theirs(peer, model, batch), 1e-4)


# samples


def test_smoothgradcam_plus_plus_has_mean_powers_of_gradients(model: Model) -> None:
    batch = images()
    first, again, more = (heat(model, "smoothgradcam++", batch, samples=n) for n in (8, 8, 9))
    assert torch.equal(first, again)
    assert not torch.allclose(first, more)
    assert_close(heat(model, "smoothgradcam++", batch[:1], samples=8)[0], first[0])


def test_other_methods_of_a_batch_read_its_own_activations(model: Model) -> None:
    batch = images()
    methods = ["smoothgradcam++", "ablationcam", "gradcam", "iscam"]
    together = compute_cams(model, batch, methods, TARGETS, MethodOptions(samples=3))
    for method in methods:
        options = {} if method in ("ablationcam", "gradcam") else {"samples": 3}
        alone = heat(model, method, batch, **options)
        assert_close(alone, torch.from_numpy(together.maps[method]))


def test_channels_that_see_nothing_share_one_run(model: Model) -> None:
    batch, runs = images(), []
    handle = model.module.register_forward_hook(lambda _module, args, _: runs.append(len(args[0])))
    heat(model, "scorecam", batch)
    handle.remove()
    with torch.no_grad():
        features = model.module.features(batch)
    seeing = int((features.amax((2, 3)) > 0).sum())
    assert seeing <= 3 * 9
    # The pass of the batch, the channels that see something, and one blank image for each.
    assert sum(runs) == 3 + seeing + 3


# fewer channels


def test_the_strongest_channels_are_those_of_the_highest_mean() -> None:
    activations = torch.zeros(2, 5, 2, 2)
    activations[0, :, 0, 0] = torch.tensor([1.0, 3.0, -9.0, 2.0, 0.0])
    activations[1, :, 0, 0] = torch.tensor([0.0, 0.0, 5.0, 0.0, 6.0])
    assert strongest(activations, 2).tolist() == [[1, 3], [2, 4]]
    assert strongest(activations, 3).tolist() == [[0, 1, 3], [0, 2, 4]]
    for most in (None, 5, 99):
        assert strongest(activations, most).tolist() == [[0, 1, 2, 3, 4]] * 2


@pytest.mark.parametrize("method", BY_CHANNEL)
def test_only_the_strongest_channels_are_used(model: Model, method: str) -> None:
    batch = images()
    options: dict[str, Any] = {"samples": 3} if method in ("sscam", "iscam") else {}
    runs: list[int] = []
    handle = model.module.fc.register_forward_hook(lambda _m, args, _: runs.append(len(args[0])))
    found = heat(model, method, batch, channels=4, **options)
    handle.remove()
    rounds = options.get("samples", 1)
    # The batch itself, four channels, and a blank or whole image for each.
    assert sum(runs) <= 3 + rounds * (3 * 4 + 3)
    whole = heat(model, method, batch, **options)
    assert not torch.allclose(found, whole)
    assert_close(heat(model, method, batch, channels=12, **options), whole)


def test_ablation_of_some_channels_is_that_of_all_without_the_others(model: Model) -> None:
    batch = images(1)
    with torch.no_grad():
        features = model.module.features(batch)
        scores = model.module.fc(features.mean((2, 3)).square())[0, 4]
        weights = features.mean((2, 3)).square() * model.module.fc.weight[4] / scores
    used = strongest(features, 5)
    expected = weigh(weights.gather(1, used), used, features).sum(1).clamp(min=0)
    assert_close(heat(model, "ablationcam", batch, channels=5), expected)


def test_channels_are_an_option_of_these_methods_alone(model: Model) -> None:
    found = compare(scenes(1), model, method=["scorecam", "gradcam"], channels=3, progress=False)
    assert found.settings["channels"] == 3
    with pytest.raises(ArgumentError, match="channels is for methods of a pass for each channel"):
        compare(scenes(1), model, method="gradcam", channels=3, progress=False)
    assert np.isfinite(found[0, 0].heatmap).all()

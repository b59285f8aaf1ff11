"""The sanity check of maps averaged over noisy copies, compared with the same steps by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch

import effcam
from effcam import Model, Preprocess
from effcam.cam.explain import compute_cams
from effcam.demo import scenes
from effcam.errors import ArgumentError, ImageError
from effcam.images.discovery import iter_images
from effcam.metrics import sanity_check, smooth_mprt
from effcam.metrics.randomisation import shuffle_from_top
from effcam.metrics.smooth_sanity import noisy
from effcam.models.loading import load_model
from tests.nets import ColourNet, ConvNet

SIZE = 32


@pytest.fixture
def model() -> Model:
    torch.manual_seed(2)
    return load_model(ConvNet().eval(), preprocess=Preprocess(size=SIZE, resize=SIZE))


def inputs_of(model: Model, some: Any) -> torch.Tensor:
    return torch.stack([model.preprocess(each.open())[0] for each in iter_images(some)])


def test_noise_has_the_given_share_of_each_images_range() -> None:
    images = torch.rand(2, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    images[1] *= 10
    first, second = (each - images for each in noisy(2, 0.1, 5)(images))
    for at in range(2):
        spread = float(images[at].max() - images[at].min())
        # The standard deviation of 4800 numbers has an error of 1 %.
        assert float(first[at].std()) == pytest.approx(0.1 * spread, rel=0.05)
    assert not torch.allclose(first, second)
    again = next(iter(noisy(2, 0.1, 5)(images[1:]))) - images[1:]
    torch.testing.assert_close(again, first[1:], atol=1e-6, rtol=0)


def test_the_smooth_check_is_that_of_a_loop(model: Model) -> None:
    some = scenes(3, size=SIZE, seed=4)
    found = smooth_mprt(some, model, shares=[0.5, 1.0], samples=4, noise=0.3, batch_size=2, seed=9)
    inputs = inputs_of(model, some)
    targets = compute_cams(model, inputs, ("gradcam",)).targets.tolist()

    def mean_maps() -> Any:
        draw = torch.Generator().manual_seed(9)
        maps = []
        for _ in range(4):
            noise = torch.randn(3, SIZE, SIZE, generator=draw)
            spread = inputs.flatten(1).amax(1) - inputs.flatten(1).amin(1)
            changed = inputs + 0.3 * spread[:, None, None, None] * noise
            maps.append(compute_cams(model, changed, ("gradcam",), targets).maps["gradcam"])
        return np.mean(maps, axis=0)

    own = mean_maps()
    for stage, share in enumerate((0.5, 1.0)):
        with shuffle_from_top(model, share, seed=9).in_place():
            after = mean_maps()
        expected = [
            scipy.stats.spearmanr(one, other, axis=None).statistic
            for one, other in zip(own, after, strict=True)
        ]
        np.testing.assert_allclose(found.similarity[:, stage], expected, atol=1e-5)
    assert found.layers[0] < found.layers[1]
    assert np.ptp(found.similarity) > 0.01


def test_a_little_noise_leaves_the_plain_check(model: Model) -> None:
    some = scenes(3, size=SIZE, seed=4)
    smooth = smooth_mprt(some, model, shares=[1.0], samples=2, noise=1e-9)
    plain = sanity_check(some, model, shares=[1.0])
    np.testing.assert_allclose(smooth.similarity, plain.similarity, atol=1e-3)
    assert (plain.samples, smooth.samples) == (0, 2)
    assert "noisy" not in str(plain)
    assert str(smooth).splitlines()[0].endswith("gradcam, means of 2 noisy inputs")


def test_a_model_without_evidence_of_its_own_has_no_similarity() -> None:
    net = ColourNet()
    with torch.no_grad():
        net.head.weight.mul_(-1)
    # The brighter the image, the less of any class there is: no positive evidence anywhere.
    preprocess = Preprocess(size=SIZE, resize=SIZE, mean=(0, 0, 0), std=(1, 1, 1))
    negative = load_model(net, preprocess=preprocess)
    found = smooth_mprt(scenes(2, size=SIZE), negative, shares=[1.0], samples=2, noise=1e-6)
    assert np.isnan(found.similarity).all()


def test_the_model_is_left_as_it_was(model: Model) -> None:
    before = {name: each.clone() for name, each in model.module.state_dict().items()}
    smooth_mprt(scenes(2, size=SIZE), model, shares=[1.0], samples=2)
    for name, each in model.module.state_dict().items():
        assert torch.equal(each, before[name])


def test_impossible_arguments_are_refused(model: Model) -> None:
    some = scenes(1, size=SIZE)
    with pytest.raises(ArgumentError, match="shares must be one or more"):
        smooth_mprt(some, model, shares=[])
    with pytest.raises(ArgumentError, match="samples must be a whole number from 1, not 0"):
        smooth_mprt(some, model, samples=0)
    for noise in (0, -1, float("nan")):
        with pytest.raises(ArgumentError, match="noise must be a number above 0, not"):
            smooth_mprt(some, model, noise=noise)
    with pytest.raises(ImageError, match="no images"):
        smooth_mprt([], model)
    with pytest.raises(effcam.errors.TargetError, match="explains the class that is predicted"):
        smooth_mprt(some, "demo_clip")

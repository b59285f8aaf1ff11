"""How much maps change when the image gets a little noise, or is shifted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor, nn

from effcam.errors import ArgumentError
from effcam.metrics.input_stability import max_sensitivity, shift_stability, shifted

# Quantus 0.6 has invalid escapes such as "\e" in docstrings; Python warns when it compiles them.
imports_quantus = pytest.mark.filterwarnings("ignore:.*invalid escape sequence")
BOTH = pytest.mark.parametrize("figure", [max_sensitivity, shift_stability])


def some_images(count: int = 3, height: int = 12, width: int = 17) -> Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(0))


def brightness(images: Tensor) -> Tensor:
    return images.mean(1)


def blurred(images: Tensor) -> Tensor:
    """Maps that are positive and depend on a pixel's surroundings."""
    return nn.functional.avg_pool2d(images.exp().mean(1, keepdim=True), 5, 1, 2)[:, 0]


# noise


def test_the_sensitivity_of_a_linear_map_is_that_of_its_noise() -> None:
    images = some_images()
    found = max_sensitivity(brightness, images, radius=0.5, samples=4, seed=7)
    draw = torch.Generator().manual_seed(7)
    noise = [torch.rand(3, 12, 17, generator=draw) - 0.5 for _ in range(4)]
    largest = max(float(each.mean(0).norm()) for each in noise)
    expected = [largest / float(brightness(image[None]).norm()) for image in images]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found.shape == (3,)
    assert found.dtype == np.float64


def test_the_sensitivity_grows_with_the_radius_and_the_samples() -> None:
    images = some_images()
    small = max_sensitivity(blurred, images, radius=0.1, samples=3)
    np.testing.assert_array_less(small, max_sensitivity(blurred, images, radius=0.2, samples=3))
    more = max_sensitivity(blurred, images, radius=0.1, samples=9)
    assert (more >= small).all()
    assert (more > small).any()


def test_maps_that_ignore_the_image_have_no_sensitivity() -> None:
    fixed = torch.rand(12, 17, generator=torch.Generator().manual_seed(1))
    assert (
        max_sensitivity(lambda images: fixed.expand(len(images), -1, -1), some_images()) == 0
    ).all()


@imports_quantus
def test_the_sensitivity_is_quantus_for_the_same_noise() -> None:
    import quantus

    images = some_images()
    draw = torch.Generator().manual_seed(3)

    def noisy(arr: Any, **_: Any) -> Any:
        noise = 0.2 * (2 * torch.rand(3, 12, 17, generator=draw) - 1)
        return (
            (torch.from_numpy(arr).reshape(images.shape) + noise).reshape(len(images), -1).numpy()
        )

    metric = quantus.MaxSensitivity(
        nr_samples=6, perturb_func=noisy, lower_bound=0.2, abs=False, normalise=False,
        disable_warnings=True,
    )  # fmt: skip
    expected = metric(
        nn.Flatten(),
        images.numpy(),
        np.zeros(len(images), int),
        explain_func=lambda inputs, **_: blurred(torch.as_tensor(inputs)).numpy()[:, None],
        channel_first=True,
        device="cpu",
    )
    found = max_sensitivity(blurred, images, radius=0.2, samples=6, seed=3)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found.min() > 0.01


def test_sensitivity_is_the_same_each_time_and_leaves_torchs_random_state() -> None:
    images = some_images()
    torch.manual_seed(3)
    expected = torch.rand(5)
    torch.manual_seed(3)
    once = max_sensitivity(blurred, images)
    assert torch.equal(torch.rand(5), expected)
    np.testing.assert_array_equal(max_sensitivity(blurred, images), once)
    alone = [max_sensitivity(blurred, image[None])[0] for image in images]
    np.testing.assert_allclose(once, alone, rtol=1e-6)
    assert (max_sensitivity(blurred, images, seed=1) != once).all()


@pytest.mark.parametrize("radius", [0, -0.1, float("nan"), float("inf")])
def test_impossible_radii_are_refused(radius: float) -> None:
    with pytest.raises(ArgumentError, match="radius must be a number above 0, not"):
        max_sensitivity(blurred, some_images(), radius=radius)


# shifts


@pytest.mark.parametrize(("down", "across"), [(0, 3), (0, -3), (2, 0), (-2, 0)])
def test_a_shifted_image_continues_its_edges(down: int, across: int) -> None:
    images = some_images(1, 6, 8)
    found = shifted(images, down, across)
    for y, x in np.ndindex(6, 8):
        source = min(max(y - down, 0), 5), min(max(x - across, 0), 7)
        assert torch.equal(found[0, :, y, x], images[0, :, source[0], source[1]])


@pytest.mark.parametrize("shift", [1, 4, 9])
def test_maps_of_single_pixels_move_with_the_image(shift: int) -> None:
    np.testing.assert_allclose(shift_stability(brightness, some_images(), shift=shift), 1)


def test_a_map_that_stays_where_it_is_has_the_correlation_with_its_shifted_self() -> None:
    fixed = torch.rand(12, 17, generator=torch.Generator().manual_seed(1))
    found = shift_stability(
        lambda images: fixed.expand(len(images), -1, -1), some_images(), shift=5
    )
    heat = fixed.numpy()
    pairs = [(heat[:, :-5], heat[:, 5:]), (heat[:-5], heat[5:])]
    values = [scipy.stats.spearmanr(one, other, axis=None).statistic for one, other in pairs]
    np.testing.assert_allclose(found, np.mean(values))
    assert abs(found[0]) < 0.5


def test_shift_stability_is_that_of_a_loop() -> None:
    images = some_images()

    def coarse(some: Tensor) -> Tensor:
        """Maps of blocks of 4 x 4 px, which cannot follow a shift of 2 px."""
        pooled = nn.functional.avg_pool2d(some.mean(1, keepdim=True), 4, 4, ceil_mode=True)
        return nn.functional.interpolate(pooled, scale_factor=4)[:, 0, :12, :17]

    found = shift_stability(coarse, images, shift=2)
    own = coarse(images).numpy()
    expected = np.zeros(3)
    for axis, step in ((1, 2), (1, -2), (2, 2), (2, -2)):
        moved = coarse(shifted(images, *((step, 0) if axis == 1 else (0, step)))).numpy()
        back = np.roll(moved, -step, axis)
        common = slice(None, -2) if step > 0 else slice(2, None)
        window = (slice(None), common) if axis == 1 else (slice(None), slice(None), common)
        for at in range(3):
            pair = own[window][at], back[window][at]
            expected[at] += scipy.stats.spearmanr(*pair, axis=None).statistic / 4
    np.testing.assert_allclose(found, expected)
    assert (found < 0.9).all()
    np.testing.assert_array_less(found, shift_stability(coarse, images, shift=4))


@pytest.mark.parametrize("shift", [0, -1, 12, 2.5])
def test_impossible_shifts_are_refused(shift: Any) -> None:
    with pytest.raises(ArgumentError, match="shift must be a whole number from 1 to 11, not"):
        shift_stability(brightness, some_images(), shift=shift)


# both


@BOTH
@pytest.mark.parametrize("value", [0.0, 0.4, float("nan"), float("inf")])
def test_a_map_without_evidence_has_no_stability(figure: Callable[..., Any], value: float) -> None:
    def explain(images: Tensor) -> Tensor:
        heats = blurred(images).clone()
        heats[1] = value
        return heats

    assert np.isnan(figure(explain, some_images())).tolist() == [False, True, False]


@BOTH
def test_a_map_lost_on_the_way_leaves_no_figure(figure: Callable[..., Any]) -> None:
    calls = []

    def explain(images: Tensor) -> Tensor:
        calls.append(images)
        heats = blurred(images).clone()
        if len(calls) == 3:
            heats[2] = float("nan")
        return heats

    assert np.isnan(figure(explain, some_images())).tolist() == [False, False, True]


@BOTH
def test_maps_and_images_of_other_shapes_are_refused(figure: Callable[..., Any]) -> None:
    with pytest.raises(ArgumentError, match=r"images are \(B, channels, height, width\), not"):
        figure(brightness, some_images()[0])
    with pytest.raises(ArgumentError, match=r"maps of its images, \(3, 12, 17\), not \(3, 6, 17\)"):
        figure(lambda images: brightness(images)[:, ::2], some_images())

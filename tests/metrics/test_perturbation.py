"""How a model's output changes when parts of an image are removed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.ndimage
import torch
from pytorch_grad_cam.metrics import road as grad_cam_road
from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget
from torch import Tensor, nn

from effcam import metrics
from effcam.errors import ArgumentError
from effcam.metrics import perturbation
from effcam.metrics.confidence_change import masked
from effcam.metrics.road_imputation import fill_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

CLASSES = 5
TARGETS = (3, 0, 4)


@pytest.fixture
def network() -> nn.Module:
    """A network whose target layer is as large as its input and positive everywhere."""
    torch.manual_seed(1)
    layers = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, padding_mode="reflect"),
        nn.Softplus(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, CLASSES),
    )
    with torch.no_grad():
        layers[0].weight.mul_(3)
        layers[4].weight.abs_().mul_(3)
    return layers.eval()


@pytest.fixture
def predict(network: nn.Module) -> Callable[[Tensor], Tensor]:
    def probabilities(images: Tensor) -> Tensor:
        with torch.no_grad():
            return network(images).softmax(1)

    return probabilities


def images_and_heats(height: int = 10, width: int = 10) -> tuple[Tensor, Tensor]:
    """Three images, and maps of their brightness without equal values."""
    draw = torch.Generator().manual_seed(0)
    images = torch.randn(3, 3, height, width, generator=draw)
    # Smooth images, so that blurred ones still belong to some class.
    images = nn.functional.avg_pool2d(images, 3, 1, 1) * 3
    places = images.sum(1).flatten(1).argsort(1).argsort(1)
    return images, places.reshape(3, height, width) / (height * width)


def answer(predict: Callable[[Tensor], Tensor], image: Tensor, target: int) -> float:
    return float(predict(image[None])[0, target])


# confidence


@pytest.mark.parametrize(
    ("before", "after", "drop", "increase", "gain"),
    [
        (0.8, 0.2, 0.75, 0, 0),
        (0.2, 0.8, 0, 1, 0.75),
        (0.4, 0.4, 0, 0, 0),
        (0.5, 0, 1, 0, 0),
        (0, 1, 0, 1, 1),
        (1, 0.25, 0.75, 0, 0),
        (0, 0, 0, 0, 0),
        (1, 1, 0, 0, 0),
    ],
)
def test_confidence_in_closed_form(
    before: float, after: float, drop: float, increase: float, gain: float
) -> None:
    assert metrics.average_drop([before], [after]) == pytest.approx(drop)
    assert metrics.increase_in_confidence([before], [after]) == increase
    assert metrics.average_gain([before], [after]) == pytest.approx(gain)


CONFIDENCE = (metrics.average_drop, metrics.increase_in_confidence, metrics.average_gain)


@pytest.mark.parametrize("figure", CONFIDENCE, ids=lambda figure: figure.__name__)
def test_confidence_is_measured_for_each_image(figure: Callable[..., NDArray[np.float64]]) -> None:
    before, after = np.random.default_rng(0).random((2, 4, 3), dtype=np.float32)
    found = figure(before, after)
    assert found.shape == (4, 3)
    assert found.dtype == np.float64
    assert found[2, 1] == figure(before[2, 1], after[2, 1])
    with pytest.raises(ArgumentError, match=r"before and after differ in shape: \(4, 3\)"):
        figure(before, after[:3])


def test_masked_images_are_the_mean_colour_where_there_is_no_heat() -> None:
    images, heats = images_and_heats()
    heats[0, :5], heats[0, 5:] = 0, 1
    found = masked(images, heats.double())
    assert found.dtype == images.dtype
    assert (found[0, :, :5] == 0).all()
    assert torch.equal(found[0, :, 5:], images[0, :, 5:])
    assert found[1, 2, 3, 4] == images[1, 2, 3, 4] * heats[1, 3, 4]


def test_average_drop_and_increase_are_torchcams(
    network: nn.Module, predict: Callable[[Tensor], Tensor]
) -> None:
    from torchcam.methods import GradCAM
    from torchcam.metrics import ClassificationMetric

    images, _ = images_and_heats()
    targets, drops, increases = list(range(CLASSES)), [], []
    for target in targets:
        with GradCAM(network, target_layer="1") as extractor:
            metric = ClassificationMetric(extractor, partial(torch.softmax, dim=1))
            metric.update(images, target)
            expected = metric.summary()
            (heats,) = extractor(target, network(images).softmax(1))
        shown = masked(images, heats)
        before, after = predict(images)[:, target], predict(shown)[:, target]
        drops.append(metrics.average_drop(before, after).mean())
        increases.append(metrics.increase_in_confidence(before, after).mean())
        # torchcam adds 1e-7 to what it divides by.
        assert drops[-1] == pytest.approx(expected["avg_drop"], abs=1e-5)
        assert increases[-1] == pytest.approx(expected["conf_increase"])
    assert max(drops) > 0.1
    assert 0 < np.mean(increases) < 1


# baselines


def test_the_mean_colour_is_0() -> None:
    images, _ = images_and_heats()
    assert torch.equal(perturbation.make_baseline(images, "mean"), torch.zeros_like(images))


@pytest.mark.parametrize(("height", "width"), [(40, 64), (64, 40), (20, 20), (3, 5)])
def test_the_blur_is_scipys_gaussian_of_a_twentieth_of_the_shorter_side(
    height: int, width: int
) -> None:
    images, _ = images_and_heats(height, width)
    sigma = 0.05 * min(height, width)
    radius = round(3 * sigma)
    found = perturbation.make_baseline(images, "blur")
    assert found.dtype == images.dtype
    for image, blurred in zip(images.numpy(), found.numpy(), strict=True):
        for channel, expected in zip(image, blurred, strict=True):
            once = scipy.ndimage.gaussian_filter(channel, sigma, mode="mirror", radius=radius)
            np.testing.assert_allclose(expected, once, atol=1e-5)


def test_a_single_pixel_is_blurred_into_itself() -> None:
    images = torch.randn(2, 3, 1, 1)
    torch.testing.assert_close(perturbation.make_baseline(images, "blur"), images)


def test_an_even_image_is_its_own_blur() -> None:
    images = torch.full((1, 3, 30, 20), 0.7)
    torch.testing.assert_close(perturbation.make_baseline(images, "blur"), images)


@pytest.mark.parametrize("curve", [metrics.insertion, metrics.deletion])
def test_other_baselines_are_refused(
    curve: Callable[..., Any], predict: Callable[[Tensor], Tensor]
) -> None:
    with pytest.raises(ArgumentError, match="baseline must be 'blur', 'mean' or 'image_mean'"):
        curve(predict, *images_and_heats(), TARGETS, baseline="black")


# insertion and deletion


@pytest.mark.parametrize(
    ("height", "width", "steps"), [(10, 10, 8), (9, 7, 5), (10, 10, 1), (3, 2, 9)]
)
@pytest.mark.parametrize("baseline", ["mean", "blur"])
def test_insertion_and_deletion_are_those_of_a_loop(
    predict: Callable[[Tensor], Tensor], height: int, width: int, steps: int, baseline: Any
) -> None:
    images, heats = images_and_heats(height, width)
    empty = perturbation.make_baseline(images, baseline)
    inserted, deleted = [], []
    for image, blank, heat, target in zip(images, empty, heats, TARGETS, strict=True):
        pixels = sorted(np.ndindex(height, width), key=lambda at: -float(heat[at]))
        curves = [], []
        for step in range(steps + 1):
            there, gone = blank.clone(), image.clone()
            for row, column in pixels[: round(step / steps * height * width)]:
                there[:, row, column] = image[:, row, column]
                gone[:, row, column] = blank[:, row, column]
            curves[0].append(answer(predict, there, target))
            curves[1].append(answer(predict, gone, target))
        for areas, curve in zip((inserted, deleted), curves, strict=True):
            areas.append(np.trapezoid(curve, dx=1 / steps))
    options = {"baseline": baseline, "steps": steps}
    found = metrics.insertion(predict, images, heats, TARGETS, **options)
    assert found.shape == (3,)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, inserted, atol=1e-6)
    np.testing.assert_allclose(
        metrics.deletion(predict, images, heats, TARGETS, **options), deleted, atol=1e-6
    )


def test_insertion_and_deletion_have_their_own_baselines_and_eight_steps(
    predict: Callable[[Tensor], Tensor],
) -> None:
    given = predict, *images_and_heats(), TARGETS
    inserted = metrics.insertion(*given, baseline="blur", steps=8)
    np.testing.assert_array_equal(metrics.insertion(*given), inserted)
    deleted = metrics.deletion(*given, baseline="mean", steps=8)
    np.testing.assert_array_equal(metrics.deletion(*given), deleted)


def test_an_output_proportional_to_the_rest_in_closed_form() -> None:
    def share(images: Tensor) -> Tensor:
        left = (images != 0).float().mean((1, 2, 3))
        return torch.stack([left, 1 - left], 1)

    images, heats = torch.ones(2, 3, 4, 6), images_and_heats(4, 6)[1][:2]
    for curve in (metrics.insertion, metrics.deletion):
        found = curve(share, images, heats, [0, 1], baseline="mean", steps=4)
        np.testing.assert_allclose(found, [0.5, 0.5])


def test_a_single_decisive_pixel_in_closed_form() -> None:
    def corner(images: Tensor) -> Tensor:
        there = (images[:, 0, 0, 0] != 0).float()
        return torch.stack([there, 1 - there], 1)

    images, heats = torch.ones(2, 3, 4, 5), torch.zeros(2, 4, 5)
    heats[0, 0, 0], heats[1] = 1, 1
    heats[1, 0, 0] = 0
    given = corner, images, heats, [0, 0]
    # It is in the first of five steps for one map and in the last for the other.
    options = {"baseline": "mean", "steps": 5}
    np.testing.assert_allclose(metrics.insertion(*given, **options), [0.9, 0.1])
    np.testing.assert_allclose(metrics.deletion(*given, **options), [0.1, 0.9])


def test_deleting_the_coldest_first_is_inserting_backwards(
    predict: Callable[[Tensor], Tensor],
) -> None:
    images, heats = images_and_heats()
    inserted = metrics.insertion(predict, images, heats, TARGETS, baseline="mean", steps=10)
    deleted = metrics.deletion(predict, images, -heats, TARGETS, baseline="mean", steps=10)
    np.testing.assert_allclose(inserted, deleted, atol=1e-6)


def test_a_removal_curve_runs_no_model_for_known_ends(
    predict: Callable[[Tensor], Tensor],
) -> None:
    images, heats = images_and_heats()
    asked = []

    def watched(some: Tensor) -> Tensor:
        asked.append(len(some))
        return predict(some)

    empty = torch.zeros_like(images)
    whole = perturbation.removal_curve(watched, images, empty, heats, TARGETS, steps=4)
    assert whole.shape == (3, 5)
    assert asked == [3] * 5
    for at, shown in ((0, images), (-1, empty)):
        expected = [answer(predict, *each) for each in zip(shown, TARGETS, strict=True)]
        np.testing.assert_allclose(whole[:, at], expected, rtol=1e-5)
    ends = torch.tensor([7.0, 8, 9]), torch.tensor([4.0, 5, 6])
    known = perturbation.removal_curve(watched, images, empty, heats, TARGETS, steps=4, ends=ends)
    assert asked == [3] * 8
    np.testing.assert_allclose(known[:, [0, -1]], [[7, 4], [8, 5], [9, 6]])
    np.testing.assert_array_equal(known[:, 1:-1], whole[:, 1:-1])


def test_area_under_is_numpys_trapezoid() -> None:
    curves = np.random.default_rng(0).random((2, 3, 7))
    expected = np.trapezoid(curves, dx=1 / 6, axis=-1)
    np.testing.assert_allclose(perturbation.area_under(curves), expected)


@pytest.mark.parametrize("figure", [metrics.insertion, metrics.deletion])
@pytest.mark.parametrize("steps", [0, -1, 2.0, True])
def test_impossible_steps_are_refused(
    figure: Callable[..., Any], steps: Any, predict: Callable[[Tensor], Tensor]
) -> None:
    with pytest.raises(ArgumentError, match="steps must be a whole number from 1, not"):
        figure(predict, *images_and_heats(), TARGETS, steps=steps)


REMOVALS = (metrics.insertion, metrics.deletion, partial(metrics.road, noise=0))
each_removal = pytest.mark.parametrize("figure", REMOVALS, ids=["insertion", "deletion", "road"])


@each_removal
def test_images_and_maps_that_do_not_fit_are_refused(
    figure: Callable[..., Any], predict: Callable[[Tensor], Tensor]
) -> None:
    images, heats = images_and_heats(10, 8)
    for wrong in (heats[:2], heats[:, :4], heats.transpose(1, 2), heats[:, None]):
        with pytest.raises(ArgumentError, match=r"maps \(B, height, width\), not \(3, 3, 10, 8\)"):
            figure(predict, images, wrong, TARGETS)
    with pytest.raises(ArgumentError, match="give one target per image, not 2 for 3"):
        figure(predict, images, heats, TARGETS[:2])


@each_removal
def test_a_batch_gives_the_measures_of_its_single_images(
    figure: Callable[..., Any], predict: Callable[[Tensor], Tensor]
) -> None:
    images, heats = images_and_heats()
    heats[1] = heats[1].round(decimals=1)  # many ties
    together = figure(predict, images, heats, TARGETS)
    alone = [float(figure(predict, images[[at]], heats[[at]], [TARGETS[at]])[0]) for at in range(3)]
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_deletion_and_insertion_are_torchcams(network: nn.Module) -> None:
    from torchcam.methods import GradCAM
    from torchcam.metrics import DeletionInsertionMetric

    images, _ = images_and_heats()
    with GradCAM(network, target_layer="1") as extractor:
        (heats,) = extractor(list(TARGETS), network(images))
        # No two pixels are equally hot: equal ones would go in another order. So use logits, whose
        # gradients are all above 0, as the layer's values are.
        assert all(len(heat.unique()) == 100 for heat in heats)
        metric = DeletionInsertionMetric(extractor, steps=10)
        metric.update(images, list(TARGETS))
    expected = metric.summary()
    logits = torch.no_grad()(network)
    options = {"baseline": "mean", "steps": 10}
    deleted = metrics.deletion(logits, images, heats, TARGETS, **options)
    inserted = metrics.insertion(logits, images, heats, TARGETS, **options)
    assert deleted.mean() == pytest.approx(expected["deletion_auc"], rel=1e-5)
    assert inserted.mean() == pytest.approx(expected["insertion_auc"], rel=1e-5)
    assert abs(deleted.mean() - inserted.mean()) > 0.01


# Quantus 0.6 has invalid escapes such as "\e" in docstrings; Python warns when it compiles them.
@pytest.mark.filterwarnings("ignore:.*invalid escape sequence")
def test_a_deletion_curve_is_quantus_pixel_flipping(
    network: nn.Module, predict: Callable[[Tensor], Tensor]
) -> None:
    import quantus

    images, heats = images_and_heats(10, 15)
    # A step takes ten pixels of three channels each.
    metric = quantus.PixelFlipping(features_in_step=30, perturb_baseline=0.0, disable_warnings=True)
    expected = metric(
        network,
        images.numpy(),
        np.array(TARGETS),
        a_batch=heats[:, None].expand(-1, 3, -1, -1).numpy().copy(),
        channel_first=True,
        softmax=True,
        device="cpu",
    )
    empty = torch.zeros_like(images)
    found = perturbation.removal_curve(predict, images, empty, heats, TARGETS, steps=15)
    np.testing.assert_allclose(found[:, 1:], expected, atol=1e-5)


# removing and filling in


class Noiseless(grad_cam_road.NoisyLinearImputer):
    def __init__(self) -> None:
        super().__init__(noise=0)


# grad-cam 1.5 passes a tensor to NumPy to find its zeros, at which NumPy 2 warns.
@pytest.mark.filterwarnings("ignore:__array_wrap__ must accept context:DeprecationWarning")
@pytest.mark.parametrize("removed", [[0.2], [0.2, 0.5], [0.1, 0.3, 0.7]])
def test_road_is_grad_cams(
    network: nn.Module,
    predict: Callable[[Tensor], Tensor],
    removed: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(grad_cam_road, "NoisyLinearImputer", Noiseless)
    images, heats = images_and_heats()
    combined = grad_cam_road.ROADCombined([100 * (1 - share) for share in removed])
    targets = [ClassifierOutputSoftmaxTarget(target) for target in TARGETS]
    expected = combined(images, heats.numpy(), targets, network)
    found = metrics.road(predict, images, heats, TARGETS, removed=removed, noise=0)
    assert found.shape == (3,)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(found).min() > 1e-3


def test_road_is_that_of_a_loop(predict: Callable[[Tensor], Tensor]) -> None:
    images, heats = images_and_heats(9, 7)
    expected = []
    for image, heat, target in zip(images, heats, TARGETS, strict=True):
        gaps = []
        for count in (13, 32):  # of 63 pixels, a fifth and a half
            order = np.argsort(heat.numpy().ravel())
            answers = []
            for gone in (order[:count], order[-count:]):
                missing = np.zeros(63, bool)
                missing[gone] = True
                filled = fill_in(image.numpy(), missing.reshape(9, 7))
                answers.append(answer(predict, torch.from_numpy(filled), target))
            gaps.append((answers[0] - answers[1]) / 2)
        expected.append(np.mean(gaps))
    found = metrics.road(predict, images, heats, TARGETS, noise=0)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(
        found, metrics.road(predict, images, heats, TARGETS, noise=0, removed=(0.2, 0.5))
    )


def test_road_of_the_opposite_map_is_the_opposite(predict: Callable[[Tensor], Tensor]) -> None:
    images, heats = images_and_heats()
    found = metrics.road(predict, images, heats, TARGETS, noise=0)
    opposite = metrics.road(predict, images, 1 - heats, TARGETS, noise=0)
    np.testing.assert_allclose(opposite, -found, atol=1e-6)


def test_road_adds_noise_of_the_given_spread_to_what_it_fills_in() -> None:
    images, heats = torch.zeros(2, 3, 40, 40), images_and_heats(40, 40)[1][:2]
    seen: list[Tensor] = []

    def watching(some: Tensor) -> Tensor:
        seen.append(some.clone())
        return torch.full((len(some), 2), 0.5)

    metrics.road(watching, images, heats, [0, 1], removed=[0.5], noise=0.3)
    hottest, coldest = seen
    for filled, gone in ((hottest, heats >= 0.5), (coldest, heats < 0.5)):
        at = gone[:, None].expand_as(filled)
        assert (filled[~at] == 0).all()
        # The standard deviation of 4800 numbers has an error of 1 %.
        assert filled[at].std() == pytest.approx(0.3, rel=0.05)
    metrics.road(watching, images, heats, [0, 1], removed=[0.5])
    assert seen[2][(heats >= 0.5)[:, None].expand_as(images)].std() == pytest.approx(0.01, rel=0.05)


def test_road_draws_the_same_noise_and_leaves_torchs_random_state(
    predict: Callable[[Tensor], Tensor],
) -> None:
    given = predict, *images_and_heats(), TARGETS
    torch.manual_seed(3)
    expected = torch.rand(5)
    torch.manual_seed(3)
    once = metrics.road(*given, noise=0.5)
    assert torch.equal(torch.rand(5), expected)
    np.testing.assert_array_equal(metrics.road(*given, noise=0.5), once)
    assert (metrics.road(*given, noise=0) != once).all()


@pytest.mark.parametrize("removed", [[], [0.2, 1], [0], [-0.5], [20]])
def test_impossible_shares_are_refused(
    removed: list[float], predict: Callable[[Tensor], Tensor]
) -> None:
    with pytest.raises(ArgumentError, match="removed must be shares between 0 and 1, not"):
        metrics.road(predict, *images_and_heats(), TARGETS, removed=removed)


# order


def test_ranks_are_places_by_heat() -> None:
    heats = torch.tensor([[[0.1, 0.9], [0.4, 0.5]], [[4.0, 3], [2, 1]]])
    ranks = perturbation.rank(heats)
    assert ranks.tolist() == [[[3, 0], [2, 1]], [[0, 1], [2, 3]]]
    assert ranks.dtype == torch.int64


def test_equally_hot_pixels_have_a_fixed_random_order() -> None:
    heats = torch.zeros(2, 20, 20)
    heats[1, 4:9, 3:7] = 1
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    ranks = perturbation.rank(heats)
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(perturbation.rank(heats), ranks)
    for each in ranks:
        assert sorted(each.flatten().tolist()) == list(range(400))
    # Each step takes pixels of a constant map from everywhere: half of them from either half.
    first = (ranks[0] < 100).float()
    for half in (first[:10], first[10:], first[:, :10], first[:, 10:]):
        assert half.mean() == pytest.approx(0.25, abs=0.1)
    # Hot pixels still go before cold ones.
    assert set(ranks[1][heats[1] == 1].tolist()) == set(range(20))
    cold = (ranks[1] < 120) & (heats[1] == 0)
    assert cold[:10].sum() == pytest.approx(50, abs=20)


def test_constant_maps_remove_pixels_at_random(
    predict: Callable[[Tensor], Tensor],
) -> None:
    images, heats = images_and_heats()
    even = torch.zeros_like(heats)
    for figure in REMOVALS:
        found = figure(predict, images, even, TARGETS)
        assert np.isfinite(found).all()
        np.testing.assert_array_equal(found, figure(predict, images, even + 0.5, TARGETS))


def test_target_probabilities_are_those_of_each_images_class(
    predict: Callable[[Tensor], Tensor],
) -> None:
    images, _ = images_and_heats()
    found = perturbation.target_probabilities(predict, images, torch.tensor(TARGETS))
    assert found.dtype == torch.float64
    expected = [answer(predict, *each) for each in zip(images, TARGETS, strict=True)]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)

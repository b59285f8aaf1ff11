"""How well heat fits the drop of a score when parts of the image are deleted alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor, nn

from effcam import metrics
from effcam.errors import ArgumentError
from effcam.metrics.part_deletion import saco, single_deletion

if TYPE_CHECKING:
    from numpy.typing import NDArray

TARGETS = (3, 0, 4)
BOTH = pytest.mark.parametrize("figure", [single_deletion, saco])


@pytest.fixture
def predict() -> Callable[[Tensor], Tensor]:
    torch.manual_seed(1)
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.Softplus(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(24, 5),
    ).eval()

    def probabilities(images: Tensor) -> Tensor:
        with torch.no_grad():
            return (network(images) * 3).softmax(1)

    return probabilities


def images_and_heats(height: int = 9, width: int = 14) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    images = torch.randn(3, 3, height, width, generator=draw) * 2
    return images, torch.rand(3, height, width, generator=draw)


def linear(weights: Tensor) -> Callable[[Tensor], Tensor]:
    """A model whose score of each class is a weighted sum of the image's pixels."""

    def scores(images: Tensor) -> Tensor:
        return (images.double()[:, None] * weights.double()).sum((2, 3, 4))

    return scores


def contributions(images: Tensor, weights: Tensor) -> Tensor:
    """What each pixel adds to the score of its image's class: (B, height, width), exact."""
    return (images.double() * weights.double()[list(TARGETS)]).sum(1)


def drop(
    predict: Callable[[Tensor], Tensor], image: Tensor, gone: NDArray[np.bool_], target: int
) -> Callable[[Tensor], float]:
    """The drop of a class without some pixels, as a function of what replaces them."""

    def of(filling: Tensor) -> float:
        changed = image.clone()
        changed[:, torch.from_numpy(gone)] = filling.expand_as(image)[:, torch.from_numpy(gone)]
        before, after = (float(predict(each[None])[0, target]) for each in (image, changed))
        return before - after

    return of


# closed forms


@BOTH
def test_the_contributions_to_a_linear_score_are_a_perfect_map(figure: Callable[..., Any]) -> None:
    images, _ = images_and_heats()
    weights = torch.randn(5, 3, 9, 14, generator=torch.Generator().manual_seed(2))
    exact = contributions(images, weights)
    # Without a constant, a patch's drop is the sum of its contributions.
    for heats, expected in ((exact, 1), (-exact, -1)):
        found = figure(linear(weights), images, heats, TARGETS, baseline="mean")
        np.testing.assert_allclose(found, expected)
    assert found.shape == (3,)
    assert found.dtype == np.float64


def test_the_single_deletion_score_ignores_the_scale_of_heat_and_saco_its_unit() -> None:
    images, heats = images_and_heats()
    weights = torch.rand(5, 3, 9, 14, generator=torch.Generator().manual_seed(2))
    predict = linear(weights)
    exact = contributions(images, weights)
    heats = heats * 0.01 + exact.clamp(min=0) / exact.max()
    one = single_deletion(predict, images, heats, TARGETS)
    np.testing.assert_allclose(single_deletion(predict, images, heats * 7, TARGETS), one)
    np.testing.assert_allclose(
        saco(predict, images, heats * 7, TARGETS), saco(predict, images, heats, TARGETS)
    )
    assert (np.abs(one) < 1).all()


def test_saco_weighs_pairs_by_their_difference_of_heat() -> None:
    # Three groups of one pixel with heat 5, 4, 0, and drops 1, 2, 0: only the first pair is wrong.
    image = torch.tensor([[[[1.0, 2.0, 0.0]]]])
    heat = torch.tensor([[[5.0, 4.0, 0.0]]])
    found = saco(linear(torch.ones(1, 1, 1, 3)), image, heat, [0], groups=3, baseline="mean")
    assert found == pytest.approx((-1 + 5 + 4) / (1 + 5 + 4))


def test_a_tie_of_drops_counts_for_the_map() -> None:
    image = torch.tensor([[[[1.0, 1.0, 0.0]]]])
    heat = torch.tensor([[[5.0, 4.0, 0.0]]])
    found = saco(linear(torch.ones(1, 1, 1, 3)), image, heat, [0], groups=3, baseline="mean")
    assert found == 1


# independent few lines


@pytest.mark.parametrize(("height", "width", "patches"), [(9, 14, 3), (8, 8, 4), (5, 7, 5)])
@pytest.mark.parametrize("baseline", ["mean", "blur", "image_mean"])
def test_single_deletion_is_that_of_a_loop(
    predict: Callable[[Tensor], Tensor], height: int, width: int, patches: int, baseline: Any
) -> None:
    images, heats = images_and_heats(height, width)
    blurred = metrics.perturbation.make_baseline(images, "blur")
    expected = []
    for at, (image, heat, target) in enumerate(zip(images, heats, TARGETS, strict=True)):
        filling = {
            "mean": torch.zeros(3, 1, 1),
            "blur": blurred[at],
            "image_mean": image.flatten(1).mean(1)[:, None, None],
        }[baseline]
        sums, drops = [], []
        for down, across in np.ndindex(patches, patches):
            # A pixel belongs to the patch that its upper left corner is in.
            gone = np.array(
                [
                    [
                        int(y / height * patches + 1e-9) == down
                        and int(x / width * patches + 1e-9) == across
                        for x in range(width)
                    ]
                    for y in range(height)
                ]
            )
            sums.append(float(heat[torch.from_numpy(gone)].sum()))
            drops.append(drop(predict, image, gone, target)(filling))
        expected.append(scipy.stats.spearmanr(sums, drops).statistic)
    found = single_deletion(predict, images, heats, TARGETS, patches=patches, baseline=baseline)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize(("height", "width", "groups"), [(9, 14, 10), (8, 8, 4), (3, 2, 6)])
def test_saco_is_the_papers_loop(
    predict: Callable[[Tensor], Tensor], height: int, width: int, groups: int
) -> None:
    images, heats = images_and_heats(height, width)
    expected = []
    for image, heat, target in zip(images, heats, TARGETS, strict=True):
        place = scipy.stats.rankdata(-heat.numpy(), method="ordinal").reshape(height, width) - 1
        filling = image.flatten(1).mean(1)[:, None, None]
        salience, drops = [], []
        for group in range(groups):
            # From i HW / K on, below (i + 1) HW / K.
            low, high = (each * height * width / groups for each in (group, group + 1))
            gone = (place >= low) & (place < high)
            salience.append(float(heat[torch.from_numpy(gone)].sum()))
            drops.append(drop(predict, image, gone, target)(filling))
        total, size = 0.0, 0.0
        for one in range(groups - 1):
            for other in range(one + 1, groups):
                weight = salience[one] - salience[other]
                total += weight if drops[one] >= drops[other] else -weight
                size += abs(weight)
        expected.append(total / size)
    found = saco(predict, images, heats, TARGETS, groups=groups)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.ptp(found) > 0.01


# properties


@BOTH
def test_an_image_alone_has_the_figure_that_it_has_in_a_batch(
    figure: Callable[..., Any], predict: Callable[[Tensor], Tensor]
) -> None:
    images, heats = images_and_heats()
    together = figure(predict, images, heats, TARGETS)
    alone = [
        figure(predict, images[at : at + 1], heats[at : at + 1], [target])[0]
        for at, target in enumerate(TARGETS)
    ]
    np.testing.assert_allclose(together, alone, atol=1e-6)


@BOTH
@pytest.mark.parametrize("value", [0.0, 0.3, float("nan")])
def test_a_map_without_an_order_has_no_figure(
    figure: Callable[..., Any], predict: Callable[[Tensor], Tensor], value: float
) -> None:
    images, heats = images_and_heats()
    heats[1] = value
    found = figure(predict, images, heats, TARGETS)
    assert np.isnan(found).tolist() == [False, True, False]


@BOTH
@pytest.mark.parametrize("score", [0.25, float("nan")])
def test_a_score_that_never_changes_gives_no_figure(
    figure: Callable[..., Any], score: float
) -> None:
    found = figure(lambda images: torch.full((len(images), 5), score), *images_and_heats(), TARGETS)
    assert np.isnan(found).all()


@BOTH
def test_impossible_arguments_are_refused(
    figure: Callable[..., Any], predict: Callable[[Tensor], Tensor]
) -> None:
    images, heats = images_and_heats()
    with pytest.raises(ArgumentError, match=r"maps \(B, height, width\), not"):
        figure(predict, images, heats[:, 1:], TARGETS)
    with pytest.raises(ArgumentError, match="one target per image, not 2 for 3"):
        figure(predict, images, heats, TARGETS[:2])
    with pytest.raises(ArgumentError, match="baseline must be"):
        figure(predict, images, heats, TARGETS, baseline="black")


@pytest.mark.parametrize("count", [1, 2.5, True, 10])
def test_impossible_numbers_of_patches_are_refused(
    predict: Callable[[Tensor], Tensor], count: Any
) -> None:
    with pytest.raises(ArgumentError, match="patches must be a whole number from 2 to 9, not"):
        single_deletion(predict, *images_and_heats(), TARGETS, patches=count)


@pytest.mark.parametrize("count", [1, 2.5, 127])
def test_impossible_numbers_of_groups_are_refused(
    predict: Callable[[Tensor], Tensor], count: Any
) -> None:
    with pytest.raises(ArgumentError, match="groups must be a whole number from 2 to 126, not"):
        saco(predict, *images_and_heats(), TARGETS, groups=count)

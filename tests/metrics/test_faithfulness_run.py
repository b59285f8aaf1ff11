"""Faithfulness and the sanity check: runs of models, compared with the same steps by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import effcam
from effcam import Comparison, Model, Preprocess
from effcam.cam.predict import predicting
from effcam.demo import MODELS, Scene, scenes
from effcam.errors import ArgumentError, ImageError, ModelError, TargetError
from effcam.metrics import (
    Faithfulness,
    average_drop,
    deletion,
    faithfulness,
    insertion,
    road,
    saco,
    sanity_check,
    single_deletion,
)
from effcam.metrics.confidence_change import masked
from effcam.metrics.faithfulness_run import DEFAULT_FIGURES, FAITHFULNESS_FIGURES
from effcam.metrics.randomisation import shuffle_from_top
from effcam.models.loading import load_model
from tests.cam.test_precision import Loud

CHEAP = ("average_drop", "increase_in_confidence", "average_gain", "insertion", "deletion")
TWO = {"dense": "demo_densenet", "B0": "demo_efficientnet_b0"}


@pytest.fixture(scope="module")
def some() -> list[Scene]:
    return scenes(16, seed=411, size=112)


@pytest.fixture(scope="module")
def comparison(some: list[Scene]) -> Comparison:
    return effcam.compare(some[:8], TWO, progress=False)


@pytest.fixture(scope="module")
def found(comparison: Comparison) -> Faithfulness:
    return faithfulness(comparison, TWO, figures=FAITHFULNESS_FIGURES, progress=False)


@pytest.fixture(scope="module")
def found_in_all(some: list[Scene]) -> Faithfulness:
    """The same for twice as many images, for properties that hold on average."""
    compared = effcam.compare(some, TWO, progress=False)
    return faithfulness(compared, TWO, figures=FAITHFULNESS_FIGURES, progress=False)


class Small(nn.Module):
    """A network of the caller, optionally for one input size only."""

    def __init__(self, *, fixed: bool = False) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1))
        self.norm = nn.BatchNorm2d(8)
        self.pool = nn.Flatten() if fixed else nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(8 * 8 * 8 if fixed else 8, 4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.head(self.pool(self.norm(self.body(images))).flatten(1))
        return scores


def small(*, fixed: bool = False) -> Model:
    torch.manual_seed(3)
    return load_model(Small(fixed=fixed), preprocess=Preprocess(size=32, resize=32), device="cpu")


def inputs(model: Model, some: list[Scene]) -> torch.Tensor:
    return torch.stack([model.preprocess(scene.image)[0] for scene in some])


def spread(comparison: Comparison, column: str, size: tuple[int, int]) -> torch.Tensor:
    maps = [comparison[row, column].heatmap for row in range(len(comparison.images))]
    large = functional.interpolate(torch.from_numpy(np.stack(maps))[:, None], size, mode="bilinear")
    low, high = large.amin((2, 3), keepdim=True), large.amax((2, 3), keepdim=True)
    return ((large - low) / (high - low))[:, 0]


# faithfulness


def test_figures_are_those_of_the_functions_on_arrays(
    comparison: Comparison, found: Faithfulness, some: list[Scene]
) -> None:
    model = load_model("demo_densenet", device="cpu")
    images = inputs(model, some[: len(comparison.images)])
    heats = spread(comparison, "dense", model.preprocess.size)
    targets = [comparison[row, "dense"].target for row in range(len(images))]
    with predicting(model) as predict:
        by_hand = {
            "insertion": insertion(predict, images, heats, targets),
            "deletion": deletion(predict, images, heats, targets),
            "road": road(predict, images, heats, targets),
            "single_deletion": single_deletion(predict, images, heats, targets),
            "saco": saco(predict, images, heats, targets),
        }
        rows = torch.arange(len(images))
        before = predict(images)[rows, targets]
        after = predict(masked(images, heats))[rows, targets]
    by_hand["average_drop"] = average_drop(before, after)
    for key, values in by_hand.items():
        # The noise of ROAD's imputation is drawn per batch, and pixels of nearly equal heat may be
        # in another order.
        tolerance = {"road": 0.02, "saco": 0.02, "average_drop": 1e-4}.get(key, 1e-3)
        np.testing.assert_allclose(found.samples[key][:, 0], values, atol=tolerance, err_msg=key)


@pytest.mark.slow
def test_trained_models_are_above_random_maps(found_in_all: Faithfulness) -> None:
    found = found_in_all
    better = {"average_drop": -1, "insertion": 1, "deletion": -1}
    for key, sign in better.items():
        gap = sign * (found.samples[key] - found.random[key])
        assert (gap.mean(0) > 0.1).all(), key
    assert (found.samples["road"].mean(0) > 0.2).all()
    for key in ("single_deletion", "saco"):
        assert (found.samples[key].mean(0) > 0.3).all()
        assert np.abs(found.random[key].mean(0)).max() < 0.25
    assert (found.samples["grid_pointing_game"].mean(0) > 0.4).all()


@pytest.mark.slow
def test_maps_do_not_survive_the_loss_of_half_of_the_layers(found_in_all: Faithfulness) -> None:
    found = found_in_all
    assert (found.samples["randomisation"].mean(0) < 0.2).all()
    assert np.abs(found.random["randomisation"].mean(0)).max() < 0.2


def test_random_maps_are_the_same_for_models_of_one_grid(some: list[Scene]) -> None:
    twice = {"one": "demo_densenet", "other": "demo_densenet"}
    own = effcam.compare(some[:4], twice, progress=False)
    found = faithfulness(own, twice, figures=["deletion"], progress=False)
    np.testing.assert_array_equal(found.random["deletion"][:, 0], found.random["deletion"][:, 1])
    np.testing.assert_array_equal(found.samples["deletion"][:, 0], found.samples["deletion"][:, 1])


@pytest.mark.slow
def test_by_default_it_measures_what_the_study_chose(some: list[Scene]) -> None:
    measured = faithfulness(effcam.compare(some[:4], TWO, progress=False), TWO, progress=False)
    # Too few images for mosaics.
    assert set(measured.samples) == set(DEFAULT_FIGURES) - {"grid_pointing_game"}


def test_it_does_not_depend_on_the_batch(comparison: Comparison, found: Faithfulness) -> None:
    again = faithfulness(comparison, TWO, figures=CHEAP, batch_size=5, progress=False)
    for key in ("average_drop", "insertion", "deletion"):
        np.testing.assert_allclose(again.samples[key], found.samples[key], atol=1e-4)
        np.testing.assert_allclose(again.random[key], found.random[key], atol=1e-4)


def test_half_precision_moves_figures_little_and_is_noted(
    comparison: Comparison, found: Faithfulness
) -> None:
    half = faithfulness(comparison, TWO, figures=CHEAP, precision="bf16", progress=False)
    assert half.notes == ("Images with parts removed ran in bf16.",)
    assert not any("bf16" in each for each in found.notes)
    for key in ("insertion", "deletion"):
        np.testing.assert_allclose(half.samples[key], found.samples[key], atol=0.02)
        assert (half.samples[key] != found.samples[key]).any()
    with pytest.raises(ArgumentError, match="precision must be 'fp32', 'bf16' or 'fp16' here"):
        faithfulness(comparison, TWO, precision="auto")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="and randomisation need none: leave it out"):
        faithfulness(comparison, TWO, figures="randomisation", precision="bf16")


def test_half_precision_that_overflows_is_refused(some: list[Scene]) -> None:
    loud = load_model(Loud(), name="loud", preprocess=Preprocess(size=32), device="cpu")
    compared = effcam.compare(some[:2], loud, progress=False)
    with pytest.raises(ModelError, match="loud: its probabilities are not finite in fp16"):
        faithfulness(compared, loud, figures="average_drop", precision="fp16", progress=False)


def test_the_summary_has_faithfulness_beside_random_maps(
    comparison: Comparison, found: Faithfulness
) -> None:
    summary = comparison.summary(faithfulness=found, fair=False)
    deleted = summary.measure("deletion")
    np.testing.assert_allclose(deleted.values, found.samples["deletion"].mean(0))
    assert deleted.baselines["random map"] == pytest.approx(found.random["deletion"].mean())
    assert summary.measure("road").baselines == {"random map": 0.0}
    assert summary.measure("grid_pointing_game").baselines == {"random map": 0.25}
    assert (deleted.low < deleted.values).all()
    assert (deleted.values < deleted.high).all()


def test_the_summary_counts_the_fair_images_alone(
    comparison: Comparison, found: Faithfulness
) -> None:
    labels: list[int] = [comparison[row, 0].predicted for row in range(len(comparison.images))]
    labels[0] = (labels[0] + 1) % 10
    summary = comparison.summary(labels=labels, faithfulness=found)
    kept = [
        row
        for row in range(1, len(labels))
        if comparison[row, 0].predicted == comparison[row, 1].predicted
    ]
    np.testing.assert_allclose(
        summary.measure("insertion").values, found.samples["insertion"][kept].mean(0)
    )


def test_the_summary_refuses_the_faithfulness_of_another_comparison(
    comparison: Comparison, found: Faithfulness
) -> None:
    with pytest.raises(ArgumentError, match="measured for another comparison: of 8 images"):
        comparison.take([0, 1]).summary(faithfulness=found)


def test_maps_without_heat_are_left_out(comparison: Comparison) -> None:
    flat = replace(comparison.cells[0], state="flat", heatmap=np.zeros((7, 7), np.float32))
    with_flat = replace(comparison, cells=(flat, *comparison.cells[1:]))
    found = faithfulness(with_flat, TWO, figures=["deletion", "randomisation"], progress=False)
    assert np.isnan(found.samples["deletion"][0, 0])
    assert np.isnan(found.samples["randomisation"][0, 0])
    assert np.isfinite(found.samples["deletion"][1:]).all()


@pytest.mark.slow
def test_every_method_has_its_own_figures(some: list[Scene]) -> None:
    own = effcam.compare(some[:6], "demo_resnet", method=["gradcam", "eigencam"], progress=False)
    found = faithfulness(own, "demo_resnet", figures="deletion", progress=False)
    assert found.columns == ("demo_resnet gradcam", "demo_resnet eigencam")
    assert not np.allclose(found.samples["deletion"][:, 0], found.samples["deletion"][:, 1])


def test_images_are_seen_as_in_the_comparison() -> None:
    tall = scenes(3, seed=2, size=(96, 160))
    seen: list[tuple[int, ...]] = []
    model = small()
    own = effcam.compare(tall, model, view="whole", size=48, progress=False)
    handle = model.module.register_forward_pre_hook(
        lambda _, images: seen.append(tuple(images[0].shape[1:]))
    )
    faithfulness(own, model, figures="deletion", progress=False)
    handle.remove()
    # The other shapes are those of meta tensors, which are used to find the layer.
    assert set(seen) == {(3, 48, 48)}


@pytest.mark.parametrize(
    ("figures", "message"),
    [("deltion", "figures must be some of average_drop"), ([], "figures must be some of")],
)
def test_an_unknown_figure_is_refused(
    comparison: Comparison, figures: object, message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        faithfulness(comparison, TWO, figures=figures)  # type: ignore[arg-type]


def test_other_models_are_refused_before_they_run(comparison: Comparison) -> None:
    with pytest.raises(ArgumentError, match="columns are dense, B0; these would be demo_resnet"):
        faithfulness(comparison, "demo_resnet")
    swapped = {"dense": "demo_resnet", "B0": "demo_efficientnet_b0"}
    with pytest.raises(ArgumentError, match="'dense' was made with another model: demo_densenet"):
        faithfulness(comparison, swapped, progress=False)


# mosaics


def test_gridpg_needs_four_confident_images_of_different_classes(
    comparison: Comparison,
) -> None:
    few = comparison.take([0, 1, 2])
    found = faithfulness(few, TWO, figures="grid_pointing_game", progress=False)
    assert "grid_pointing_game" not in found.samples
    assert "GridPG is missing" in found.notes[0]
    assert found.notes[0] in few.summary(faithfulness=found).notes


def test_a_model_of_fixed_size_has_no_gridpg_and_a_note(some: list[Scene]) -> None:
    models = {"fixed": small(fixed=True), "free": small()}
    own = effcam.compare(some[:8], models, progress=False)
    cells = tuple(
        replace(cell, target=at // 2 % 4, predicted=at // 2 % 4, probability=0.9)
        for at, cell in enumerate(own.cells)
    )
    known = replace(own, cells=cells)
    found = faithfulness(known, models, figures="grid_pointing_game", progress=False)
    assert found.notes == (
        "GridPG uses 2 mosaics of four images that all models predict with confidence.",
        "fixed takes no input of twice its size, so it has no GridPG.",
    )
    shares = found.samples["grid_pointing_game"]
    assert shares.shape == (2, 2)
    assert np.isnan(shares[:, 0]).all()
    assert ((shares[:, 1] >= 0) & (shares[:, 1] <= 1)).all()


# leaving the model alone


@pytest.fixture
def watched() -> Iterator[nn.Module]:
    """A module in training mode, which must be left unchanged."""
    module = Small().train()
    module.head.weight.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    pointers = {name: each.data_ptr() for name, each in module.named_parameters()}
    yield module
    assert module.training
    assert module.body[0].training
    assert [name for name, each in module.named_parameters() if not each.requires_grad] == [
        "head.weight"
    ]
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    # The same memory, since the caller's optimiser still refers to it.
    assert pointers == {name: each.data_ptr() for name, each in module.named_parameters()}
    assert not module._forward_hooks
    assert not module._forward_pre_hooks


def test_the_callers_module_is_left_unchanged(watched: nn.Module, some: list[Scene]) -> None:
    model = {"mine": watched}
    own = effcam.compare(some[:4], model, size=32, progress=False)
    faithfulness(own, model, progress=False)
    sanity_check(some[:4], watched, size=32)


def test_shuffled_weights_are_restored_after_an_error(watched: nn.Module) -> None:
    model = load_model(watched, preprocess=Preprocess(size=32, resize=32))
    shuffled = shuffle_from_top(model, 1.0)
    mixed = dict(shuffled.weights)[watched.head.weight]
    inside = []

    def fail() -> None:
        with shuffled.in_place():
            inside.append(watched.head.weight.data_ptr() == mixed.data_ptr())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert inside == [True]


# shuffling


def test_shuffling_goes_from_the_top_and_keeps_the_numbers() -> None:
    model = small()
    half = shuffle_from_top(model, 0.5)
    assert half.layers == ("head", "norm")
    assert shuffle_from_top(model, 1.0).layers == ("head", "norm", "body.2", "body.0")
    for own, mixed in half.weights:
        assert torch.equal(own.flatten().sort().values, mixed.flatten().sort().values)
    weight = model.module.get_submodule("head").weight
    assert not torch.equal(weight, dict(half.weights)[weight])


def test_shuffling_depends_on_the_seed_alone() -> None:
    model = small()
    one, same, other = (shuffle_from_top(model, 0.3, seed=seed).weights for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(one, same, strict=True))
    assert not all(torch.equal(a, b) for (_, a), (_, b) in zip(one, other, strict=True))


@pytest.mark.parametrize("share", [0, -1, 1.5])
def test_an_impossible_share_is_refused(share: float) -> None:
    with pytest.raises(ArgumentError, match="share must be above 0 and at most 1"):
        shuffle_from_top(small(), share)


def test_a_model_without_weights_cannot_be_shuffled() -> None:
    class Weightless(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return functional.avg_pool2d(images, 8).mean((2, 3))

    model = replace(small(), module=Weightless())
    with pytest.raises(ArgumentError, match="has no weights to shuffle"):
        shuffle_from_top(model, 0.5)


# the sanity check


@pytest.mark.slow
def test_every_demo_model_falls_below_a_fifth_when_its_upper_half_is_shuffled() -> None:
    for name in MODELS.values():
        check = sanity_check(scenes(40, seed=86), name, shares=[0.5])
        assert check.similarity.mean() < 0.2, name


def test_the_sanity_check_prints_each_stage(some: list[Scene]) -> None:
    check = sanity_check(some[:6], "demo_densenet", shares=[0.1, 1.0])
    assert check.similarity.shape == (6, 2)
    assert check.layers[0] < check.layers[1]
    text = str(check).splitlines()
    assert text[0] == "demo_densenet, gradcam"
    assert text[2].startswith(f"upper 10 % ({check.layers[0]})")
    assert f"{check.similarity[:, 1].mean():.2f}" in text[3]


def test_maps_that_need_no_trained_weights_survive_it() -> None:
    """The check can fail: maps that depend on the pixels alone do not change."""

    class Blind(nn.Module):
        """A net whose map is the image's brightness, whatever its one weight is."""

        def __init__(self) -> None:
            super().__init__()
            self.pool = nn.AvgPool2d(8)
            self.head = nn.Linear(3, 2)
            with torch.no_grad():
                self.head.weight.fill_(1.0)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            scores: torch.Tensor = self.head(self.pool(images).mean((2, 3)))
            return scores

    model = load_model(Blind(), preprocess=Preprocess(size=64, resize=64), target_layer="pool")
    check = sanity_check(scenes(4, seed=5), model, shares=[1.0])
    assert check.similarity.mean() > 0.99


def test_the_sanity_check_needs_images_and_stages(some: list[Scene]) -> None:
    with pytest.raises(ImageError, match="no images"):
        sanity_check([], "demo_densenet")
    with pytest.raises(ArgumentError, match="shares must be one or more"):
        sanity_check(some[:1], "demo_densenet", shares=[])
    with pytest.raises(
        TargetError, match="sanity check explains the class that is predicted: give"
    ):
        sanity_check(some[:1], "demo_clip")
